//! Leader election by a Lease, as client-go does it: of several operators one leads.
//!
//! Every write carries the resource version that was read, so that of two writers one loses. Clocks
//! of two machines are never compared: a candidate takes over what *it* has not seen changing for the
//! duration that the holder promised; the times within the Lease are for people.
//!
//! A leader that cannot renew stops at its deadline, which is shorter than the duration: there are
//! never two. It does not end the process: that answers the webhook, too, and an API server that
//! restarts is no reason to stop that. Its work is dropped at once (see `run.rs`), and it is a
//! candidate again.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::{Lease as KubeLease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::client::{FIELD_MANAGER, kube_error};

/// Tetragon's name, so that its operator and this one do not lead at the same time during an upgrade.
pub const NAME: &str = "tetragon-operator-resource-lock";

/// A release at the end of the process waits no longer than this.
const RELEASE: Duration = Duration::from_secs(1);

/// How patient everybody is.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// A lease that was not renewed for this long is taken over.
    pub duration: Duration,
    /// A leader that could not renew for this long stops.
    pub renew_deadline: Duration,
    /// Between two attempts.
    pub retry: Duration,
}

/// One who wants to lead.
#[derive(Clone)]
pub struct Candidate {
    api: Api<KubeLease>,
    name: String,
    identity: String,
    times: Times,
}

/// The lease is held.
pub struct Held {
    candidate: Candidate,
    lease: KubeLease,
    /// Before the last renewal was sent.
    renewed: Instant,
}

/// What a candidate saw last, and since when it has been so.
struct Seen {
    spec: LeaseSpec,
    since: Instant,
}

impl Candidate {
    /// `identity` must differ from everybody else's.
    pub fn new(api: Api<KubeLease>, name: &str, identity: String, times: Times) -> Candidate {
        Candidate { api, name: name.to_owned(), identity, times }
    }

    /// Waits until the lease is held.
    pub async fn acquire(&self) -> Held {
        let mut seen: Option<Seen> = None;
        let mut told = String::new();
        loop {
            let attempt = timeout(self.times.renew_deadline, self.attempt(&mut seen)).await;
            match attempt.unwrap_or_else(|_| Err(anyhow::anyhow!("the API server does not answer"))) {
                Ok(Some(held)) => {
                    tracing::info!(identity = %self.identity, "leads");
                    return held;
                }
                Ok(None) => {
                    let holder = seen.as_ref().map(|s| holder(&s.spec).to_owned()).unwrap_or_default();
                    if told != holder {
                        tracing::info!(leader = %holder, "stands by");
                        told = holder;
                    }
                }
                Err(error) => tracing::warn!(lease = %self.name, "cannot ask for the lease: {error:#}"),
            }
            sleep(self.times.retry).await;
        }
    }

    /// Takes the lease if it is free, or was not renewed in time.
    async fn attempt(&self, seen: &mut Option<Seen>) -> Result<Option<Held>> {
        let sent = Instant::now();
        let Some(lease) = self.api.get_opt(&self.name).await.map_err(kube_error)? else {
            let lease = KubeLease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.spec(None)),
            };
            let parameters =
                PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
            return lost_race(self.api.create(&parameters, &lease).await)
                .map(|l| l.map(|l| self.held(l, sent)));
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if !self.may_take(&spec, seen) {
            return Ok(None);
        }
        let written = self.write(&lease, self.spec(Some(&spec))).await?;
        Ok(written.map(|lease| self.held(lease, sent)))
    }

    /// Nobody holds it, or its holder has not been seen to renew it for as long as it promised to.
    fn may_take(&self, spec: &LeaseSpec, seen: &mut Option<Seen>) -> bool {
        if holder(spec).is_empty() || holder(spec) == self.identity {
            return true;
        }
        let promised =
            spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs);
        match seen {
            Some(seen) if seen.spec == *spec => {
                seen.since.elapsed() >= promised.unwrap_or(self.times.duration)
            }
            _ => {
                *seen = Some(Seen { spec: spec.clone(), since: Instant::now() });
                false
            }
        }
    }

    /// What this candidate writes; `before` is what stands there.
    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let same = before.is_some_and(|b| holder(b) == self.identity);
        let transitions = before.and_then(|b| b.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(seconds(self.times.duration)),
            acquire_time: before.filter(|_| same).and_then(|b| b.acquire_time.clone()).or(Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if same || before.is_none() {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..LeaseSpec::default()
        }
    }

    /// Writes over `old`. `None`: somebody else was quicker.
    async fn write(&self, old: &KubeLease, spec: LeaseSpec) -> Result<Option<KubeLease>> {
        let lease = KubeLease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: old.metadata.resource_version.clone(),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        };
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        lost_race(self.api.patch(&self.name, &parameters, &Patch::Apply(&lease)).await)
    }

    fn held(&self, lease: KubeLease, renewed: Instant) -> Held {
        Held { candidate: self.clone(), lease, renewed }
    }
}

