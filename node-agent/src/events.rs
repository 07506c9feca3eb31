//! The thread that reads the ring buffer: records become events, and each event is counted, exported
//! and handed to listeners, in order, in one place.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tetragon_api::event::GetEventsResponse;
use tetragon_engine::{CgroupRecord, Match, Record, Records};

use crate::assemble::Assembler;
use crate::clock;
use crate::counters::{Counters, add, get};
use crate::export::{Exporter, FLUSH_AFTER};
use crate::hub::Hub;
use crate::pods::wait::Waiting;
use crate::procfs::ProcInfo;

/// How often clocks are read, losses told and files rotated.
const TICK: Duration = Duration::from_secs(1);

/// How long records gather before they are read, while there are any: a wake-up for each one would
/// cost more than the record, here and in the program that makes it.
const GATHER: Duration = Duration::from_millis(10);

/// How often an empty ring is looked at: the kernel wakes us only when much has gathered.
const LOOK: Duration = Duration::from_millis(25);

/// How long the end reads on while there are records.
const LAST_READS: Duration = Duration::from_secs(2);

/// Records after which the time is looked at while the ring does not run empty.
const RECORDS_PER_LOOK: u32 = 256;

/// Everything that an event goes through.
pub struct Pipeline {
    assembler: Assembler,
    exporter: Exporter,
    hub: Arc<Hub>,
    /// Events whose pod is not known yet.
    waiting: Waiting,
    /// Who is told of pods' cgroups.
    cgroups: Box<dyn Fn(&CgroupRecord) + Send>,
    counters: Arc<Counters>,
    flushed: Instant,
    ticked: Instant,
    /// Losses in the kernel that the stream has been told of.
    told: u64,
    /// Records that could not be read, as far as they are counted.
    seen: u32,
}

impl Pipeline {
    /// A pipeline for the records of one reader.
    pub fn new(assembler: Assembler, exporter: Exporter, hub: Arc<Hub>, counters: Arc<Counters>) -> Pipeline {
        let now = Instant::now();
        let told = counters.kernel_lost();
        let (waiting, cgroups) = (Waiting::none(), Box::new(|_: &CgroupRecord| ()));
        let (flushed, ticked, seen) = (now, now, 0);
        Pipeline { assembler, exporter, hub, waiting, cgroups, counters, flushed, ticked, told, seen }
    }

    /// Events wait for their pods.
    pub fn with_waiting(self, waiting: Waiting) -> Pipeline {
        Pipeline { waiting, ..self }
    }

    /// Somebody is told of pods' cgroups.
    pub fn with_cgroups(self, cgroups: impl Fn(&CgroupRecord) + Send + 'static) -> Pipeline {
        Pipeline { cgroups: Box::new(cgroups), ..self }
    }

    /// Tells of the processes that ran before.
    pub fn seed(&mut self, infos: &[ProcInfo]) {
        let Pipeline { assembler, exporter, hub, waiting, counters, .. } = self;
        let now = Instant::now();
        let mut out = |event, m: Option<&Match>| deliver(exporter, hub, counters, event, m);
        assembler.seed(infos, &mut |event| waiting.pass(event, None, now, &mut out));
        self.publish_numbers();
    }

    /// Takes a record.
    pub fn record(&mut self, record: &Record) {
        add(&self.counters.received, 1);
        match record {
            Record::Exec(_) => add(&self.counters.execs, 1),
            Record::Cgroup(cgroup) => (self.cgroups)(cgroup),
            _ => {}
        }
        let Pipeline { assembler, exporter, hub, waiting, counters, .. } = self;
        let now = Instant::now();
        let mut out = |event, m: Option<&Match>| deliver(exporter, hub, counters, event, m);
        assembler.record(record, &mut |event, m| {
            m.into_iter().for_each(|m| count_action(counters, m));
            waiting.pass(event, m, now, &mut out);
        });
        self.seen += 1;
        if self.seen >= RECORDS_PER_LOOK {
            self.seen = 0;
            self.look(Instant::now());
        }
    }

    /// Does what is due.
    fn look(&mut self, now: Instant) {
        self.release(|waiting, out| waiting.release(now, out));
        if now.saturating_duration_since(self.ticked) >= TICK {
            self.ticked = now;
            self.tick(now);
        }
        if self.exporter.is_dirty() && now.saturating_duration_since(self.flushed) >= FLUSH_AFTER {
            self.flush(now);
        }
    }

    /// Delivers events that have waited.
    fn release(
        &mut self,
        which: impl FnOnce(&mut Waiting, &mut dyn FnMut(GetEventsResponse, Option<&Match>)),
    ) {
        let Pipeline { exporter, hub, waiting, counters, .. } = self;
        which(waiting, &mut |event, m| deliver(exporter, hub, counters, event, m));
    }

