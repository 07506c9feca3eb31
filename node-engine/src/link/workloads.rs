//! Numbers of containers: what the kernel's table of cgroups and the indexes of hooks know them by. Two
//! cgroups whose containers are alike in all that policies can ask have one number. A number is never
//! given twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tetragon_abi::cgroup::FIRST;
use tetragon_api::workload::Container;

/// Containers by number.
pub type Numbered = BTreeMap<u64, Arc<Container>>;

/// The containers of the node.
#[derive(Debug, Default)]
pub struct Containers {
    numbers: HashMap<Arc<Container>, u64>,
    /// By number: the container, and how many cgroups are of it.
    pub(super) all: BTreeMap<u64, (Arc<Container>, usize)>,
    /// The number of each cgroup, and whether it is a pod's own.
    cgroups: HashMap<u64, (u64, bool)>,
    given: u64,
}

/// What [`Containers::set`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The container's number.
    pub number: u64,
    /// Nobody knows that number yet.
    pub new: bool,
}

impl Containers {
    /// Cgroup `cgroup` is of this container. `pod`: it is its pod's own.
    pub fn set(&mut self, cgroup: u64, container: Container, pod: bool) -> Given {
        let known = self.numbers.get(&container).copied();
        let number = known.unwrap_or(FIRST + self.given);
        if known.is_none() {
            self.given += 1;
            let container = Arc::new(container);
            self.numbers.insert(container.clone(), number);
            self.all.insert(number, (container, 0));
        }
        if let Some((_, n)) = self.all.get_mut(&number) {
            *n += 1;
        }
        self.forget(cgroup);
        self.cgroups.insert(cgroup, (number, pod));
        Given { number, new: known.is_none() }
    }

    /// Cgroup `cgroup` is of no container any more. False: it was not.
    pub fn forget(&mut self, cgroup: u64) -> bool {
        let Some((number, _)) = self.cgroups.remove(&cgroup) else { return false };
        if let Some((_, n)) = self.all.get_mut(&number) {
            *n -= 1;
        }
        true
    }

    /// The container with that number.
    pub fn get(&self, number: u64) -> Option<&Arc<Container>> {
        self.all.get(&number).map(|c| &c.0)
    }

    /// All that have numbers.
    pub fn numbered(&self) -> Numbered {
        self.all.iter().map(|(n, c)| (*n, c.0.clone())).collect()
    }

    /// Cgroups, their numbers, and whether each is a pod's own.
    pub fn cgroups(&self) -> impl Iterator<Item = (u64, u64, bool)> {
        self.cgroups.iter().map(|(cgroup, (number, pod))| (*cgroup, *number, *pod))
    }

    /// Numbers that no cgroup has.
    pub fn unused(&self) -> Vec<u64> {
        self.all.iter().filter(|(_, c)| c.1 == 0).map(|(n, _)| *n).collect()
    }

    /// Takes a number out.
    pub fn remove(&mut self, number: u64) {
        if let Some((container, _)) = self.all.remove(&number) {
            self.numbers.remove(&container);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Container {
        Container { name: name.into(), ..Container::default() }
    }

    #[test]
    fn like_containers_have_one_number_and_none_is_given_twice() {
        let mut c = Containers::default();
        let a = c.set(10, named("a"), false);
        assert_eq!(a, Given { number: FIRST, new: true });
        assert_eq!(c.set(11, named("a"), false), Given { number: FIRST, new: false });
        let b = c.set(12, named("b"), false);
        assert_eq!(b, Given { number: FIRST + 1, new: true });
        assert!(c.forget(12) && !c.forget(12));
        assert_eq!(c.unused(), [b.number]);
        c.remove(b.number);
        assert_eq!(c.set(12, named("b"), false), Given { number: FIRST + 2, new: true }, "b is new again");
    }

    #[test]
    fn a_number_is_used_as_long_as_a_cgroup_has_it() {
        let mut c = Containers::default();
        let a = c.set(10, named("a"), false).number;
        c.set(11, named("a"), false);
        c.forget(10);
        assert!(c.unused().is_empty());
        // Its labels change: the cgroup has another number.
        c.set(11, named("b"), false);
        assert_eq!(c.unused(), [a]);
        // Before it is taken out it may come back.
        assert_eq!(c.set(10, named("a"), false), Given { number: a, new: false });
        assert!(c.unused().is_empty());
        // The same again changes nothing.
        assert_eq!(c.set(10, named("a"), false), Given { number: a, new: false });
        c.forget(10);
        assert_eq!(c.unused(), [a]);
    }
}
