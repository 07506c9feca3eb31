//! Tests of the thread that reads records, with a scripted ring.

use std::io::Write;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::mpsc;

use clap::Parser as _;
use serde_json::Value;
use tetragon_abi::record;
use tetragon_engine::KernelLosses;

use super::*;
use crate::assemble::AncestorKinds;
use crate::clock::Clock;
use crate::config::Config;
use crate::counters::{Kernel, Series};
use crate::process::{Cache, Options};
use crate::procfs::ProcFs;
use tetragon_filters::{Fields, Filters};

/// A ring that is filled through a channel, and readable when a byte waits.
struct Script {
    bell: UnixStream,
    records: mpsc::Receiver<Record>,
}

impl AsFd for Script {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl Records for Script {
    fn drain(&mut self, f: &mut dyn FnMut(Record)) -> usize {
        let mut bytes = [0; 4096];
        let _ = self.bell.read(&mut bytes);
        self.records.try_iter().map(f).count()
    }
    fn damaged(&self) -> u64 {
        0
    }
}

struct Bed {
    send: mpsc::Sender<Record>,
    bell: UnixStream,
    stop: UnixStream,
    hub: Arc<Hub>,
    counters: Arc<Counters>,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
    dir: tempfile::TempDir,
}

fn bed() -> Bed {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.log");
    let config = Config::try_parse_from(["tetragon", "--export-filename", file.to_str().unwrap()]).unwrap();
    let counters = Arc::new(Counters::default());
    let hub = Arc::new(Hub::new(100, counters.clone()));
    let options = Options { capacity: 100, node: "n".into(), ..Default::default() };
    let cache = Cache::new(options.clone(), Clock::fixed(0));
    let procfs = ProcFs::new(Path::new("/nonexistent"));
    let assembler = Assembler::new(cache, options, String::new(), AncestorKinds::default(), procfs);
    let exporter = Exporter::new(&config, counters.clone()).unwrap();
    let pipeline = Pipeline::new(assembler, exporter, hub.clone(), counters.clone());
    let (send, records) = mpsc::channel();
    let (bell, ours) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (stop, theirs) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || run(Script { bell: ours, records }, pipeline, theirs));
    Bed { send, bell, stop, hub, counters, thread, dir }
}

impl Bed {
    fn exit(&mut self, pid: u32) {
        let header = record::Header { tgid: pid, tid: pid, ktime: 5, process: 1, ..Default::default() };
        self.send.send(Record::Exit(record::Exit { header, code: 0, pad: 0 })).unwrap();
        self.bell.write_all(b"x").unwrap();
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("t.log")).unwrap();
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    fn stop(mut self) -> (Vec<Value>, Arc<Counters>) {
        self.stop.write_all(b"x").unwrap();
        let Bed { thread, counters, dir, .. } = self;
        thread.join().unwrap().unwrap();
        let text = std::fs::read_to_string(dir.path().join("t.log")).unwrap();
        (text.lines().map(|l| serde_json::from_str(l).unwrap()).collect(), counters)
    }
}

#[test]
fn events_are_counted_exported_and_heard() {
    let mut bed = bed();
    let mut listener = bed.hub.listen(Filters::default(), Fields::default());
    for pid in 1..=3 {
        bed.exit(pid);
    }
    for pid in 1..=3 {
        let event = listener.blocking_recv().unwrap();
        assert_eq!(event.process().unwrap().pid, Some(pid));
    }
    // Written without anything else happening.
    let deadline = Instant::now() + Duration::from_secs(60);
    while bed.lines().len() < 3 {
        assert!(Instant::now() < deadline, "not flushed");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (lines, counters) = bed.stop();
    assert_eq!(lines.len(), 3);
    assert_eq!((get(&counters.received), get(&counters.exported), get(&counters.missing_process)), (3, 3, 3));
    assert_eq!(counters.events().kinds.values().map(Series::sum).sum::<u64>(), 3);
    assert!(listener.blocking_recv().is_none());
}

#[test]
fn losses_stand_in_the_stream_at_the_latest_at_the_end() {
    let mut bed = bed();
    bed.exit(1);
    let losses = KernelLosses { call: 5, exec: 2, fork: 7, ..Default::default() };
    bed.counters.set_kernel(Kernel { losses, ..Default::default() });
    let (lines, _) = bed.stop();
    assert_eq!(lines.len(), 2);
    // A fork makes no event, so its loss is none.
    assert_eq!(lines[1]["rate_limit_info"]["number_of_dropped_process_events"], "7");
}

#[test]
fn what_waits_at_the_end_is_still_read() {
    let mut bed = bed();
    for pid in 1..=500 {
        bed.exit(pid);
    }
    let (lines, _) = bed.stop();
    assert_eq!(lines.len(), 500);
}
