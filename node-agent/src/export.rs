//! The export: events as JSON lines, to a file that is rotated and to standard output, and as documents
//! to Elasticsearch. Whatever cannot be written is counted, and said in the stream when it can be
//! written again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tetragon_api::event::get_events_response::Event;
use tetragon_api::event::{GetEventsResponse, Process, RateLimitInfo};
use tetragon_filters::{Fields, FilterList, Filters, parse_field_filters, parse_filters};

use crate::config::Config;
use crate::counters::{Counters, Stage, add};
use crate::elasticsearch::Elasticsearch;
use crate::rotate::RotatingFile;

/// Bytes that are collected before they are written.
const CHUNK: usize = 64 * 1024;
/// Bytes that wait while they cannot be written; events beyond are lost.
const PENDING_MAX: usize = 1024 * 1024;
/// Lines are written at the latest after this time.
pub const FLUSH_AFTER: Duration = Duration::from_millis(100);
/// Times between messages of the log about the same trouble.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Where lines go.
trait Sink: Write + Send {
    /// Called before a line of `len` bytes is added to `pending` bytes: true if the line begins a new file,
    /// so that what is pending must be written first.
    fn full(&self, _pending: usize, _len: usize) -> bool {
        false
    }
    /// Begins a new file.
    fn rotate(&mut self) -> io::Result<()> {
        Ok(())
    }
    /// Once a second.
    fn due(&self, _now: Instant) -> bool {
        false
    }
    /// For messages.
    fn name(&self) -> String;
}

impl Sink for io::Stdout {
    fn name(&self) -> String {
        "standard output".to_owned()
    }
}

impl Sink for RotatingFile {
    fn full(&self, pending: usize, len: usize) -> bool {
        self.is_full(pending, len)
    }
    fn rotate(&mut self) -> io::Result<()> {
        RotatingFile::rotate(self)
    }
    fn due(&self, now: Instant) -> bool {
        self.is_due(now)
    }
    fn name(&self) -> String {
        self.path().display().to_string()
    }
}

/// A sink with what waits for it.
struct Output {
    sink: Box<dyn Sink>,
    pending: Vec<u8>,
    /// Bytes of `pending` that are written already: a line may be cut in the middle by an error.
    written: usize,
    lost: u64,
    logged: Option<Instant>,
}

impl Output {
    fn new(sink: Box<dyn Sink>) -> Output {
        Output { sink, pending: Vec::with_capacity(CHUNK), written: 0, lost: 0, logged: None }
    }

    /// Adds a line. False: it is lost.
    fn push(&mut self, line: &[u8]) -> bool {
        if self.sink.full(self.pending.len() - self.written, line.len()) && self.flush() {
            let rotated = self.sink.rotate();
            self.check(rotated);
        }
        if self.pending.len() + line.len() > PENDING_MAX && !self.flush() {
            self.lost += 1;
            return false;
        }
        self.pending.extend_from_slice(line);
        if self.pending.len() >= CHUNK {
            self.flush();
        }
        true
    }

    /// Writes what waits. False: something still waits.
    fn flush(&mut self) -> bool {
        while self.written < self.pending.len() {
            match self.sink.write(&self.pending[self.written..]) {
                Ok(0) => {
                    self.check(Err(io::ErrorKind::WriteZero.into()));
                    return false;
                }
                Ok(n) => self.written += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.check(Err(e));
                    return false;
                }
            }
        }
        self.pending.clear();
        self.written = 0;
        // Room that one long stall needed is given back.
        self.pending.shrink_to(CHUNK);
        let flushed = self.sink.flush();
        self.check(flushed)
    }

    /// Logs an error, but not each of thousands.
    fn check(&mut self, result: io::Result<()>) -> bool {
        let Err(error) = result else { return true };
        if self.logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            self.logged = Some(Instant::now());
            tracing::error!(
                "events cannot be written to {}: {error}; {} are lost so far, up to {PENDING_MAX} bytes wait",
                self.sink.name(),
                self.lost,
            );
        }
        false
    }
}

/// The export.
pub struct Exporter {
    filters: Filters,
    fields: Fields,
    slim: bool,
    limit: Option<RateLimit>,
    outputs: Vec<Output>,
    elasticsearch: Option<Elasticsearch>,
    line: Vec<u8>,
    counters: Arc<Counters>,
    dirty: bool,
    /// Losses that the stream has not been told of yet.
    untold: u64,
}

