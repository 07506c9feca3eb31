//! Names of users, from the node's /etc/passwd.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How often it is looked whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The users of the node.
#[derive(Debug)]
pub struct Users {
    path: PathBuf,
    names: HashMap<u32, String>,
    /// When the file was changed that was read.
    version: Option<(SystemTime, u64)>,
    looked: Option<Instant>,
    /// It could not be read when it was looked last.
    failed: bool,
}

impl Users {
    /// The users that the first process of `procfs` sees: the agent's own file may be that of a
    /// container.
    pub fn of_node(procfs: &Path) -> Users {
        Users::new(procfs.join("1/root/etc/passwd"))
    }

    fn new(path: PathBuf) -> Users {
        Users { path, names: HashMap::new(), version: None, looked: None, failed: false }
    }

    /// The name of a user, if the file has one.
    pub fn name(&mut self, uid: u32) -> Option<&str> {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.looked = Some(Instant::now());
            self.look();
        }
        self.names.get(&uid).map(String::as_str)
    }

    /// Reads the file if it has changed. One that cannot be read has no names.
    fn look(&mut self) {
        let version = std::fs::metadata(&self.path).and_then(|m| Ok((m.modified()?, m.len()))).ok();
        if version.is_some() && version == self.version {
            return;
        }
        match std::fs::read(&self.path) {
            Ok(bytes) => {
                self.names = parse(&String::from_utf8_lossy(&bytes));
                self.failed = false;
            }
            Err(e) => {
                self.names.clear();
                if !std::mem::replace(&mut self.failed, true) {
                    let path = self.path.display();
                    tracing::warn!(
                        "--username-metadata: {path}: cannot be read: {e}; events have no user names"
                    );
                }
            }
        }
        self.version = version;
    }
}

/// NAME:PASSWORD:UID:...; the first of several names of a user is its name.
fn parse(text: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok()));
        if let (Some(name), Some(uid)) = (name.filter(|n| !n.is_empty() && !n.starts_with('#')), uid) {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_file() {
        let names = parse(
            "root:x:0:0:root:/root:/bin/sh\n# a:x:7:\n\nbin:x:1:1::/:/no\nmallory:x:0:0::/:\n+::::::\nbad:x:y:\nx:1",
        );
        assert_eq!(names, HashMap::from([(0, "root".to_owned()), (1, "bin".to_owned())]));
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("1/root/etc")).unwrap();
        let path = dir.path().join("1/root/etc/passwd");
        let mut users = Users::of_node(dir.path());
        assert_eq!(users.name(5), None);
        let mut look = |text: &str| {
            std::fs::write(&path, text).unwrap();
            users.looked = None;
            users.name(5).map(str::to_owned)
        };
        assert_eq!(look("a:x:5:5::/:\n").as_deref(), Some("a"));
        assert_eq!(look("longer:x:5:5::/:\n").as_deref(), Some("longer"));
        std::fs::remove_file(&path).unwrap();
        users.looked = None;
        assert_eq!(users.name(5), None);
    }
}
