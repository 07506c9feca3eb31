//! `tetra tail`: prints event files as they grow, for collectors that read a container's output.
//!
//! A file that is rotated is read to its end, then those after it, oldest first: a slow reader prints every
//! line too. With `--resume` it remembers beside each file how far it came, and goes on there, so that a
//! restart neither leaves lines out nor prints all of them again.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::cli::Tail;
use crate::client;
use crate::events::Signals;
use crate::terminal::note;

/// How often a file that has not grown is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often positions are written: so much is printed twice after a crash.
const SAVE: Duration = Duration::from_secs(1);
/// Bytes of a file before the next one has its turn.
const TURN: usize = 1 << 20;
/// A longer line is printed in pieces.
const LINE_MAX: usize = 1 << 20;
/// Bytes that tell a file from another one with the same inode number.
const HEAD: u64 = 120;

/// Prints until a signal comes.
pub(crate) fn run(options: &Tail) -> anyhow::Result<()> {
    let mut files: Vec<Follower> =
        options.files.iter().map(|path| Follower::new(path, options.resume)).collect();
    client::runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let mut saved = Instant::now();
        loop {
            let mut busy = false;
            let mut out = std::io::stdout().lock();
            for file in &mut files {
                busy |= file.advance(&mut out)?;
            }
            out.flush()?;
            drop(out);
            if saved.elapsed() >= SAVE {
                saved = Instant::now();
                files.iter_mut().for_each(Follower::save);
            }
            tokio::select! {
                biased;
                () = signals.next() => break,
                () = tokio::time::sleep(if busy { Duration::ZERO } else { LOOK }) => {}
            }
        }
        files.iter_mut().for_each(Follower::save);
        Ok(())
    })
}

/// How far a file was printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    inode: u64,
    offset: u64,
    /// The first of the bytes that were printed: inode numbers are used again.
    head: String,
}

/// A file that is being printed.
#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    /// Bytes printed: whole lines.
    printed: u64,
    /// A line that is not complete yet.
    rest: Vec<u8>,
}

impl Open {
    fn at(path: &Path, offset: u64) -> std::io::Result<Open> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let inode = file.metadata()?.ino();
        Ok(Open { file, inode, printed: offset, rest: Vec::new() })
    }

    /// Prints the whole lines of what comes next; false: there is nothing more.
    fn print(&mut self, out: &mut impl Write) -> std::io::Result<bool> {
        let mut bytes = [0; 64 << 10];
        let n = match self.file.read(&mut bytes) {
            Ok(0) => return Ok(false),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(e) => return Err(e),
        };
        self.rest.extend_from_slice(&bytes[..n]);
        let whole = match self.rest.iter().rposition(|b| *b == b'\n') {
            Some(at) => at + 1,
            None if self.rest.len() >= LINE_MAX => self.rest.len(),
            None => return Ok(true),
        };
        out.write_all(&self.rest[..whole])?;
        self.rest.drain(..whole);
        self.printed += whole as u64;
        Ok(true)
    }

    /// The file was made shorter: it begins again.
    fn is_cut(&self) -> std::io::Result<bool> {
        Ok(self.file.metadata()?.len() < self.printed + self.rest.len() as u64)
    }
}

/// A path whose file is printed, and those that take its place.
#[derive(Debug)]
struct Follower {
    path: PathBuf,
    open: Option<Open>,
    /// What `--resume` remembers, and whether that is asked for.
    position: Option<Position>,
    resume: bool,
    begun: bool,
}

impl Follower {
    fn new(path: &Path, resume: bool) -> Follower {
        Follower { path: path.to_owned(), open: None, position: None, resume, begun: false }
    }

    /// Prints what is new, at most a turn's bytes; false: nothing was.
    fn advance(&mut self, out: &mut impl Write) -> anyhow::Result<bool> {
        let mut busy = false;
        for _ in 0..TURN / (64 << 10) {
            let Some(open) = self.opened()? else { break };
            if open.print(out).with_context(|| format!("failed to print {}", self.path.display()))? {
                busy = true;
            } else if !self.turn_page(out)? {
                break;
            }
        }
        Ok(busy)
    }

    /// The file to read; opens the first one. `None`: there is none yet.
    fn opened(&mut self) -> anyhow::Result<Option<&mut Open>> {
        if self.open.is_none() {
            let begun = std::mem::replace(&mut self.begun, true);
            self.open =
                self.first(begun).with_context(|| format!("failed to open {}", self.path.display()))?;
        }
        Ok(self.open.as_mut())
    }