impl Exporter {
    /// The export that the flags ask for.
    pub fn new(config: &Config, counters: Arc<Counters>) -> Result<Exporter> {
        let allow = parse_filters(&config.export_allowlist).context("--export-allowlist")?;
        let deny = parse_filters(&config.export_denylist).context("--export-denylist")?;
        if !config.enable_pid_set_filter && allow.iter().chain(&deny).any(|f| !f.pid_set.is_empty()) {
            anyhow::bail!("pid_set in --export-allowlist or --export-denylist needs --enable-pid-set-filter");
        }
        let shown = config.shown();
        let filters = Filters::new(
            FilterList::of(&allow, &shown).context("--export-allowlist")?,
            FilterList::of(&deny, &shown).context("--export-denylist")?,
        );
        let fields = parse_field_filters(&config.field_filters)
            .and_then(|list| Fields::new(&list))
            .context("--field-filters")?;
        let mut outputs = Vec::new();
        let mut elasticsearch = None;
        // A limit of 0 is no export at all.
        if config.export_rate_limit != 0 {
            if config.exports_to_stdout() {
                outputs.push(Output::new(Box::new(io::stdout())));
            }
            if let Some(path) = config.export_file() {
                let file = RotatingFile::open(
                    path,
                    config.export_file_max_size_mb << 20,
                    config.export_file_max_backups,
                    config.export_file_perm.0,
                    config.export_file_rotation_interval,
                )
                .and_then(|file| if config.export_file_compress { file.compressed() } else { Ok(file) })
                .with_context(|| format!("--export-filename {}: cannot be opened", path.display()))?;
                outputs.push(Output::new(Box::new(file)));
            }
            elasticsearch = Elasticsearch::start(config, &counters)?;
        }
        let limit = u64::try_from(config.export_rate_limit).ok().map(|n| RateLimit::new(n, Instant::now()));
        Ok(Exporter {
            filters,
            fields,
            slim: config.export_slim,
            limit,
            outputs,
            elasticsearch,
            line: Vec::with_capacity(4096),
            counters,
            dirty: false,
            untold: 0,
        })
    }

    /// Events go somewhere.
    pub fn is_on(&self) -> bool {
        !self.outputs.is_empty() || self.elasticsearch.is_some()
    }

    /// Something waits to be flushed.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Exports an event, if the filters let it through.
    pub fn export(&mut self, event: &GetEventsResponse) {
        if !self.is_on() {
            return;
        }
        let passes = self.filters.pass(event);
        if let Some(complaint) = self.filters.complaint() {
            tracing::warn!("--export-allowlist, --export-denylist: {complaint}");
        }
        if !passes {
            return;
        }
        if self.limit.as_mut().is_some_and(|limit| !limit.take(Instant::now())) {
            self.counters.lose(Stage::RateLimit, event);
            return;
        }
        if self.untold > 0 && self.outputs.iter_mut().all(Output::flush) {
            let lost = std::mem::take(&mut self.untold);
            // Elasticsearch has its own losses, and tells them itself.
            self.write(&loss_event(lost, event), false);
        }
        self.write(event, true);
    }

    /// Exports an event that says what is missing: no filter and no limit holds it back.
    pub fn export_loss(&mut self, event: &GetEventsResponse) {
        self.write(event, true);
    }

    fn write(&mut self, event: &GetEventsResponse, to_elasticsearch: bool) {
        let slim;
        let event = if self.slim {
            slim = slimmed(event);
            &slim
        } else {
            event
        };
        self.line.clear();
        let some_fields = self.fields.apply(event);
        let result = match &some_fields {
            Some(value) => serde_json::to_writer(&mut self.line, value),
            None => serde_json::to_writer(&mut self.line, event),
        };
        if let Err(e) = result {
            // Events are strings, numbers and lists: only a defect of this program can end here.
            tracing::error!("an event could not be written as JSON: {e}");
            self.counters.lose(Stage::Export, event);
            return;
        }
        let mut written = true;
        if let Some(elasticsearch) = self.elasticsearch.as_mut().filter(|_| to_elasticsearch) {
            // What it loses it counts itself; that is no loss of the other outputs.
            let taken = elasticsearch.push(event, some_fields, &self.line);
            if self.outputs.is_empty() && !taken {
                return;
            }
        }
        self.line.push(b'\n');
        self.dirty = true;
        for output in &mut self.outputs {
            written &= output.push(&self.line);
        }
        if written {
            add(&self.counters.exported, 1);
            add(&self.counters.exported_bytes, self.line.len() as u64);
            let time = event.time.map_or(0, |t| t.seconds);
            self.counters.last_exported.store(u64::try_from(time).unwrap_or(0), Ordering::Relaxed);
        } else {
            self.counters.lose(Stage::Export, event);
            self.untold += 1;
        }
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        let mut done = true;
        for output in &mut self.outputs {
            done &= output.flush();
        }
        self.dirty = !done;
    }

