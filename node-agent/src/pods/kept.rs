//! What a restart starts from: the pods and containers that are known, in a file. Beside it lies a journal of what
//! has become known since the file was written.
//!
//! A line is in the journal before the kernel is told of what it says. So an agent that is killed at any moment
//! leaves nothing in force that its successor does not know.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tetragon_api::workload::Container;

use super::Subject;

/// Name of the file, in --plan-dir.
pub const FILE: &str = "containers.json";
const JOURNAL: &str = "containers.journal";

/// Pods and containers. What another version of the agent has added to them is passed over, and what it lacks is
/// not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// By container id.
    pub containers: Vec<(String, Container)>,
    /// By the pod's uid, as cgroups name it.
    pub pods: Vec<(String, Container)>,
}

impl Kept {
    /// One pod or container.
    fn one(subject: &Subject, identity: &Container) -> Kept {
        let (mut kept, identity) = (Kept::default(), identity.clone());
        match subject {
            Subject::Container(id) => kept.containers.push((id.clone(), identity)),
            Subject::Pod(uid) => kept.pods.push((uid.clone(), identity)),
            Subject::Rest => {}
        }
        kept
    }
}

/// Keeps them.
#[derive(Debug)]
pub struct Keeper {
    file: PathBuf,
    journal: PathBuf,
    /// The journal, once it is open.
    open: Option<File>,
    /// What the file says.
    written: Kept,
    /// The journal may have lines.
    noted: bool,
    /// The last attempt to write failed, and that was logged.
    failed: bool,
}

impl Keeper {
    /// Keeps them in this folder.
    pub fn new(dir: &Path) -> Keeper {
        let (file, journal) = (dir.join(FILE), dir.join(JOURNAL));
        // It may be another agent's.
        Keeper { file, journal, open: None, written: Kept::default(), noted: true, failed: false }
    }

    /// What the agent before has kept. A later entry of the same pod or container replaces an earlier one.
    pub fn read(&mut self) -> Kept {
        let mut kept: Kept = read(&self.file, |text| serde_json::from_slice(text));
        self.written = kept.clone();
        let lines = read(&self.journal, |text| Ok(text.to_vec()));
        let mut damaged = 0;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Kept>(line) {
                Ok(more) => {
                    kept.containers.extend(more.containers);
                    kept.pods.extend(more.pods);
                }
                Err(_) => damaged += 1,
            }
        }
        // The agent was killed while it wrote the last one: what it says was not in force yet.
        if damaged > 1 {
            tracing::warn!("{}: {damaged} lines cannot be read and are left out", self.journal.display());
        }
        kept
    }

    /// Something has become known: to be called before the kernel is told of it.
    pub fn note(&mut self, subject: &Subject, identity: &Container) {
        // It begins with the line's end: the line before may not be whole.
        let mut line = vec![b'\n'];
        let appended = serde_json::to_writer(&mut line, &Kept::one(subject, identity))
            .map_err(io::Error::from)
            .and_then(|()| self.journal()?.write_all(&line));
        self.noted = true;
        self.log(appended);
    }

    /// Writes all that is known, if that is something else than what was written before. The journal is empty then.
    pub fn write(&mut self, kept: Kept) {
        if kept == self.written && !self.noted {
            return;
        }
        let written = self.replace(&kept);
        if written.is_ok() {
            (self.written, self.noted) = (kept, false);
        }
        self.log(written);
    }

    /// The file is replaced as a whole, or not at all.
    fn replace(&mut self, kept: &Kept) -> io::Result<()> {
        self.make_folder()?;
        let new = self.file.with_extension("json.new");
        fs::write(&new, serde_json::to_vec(kept)?)?;
        fs::rename(new, &self.file)?;
        self.journal()?.set_len(0)
    }

    fn journal(&mut self) -> io::Result<&mut File> {
        if self.open.is_none() {
            self.make_folder()?;
            self.open = Some(OpenOptions::new().create(true).append(true).open(&self.journal)?);
        }
        self.open.as_mut().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn make_folder(&self) -> io::Result<()> {
        self.file.parent().map_or(Ok(()), fs::create_dir_all)
    }

    /// Logs the first failure of several.
    fn log(&mut self, done: io::Result<()>) {
        let failed = done.is_err();
        if let Err(e) = done
            && !self.failed
        {
            tracing::warn!(
                "{}: cannot be written: {e}; a restart will not know its containers",
                self.file.display()
            );
        }
        self.failed = failed;
    }
}

/// What a file says; nothing if it does not exist, or cannot be read, which is logged.
fn read<T: Default>(file: &Path, parse: impl FnOnce(&[u8]) -> serde_json::Result<T>) -> T {
    let text = match fs::read(file) {
        Err(e) if e.kind() == ErrorKind::NotFound => return T::default(),
        text => text,
    };
    text.and_then(|text| Ok(parse(&text)?)).unwrap_or_else(|e| {
        tracing::warn!(
            "{}: cannot be read: {e}; its containers are unknown until the API server has reported them",
            file.display()
        );
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Container {
        Container { name: name.into(), ..Container::default() }
    }

    fn container(id: &str) -> Subject {
        Subject::Container(id.into())
    }

    #[test]
    fn what_is_noted_is_read_by_the_next_whenever_the_agent_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Keeper::new(&dir.path().join("plans"));
        assert_eq!(first.read(), Kept::default());
        first.note(&container("a"), &named("old"));
        first.note(&Subject::Pod("p".into()), &named(""));
        first.note(&container("a"), &named("new"));
        let next = || Keeper::new(&dir.path().join("plans"));
        let kept = next().read();
        assert_eq!(kept.containers.iter().map(|(_, c)| &*c.name).collect::<Vec<_>>(), ["old", "new"]);
        assert_eq!(kept.pods, [("p".to_owned(), named(""))]);
        // All is written: the journal begins again.
        let all = Kept { containers: vec![("a".into(), named("new"))], pods: Vec::new() };
        first.write(all.clone());
        assert_eq!(next().read(), all);
        first.note(&container("b"), &named("b"));
        assert_eq!(next().read().containers.len(), 2);
    }

    #[test]
    fn half_a_line_harms_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Keeper::new(dir.path());
        first.note(&container("a"), &named("a"));
        let journal = dir.path().join(JOURNAL);
        let mut torn = fs::read(&journal).unwrap();
        torn.extend(b"\n{\"containers\":[[\"b\",{\"na");
        fs::write(&journal, torn).unwrap();
        let mut second = Keeper::new(dir.path());
        assert_eq!(second.read().containers.len(), 1);
        second.note(&container("c"), &named("c"));
        let ids: Vec<String> =
            Keeper::new(dir.path()).read().containers.into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["a", "c"]);
    }

    #[test]
    fn a_broken_file_leaves_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        Keeper::new(dir.path()).note(&container("a"), &named("a"));
        fs::write(dir.path().join(FILE), "{").unwrap();
        let mut keeper = Keeper::new(dir.path());
        let kept = keeper.read();
        assert_eq!(kept.containers.len(), 1);
        keeper.write(kept.clone());
        assert_eq!(Keeper::new(dir.path()).read(), kept);
    }

    /// The agent may be replaced by an older one.
    #[test]
    fn another_version_may_know_more_or_less() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"{"containers":[["a",{"name":"a","digest":"sha256:1"}]],"nodes":[]}"#;
        fs::write(dir.path().join(FILE), text).unwrap();
        let kept = Keeper::new(dir.path()).read();
        assert_eq!(kept.containers, [("a".to_owned(), named("a"))]);
    }
}
