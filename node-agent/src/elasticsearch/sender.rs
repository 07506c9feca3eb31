//! The thread that sends: one request at a time, oldest first. While one is on its way, or none can
//! be, what comes goes into the spool.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::batch::{Batch, Item, Limit, loss_id, write_document};
use super::counts::{Counts, Loss};
use super::document;
use super::queue::Queue;
use super::service::{self, Service};
use super::settings::Settings;
use super::spool::Spool;
use super::verdict::{Fate, ItemAnswer, Pause, Reply, Verdict, judge};
use crate::counters::add;

/// The shortest and the longest pause between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How often the spool's folder is tried while another agent has it.
const LOCK_EVERY: Duration = Duration::from_millis(200);
/// Times between messages of the log about the same trouble.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// A look at things although nothing happened.
const IDLE: Duration = Duration::from_secs(60);

/// Whose documents these are.
pub struct Origin {
    /// This start of this agent.
    pub run: u64,
    /// The node.
    pub node: String,
    /// The cluster, or nothing.
    pub cluster: String,
}

/// The thread's state.
pub struct Sender {
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    origin: Origin,
    /// Records of losses that were made, and when the last of them.
    records: u64,
    recorded: Instant,
    interval: Duration,
    service: Service,
    target: String,
    limit: Limit,
    /// The folder of the spool and its size, until it is open.
    wanted: Option<(PathBuf, u64)>,
    spool: Option<Spool>,
    work: Option<Work>,
    trouble: Trouble,
}

/// What is being sent: it stays here until each document has its answer.
struct Work {
    batch: Batch,
    /// Documents of it that are on their way.
    sent: usize,
    /// Its place in the spool.
    place: u64,
    /// It is in the spool too.
    stored: bool,
}

/// What is wrong at the moment, and when to try again.
#[derive(Default)]
struct Trouble {
    since: Option<Instant>,
    attempts: u32,
    again: Option<Instant>,
    logged: Option<Instant>,
    disk_logged: Option<Instant>,
}

impl Sender {
    /// A sender that has sent nothing yet.
    pub fn new(
        settings: &Settings,
        service: Service,
        queue: Arc<Queue>,
        counts: Arc<Counts>,
        origin: Origin,
    ) -> Sender {
        Sender {
            queue,
            counts,
            origin,
            records: 0,
            recorded: Instant::now(),
            interval: settings.interval,
            service,
            target: service::shown(&settings.endpoint),
            limit: settings.limit,
            wanted: settings.spool.clone(),
            spool: None,
            work: None,
            trouble: Trouble::default(),
        }
    }