    /// The end: what waits for Elasticsearch is sent or kept for the next agent.
    pub fn close(&mut self) {
        if let Some(elasticsearch) = &mut self.elasticsearch {
            elasticsearch.close();
        }
    }

    /// Once a second: rotates by time. The result is what the rate limit dropped in a minute, to be told.
    pub fn tick(&mut self, now: Instant) -> Option<u64> {
        for output in &mut self.outputs {
            if output.sink.due(now) && output.flush() {
                let rotated = output.sink.rotate();
                output.check(rotated);
            }
        }
        self.limit.as_mut().and_then(|limit| limit.report(now))
    }

    /// What the rate limit dropped and has not told yet.
    pub fn limited(&mut self) -> Option<u64> {
        self.limit.as_mut().and_then(|l| Some(std::mem::take(&mut l.dropped)).filter(|n| *n > 0))
    }
}

fn loss_event(lost: u64, like: &GetEventsResponse) -> GetEventsResponse {
    GetEventsResponse {
        event: Some(Event::RateLimitInfo(RateLimitInfo { number_of_dropped_process_events: lost })),
        node_name: like.node_name.clone(),
        cluster_name: like.cluster_name.clone(),
        time: like.time,
        ..Default::default()
    }
}

/// The event without what the PROCESS_EXEC event of the same exec_id says.
fn slimmed(event: &GetEventsResponse) -> GetEventsResponse {
    let mut event = event.clone();
    let (process, parent, ancestors) = match &mut event.event {
        Some(Event::ProcessExec(e)) => (None, &mut e.parent, &mut e.ancestors),
        Some(Event::ProcessExit(e)) => (e.process.as_mut(), &mut e.parent, &mut e.ancestors),
        Some(Event::ProcessKprobe(e)) => (e.process.as_mut(), &mut e.parent, &mut e.ancestors),
        Some(Event::ProcessLsm(e)) => (e.process.as_mut(), &mut e.parent, &mut e.ancestors),
        Some(Event::ProcessTracepoint(e)) => (e.process.as_mut(), &mut e.parent, &mut e.ancestors),
        _ => return event,
    };
    if let Some(process) = process {
        slim_process(process);
    }
    for process in parent.iter_mut().chain(ancestors) {
        *process = Process {
            exec_id: std::mem::take(&mut process.exec_id),
            pid: process.pid,
            binary: std::mem::take(&mut process.binary),
            ..Default::default()
        };
    }
    event
}

fn slim_process(process: &mut Process) {
    process.cwd.clear();
    process.flags.clear();
    process.start_time = None;
    process.auid = None;
    process.user = None;
    process.cap = None;
    process.ns = None;
    process.process_credentials = None;
    process.environment_variables.clear();
    process.refcnt = 0;
}

/// A token bucket: so many events a minute, and at most so many at once.
#[derive(Debug)]
struct RateLimit {
    per_minute: u64,
    tokens: f64,
    filled: Instant,
    dropped: u64,
    reported: Instant,
}

impl RateLimit {
    fn new(per_minute: u64, now: Instant) -> RateLimit {
        RateLimit { per_minute, tokens: per_minute as f64, filled: now, dropped: 0, reported: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let most = self.per_minute as f64;
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * most / 60.0;
        self.tokens = (self.tokens + gained).min(most);
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return true;
        }
        self.dropped += 1;
        false
    }

    /// What was dropped, once a minute.
    fn report(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.reported) < Duration::from_secs(60) {
            return None;
        }
        self.reported = now;
        Some(std::mem::take(&mut self.dropped)).filter(|n| *n > 0)
    }
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