    fn flush(&mut self, now: Instant) {
        self.exporter.flush();
        self.flushed = now;
    }

    fn tick(&mut self, now: Instant) {
        self.assembler.tick();
        self.tell_kernel_losses();
        if let Some(dropped) = self.exporter.tick(now) {
            let event = self.assembler.losses(dropped, clock::monotonic());
            self.exporter.export_loss(&event);
        }
        let assembler = &self.assembler;
        self.hub.tell_losses(|lost| assembler.losses(lost, clock::monotonic()));
        self.publish_numbers();
        if let Some(store) = self.waiting.store() {
            self.counters.events().forget_pods(&store.take_forgotten());
        }
    }

    /// Says in the stream what the kernel could not put into it.
    fn tell_kernel_losses(&mut self) {
        let lost = self.counters.kernel_lost();
        if lost > self.told {
            let event = self.assembler.losses(lost - self.told, clock::monotonic());
            tracing::warn!(events = lost - self.told, "the ring buffer was full: events are missing");
            self.told = lost;
            self.counters.events().event(&event, None);
            self.exporter.export_loss(&event);
            self.hub.publish_loss(&Arc::new(event));
        }
    }

    fn publish_numbers(&self) {
        self.counters.set_cache(self.assembler.cache_stats());
        let missing = self.assembler.missing();
        add(&self.counters.missing_process, missing - get(&self.counters.missing_process));
    }

    /// The end: everything that is known is told and written.
    pub fn finish(&mut self) {
        self.release(Waiting::finish);
        self.tell_kernel_losses();
        if let Some(dropped) = self.exporter.limited() {
            let event = self.assembler.losses(dropped, clock::monotonic());
            self.exporter.export_loss(&event);
        }
        self.publish_numbers();
        self.exporter.flush();
        self.hub.close();
        self.exporter.close();
    }
}

/// Counts what a policy did, at once: a policy that takes more actions than it may is not to go on because
/// events wait.
fn count_action(counters: &Counters, m: &Match) {
    let over_limit = counters.events().taken(m);
    if let (Some(policy), Some(alarm)) = (over_limit, counters.over_limit.get()) {
        (alarm.0)(policy);
    }
}

/// Counts an event and hands it on. If nobody wants it, nothing is written.
fn deliver(
    exporter: &mut Exporter,
    hub: &Hub,
    counters: &Counters,
    event: GetEventsResponse,
    m: Option<&Match>,
) {
    counters.events().event(&event, m);
    exporter.export(&event);
    if hub.is_on() {
        hub.publish(&Arc::new(event));
    }
}

/// Reads until `stop` is readable (or closed), then what is left, and ends.
pub fn run(mut records: impl Records, mut pipeline: Pipeline, mut stop: UnixStream) -> std::io::Result<()> {
    let mut damaged = 0;
    let mut count = 0;
    loop {
        let stopped = if count > 0 {
            std::thread::sleep(GATHER);
            poll(&records, &stop, Duration::ZERO)?
        } else {
            poll(&records, &stop, LOOK)?
        };
        count = records.drain(&mut |record| pipeline.record(&record));
        let now = Instant::now();
        if count == 0 && pipeline.exporter.is_dirty() {
            pipeline.flush(now);
        }
        pipeline.look(now);
        let bad = records.damaged();
        if bad > damaged {
            tracing::error!(records = bad - damaged, "records of the ring buffer could not be read");
            damaged = bad;
        }
        if stopped {
            // The byte says that the last numbers of the kernel are published.
            let _ = stop.read(&mut [0]);
            // Programs that stay loaded go on sending: that must not keep the agent.
            let until = Instant::now() + LAST_READS;
            while records.drain(&mut |record| pipeline.record(&record)) > 0 && Instant::now() < until {}
            pipeline.finish();
            return Ok(());
        }
    }
}

/// Waits for records, the end or the time. True: it is the end.
fn poll(records: &impl AsFd, stop: &UnixStream, wait: Duration) -> std::io::Result<bool> {
    let fd = |fd: i32| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut fds = [fd(records.as_fd().as_raw_fd()), fd(stop.as_raw_fd())];
    let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `fds` is an array of as many entries as are passed.
    let n = unsafe { libc::poll(fds.as_mut_ptr(), 2, wait) };
    if n < 0 {
        let error = std::io::Error::last_os_error();
        return if error.kind() == std::io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
    }
    Ok(fds[1].revents != 0)
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
