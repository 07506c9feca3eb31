//! The spool: what could not be sent, on disk, oldest first. A file holds the text of one request
//! (`curl --data-binary @FILE URL/INDEX/_bulk` would send it); its name is its place in the order.
//!
//! When the spool has its size, the newest are lost: what is safe stays safe, and nobody can wash an
//! old event out by making many new ones.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::batch::{Batch, Limit};

const SUFFIX: &str = "ndjson";

/// The folder, which belongs to one agent at a time.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    max_bytes: u64,
    limit: Limit,
    segments: BTreeMap<u64, Segment>,
    next: u64,
    /// The last file, while it is written to.
    tail: Option<(u64, File)>,
    /// Held until the end.
    _lock: File,
}

/// A file.
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    bytes: u64,
    /// Documents that were put into it, whole or not.
    documents: usize,
    /// Those of them that are events.
    events: usize,
}

/// Makes the folder, if need be. Commands with their arguments are nobody else's business.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

impl Spool {
    /// Opens the folder and looks at what an agent before left there. `None`: another one uses it.
    pub fn open(dir: &Path, max_bytes: u64, limit: Limit) -> io::Result<Option<Spool>> {
        make_dir(dir)?;
        let lock =
            OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(dir.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(e)) => return Err(e),
        }
        let dir = dir.to_owned();
        let mut spool =
            Spool { dir, max_bytes, limit, segments: BTreeMap::new(), next: 0, tail: None, _lock: lock };
        spool.look()?;
        Ok(Some(spool))
    }

    fn look(&mut self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            match (path.extension().and_then(|e| e.to_str()), stem.parse::<u64>()) {
                (Some(SUFFIX), Ok(number)) => {
                    let text = Bytes::from(std::fs::read(&path)?);
                    let (batch, damaged) = Batch::parse(text.clone());
                    let documents = batch.len() + damaged;
                    let segment =
                        Segment { bytes: text.len() as u64, documents, events: batch.events() + damaged };
                    self.segments.insert(number, segment);
                }
                // Written beside a file that is still there: nothing is lost with it.
                (Some("new"), _) => std::fs::remove_file(&path)?,
                _ => {}
            }
        }
        self.next = self.segments.keys().last().map_or(0, |last| last + 1);
        Ok(())
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|s| s.bytes).sum()
    }

    /// Events in all files.
    pub fn events(&self) -> u64 {
        self.segments.values().map(|s| s.events as u64).sum()
    }

    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The place of a batch that is not in the spool yet, but belongs before all that comes.
    pub fn reserve(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// The oldest file. Nothing more is written to it.
    pub fn oldest(&mut self) -> Option<u64> {
        let number = *self.segments.keys().next()?;
        if self.tail.as_ref().is_some_and(|(tail, _)| *tail == number) {
            self.tail = None;
        }
        Some(number)
    }

    /// Reads a file. The number is that of the events in it that are damaged.
    pub fn load(&self, number: u64) -> io::Result<(Batch, usize)> {
        let text = std::fs::read(self.path(number))?;
        let (batch, damaged) = Batch::parse(text.into());
        let known = self.segments.get(&number).map_or(0, |s| s.documents);
        Ok((batch.clone(), damaged.max(known.saturating_sub(batch.len()))))
    }

    /// Events that a file should have.
    pub fn events_of(&self, number: u64) -> u64 {
        self.segments.get(&number).map_or(0, |s| s.events as u64)
    }

    /// Adds a batch behind all others, as much of it as fits beside `reserved` bytes; gives the
    /// number of documents that did. After an error nothing was added.
    pub fn append(&mut self, batch: &Batch, reserved: u64) -> io::Result<usize> {
        let room = self.max_bytes.saturating_sub(self.bytes() + reserved);
        let count = batch.within(room);
        if count > 0 {
            self.append_all(&batch.first(count))?;
        }
        Ok(count)
    }

    /// Adds a batch, whatever the size.
    pub fn append_all(&mut self, batch: &Batch) -> io::Result<()> {
        let length = batch.text().len() as u64;
        let fits = |s: &Segment| {
            s.bytes + length <= self.limit.bytes as u64 && s.documents + batch.len() <= self.limit.documents
        };
        let (number, file) = match self.tail.take() {
            Some((number, file)) if self.segments.get(&number).is_some_and(fits) => (number, file),
            _ => {
                let number = self.reserve();
                (number, private(&self.path(number), false)?)
            }
        };
        let segment = self.segments.entry(number).or_default();
        if let Err(e) = (&file).write_all(batch.text()) {
            // What was written of it is taken away again. If that fails, reading finds it cut; the
            // error to tell of is the first.
            let _ = file.set_len(segment.bytes);
            if segment.bytes == 0 {
                self.remove(number)?;
            }
            return Err(e);
        }
        segment.bytes += length;
        segment.documents += batch.len();
        segment.events += batch.events();
        self.tail = Some((number, file));
        Ok(())
    }

    /// Puts a batch into the file of this number, instead of what is there, all of it or nothing.
    pub fn put(&mut self, number: u64, batch: &Batch) -> io::Result<()> {
        let path = self.path(number);
        let new = path.with_extension("new");
        private(&new, true)?.write_all(batch.text())?;
        std::fs::rename(&new, &path)?;
        let segment =
            Segment { bytes: batch.text().len() as u64, documents: batch.len(), events: batch.events() };
        self.segments.insert(number, segment);
        Ok(())
    }

    /// Removes a file.
    pub fn remove(&mut self, number: u64) -> io::Result<()> {
        self.segments.remove(&number);
        match std::fs::remove_file(self.path(number)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}.{SUFFIX}"))
    }
}

