//! Which PodInfos are not what they should be. No client, and no clock.

use std::collections::HashMap;
use std::fmt;

use kube::ResourceExt as _;

/// Namespace and name: of a pod, and of its PodInfo.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub namespace: Box<str>,
    pub name: Box<str>,
}

impl Key {
    pub(super) fn of(object: &impl kube::Resource) -> Key {
        Key { namespace: object.namespace().unwrap_or_default().into(), name: object.name_any().into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// What should be said.
    Pods,
    /// What is said.
    Infos,
}

/// What is known of one pod.
#[derive(Default)]
struct Entry {
    /// The number of what its PodInfo should say; `None`: nothing is to be written now.
    wanted: Option<u64>,
    /// And of what it says; `None`: there is none.
    found: Option<u64>,
    /// Applying the first made it say the second: what it says more was put there by others, and stays.
    settled: Option<(u64, u64)>,
    failures: u32,
    /// Its turn is asked for.
    asked: bool,
    /// Seen in the list that is being read: of pods, of PodInfos.
    listed: [bool; 2],
}

impl Entry {
    fn is_behind(&self) -> bool {
        match (self.wanted, self.found) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(wanted), Some(found)) => wanted != found && self.settled != Some((wanted, found)),
        }
    }

    fn side(&mut self, side: Side) -> &mut Option<u64> {
        match side {
            Side::Pods => &mut self.wanted,
            Side::Infos => &mut self.found,
        }
    }
}

/// What is known of all pods.
#[derive(Default)]
pub(super) struct Book {
    entries: HashMap<Key, Entry>,
    /// Both were listed once: before that, what is missing may only be unknown.
    complete: [bool; 2],
}

impl Book {
    /// A list begins.
    pub(super) fn begin(&mut self, side: Side) {
        self.entries.values_mut().for_each(|entry| entry.listed[side as usize] = false);
    }

    /// An object says so now; `None`: it is gone, or nothing is to be said of it. True: it is the pod's turn.
    pub(super) fn note(&mut self, side: Side, key: &Key, number: Option<u64>) -> bool {
        if number.is_none() && !self.entries.contains_key(key) {
            return false;
        }
        let entry = self.entries.entry(key.clone()).or_default();
        *entry.side(side) = number;
        entry.listed[side as usize] = true;
        if entry.wanted.is_none() && entry.found.is_none() {
            self.entries.remove(key);
            return false;
        }
        self.ask(key)
    }

    /// A list is read: what was not in it is gone. Gives those whose turn it is.
    pub(super) fn end(&mut self, side: Side) -> Vec<Key> {
        self.complete[side as usize] = true;
        for entry in self.entries.values_mut().filter(|e| !e.listed[side as usize]) {
            *entry.side(side) = None;
        }
        self.entries.retain(|_, e| e.wanted.is_some() || e.found.is_some());
        let behind: Vec<Key> =
            self.entries.iter().filter(|(_, e)| e.is_behind()).map(|(key, _)| key.clone()).collect();
        behind.into_iter().filter(|key| self.ask(key)).collect()
    }

    fn ask(&mut self, key: &Key) -> bool {
        let complete = self.complete == [true; 2];
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let ask = complete && entry.is_behind() && !entry.asked;
        entry.asked |= ask;
        ask
    }

