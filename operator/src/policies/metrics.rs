//! What the controller counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// States of policies, as the metric names them.
pub const POLICY_STATES: [&str; 4] = ["ready", "pending", "failed", "invalid"];

/// Labelled with a state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabel {
    /// A word.
    pub state: &'static str,
}

/// Labelled with a reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// A word.
    pub reason: &'static str,
}

/// The controller's metrics.
#[derive(Clone)]
pub struct Metrics {
    /// Policies by state.
    pub policies: Family<StateLabel, Gauge>,
    /// Nodes that are meant to run an agent.
    pub nodes: Family<StateLabel, Gauge>,
    /// How long a reconciliation takes.
    pub duration: Histogram,
    /// Reconciliations that failed.
    pub errors: Family<ReasonLabel, Counter>,
    /// Bytes of all plans that are wanted.
    pub plan_bytes: Gauge,
    /// Writes of statuses.
    pub status_writes: Counter,
    /// Writes and deletions of plans.
    pub plan_writes: Counter,
    /// Writes to the TetragonNodes of agents that are gone.
    pub node_writes: Counter,
    /// Writes of PodInfos.
    pub pod_info_writes: Counter,
    /// Those that failed.
    pub pod_info_errors: Family<ReasonLabel, Counter>,
    /// Pods whose PodInfo is not there, or not right.
    pub pod_info_pending: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            policies: Family::default(),
            nodes: Family::default(),
            // 0.25 ms to 8 s.
            duration: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            errors: Family::default(),
            plan_bytes: Gauge::default(),
            status_writes: Counter::default(),
            plan_writes: Counter::default(),
            node_writes: Counter::default(),
            pod_info_writes: Counter::default(),
            pod_info_errors: Family::default(),
            pod_info_pending: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Registers them.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tetragon_operator");
        registry.register("policies", "Policies by state", self.policies.clone());
        registry.register("nodes", "Nodes that are meant to run an agent", self.nodes.clone());
        registry.register(
            "reconcile_duration_seconds",
            "Time that a reconciliation of a policy takes",
            self.duration.clone(),
        );
        registry.register("reconcile_errors", "Reconciliations of policies that failed", self.errors.clone());
        registry.register("plan_bytes", "Bytes of all plans that are wanted", self.plan_bytes.clone());
        registry.register("status_writes", "Writes of policies' statuses", self.status_writes.clone());
        registry.register("plan_writes", "Writes and deletions of plans", self.plan_writes.clone());
        registry.register(
            "node_status_writes",
            "Writes to the TetragonNodes of agents that are gone",
            self.node_writes.clone(),
        );
        registry.register("pod_info_writes", "Writes of PodInfos", self.pod_info_writes.clone());
        registry.register("pod_info_errors", "Writes of PodInfos that failed", self.pod_info_errors.clone());
        registry.register(
            "pod_info_pending",
            "Pods whose PodInfo is not there, or not right",
            self.pod_info_pending.clone(),
        );
    }

    /// Sets a gauge of states: those that are not among `counts` are zero.
    pub fn set(family: &Family<StateLabel, Gauge>, counts: &[(&'static str, usize)]) {
        for (state, count) in counts {
            family.get_or_create(&StateLabel { state }).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
    }
}