/// A file that only its owner reads, to write at its end.
fn private(path: &Path, truncate: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    if truncate {
        options.write(true).truncate(true);
    } else {
        options.append(true);
    }
    options.create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::super::batch::{event_id, write_document};
    use super::*;

    const LIMIT: Limit = Limit { documents: 4, bytes: 1000 };

    fn batch(ids: std::ops::Range<u64>, size: usize) -> Batch {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for id in ids {
            write_document(
                &mut text,
                &event_id(1, id),
                format!(r#"{{"x":"{}"}}"#, "x".repeat(size)).as_bytes(),
            );
            ends.push(text.len());
        }
        Batch::new(text, ends)
    }

    fn ids(batch: &Batch) -> Vec<u64> {
        batch.items().map(|i| i.id().split_once('-').unwrap().1.parse().unwrap()).collect()
    }

    fn open(dir: &Path, max: u64) -> Spool {
        Spool::open(dir, max, LIMIT).unwrap().unwrap()
    }

    /// Takes everything out, in order.
    fn drain(spool: &mut Spool) -> (Vec<u64>, usize) {
        let (mut all, mut damaged) = (Vec::new(), 0);
        while let Some(number) = spool.oldest() {
            let (batch, bad) = spool.load(number).unwrap();
            all.extend(ids(&batch));
            damaged += bad;
            spool.remove(number).unwrap();
        }
        assert_eq!((spool.bytes(), spool.events()), (0, 0));
        (all, damaged)
    }

    #[test]
    fn it_outlives_the_agent_and_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("a/spool");
        let mut spool = open(&dir, 1 << 20);
        assert!(Spool::open(&dir, 1 << 20, LIMIT).unwrap().is_none());
        for n in 0..5 {
            assert_eq!(spool.append(&batch(n * 2..n * 2 + 2, 10), 0).unwrap(), 2);
        }
        // Four documents a file.
        assert_eq!((spool.segments.len(), spool.events()), (3, 10));
        let bytes = spool.bytes();
        drop(spool);
        std::fs::write(dir.join("00000000000000000001.new"), "half").unwrap();
        std::fs::write(dir.join("README"), "not ours").unwrap();
        let mut spool = open(&dir, 1 << 20);
        assert_eq!((spool.events(), spool.bytes()), (10, bytes));
        spool.append(&batch(10..11, 10), 0).unwrap();
        assert_eq!(drain(&mut spool), ((0..11).collect(), 0));
        let mut left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["README", "lock"]);
    }

    #[test]
    fn a_full_spool_keeps_the_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let one = batch(0..1, 10).text().len() as u64;
        let mut spool = open(dir.path(), 5 * one);
        assert_eq!(spool.append(&batch(0..3, 10), 0).unwrap(), 3);
        assert_eq!(spool.append(&batch(3..6, 10), one).unwrap(), 1);
        assert_eq!(spool.append(&batch(6..9, 10), 0).unwrap(), 1);
        assert_eq!(spool.append(&batch(9..12, 10), 0).unwrap(), 0);
        assert_eq!(drain(&mut spool), (vec![0, 1, 2, 3, 6], 0));
    }

    #[test]
    fn a_batch_that_was_on_its_way_comes_back_to_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(dir.path(), 1 << 20);
        let place = spool.reserve();
        spool.append(&batch(3..5, 10), 0).unwrap();
        spool.put(place, &batch(0..3, 10)).unwrap();
        spool.put(place, &batch(1..3, 10)).unwrap();
        assert_eq!(spool.events(), 4);
        assert_eq!(drain(&mut spool), (vec![1, 2, 3, 4], 0));
    }

    #[test]
    fn what_is_cut_off_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(dir.path(), 1 << 20);
        spool.append(&batch(0..3, 10), 0).unwrap();
        let path = spool.path(0);
        drop(spool);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 20]).unwrap();
        let mut spool = open(dir.path(), 1 << 20);
        assert_eq!(spool.events(), 3);
        // While the agent lives it knows how many there were.
        std::fs::write(&path, &text[..text.len() / 3]).unwrap();
        assert_eq!(drain(&mut spool), (vec![0], 2));
    }

    #[test]
    fn a_full_disk_adds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(dir.path(), 1 << 20);
        std::os::unix::fs::symlink("/dev/full", spool.path(0)).unwrap();
        assert_eq!(spool.append(&batch(0..1, 10), 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((spool.bytes(), spool.events()), (0, 0));
        spool.append(&batch(1..2, 10), 0).unwrap();
        assert_eq!(drain(&mut spool), (vec![1], 0));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append(u8),
        Take,
        Restart,
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(steps in prop::collection::vec(
            prop_oneof![(0u8..7).prop_map(Step::Append), Just(Step::Take), Just(Step::Restart)], 0..40)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let max = 1500;
            let mut spool = open(dir.path(), max);
            let mut model = VecDeque::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Append(count) => {
                        let new = next..next + u64::from(count);
                        let kept = spool.append(&batch(new.clone(), 20), 0).unwrap();
                        model.extend(new.clone().take(kept));
                        next = new.end;
                    }
                    Step::Take => if let Some(number) = spool.oldest() {
                        let (batch, damaged) = spool.load(number).unwrap();
                        spool.remove(number).unwrap();
                        let expected: Vec<u64> = model.drain(..batch.len()).collect();
                        prop_assert_eq!((ids(&batch), damaged), (expected, 0));
                    },
                    Step::Restart => {
                        drop(spool);
                        spool = open(dir.path(), max);
                    }
                }
                prop_assert!(spool.bytes() <= max);
                prop_assert_eq!(spool.events(), model.len() as u64);
            }
            prop_assert_eq!(drain(&mut spool), (model.into_iter().collect(), 0));
        }
    }
}
