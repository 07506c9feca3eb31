//! What is counted of pods and of the events that wait for them, for metrics.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

/// The numbers.
#[derive(Debug, Default)]
pub struct Counts {
    /// Events that wait.
    pub waiting: AtomicU64,
    /// Events that had to wait.
    pub inserts: AtomicU64,
    /// Attempts that did not find the pod, of each waiting event, one a delay.
    pub retries: AtomicU64,
    /// What the watch of pods was told.
    pub watched: AtomicU64,
    /// Processes whose pod was asked for and not found.
    pub not_found: AtomicU64,
    /// Processes of pods that were deleted.
    pub deleted_hits: AtomicU64,
    /// Deleted pods that were forgotten before their time, because there were too many.
    pub deleted_evictions: AtomicU64,
    /// An NRI runtime has told its pods and is listened to: 1.
    pub nri_connected: AtomicU64,
    /// Connections to the NRI socket that failed or broke.
    pub nri_errors: AtomicU64,
    /// Containers that the runtime was asked for over CRI.
    pub cri_asked: AtomicU64,
    /// Those of which it did not tell.
    pub cri_errors: AtomicU64,
    failures: Mutex<BTreeMap<&'static str, u64>>,
    starts: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Counts {
    /// An event of this kind was sent without its pod.
    pub fn failed(&self, kind: &'static str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry(kind).or_default() += 1;
    }

    /// Events that were sent without their pod, by kind.
    pub fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A container that was held back may start: who held it, and how much was known.
    pub fn started(&self, source: &'static str, result: &'static str) {
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        *starts.entry((source, result)).or_default() += 1;
    }

    /// Containers that were held back, by who held them and by how much was known.
    pub fn starts(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
