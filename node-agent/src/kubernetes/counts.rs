//! What the Kubernetes side counts, for metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The numbers.
#[derive(Debug, Default)]
pub struct Counts {
    /// The API server answered the last request.
    connected: AtomicBool,
    errors: Mutex<BTreeMap<String, u64>>,
    writes: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counts {
    /// A request was answered, or not. True: it is the other way round than before.
    pub fn set_connected(&self, connected: bool) -> bool {
        self.connected.swap(connected, Ordering::Relaxed) != connected
    }

    /// The API server answered the last request.
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// A plan is not run, or not kept, for this reason.
    pub fn plan_error(&self, reason: &str) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        *errors.entry(reason.to_owned()).or_default() += 1;
    }

    /// Errors of plans by reason.
    pub fn plan_errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The node's status was written, or could not be.
    pub fn write(&self, result: &'static str) {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        *writes.entry(result).or_default() += 1;
    }

    /// Writes by result.
    pub fn writes(&self) -> BTreeMap<&'static str, u64> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
