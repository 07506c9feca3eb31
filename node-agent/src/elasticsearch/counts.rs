//! What the Elasticsearch export counts: every event that it takes ends in exactly one of these.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Kinds of errors that have a series of their own; the server names them, so there must be an end.
const KINDS_MAX: usize = 64;

/// The rest of them.
const OTHER: &str = "(other)";

/// Why events are lost here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// More came than could be sent or put into the spool.
    QueueFull,
    /// The spool has its size, and the server is still away.
    SpoolFull,
    /// The server refused the document or the whole request.
    Rejected,
    /// The server takes no request of this document's length.
    TooLarge,
    /// A file of the spool could not be read, or not all of it.
    Damaged,
    /// The agent ended before the server was back, and there is no spool.
    Stopped,
}

impl Loss {
    /// All of them.
    pub const ALL: [Loss; 6] =
        [Loss::QueueFull, Loss::SpoolFull, Loss::Rejected, Loss::TooLarge, Loss::Damaged, Loss::Stopped];

    /// The name in metrics and in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Loss::QueueFull => "queue_full",
            Loss::SpoolFull => "spool_full",
            Loss::Rejected => "rejected",
            Loss::TooLarge => "too_large",
            Loss::Damaged => "damaged",
            Loss::Stopped => "stopped",
        }
    }
}

/// The counters.
#[derive(Debug, Default)]
pub struct Counts {
    /// Events that came.
    pub taken: AtomicU64,
    /// Events that were stored.
    pub delivered: AtomicU64,
    /// Events that were stored before, by an attempt whose answer did not arrive.
    pub duplicates: AtomicU64,
    /// Requests after a first attempt.
    pub retries: AtomicU64,
    /// Events in the queue.
    pub queue_events: AtomicU64,
    /// Events that are being sent and are not in the spool.
    pub sending_events: AtomicU64,
    /// Events in the spool.
    pub spool_events: AtomicU64,
    /// Bytes of the spool.
    pub spool_bytes: AtomicU64,
    /// Unix time of the last request that stored something.
    pub last_success: AtomicU64,
    tables: Mutex<Tables>,
}

/// Counters with labels.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Requests, by HTTP status or `error`.
    pub requests: BTreeMap<String, u64>,
    /// Errors of documents, by the server's name for them.
    pub item_errors: BTreeMap<String, u64>,
    /// Events lost, by reason and policy.
    pub lost: BTreeMap<(Loss, String), u64>,
    /// Those of them that the stream has not been told of.
    untold: BTreeMap<(Loss, String), u64>,
}

impl Tables {
    /// Events lost for a reason.
    pub fn lost_for(&self, reason: Loss) -> u64 {
        self.lost.iter().filter(|((why, _), _)| *why == reason).map(|(_, n)| n).sum()
    }
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        // A lock whose holder panicked still holds counts that are right.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events that wait in memory.
    pub fn memory_events(&self) -> u64 {
        self.queue_events.load(Ordering::Relaxed) + self.sending_events.load(Ordering::Relaxed)
    }

    /// The counters with labels, as they are.
    pub fn tables(&self) -> Tables {
        self.lock().clone()
    }

    /// Events lost, by policy; `""` is always there.
    pub fn lost_by_policy(&self) -> BTreeMap<String, u64> {
        let mut policies = BTreeMap::from([(String::new(), 0)]);
        for ((_, policy), n) in &self.lock().lost {
            *policies.entry(policy.clone()).or_default() += n;
        }
        policies
    }

    /// Counts events of a policy as lost; `""` for those of none, or of one that is not known.
    pub fn lose(&self, reason: Loss, policy: &str, events: u64) {
        if events == 0 {
            return;
        }
        let mut tables = self.lock();
        let tables = &mut *tables;
        for table in [&mut tables.lost, &mut tables.untold] {
            *table.entry((reason, policy.to_owned())).or_default() += events;
        }
    }

    /// The losses that the stream has not been told of; whoever takes them tells it.
    pub fn take_untold(&self) -> BTreeMap<(Loss, String), u64> {
        std::mem::take(&mut self.lock().untold)
    }

    /// There are such.
    pub fn has_untold(&self) -> bool {
        !self.lock().untold.is_empty()
    }

    /// Counts a request.
    pub fn request(&self, code: &str) {
        bump(&mut self.lock().requests, code);
    }

    /// Counts an error of a document. True: the first of its kind.
    pub fn item_error(&self, kind: &str) -> bool {
        bump(&mut self.lock().item_errors, kind)
    }

    /// Something was stored now.
    pub fn success(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        self.last_success.store(now, Ordering::Relaxed);
    }
}

fn bump(table: &mut BTreeMap<String, u64>, name: &str) -> bool {
    let name = if table.contains_key(name) || table.len() < KINDS_MAX { name } else { OTHER };
    let count = table.entry(name.to_owned()).or_default();
    *count += 1;
    *count == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_once() {
        let counts = Counts::default();
        counts.lose(Loss::Rejected, "p", 2);
        counts.lose(Loss::Rejected, "p", 1);
        counts.lose(Loss::SpoolFull, "", 4);
        counts.lose(Loss::SpoolFull, "q", 0);
        assert!(counts.has_untold());
        let told: Vec<_> = counts.take_untold().into_iter().collect();
        assert_eq!(told, [((Loss::SpoolFull, String::new()), 4), ((Loss::Rejected, "p".to_owned()), 3)]);
        assert!(!counts.has_untold());
        assert_eq!(counts.tables().lost_for(Loss::Rejected), 3);
    }

    #[test]
    fn kinds_are_bounded() {
        let counts = Counts::default();
        assert!(counts.item_error("a") && !counts.item_error("a"));
        (0..200).for_each(|n| {
            counts.item_error(&n.to_string());
        });
        let kinds = counts.tables().item_errors;
        assert_eq!((kinds.len(), kinds["a"], kinds[OTHER]), (KINDS_MAX + 1, 2, 200 - 63));
    }
}