    /// Where to begin. `begun`: the file was not there when we came, so that all of it is new.
    fn first(&mut self, begun: bool) -> std::io::Result<Option<Open>> {
        if begun || (self.resume && self.remembered().is_none()) {
            return found(Open::at(&self.path, 0));
        }
        let Some(position) = self.position.clone() else {
            let Some(open) = found(Open::at(&self.path, 0))? else { return Ok(None) };
            let end = open.file.metadata()?.len();
            return found(Open::at(&self.path, end));
        };
        let files = self.files();
        let same = |path: &&PathBuf| {
            std::fs::metadata(path).is_ok_and(|m| m.ino() == position.inode && m.len() >= position.offset)
                && head(path, position.offset).is_ok_and(|head| head == position.head)
        };
        if let Some(path) = files.iter().find(same) {
            return found(Open::at(path, position.offset));
        }
        note(&format!(
            "{}: the file that was printed last is gone, and with it what was not printed of it",
            self.path.display()
        ));
        files.first().map_or(Ok(None), |oldest| found(Open::at(oldest, 0)))
    }

    /// At the end of a file: goes on to the next one, if there is one. The lines that came between the end and
    /// the rotation are read before.
    fn turn_page(&mut self, out: &mut impl Write) -> anyhow::Result<bool> {
        let Some(open) = self.open.as_mut() else { return Ok(false) };
        if open.is_cut()? {
            note(&format!("{}: it was cut: printing it from its beginning", self.path.display()));
            self.open = None;
            self.begun = true;
            return Ok(true);
        }
        let inode = open.inode;
        let Some(next) = self.after(inode) else { return Ok(false) };
        let Some(open) = self.open.as_mut() else { return Ok(false) };
        while open.print(out)? {}
        if !open.rest.is_empty() {
            // Its writer died within a line.
            out.write_all(&open.rest)?;
            out.write_all(b"\n")?;
        }
        self.open =
            found(Open::at(&next, 0)).with_context(|| format!("failed to open {}", next.display()))?;
        Ok(self.open.is_some())
    }

    /// The file after the one with this inode number.
    fn after(&self, inode: u64) -> Option<PathBuf> {
        let number = |path: &Path| std::fs::metadata(path).map(|m| m.ino()).ok();
        // As long as there is no other file at the path, this one may grow.
        if number(&self.path).is_none_or(|n| n == inode) {
            return None;
        }
        let files = self.files();
        match files.iter().position(|path| number(path) == Some(inode)) {
            Some(at) => files.get(at + 1).cloned(),
            None => {
                if files.len() > 1 {
                    note(&format!(
                        "{}: it was rotated faster than printed, and files may have been removed before; keep more \
                         of them (--export-file-max-backups)",
                        self.path.display()
                    ));
                }
                files.first().cloned()
            }
        }
    }

    /// The rotated files, oldest first, and the file itself.
    fn files(&self) -> Vec<PathBuf> {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let ending = self.path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| is_rotated(name, &stem, &ending))
            .collect();
        // The names sort by time.
        names.sort_unstable();
        names.iter().map(|name| folder.join(name)).chain([self.path.clone()]).collect()
    }

    fn position_file(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!(".{name}.position"))
    }

    /// Reads what an earlier run remembered.
    fn remembered(&mut self) -> Option<&Position> {
        if self.position.is_none() {
            let file = self.position_file();
            let text = std::fs::read(&file).ok()?;
            match serde_json::from_slice(&text) {
                Ok(position) => self.position = Some(position),
                Err(e) => note(&format!("{}: damaged ({e}): printing from the beginning", file.display())),
            }
        }
        self.position.as_ref()
    }

    /// Remembers how far it came, if that has changed.
    fn save(&mut self) {
        let Some(open) = self.open.as_ref().filter(|_| self.resume) else { return };
        let known = self.position.as_ref().filter(|p| p.inode == open.inode && open.printed >= p.offset);
        if known.is_some_and(|p| p.offset == open.printed) {
            return;
        }
        let head = match known.filter(|p| p.offset >= HEAD) {
            Some(p) => p.head.clone(),
            None => self.files().iter().find_map(|p| head_of(p, open)).unwrap_or_default(),
        };
        let position = Position { inode: open.inode, offset: open.printed, head };
        let file = self.position_file();
        let new = file.with_extension("new");
        let written = serde_json::to_vec(&position)
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(&new, text))
            .and_then(|()| std::fs::rename(&new, &file));
        match written {
            Ok(()) => self.position = Some(position),
            Err(e) => note(&format!("{}: cannot be written: {e}", file.display())),
        }
    }
}