    /// Sends until the queue is told to stop.
    pub fn run(mut self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(e) => {
                tracing::error!("the runtime for Elasticsearch cannot be made: {e}; its events are lost");
                return self.finish();
            }
        };
        runtime.block_on(self.send_all());
        // A name that is still being looked up is not waited for.
        runtime.shutdown_background();
        self.finish();
    }

    async fn send_all(&mut self) {
        let queue = self.queue.clone();
        let mut request: Option<JoinHandle<Reply>> = None;
        let mut ending = false;
        loop {
            let now = Instant::now();
            let deadline = queue.stopping();
            if deadline.is_some() && !std::mem::replace(&mut ending, true) {
                // The server may be back: one more attempt, without the pause.
                self.trouble.again = None;
            }
            self.open_spool(now);
            self.store(now, request.is_some());
            if request.is_none() {
                request = self.begin(now);
            }
            self.publish();
            let until = match deadline {
                Some(deadline) if now >= deadline || request.is_none() => break,
                Some(deadline) => deadline,
                None => self.next_look(now, request.is_some()),
            };
            tokio::select! {
                reply = answer(&mut request) => {
                    request = None;
                    self.settle(reply);
                }
                () = queue.changed() => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
        if let Some(request) = request {
            request.abort();
        }
    }

    /// Opens the spool, once the agent before has left it.
    fn open_spool(&mut self, now: Instant) {
        let Some((dir, size)) = &self.wanted else { return };
        match Spool::open(dir, *size, self.limit) {
            Ok(Some(spool)) => {
                if !spool.is_empty() {
                    tracing::info!(events = spool.events(), "the spool has events of an agent before");
                }
                self.spool = Some(spool);
                self.wanted = None;
            }
            Ok(None) => {
                let text = format!("{}: another agent uses it; events wait in memory", dir.display());
                self.trouble.log_disk(now, &text);
            }
            Err(e) => {
                let text = format!("{}: cannot be opened: {e}; events wait in memory", dir.display());
                self.trouble.log_disk(now, &text);
            }
        }
    }

    /// When there is something to do, if nothing happens before.
    fn next_look(&self, now: Instant, sending: bool) -> Instant {
        let mut looks = vec![now + IDLE];
        looks.extend(self.wanted.as_ref().map(|_| now + LOCK_EVERY));
        // What is due and was not taken waits for an answer or the disk.
        looks.extend(self.queue.due().map(|due| if due > now { due } else { now + LOCK_EVERY }));
        if !sending {
            looks.extend(self.trouble.again.or_else(|| self.losses_due()));
        }
        looks.into_iter().min().unwrap_or(now)
    }

    /// When losses are told although no event comes that they could go with.
    fn losses_due(&self) -> Option<Instant> {
        self.counts.has_untold().then(|| self.recorded + self.interval)
    }

    fn has_spooled(&self) -> bool {
        self.spool.as_ref().is_some_and(|spool| !spool.is_empty())
    }

    fn must_wait(&self, now: Instant) -> bool {
        self.trouble.again.is_some_and(|again| now < again)
    }

    /// Puts what is due and cannot be sent now into the spool.
    fn store(&mut self, now: Instant, sending: bool) {
        if !sending && self.work.is_none() && !self.has_spooled() && !self.must_wait(now) {
            return;
        }
        while self.spool.is_some() && self.queue.due().is_some_and(|due| due <= now) {
            let batch = self.queue.take();
            if !self.spool_batch(&batch, now) {
                return;
            }
        }
    }

    /// Puts a batch into the spool, as much as fits. False: the disk does not take it.
    fn spool_batch(&mut self, batch: &Batch, now: Instant) -> bool {
        let reserved = self.work.as_ref().filter(|w| !w.stored).map_or(0, |w| w.batch.text().len() as u64);
        let Some(spool) = &mut self.spool else { return true };
        match spool.append(batch, reserved) {
            Ok(count) => {
                self.lose(&batch.rest(count), Loss::SpoolFull);
                if count > 0 {
                    self.tell_losses_in_spool(now);
                }
                if count < batch.len() {
                    self.trouble.log_disk(now, "the spool is full: events are lost until the server is back");
                }
                true
            }
            Err(e) => {
                self.queue.put_back(batch);
                self.trouble
                    .log_disk(now, &format!("the spool cannot be written: {e}; events wait in memory"));
                false
            }
        }
    }

    /// What to send next, if it is time to.
    fn begin(&mut self, now: Instant) -> Option<JoinHandle<Reply>> {
        if self.must_wait(now) {
            return None;
        }
        if self.work.is_none() {
            self.work = self.next_work(now);
        }
        let work = self.work.as_mut()?;
        work.sent = work.batch.fitting(self.limit);
        let body = work.batch.first(work.sent).text().clone();
        if self.trouble.attempts > 0 {
            add(&self.counts.retries, 1);
        }
        Some(tokio::spawn(self.service.bulk(body)))
    }

    fn next_work(&mut self, now: Instant) -> Option<Work> {
        while let Some(place) = self.spool.as_mut().and_then(Spool::oldest) {
            if let Some(work) = self.load(place) {
                return Some(work);
            }
        }
        let due = self.queue.due().is_some_and(|due| due <= now);
        if !due && self.losses_due().is_none_or(|due| due > now) {
            return None;
        }
        let records = self.loss_records();
        let events = if due { self.queue.take() } else { Batch::default() };
        let place = self.spool.as_mut().map_or(0, Spool::reserve);
        Some(Work { batch: events.behind(&records), sent: 0, place, stored: false })
    }

    /// Reads a file of the spool. `None`: there is nothing in it, or nothing that can be read.
    fn load(&mut self, place: u64) -> Option<Work> {
        let spool = self.spool.as_mut()?;
        let (batch, damaged) = match spool.load(place) {
            Ok((batch, damaged)) => (batch, damaged as u64),
            Err(e) => {
                tracing::error!("a file of the spool cannot be read: {e}");
                (Batch::default(), spool.events_of(place))
            }
        };
        if damaged > 0 {
            tracing::error!(events = damaged, "a file of the spool is damaged: events are lost");
            self.counts.lose(Loss::Damaged, "", damaged);
        }
        if batch.is_empty() {
            self.remove(place);
            return None;
        }
        Some(Work { batch, sent: 0, place, stored: true })
    }

    fn remove(&mut self, place: u64) {
        if let Some(Err(e)) = self.spool.as_mut().map(|spool| spool.remove(place)) {
            tracing::error!(
                "a file of the spool cannot be removed: {e}; its events are sent again after a restart"
            );
        }
    }

    /// Does what an answer says.
    fn settle(&mut self, reply: Reply) {
        let code = match &reply {
            Reply::Answer { status, .. } => status.to_string(),
            Reply::None(_) => "error".to_owned(),
        };
        self.counts.request(&code);
        let Some(mut work) = self.work.take() else { return };
        let sent = work.batch.first(work.sent);
        let pause = match judge(reply, sent.len()) {
            Verdict::Items(answers) => {
                let pause = self.settle_items(&sent, &answers);
                let again = |i: usize| answers.get(i).is_none_or(|a| matches!(a.fate, Fate::Again(_)));
                work.batch = work.batch.filtered(again);
                pause
            }
            Verdict::Again(pause, why) => Some((pause, why)),
            Verdict::Smaller(why) if sent.len() > 1 => {
                self.limit.bytes = sent.text().len() / 2;
                tracing::warn!(
                    "{}: {why}; requests have {} bytes at most from now on: see --export-elasticsearch-batch-bytes",
                    self.target,
                    self.limit.bytes
                );
                None
            }
            Verdict::Smaller(why) => self.drop_sent(&mut work, &sent, Loss::TooLarge, &why),
            Verdict::Lost(why) => self.drop_sent(&mut work, &sent, Loss::Rejected, &why),
        };
        self.after(work, pause);
    }

    /// Loses all documents of a request.
    fn drop_sent(
        &mut self,
        work: &mut Work,
        sent: &Batch,
        reason: Loss,
        why: &str,
    ) -> Option<(Pause, String)> {
        tracing::error!(events = sent.events(), "{}: {why}; the events are lost", self.target);
        self.lose(sent, reason);
        work.batch = work.batch.rest(sent.len());
        None
    }

    /// Counts what became of each document. The pause is that of those to be sent again, with the
    /// error of the first of them.
    fn settle_items(&mut self, sent: &Batch, answers: &[ItemAnswer]) -> Option<(Pause, String)> {
        let counts = &self.counts;
        let mut pause: Option<(Pause, String)> = None;
        let mut stored = false;
        for (item, answer) in sent.items().zip(answers) {
            let events = u64::from(!item.is_loss());
            match answer.fate {
                Fate::Delivered => add(&counts.delivered, events),
                Fate::Duplicate => add(&counts.duplicates, events),
                Fate::Lost => lose_item(counts, &item, Loss::Rejected),
                Fate::Again(_) => {}
            }
            stored |= matches!(answer.fate, Fate::Delivered | Fate::Duplicate);
            let Some(error) = &answer.error else { continue };
            // That a document is there already is what was wanted.
            if answer.fate != Fate::Duplicate && counts.item_error(&error.kind) {
                tracing::warn!(
                    "{}: document {}: {error}; more of this kind are counted",
                    self.target,
                    item.id()
                );
            }
            if let Fate::Again(needed) = answer.fate
                && pause.as_ref().is_none_or(|(longest, _)| needed > *longest)
            {
                pause = Some((needed, error.to_string()));
            }
        }
        if stored {
            counts.success();
        }
        // An answer that says "again" without an error is one too.
        let unsaid = answers.iter().any(|a| matches!(a.fate, Fate::Again(_)));
        pause.or_else(|| unsaid.then(|| (Pause::Backoff, "the server is busy".to_owned())))
    }

    /// Keeps what is left of a request, and says when it goes on.
    fn after(&mut self, mut work: Work, pause: Option<(Pause, String)>) {
        let now = Instant::now();
        let Some((pause, why)) = pause else {
            self.trouble.end(&self.target);
            if work.batch.is_empty() {
                if work.stored {
                    self.remove(work.place);
                }
            } else {
                self.work = Some(work);
            }
            return;
        };
        // An agent that is killed while it waits loses nothing.
        self.keep(&mut work, now);
        self.work = Some(work);
        let wait = "events wait in the spool";
        let kept = if self.spool.is_some() { wait } else { "events wait in memory" };
        self.trouble.begin(now, pause, &format!("{}: {why}; {kept}", self.target));
    }

    /// Puts what is being sent into the spool.
    fn keep(&mut self, work: &mut Work, now: Instant) {
        let Some(spool) = &mut self.spool else { return };
        match spool.put(work.place, &work.batch) {
            Ok(()) => work.stored = true,
            Err(e) => {
                self.trouble
                    .log_disk(now, &format!("the spool cannot be written: {e}; events wait in memory"));
            }
        }
    }

    /// Counts all events of a batch as lost, each for its policy.
    fn lose(&self, batch: &Batch, reason: Loss) {
        batch.items().for_each(|item| lose_item(&self.counts, &item, reason));
    }

    /// Documents that say what is missing, for the stream.
    fn loss_records(&mut self) -> Batch {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for ((reason, policy), events) in self.counts.take_untold() {
            let Origin { run, node, cluster } = &self.origin;
            let record = document::loss(reason, &policy, events, node, cluster);
            write_document(&mut text, &loss_id(*run, self.records), &record);
            self.records += 1;
            ends.push(text.len());
            self.recorded = Instant::now();
        }
        Batch::new(text, ends)
    }

    /// A record of losses is small, and worth more than the limit of the spool.
    fn tell_losses_in_spool(&mut self, now: Instant) {
        let records = self.loss_records();
        let Some(spool) = self.spool.as_mut().filter(|_| !records.is_empty()) else { return };
        if let Err(e) = spool.append_all(&records) {
            self.trouble.log_disk(
                now,
                &format!("the spool cannot be written: {e}; the stream lacks a record of losses"),
            );
        }
    }

    fn publish(&self) {
        let counts = &self.counts;
        let unstored = self.work.as_ref().filter(|w| !w.stored).map_or(0, |w| w.batch.events());
        counts.sending_events.store(unstored as u64, Ordering::Relaxed);
        counts.spool_events.store(self.spool.as_ref().map_or(0, Spool::events), Ordering::Relaxed);
        counts.spool_bytes.store(self.spool.as_ref().map_or(0, Spool::bytes), Ordering::Relaxed);
    }

    /// The end: what was not sent goes into the spool, or is lost and counted.
    fn finish(mut self) {
        let now = Instant::now();
        self.open_spool(now);
        if let Some(mut work) = self.work.take() {
            self.keep(&mut work, now);
            if !work.stored {
                self.lose(&work.batch, Loss::Stopped);
            }
        }
        loop {
            let batch = self.queue.take();
            if batch.is_empty() {
                break;
            }
            if self.spool.is_none() || !self.spool_batch(&batch, now) {
                // Where the disk did not take it, it is in the queue again.
                let rest = if self.spool.is_none() { batch } else { self.queue.take() };
                self.lose(&rest, Loss::Stopped);
            }
        }
        self.tell_losses_in_spool(now);
        self.publish();
        let waiting = self.spool.as_ref().map_or(0, Spool::events);
        if waiting > 0 {
            tracing::info!(
                events = waiting,
                "the spool keeps what the server has not taken for the next agent"
            );
        }
        let lost = self.counts.tables().lost_for(Loss::Stopped);
        if lost > 0 {
            tracing::warn!(
                events = lost,
                "{}: the agent ends before the server took them: they are lost",
                self.target
            );
        }
    }
}

/// The answer to a request, or nothing for ever if there is none.
async fn answer(request: &mut Option<JoinHandle<Reply>>) -> Reply {
    match request {
        Some(request) => request.await.unwrap_or_else(|e| Reply::None(format!("the request ended: {e}"))),
        None => std::future::pending().await,
    }
}

fn lose_item(counts: &Counts, item: &Item<'_>, reason: Loss) {
    // A record of losses is no event; what it tells is in the counters.
    if !item.is_loss() {
        counts.lose(reason, &item.policy(), 1);
    }
}

impl Trouble {
    /// Nothing was taken: a pause, each time longer, not the same on all nodes.
    fn begin(&mut self, now: Instant, pause: Pause, text: &str) {
        self.since.get_or_insert(now);
        self.attempts = self.attempts.saturating_add(1);
        self.again = Some(now + delay(pause, self.attempts, fastrand::f64()));
        if self.logged.is_none_or(|at| now.saturating_duration_since(at) >= LOG_EVERY) {
            self.logged = Some(now);
            tracing::warn!("{text}");
        }
    }

    fn end(&mut self, target: &str) {
        if let Some(since) = self.since.take() {
            tracing::info!("{target}: it goes on, after {:.1} s", since.elapsed().as_secs_f64());
        }
        self.attempts = 0;
        self.again = None;
        self.logged = None;
    }

    fn log_disk(&mut self, now: Instant, text: &str) {
        if self.disk_logged.is_none_or(|at| now.saturating_duration_since(at) >= LOG_EVERY) {
            self.disk_logged = Some(now);
            tracing::error!("{text}");
        }
    }
}

/// Twice as long each time up to the longest; half of it is chance.
fn delay(pause: Pause, attempts: u32, chance: f64) -> Duration {
    let (shortest, longest) = PAUSES;
    let full = match pause {
        Pause::Backoff => longest.min(shortest * 2u32.saturating_pow(attempts.saturating_sub(1).min(16))),
        Pause::Long => longest,
    };
    full.mul_f64(0.5 + chance / 2.0)
}
