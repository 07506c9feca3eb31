//! The thread that watches a folder of policies. It only says what to look at: the control thread
//! looks. It reacts at once and tells together what is there already.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{EventMask, Events, Inotify, WatchMask};

/// What may have changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice {
    /// These files, for sure.
    Files(BTreeSet<OsString>),
    /// Anything; those listed are being written, and will be named when they are complete.
    All(BTreeSet<OsString>),
}

/// How often a folder that does not exist is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A watched folder, that may not exist yet.
pub struct Watch {
    dir: PathBuf,
    inotify: Option<Inotify>,
    busy: BTreeSet<OsString>,
}

impl Watch {
    /// Watches from now on: what changes after this call is told by [`Watch::next`].
    pub fn new(dir: &Path) -> Watch {
        let mut watch = Watch { dir: dir.to_owned(), inotify: None, busy: BTreeSet::new() };
        watch.arm();
        watch
    }

    fn arm(&mut self) -> bool {
        let mask = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let armed = Inotify::init().and_then(|inotify| {
            inotify.watches().add(&self.dir, mask)?;
            Ok(inotify)
        });
        match armed {
            Ok(inotify) => self.inotify = Some(inotify),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => tracing::debug!("{}: cannot be watched: {e}", self.dir.display()),
        }
        self.busy.clear();
        self.inotify.is_some()
    }

    /// Waits for changes.
    pub fn wait(&mut self) -> Notice {
        let mut buffer = [0; 16 * 1024];
        loop {
            let Some(inotify) = &mut self.inotify else {
                std::thread::sleep(LOOK_AGAIN);
                // What is in it when it appears was told by no event.
                if self.arm() {
                    return Notice::All(BTreeSet::new());
                }
                continue;
            };
            let notice = match inotify.read_events_blocking(&mut buffer) {
                Ok(events) => read(events, &self.dir, &mut self.busy),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    tracing::error!("{}: cannot be watched any more: {e}", self.dir.display());
                    Seen::Lost
                }
            };
            match notice {
                Seen::Nothing => {}
                Seen::Some(files) => return Notice::Files(files),
                Seen::Any => return Notice::All(self.busy.clone()),
                Seen::Lost => {
                    self.inotify = None;
                    // It may be there again already, under the same name.
                    self.arm();
                    return Notice::All(BTreeSet::new());
                }
            }
        }
    }
}

enum Seen {
    Nothing,
    Some(BTreeSet<OsString>),
    Any,
    /// The folder is gone.
    Lost,
}

fn read(events: Events<'_>, dir: &Path, busy: &mut BTreeSet<OsString>) -> Seen {
    let mut files = BTreeSet::new();
    let (mut any, mut lost) = (false, false);
    for event in events {
        let gone = EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED | EventMask::UNMOUNT;
        lost |= event.mask.intersects(gone);
        any |= event.mask.contains(EventMask::Q_OVERFLOW);
        let Some(name) = event.name else { continue };
        if !crate::folder::is_policy_name(name) {
            // `..data` of a ConfigMap decides what all its links lead to.
            any |= event.mask.intersects(EventMask::MOVED_TO) && name.to_string_lossy().starts_with("..");
            continue;
        }
        if event.mask.contains(EventMask::CREATE) {
            // A new file is empty: its writer closes it. A link, or a second name of a file, is
            // complete, and nobody closes it.
            let complete = std::fs::symlink_metadata(dir.join(name))
                .is_ok_and(|m| m.is_symlink() || std::os::unix::fs::MetadataExt::nlink(&m) > 1);
            if !complete {
                busy.insert(name.to_owned());
                continue;
            }
        }
        busy.remove(name);
        files.insert(name.to_owned());
    }
    if lost {
        Seen::Lost
    } else if any {
        Seen::Any
    } else if files.is_empty() {
        Seen::Nothing
    } else {
        Seen::Some(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, remove_file, rename, write};
    use std::io::Write as _;
    use std::sync::mpsc;

    /// Notices of a folder, from a thread of their own.
    fn watch(dir: &Path) -> mpsc::Receiver<Notice> {
        let mut watch = Watch::new(dir);
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || while send.send(watch.wait()).is_ok() {});
        receive
    }

    fn next(notices: &mpsc::Receiver<Notice>) -> Notice {
        notices.recv_timeout(Duration::from_secs(10)).expect("a notice")
    }

    fn files(names: &[&str]) -> Notice {
        Notice::Files(names.iter().map(OsString::from).collect())
    }

    #[test]
    fn files_are_named_when_they_are_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let notices = watch(dir.path());
        let mut file = File::create(path("a.yaml")).unwrap();
        file.write_all(b"half").unwrap();
        assert!(notices.recv_timeout(Duration::from_millis(100)).is_err(), "not closed yet");
        file.write_all(b"rest").unwrap();
        drop(file);
        assert_eq!(next(&notices), files(&["a.yaml"]));
        write(path(".a.tmp"), "x").unwrap();
        write(path("notes.txt"), "x").unwrap();
        rename(path(".a.tmp"), path("b.yaml")).unwrap();
        assert_eq!(next(&notices), files(&["b.yaml"]));
        std::os::unix::fs::symlink("b.yaml", path("c.yaml")).unwrap();
        assert_eq!(next(&notices), files(&["c.yaml"]));
        std::fs::hard_link(path("b.yaml"), path("d.yaml")).unwrap();
        assert_eq!(next(&notices), files(&["d.yaml"]));
        remove_file(path("a.yaml")).unwrap();
        assert_eq!(next(&notices), files(&["a.yaml"]));
    }

    #[test]
    fn an_exchanged_config_map_may_change_anything() {
        let dir = tempfile::tempdir().unwrap();
        let notices = watch(dir.path());
        std::os::unix::fs::symlink("x", dir.path().join("..data_tmp")).unwrap();
        rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
        assert_eq!(next(&notices), Notice::All(BTreeSet::new()));
    }

    #[test]
    fn a_folder_may_come_later_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("p");
        let notices = watch(&sub);
        std::fs::create_dir(&sub).unwrap();
        assert_eq!(next(&notices), Notice::All(BTreeSet::new()));
        write(sub.join("a.yaml"), "1").unwrap();
        assert_eq!(next(&notices), files(&["a.yaml"]));
        std::fs::remove_dir_all(&sub).unwrap();
        loop {
            if next(&notices) == Notice::All(BTreeSet::new()) {
                break;
            }
        }
    }
}
