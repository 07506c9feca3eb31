//! What a running controller remembers of each policy: caches, and times by this machine's own clock.
//! All of it may be lost: a new leader begins with none.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::core::DynamicObject;
use tetragon_api::published::PolicyRef;
use tetragon_api::status::TracingPolicyStatus;

use super::compile::{Compiled, Version, compile};
use super::metrics::{Metrics, POLICY_STATES};
use super::rollout::{self, Stage};
use super::status;
use crate::nodes::{Index, Part, capability};

/// Of one policy.
#[derive(Default)]
pub(super) struct Memory {
    /// What the generation and the annotation were compiled to.
    compiled: Option<(Option<i64>, Option<String>, Arc<Compiled>)>,
    /// What some nodes cannot do for a plan, as of a state of the fleet.
    warnings: Option<(String, u64, Arc<Vec<String>>)>,
    /// The last version that was published.
    pub(super) good: Option<Arc<Version>>,
    /// Since when all nodes that a stage of a rollout reached run the version.
    healthy: Option<(String, u8, Instant)>,
    /// Until when nodes may still say what they said before.
    settles: Option<Instant>,
    /// It was looked at before.
    seen: bool,
    /// When the status was written.
    pub(super) wrote: Option<Instant>,
    /// Failures in a row.
    pub(super) failures: u32,
}

impl Memory {
    /// Compiles the policy, unless that was done.
    pub(super) fn compile(&mut self, object: &DynamicObject, policy: &PolicyRef) -> Arc<Compiled> {
        let generation = object.metadata.generation;
        let annotation =
            object.metadata.annotations.as_ref().and_then(|a| a.get(rollout::ANNOTATION)).cloned();
        if let Some((known, asked, compiled)) = &self.compiled
            && *known == generation
            && *asked == annotation
        {
            return compiled.clone();
        }
        let compiled = Arc::new(compile(object, policy));
        self.compiled = Some((generation, annotation, compiled.clone()));
        compiled
    }

    /// What some nodes cannot do for the version.
    pub(super) fn warnings(&mut self, version: &Version, index: &Index) -> Arc<Vec<String>> {
        let fleet = index.fleet();
        if let Some((plan, seen, warnings)) = &self.warnings
            && (plan, *seen) == (&version.status.name, fleet)
        {
            return warnings.clone();
        }
        let warnings = Arc::new(capability::warnings(&version.plan, &index.nodes()));
        self.warnings = Some((version.status.name.clone(), fleet, warnings.clone()));
        warnings
    }

    /// For how long the nodes that the stage reached have all run the version.
    pub(super) fn healthy(&mut self, plan: &str, percent: u8, reached: &Part) -> Option<Duration> {
        if reached.pending + reached.failed > 0 {
            self.healthy = None;
            return None;
        }
        let same = self.healthy.take().filter(|(p, n, _)| p == plan && *n == percent);
        let (_, _, since) =
            self.healthy.insert(same.unwrap_or_else(|| (plan.to_owned(), percent, Instant::now())));
        Some(since.elapsed())
    }

    /// For how much longer nodes may say what they said before a rollout was resumed. Whoever takes over
    /// in the middle of a rollout does not know when that was.
    pub(super) fn unsettled(&mut self, stage: &Stage, settle: Duration) -> Option<Duration> {
        let unknown = !std::mem::replace(&mut self.seen, true) && stage.progressing() && !stage.started;
        if stage.resumed || unknown {
            self.settles = Some(Instant::now() + settle);
        }
        self.settles.and_then(|until| until.checked_duration_since(Instant::now())).filter(|d| !d.is_zero())
    }

    /// For how much longer the status must not be written again.
    pub(super) fn wait_to_write(&self, least: Duration) -> Option<Duration> {
        let since = self.wrote?.elapsed();
        least.checked_sub(since).filter(|d| !d.is_zero())
    }
}

/// Of all of them, by uid.
#[derive(Default)]
pub(super) struct Memories {
    of: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Memory>>>>,
    /// State and bytes of the plan.
    noted: Mutex<HashMap<String, (&'static str, i64)>>,
}

impl Memories {
    pub(super) fn of(&self, uid: &str) -> Arc<tokio::sync::Mutex<Memory>> {
        self.of.lock().expect("no holder panics").entry(uid.to_owned()).or_default().clone()
    }

    /// Forgets the policies that are gone.
    pub(super) fn retain(&self, uids: &HashSet<String>) {
        self.of.lock().expect("no holder panics").retain(|uid, _| uids.contains(uid));
        self.noted.lock().expect("no holder panics").retain(|uid, _| uids.contains(uid));
    }

    /// Notes a status for the gauges.
    pub(super) fn note(&self, uid: &str, status: &TracingPolicyStatus) {
        let is = |ty: &str, value: &str| status.conditions.iter().any(|c| c.type_ == ty && c.status == value);
        let state = match () {
            () if is(status::ACCEPTED, "False") || is(status::COMPILED, "False") => "invalid",
            () if is(status::READY, "True") => "ready",
            () if is(status::STALLED, "True") => "failed",
            () => "pending",
        };
        let bytes = status.plan.as_ref().map_or(0, |p| p.size);
        self.noted.lock().expect("no holder panics").insert(uid.to_owned(), (state, bytes));
    }

    /// Sets the gauges.
    pub(super) fn survey(&self, metrics: &Metrics) {
        let noted = self.noted.lock().expect("no holder panics");
        let count = |state: &str| noted.values().filter(|(s, _)| *s == state).count();
        Metrics::set(&metrics.policies, &POLICY_STATES.map(|state| (state, count(state))));
        metrics.plan_bytes.set(noted.values().map(|(_, bytes)| bytes).sum());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_counted_from_its_beginning() {
        let mut memory = Memory::default();
        let all = Part { loaded: 3, ..Part::default() };
        assert!(memory.healthy("p", 10, &all).is_some());
        let (_, _, since) = memory.healthy.clone().unwrap();
        assert!(memory.healthy("p", 10, &all).is_some());
        assert_eq!(memory.healthy.clone().unwrap().2, since, "it goes on");
        for (plan, percent) in [("p", 50), ("q", 50)] {
            let before = memory.healthy.clone().unwrap().2;
            memory.healthy(plan, percent, &all);
            assert!(memory.healthy.clone().unwrap().2 > before, "another stage begins anew");
        }
        assert_eq!(memory.healthy("q", 50, &Part { pending: 1, ..all }), None);
        assert!(memory.healthy.is_none());
    }

    #[test]
    fn who_takes_over_waits_for_the_nodes() {
        let stage = |phase: &str, resumed| {
            let rollout = tetragon_api::status::RolloutStatus { phase: phase.into(), ..Default::default() };
            Stage { rollout: Some(rollout), resumed, ..Stage::everything() }
        };
        let long = Duration::from_secs(3600);
        let mut memory = Memory::default();
        assert!(memory.unsettled(&stage(rollout::PROGRESSING, false), long).is_some(), "first look");
        assert!(memory.unsettled(&stage(rollout::PROGRESSING, false), long).is_some(), "still");
        let mut memory = Memory::default();
        assert_eq!(memory.unsettled(&stage(rollout::COMPLETE, false), long), None);
        assert_eq!(memory.unsettled(&stage(rollout::PROGRESSING, false), long), None, "it saw the beginning");
        assert!(memory.unsettled(&stage(rollout::PROGRESSING, true), long).is_some(), "resumed");
        assert_eq!(memory.unsettled(&stage(rollout::PROGRESSING, true), Duration::ZERO), None);
    }
}