impl Held {
    /// Renews the lease, until it is lost.
    pub async fn keep(&mut self) {
        loop {
            let deadline = self.renewed + self.candidate.times.renew_deadline;
            let next = Instant::now() + self.candidate.times.retry;
            tokio::time::sleep_until(next.min(deadline)).await;
            // What is sent after the deadline could not count any more.
            if Instant::now() >= deadline {
                return tracing::warn!("leads no more: the lease could not be renewed in time");
            }
            match timeout_at(deadline, self.renew()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return tracing::warn!("leads no more: the lease is somebody else's"),
                Ok(Err(error)) => tracing::warn!("cannot renew the lease: {error:#}"),
                Err(_) => return tracing::warn!("leads no more: the API server did not answer in time"),
            }
        }
    }

    /// False: it is somebody else's.
    async fn renew(&mut self) -> Result<bool> {
        let sent = Instant::now();
        let candidate = &self.candidate;
        let mut written = candidate.write(&self.lease, candidate.spec(self.lease.spec.as_ref())).await?;
        if written.is_none() {
            // An answer that got lost, or somebody who edited or deleted it.
            let found = candidate.api.get_opt(&candidate.name).await.map_err(kube_error)?;
            let Some(found) =
                found.filter(|l| holder(&l.spec.clone().unwrap_or_default()) == candidate.identity)
            else {
                return Ok(false);
            };
            written = candidate.write(&found, candidate.spec(found.spec.as_ref())).await?;
        }
        let Some(lease) = written else { return Ok(false) };
        self.lease = lease;
        self.renewed = sent;
        Ok(true)
    }

    /// Gives the lease back, so that nobody has to wait for its end. The work must have stopped.
    pub async fn release(self) {
        let spec = self.lease.spec.clone().unwrap_or_default();
        let free =
            LeaseSpec { holder_identity: Some(String::new()), lease_duration_seconds: Some(1), ..spec };
        match timeout(RELEASE, self.candidate.write(&self.lease, free)).await {
            Ok(Ok(_)) => tracing::info!("the lease is given back"),
            Ok(Err(error)) => tracing::warn!("the lease cannot be given back, and runs out: {error:#}"),
            Err(_) => {
                tracing::warn!(
                    "the lease cannot be given back, and runs out: the API server does not answer"
                );
            }
        }
    }
}

fn holder(spec: &LeaseSpec) -> &str {
    spec.holder_identity.as_deref().unwrap_or_default()
}

/// At least the duration: a Lease counts in whole seconds.
fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).unwrap_or(i32::MAX)
}

/// `None`: somebody else was quicker, or the Lease is gone.
fn lost_race(result: Result<KubeLease, kube::Error>) -> Result<Option<KubeLease>> {
    match result {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
        Err(error) => Err(kube_error(error)).context("writing it"),
    }
}

/// A name that no other operator has: the host's, which is the pod's, and a random number.
pub fn identity() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    // The standard library seeds every hasher with random numbers.
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{}_{random:016x}", host.trim())
}