    /// Its turn has come. False: there is nothing to do any more.
    pub(super) fn turn(&mut self, key: &Key) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        entry.asked = false;
        entry.is_behind()
    }

    /// What should be said was applied, and gave what is said.
    pub(super) fn wrote(&mut self, key: &Key, wanted: u64, found: u64) {
        if let Some(entry) = self.entries.get_mut(key) {
            (entry.found, entry.settled, entry.failures) = (Some(found), Some((wanted, found)), 0);
        }
    }

    /// It could not be written, and is asked for again. Gives how often in a row that was so before.
    pub(super) fn failed(&mut self, key: &Key) -> u32 {
        let Some(entry) = self.entries.get_mut(key) else { return 0 };
        entry.asked = true;
        entry.failures = entry.failures.saturating_add(1);
        entry.failures - 1
    }

    /// How many are behind.
    pub(super) fn behind(&self) -> usize {
        self.entries.values().filter(|e| e.is_behind()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "n".into(), name: name.into() }
    }

    /// A book in which both were listed: pods with what should be said, PodInfos with what is.
    fn book(pods: &[(&str, u64)], infos: &[(&str, u64)]) -> (Book, Vec<Key>) {
        let mut book = Book::default();
        let mut asked = Vec::new();
        for (side, all) in [(Side::Pods, pods), (Side::Infos, infos)] {
            book.begin(side);
            for (name, number) in all {
                assert!(
                    !book.note(side, &key(name), Some(*number)),
                    "nothing is asked for before both are known"
                );
            }
            asked.extend(book.end(side));
        }
        asked.sort_by_key(Key::to_string);
        (book, asked)
    }

    #[test]
    fn who_starts_asks_only_for_what_differs() {
        let (book, asked) =
            book(&[("new", 1), ("same", 2), ("other", 3)], &[("same", 2), ("other", 4), ("old", 5)]);
        assert_eq!(asked, [key("new"), key("other")]);
        assert_eq!(book.behind(), 2);
    }

    #[test]
    fn one_is_asked_for_once_until_its_turn() {
        let (mut book, _) = book(&[], &[]);
        assert!(book.note(Side::Pods, &key("a"), Some(1)));
        assert!(!book.note(Side::Pods, &key("a"), Some(2)));
        assert!(book.turn(&key("a")));
        book.wrote(&key("a"), 2, 2);
        assert!(!book.note(Side::Infos, &key("a"), Some(2)));
        assert!(book.note(Side::Pods, &key("a"), Some(3)));
        assert!(!book.note(Side::Pods, &key("a"), Some(2)), "it is as it was");
        assert!(!book.turn(&key("a")));
    }

    #[test]
    fn what_others_have_added_stays() {
        let (mut book, asked) = book(&[("a", 1)], &[("a", 7)]);
        assert!(book.turn(&asked[0]));
        book.wrote(&key("a"), 1, 8);
        assert!(!book.note(Side::Infos, &key("a"), Some(8)));
        assert!(book.note(Side::Infos, &key("a"), Some(9)), "somebody changed it: it is looked at once");
    }

    #[test]
    fn what_was_deleted_is_made_again_unless_its_pod_is_gone() {
        let (mut book, _) = book(&[("a", 1), ("b", 1)], &[("a", 1), ("b", 1)]);
        assert!(book.note(Side::Infos, &key("a"), None));
        assert!(!book.note(Side::Pods, &key("b"), None));
        assert!(!book.note(Side::Infos, &key("b"), None));
        assert_eq!(book.entries.len(), 1);
    }

    #[test]
    fn a_new_list_tells_what_is_gone() {
        let (mut book, _) = book(&[("a", 1), ("b", 1)], &[("a", 1), ("b", 1)]);
        book.begin(Side::Infos);
        book.note(Side::Infos, &key("a"), Some(1));
        assert_eq!(book.end(Side::Infos), [key("b")]);
        book.begin(Side::Pods);
        assert_eq!(book.end(Side::Pods), []);
        assert_eq!(book.behind(), 0);
    }

    #[test]
    fn failures_are_counted_until_it_is_written() {
        let (mut book, asked) = book(&[("a", 1)], &[]);
        assert!(book.turn(&asked[0]));
        assert_eq!((book.failed(&key("a")), book.failed(&key("a"))), (0, 1));
        assert!(!book.note(Side::Pods, &key("a"), Some(2)), "its turn comes");
        assert!(book.turn(&key("a")));
        book.wrote(&key("a"), 2, 2);
        book.turn(&key("a"));
        assert_eq!(book.failed(&key("a")), 0);
    }
}
