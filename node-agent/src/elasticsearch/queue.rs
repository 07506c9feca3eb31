//! What waits in memory, between the thread that makes events and the one that sends them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::batch::{Batch, Limit, write_document};
use super::counts::Counts;

/// Bytes that wait at most.
pub const QUEUE_BYTES: usize = 8 << 20;

/// The queue.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
    limit: Limit,
    interval: Duration,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// When the oldest came.
    since: Option<Instant>,
    /// No more comes, and what waits is to be gone by then.
    stop: Option<Instant>,
}

impl Queue {
    /// A queue that hands out batches of at most `limit`, after `interval` also smaller ones.
    pub fn new(limit: Limit, interval: Duration, counts: Arc<Counts>) -> Queue {
        Queue { state: Mutex::default(), changed: Notify::new(), limit, interval, counts }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a document. False: there is no room for it.
    pub fn push(&self, id: &str, document: &[u8]) -> bool {
        let mut state = self.lock();
        if state.stop.is_some() || (!state.ends.is_empty() && state.text.len() + document.len() > QUEUE_BYTES)
        {
            return false;
        }
        write_document(&mut state.text, id, document);
        let end = state.text.len();
        state.ends.push(end);
        self.publish(&state);
        let first = state.since.is_none();
        state.since.get_or_insert_with(Instant::now);
        // The sender sleeps until the first is old, or there are enough.
        if first || state.is_full(self.limit) {
            self.changed.notify_one();
        }
        true
    }

    /// Under the lock, so that no older number comes later.
    fn publish(&self, state: &State) {
        self.counts.queue_events.store(state.ends.len() as u64, Ordering::Relaxed);
    }

    /// From when on there is a batch; `None`: nothing waits.
    pub fn due(&self) -> Option<Instant> {
        let state = self.lock();
        let since = state.since?;
        let now = state.is_full(self.limit) || state.stop.is_some();
        Some(if now { since } else { since + self.interval })
    }

    /// The batch at the front, due or not; empty if nothing waits.
    pub fn take(&self) -> Batch {
        let mut state = self.lock();
        let all = state.ends.len();
        let fits = state.ends.partition_point(|end| *end <= self.limit.bytes);
        let count = fits.min(self.limit.documents).max(1).min(all);
        if count == all {
            state.since = None;
            let batch = Batch::new(std::mem::take(&mut state.text), std::mem::take(&mut state.ends));
            self.publish(&state);
            return batch;
        }
        // The rest is as old as can be: `since` stays.
        let ends: Vec<usize> = state.ends.drain(..count).collect();
        let length = ends.last().copied().unwrap_or(0);
        state.ends.iter_mut().for_each(|end| *end -= length);
        self.publish(&state);
        Batch::new(state.text.drain(..length).collect(), ends)
    }

    /// Puts a batch that was taken back to the front.
    pub fn put_back(&self, batch: &Batch) {
        let mut state = self.lock();
        let behind = Batch::new(std::mem::take(&mut state.text), std::mem::take(&mut state.ends));
        let all = behind.behind(batch);
        state.text = all.text().to_vec();
        state.ends = all.ends().to_vec();
        self.publish(&state);
        state.since.get_or_insert_with(Instant::now);
    }

    /// Nothing more comes; what waits is due, and has until `deadline`.
    pub fn stop(&self, deadline: Instant) {
        let mut state = self.lock();
        state.stop.get_or_insert(deadline);
        self.changed.notify_one();
    }

    /// The deadline of the end, once it was told.
    pub fn stopping(&self) -> Option<Instant> {
        self.lock().stop
    }

    /// Waits until there is something new to look at.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl State {
    fn is_full(&self, limit: Limit) -> bool {
        self.ends.len() >= limit.documents || self.text.len() >= limit.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(documents: usize, bytes: usize) -> Queue {
        Queue::new(Limit { documents, bytes }, Duration::from_secs(60), Arc::default())
    }

    #[test]
    fn a_batch_is_due_when_it_is_full_or_old() {
        let q = queue(3, 1 << 20);
        assert_eq!((q.due(), q.take().len()), (None, 0));
        assert!(q.push("a", b"{}") && q.push("b", b"{}"));
        assert!(q.due().unwrap() > Instant::now() + Duration::from_secs(50));
        for id in ["c", "d", "e", "f", "g"] {
            assert!(q.push(id, b"{}"));
        }
        assert!(q.due().unwrap() <= Instant::now());
        let batch = q.take();
        assert_eq!(batch.items().map(|i| i.id().to_owned()).collect::<Vec<_>>(), ["a", "b", "c"]);
        q.put_back(&batch);
        let waiting = || q.counts.queue_events.load(Ordering::Relaxed);
        assert_eq!(waiting(), 7);
        assert_eq!([q.take().len(), q.take().len(), q.take().len()], [3, 3, 1]);
        assert_eq!(waiting(), 0);
        assert_eq!(q.due(), None);
    }

    #[test]
    fn it_is_bounded_and_ends() {
        let q = queue(1 << 20, 1 << 20);
        let document = vec![b' '; 1 << 20];
        let taken = (0..20).filter(|_| q.push("x", &document)).count();
        assert_eq!(taken, 7);
        assert!(q.due().unwrap() <= Instant::now());
        assert_eq!(q.take().len(), 1);
        let q = queue(10, 1 << 20);
        // One that is longer than the queue goes when it is alone.
        assert!(q.push("x", &vec![b' '; 2 * QUEUE_BYTES]) && !q.push("y", b"{}"));
        let deadline = Instant::now();
        q.stop(deadline);
        assert!(q.due().unwrap() <= Instant::now());
        assert_eq!((q.stopping(), q.push("z", b"{}"), q.take().len()), (Some(deadline), false, 1));
    }
}
