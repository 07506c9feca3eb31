//! The surroundings of a running controller: the API server, the nodes, and times.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;

use super::metrics::Metrics;
use crate::nodes::Index;

/// What the controller needs.
pub struct Context {
    /// To the API server.
    pub client: Client,
    /// Where plans are, and the agents' pods.
    pub namespace: String,
    /// Name of this replica, for events.
    pub instance: String,
    /// What is known of the nodes; somebody else keeps it up to date ([`crate::nodes::watch::watch`]).
    pub index: Arc<Index>,
    /// What is counted.
    pub metrics: Metrics,
    /// Times.
    pub timing: Timing,
}

/// Times that tests make shorter.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Least time between two looks at a policy because of its nodes.
    pub debounce: Duration,
    /// Least time between two such looks at any policies, on average: with 1,000 policies, one is looked
    /// at once in 5 s.
    pub debounce_each: Duration,
    /// Least time between two writes of a status in which only numbers and texts differ, with 1,000
    /// nodes or more; with fewer nodes down to a fifth of it.
    pub progress: Duration,
    /// Least time between two such writes of any policies, on average: with 1,000 policies, one status
    /// follows its numbers once in 50 s.
    pub progress_each: Duration,
    /// What nodes said about a version before it was resumed is not held against it for this long.
    pub settle: Duration,
    /// An agent whose pod is gone or not ready has this long to say something, or to come back.
    pub grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            debounce: Duration::from_millis(500),
            debounce_each: Duration::from_millis(5),
            progress: Duration::from_secs(5),
            progress_each: Duration::from_millis(50),
            settle: Duration::from_secs(30),
            // As long as Kubernetes waits for a node.
            grace: Duration::from_secs(40),
        }
    }
}
