//! A folder of policy files: what is in it, and what has changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Endings of policy files.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What has become of a file.
#[derive(Debug)]
pub enum Change {
    /// It is new or another than before.
    Text {
        /// Where.
        path: PathBuf,
        /// What is in it.
        bytes: Vec<u8>,
    },
    /// It is gone.
    Gone(PathBuf),
    /// It cannot be read; what was known of it stays.
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// By what a file is recognised as unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(m: &Metadata) -> Stamp {
        Stamp {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

/// A folder as it was when it was last looked at.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    known: BTreeMap<OsString, Stamp>,
    passed_over: BTreeSet<OsString>,
}

impl Folder {
    /// A folder that has not been looked at.
    pub fn new(dir: &Path) -> Folder {
        Folder { dir: dir.to_owned(), known: BTreeMap::new(), passed_over: BTreeSet::new() }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Looks at everything. A folder that does not exist is empty. Files in `busy` are being written:
    /// their turn comes.
    pub fn scan(&mut self, busy: &BTreeSet<OsString>) -> io::Result<Vec<Change>> {
        let mut names = BTreeSet::new();
        match std::fs::read_dir(&self.dir) {
            Ok(entries) => {
                for entry in entries {
                    names.insert(entry?.file_name());
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        names.extend(self.known.keys().cloned());
        Ok(names.iter().filter(|n| !busy.contains(*n)).filter_map(|n| self.look(n, false)).collect())
    }

    /// Looks at some files, of which it is known that they changed.
    pub fn scan_some(&mut self, names: &BTreeSet<OsString>) -> Vec<Change> {
        names.iter().filter_map(|name| self.look(name, true)).collect()
    }

    fn look(&mut self, name: &OsStr, read: bool) -> Option<Change> {
        if !self.is_policy(name) {
            return None;
        }
        let path = self.dir.join(name);
        // A link counts as the file that it leads to: Kubernetes mounts a ConfigMap so.
        let stamp = match std::fs::metadata(&path) {
            Ok(m) if m.is_file() => Stamp::of(&m),
            Ok(_) => return self.known.remove(name).map(|_| Change::Gone(path)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return self.known.remove(name).map(|_| Change::Gone(path));
            }
            Err(error) => return Some(Change::Unreadable { path, error }),
        };
        if !read && self.known.get(name) == Some(&stamp) {
            return None;
        }
        match std::fs::read(&path) {
            Ok(bytes) => {
                self.known.insert(name.to_owned(), stamp);
                // The compiler says what is wrong with text that is none.
                Some(Change::Text { path, bytes })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.known.remove(name).map(|_| Change::Gone(path))
            }
            Err(error) => Some(Change::Unreadable { path, error }),
        }
    }

    /// It has the ending of a policy. Hidden files are of editors and mounts; others are named once.
    fn is_policy(&mut self, name: &OsStr) -> bool {
        if is_policy_name(name) {
            return true;
        }
        let hidden = name.to_string_lossy().starts_with('.');
        let path = self.dir.join(name);
        if !hidden && path.is_file() && self.passed_over.insert(name.to_owned()) {
            tracing::warn!("{}: passed over: policy files end in .yaml, .yml or .json", path.display());
        }
        false
    }
}

/// The name is that of a policy file.
pub fn is_policy_name(name: &OsStr) -> bool {
    let path = Path::new(name);
    let known = path.extension().and_then(OsStr::to_str).is_some_and(|e| ENDINGS.contains(&e));
    known && !name.to_string_lossy().starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(folder: &mut Folder) -> Vec<String> {
        show(&folder.scan(&BTreeSet::new()).unwrap())
    }

    fn show(changes: &[Change]) -> Vec<String> {
        let name = |p: &Path| p.file_name().unwrap().to_string_lossy().into_owned();
        changes
            .iter()
            .map(|c| match c {
                Change::Text { path, bytes } => format!("{}={}", name(path), String::from_utf8_lossy(bytes)),
                Change::Gone(path) => format!("-{}", name(path)),
                Change::Unreadable { path, .. } => format!("!{}", name(path)),
            })
            .collect()
    }

    #[test]
    fn only_what_changed_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let mut f = Folder::new(dir.path());
        assert!(scan(&mut f).is_empty());
        write("a.yaml", "1");
        write("b.yml", "2");
        write(".hidden.yaml", "3");
        write("notes.txt", "4");
        write("a.yaml~", "5");
        assert_eq!(scan(&mut f), ["a.yaml=1", "b.yml=2"]);
        assert!(scan(&mut f).is_empty());
        write("b.yml", "longer");
        assert_eq!(scan(&mut f), ["b.yml=longer"]);
        std::fs::remove_file(dir.path().join("a.yaml")).unwrap();
        assert_eq!(scan(&mut f), ["-a.yaml"]);
        assert!(scan(&mut f).is_empty());
        // An editor's rename.
        write(".b.swp", "new");
        std::fs::rename(dir.path().join(".b.swp"), dir.path().join("b.yml")).unwrap();
        assert_eq!(scan(&mut f), ["b.yml=new"]);
    }

    #[test]
    fn named_files_are_read_whatever_their_stamp() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.json"), "1").unwrap();
        let mut f = Folder::new(dir.path());
        let names = BTreeSet::from([OsString::from("a.json"), OsString::from("gone.yaml")]);
        assert_eq!(show(&f.scan_some(&names)), ["a.json=1"]);
        assert_eq!(show(&f.scan_some(&names)), ["a.json=1"]);
    }

    #[test]
    fn a_config_map_is_links_to_a_folder_that_is_exchanged() {
        let dir = tempfile::tempdir().unwrap();
        for (n, text) in [("1", "old"), ("2", "new")] {
            std::fs::create_dir(dir.path().join(n)).unwrap();
            std::fs::write(dir.path().join(n).join("p.yaml"), text).unwrap();
        }
        let link = |to: &str| {
            std::os::unix::fs::symlink(to, dir.path().join("..tmp")).unwrap();
            std::fs::rename(dir.path().join("..tmp"), dir.path().join("..data")).unwrap();
        };
        link("1");
        std::os::unix::fs::symlink("..data/p.yaml", dir.path().join("p.yaml")).unwrap();
        let mut f = Folder::new(dir.path());
        assert_eq!(scan(&mut f), ["p.yaml=old"]);
        link("2");
        assert_eq!(scan(&mut f), ["p.yaml=new"]);
    }

    #[test]
    fn files_that_are_being_written_wait() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yaml"), "half").unwrap();
        let mut f = Folder::new(dir.path());
        let busy = BTreeSet::from([OsString::from("a.yaml")]);
        assert!(f.scan(&busy).unwrap().is_empty());
        assert_eq!(scan(&mut f), ["a.yaml=half"]);
    }

    #[test]
    fn a_folder_that_goes_takes_its_files_along() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("p");
        std::fs::create_dir(&sub).unwrap();
        std::fs::write(sub.join("a.yaml"), "1").unwrap();
        let mut f = Folder::new(&sub);
        assert_eq!(scan(&mut f), ["a.yaml=1"]);
        std::fs::remove_dir_all(&sub).unwrap();
        assert_eq!(scan(&mut f), ["-a.yaml"]);
    }
}