/// A file that is not there is none.
fn found(open: std::io::Result<Open>) -> std::io::Result<Option<Open>> {
    match open {
        Ok(open) => Ok(Some(open)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn head(path: &Path, printed: u64) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(HEAD.min(printed)).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn head_of(path: &Path, open: &Open) -> Option<String> {
    std::fs::metadata(path).ok().filter(|m| m.ino() == open.inode)?;
    head(path, open.printed).ok()
}

/// `tetragon-2026-11-24T09-11-32.739.log`, as the agent names them.
fn is_rotated(name: &str, stem: &str, ending: &str) -> bool {
    let middle =
        name.strip_prefix(stem).and_then(|n| n.strip_prefix('-')).and_then(|n| n.strip_suffix(ending));
    let like = "0000-00-00T00-00-00.000";
    middle.is_some_and(|middle| {
        middle.len() == like.len()
            && middle
                .bytes()
                .zip(like.bytes())
                .all(|(b, l)| if l == b'0' { b.is_ascii_digit() } else { b == l })
    })
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    struct Log {
        folder: tempfile::TempDir,
        rotated: u32,
    }

    impl Log {
        fn new() -> Log {
            Log { folder: tempfile::tempdir().expect("a folder"), rotated: 0 }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("t.log")
        }

        fn write(&self, text: &str) {
            let mut file =
                OpenOptions::new().create(true).append(true).open(self.path()).expect("it can be opened");
            file.write_all(text.as_bytes()).expect("it can be written");
        }

        fn rotate(&mut self) -> PathBuf {
            self.rotated += 1;
            let to = self.folder.path().join(format!("t-2026-11-24T09-11-32.{:03}.log", self.rotated));
            std::fs::rename(self.path(), &to).expect("it can be renamed");
            self.write("");
            to
        }

        fn follower(&self, resume: bool) -> Follower {
            Follower::new(&self.path(), resume)
        }
    }

    fn printed(follower: &mut Follower) -> String {
        let mut out = Vec::new();
        while follower.advance(&mut out).expect("it can be read") {}
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_comes_is_printed_line_by_line() {
        let log = Log::new();
        log.write("old\n");
        let mut follower = log.follower(false);
        assert_eq!(printed(&mut follower), "");
        log.write("one\ntw");
        assert_eq!(printed(&mut follower), "one\n");
        log.write("o\n");
        assert_eq!(printed(&mut follower), "two\n");
    }

    #[test]
    fn a_file_that_comes_later_is_new_from_its_beginning() {
        let log = Log::new();
        let mut follower = log.follower(false);
        assert_eq!(printed(&mut follower), "");
        log.write("one\n");
        assert_eq!(printed(&mut follower), "one\n");
    }

    #[test]
    fn rotations_leave_nothing_out_however_many() {
        let mut log = Log::new();
        log.write("0\n");
        let mut follower = log.follower(true);
        assert_eq!(printed(&mut follower), "0\n");
        log.write("1\n");
        for n in 2..5 {
            log.rotate();
            log.write(&format!("{n}\n"));
        }
        assert_eq!(printed(&mut follower), "1\n2\n3\n4\n");
        log.write("5\n");
        assert_eq!(printed(&mut follower), "5\n");
    }

    #[test]
    fn a_removed_file_is_read_to_its_end_and_those_that_are_left_follow() {
        let mut log = Log::new();
        log.write("0\n");
        let mut follower = log.follower(true);
        assert_eq!(printed(&mut follower), "0\n");
        log.write("1\n");
        let first = log.rotate();
        log.write("2\n");
        log.rotate();
        log.write("3\n");
        std::fs::remove_file(first).expect("removed");
        assert_eq!(printed(&mut follower), "1\n2\n3\n");
    }

    #[test]
    fn a_cut_file_begins_again_and_a_torn_line_is_closed() {
        let mut log = Log::new();
        log.write("long line\n");
        let mut follower = log.follower(true);
        assert_eq!(printed(&mut follower), "long line\n");
        std::fs::write(log.path(), "a\nto").expect("written");
        assert_eq!(printed(&mut follower), "a\n");
        log.rotate();
        log.write("b\n");
        assert_eq!(printed(&mut follower), "to\nb\n");
    }

    #[test]
    fn a_restart_goes_on_where_it_was_through_rotations() {
        let mut log = Log::new();
        log.write("1\n2\n3");
        let mut follower = log.follower(true);
        assert_eq!(printed(&mut follower), "1\n2\n");
        follower.save();
        log.write("\n");
        log.rotate();
        log.write("4\n");
        assert_eq!(printed(&mut log.follower(true)), "3\n4\n");
        // A file with the same inode number that is another one.
        let mut position: Position =
            serde_json::from_slice(&std::fs::read(log.follower(true).position_file()).expect("saved"))
                .expect("a position");
        position.head = "other".into();
        std::fs::write(log.follower(true).position_file(), serde_json::to_vec(&position).expect("JSON"))
            .expect("written");
        assert_eq!(printed(&mut log.follower(true)), "1\n2\n3\n4\n");
        std::fs::write(log.follower(true).position_file(), "{").expect("written");
        assert_eq!(printed(&mut log.follower(true)), "4\n");
    }

    #[test]
    fn rotated_names_are_the_agents() {
        assert!(is_rotated("t-2026-11-24T09-11-32.739.log", "t", ".log"));
        for other in ["t.log", ".t.log.position", "t-x.log", "t-2026-11-24T09-11-32.739.log.gz"] {
            assert!(!is_rotated(other, "t", ".log"), "{other}");
        }
    }
}
