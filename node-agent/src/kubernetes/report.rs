//! Writes the node's status: server-side apply of its TetragonNode, only when something has changed.
//!
//! Changes of state are gathered for a second, and longer where writes take long; numbers alone are told
//! once an interval. Nothing is written that stands there already.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource as _};
use serde_json::json;
use tetragon_api::status::{TetragonNode, TetragonNodeStatus};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::client::{WITHIN, whole};
use super::counts::Counts;
use super::plans::Why;
use super::watch::View;
use super::{Phase, reason, status, stopped};
use crate::control::Board;
use crate::counters::Counters;
use crate::pods::store::Store;

/// As whom the agent writes.
const MANAGER: &str = "tetragon-agent";
/// How long changes gather, and by how much more at random: the nodes of a cluster see a new plan at
/// the same moment.
const GATHER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(500));
/// Changes gather for so many times the last write's time, up to the longest: where many nodes tell of many
/// policies at once the API server is busy with the writes, and each is soon overtaken by the next.
const WORTH: (u32, Duration) = (10, Duration::from_secs(30));
/// How long the start waits for the node's uid, so that the object is made once.
const NODE_WITHIN: Duration = Duration::from_secs(5);
/// Rests after failed writes: doubled each time, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What the task is made of.
pub struct Parts {
    /// The client.
    pub client: Client,
    /// Name of the node.
    pub node: String,
    /// What does not change.
    pub fixed: TetragonNodeStatus,
    /// Policies.
    pub board: Arc<Board>,
    /// Numbers.
    pub counters: Arc<Counters>,
    /// What is counted here.
    pub counts: Arc<Counts>,
    /// What the watches know.
    pub view: watch::Receiver<View>,
    /// The node's pods.
    pub pods: Arc<Store>,
    /// How often numbers are told.
    pub interval: Duration,
}

/// The task.
pub struct Reporter {
    parts: Parts,
    api: Api<TetragonNode>,
    /// What stands in the API server, as far as is known.
    written: Option<TetragonNodeStatus>,
    /// The object's version with that.
    version: Option<String>,
    /// The uid of the Node that owns the object there.
    owner: Option<String>,
    rest: Duration,
    /// How long the last write took.
    took: Duration,
    told: String,
}

/// A write failed.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("{}", whole(.0))]
    Kube(#[from] kube::Error),
    #[error("no answer within {} s", WITHIN.as_secs())]
    Timeout(#[from] tokio::time::error::Elapsed),
}

impl WriteError {
    fn code(&self) -> Option<u16> {
        match self {
            WriteError::Kube(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }

    /// A label.
    fn result(&self) -> &'static str {
        match self.code() {
            Some(404) => "not_found",
            Some(409) => "conflict",
            Some(401 | 403) => "forbidden",
            Some(_) => "refused",
            None => "unreachable",
        }
    }
}

impl Reporter {
    /// A task that has written nothing.
    pub fn new(parts: Parts) -> Reporter {
        let api = Api::all(parts.client.clone());
        Reporter {
            parts,
            api,
            written: None,
            version: None,
            owner: None,
            rest: RETRY.0,
            took: Duration::ZERO,
            told: String::new(),
        }
    }

    /// Writes until the end, and then that the agent is stopped, if that can be done within `last`.
    pub async fn run(mut self, mut phases: watch::Receiver<Phase>, last: Duration) {
        let asked = Instant::now() + NODE_WITHIN;
        let _ = timeout_at(asked, self.parts.view.wait_for(|v| v.asked)).await;
        let mut due = Some(self.soon());
        let mut look = Instant::now() + self.interval();
        let release = loop {
            let next = due.map_or(look, |due| due.min(look));
            tokio::select! {
                release = stopped(&mut phases) => break release,
                () = self.parts.board.changed() => due = due.or_else(|| Some(self.soon())),
                Ok(()) = self.parts.view.changed() => due = due.or_else(|| Some(self.soon())),
                () = sleep_until(next) => {
                    let numbers = look <= Instant::now();
                    if numbers {
                        look = Instant::now() + self.interval();
                    }
                    due = self.attempt(numbers).await.map(|rest| Instant::now() + rest);
                }
            }
        };
        if self.written.is_none() {
            return;
        }
        let message = if release {
            "the agent is stopped, and its policies with it"
        } else {
            "the agent is stopped, and its policies go on without it"
        };
        let why = Why { reason: reason::AGENT_STOPPED, message: message.to_owned() };
        let status = self.status(Some(&why), release);
        // Whoever stops the agent waits for its end, not for the API server.
        if let Ok(result) = timeout(last, self.write(status)).await {
            self.note(&result);
        }
    }

    /// When a change is written.
    fn soon(&self) -> Instant {
        let busy = (self.took * WORTH.0).min(WORTH.1);
        Instant::now() + GATHER.0 + busy + GATHER.1.mul_f64(fastrand::f64())
    }

    /// Spread a little, so that nodes do not write in step.
    fn interval(&self) -> Duration {
        self.parts.interval.mul_f64(0.95 + 0.1 * fastrand::f64())
    }

    /// Makes the API server know what there is to know; with `numbers` also what has changed in
    /// numbers alone. `Some`: it failed, and is to be tried again after that time.
    async fn attempt(&mut self, numbers: bool) -> Option<Duration> {
        let result = self.reach(numbers).await;
        self.note(&result);
        if result.is_ok() {
            self.rest = RETRY.0;
            return None;
        }
        let rest = self.rest.mul_f64(0.8 + 0.4 * fastrand::f64());
        self.rest = (self.rest * 2).min(RETRY.1);
        Some(rest)
    }

    /// True: something was written.
    async fn reach(&mut self, numbers: bool) -> Result<bool, WriteError> {
        if numbers && self.written.is_some() && self.is_overwritten().await? {
            self.written = None;
        }
        let uid = self.parts.view.borrow_and_update().node_uid.clone();
        let made = if self.written.is_none() || uid.is_some() && uid != self.owner {
            self.adopt(uid).await?
        } else {
            false
        };
        let trouble = self.parts.view.borrow().trouble.clone();
        let status = self.status(trouble.as_ref(), false);
        let changed = self.written.as_ref().is_none_or(|written| {
            *written != status
                && (numbers || status::without_numbers(written) != status::without_numbers(&status))
        });
        if changed {
            self.write(status).await?;
        }
        Ok(made || changed)
    }

    /// Somebody has deleted the object, or written to it: the operator, when it took this agent for gone.
    /// Nobody tells, and asking is cheap.
    async fn is_overwritten(&self) -> Result<bool, WriteError> {
        let found = timeout(WITHIN, self.api.get_metadata_opt(&self.parts.node)).await??;
        Ok(found.is_none_or(|o| o.metadata.resource_version != self.version))
    }

    /// Reads the object, and makes it if it is not there or belongs to a Node that is no more. True: it
    /// was made.
    async fn adopt(&mut self, uid: Option<String>) -> Result<bool, WriteError> {
        let found = timeout(WITHIN, self.api.get_opt(&self.parts.node)).await??;
        let owner = |o: &TetragonNode| {
            let owners = o.metadata.owner_references.iter().flatten();
            owners.filter(|r| r.kind == Node::kind(&())).map(|r| r.uid.clone()).next()
        };
        self.owner = found.as_ref().and_then(owner);
        let right = found.is_some() && (uid.is_none() || uid == self.owner);
        self.version = found.as_ref().and_then(|o| o.metadata.resource_version.clone());
        self.written = Some(found.and_then(|o| o.status).unwrap_or_default());
        if right {
            return Ok(false);
        }
        let mut object = json!({
            "apiVersion": TetragonNode::api_version(&()),
            "kind": TetragonNode::kind(&()),
            "metadata": {"name": self.parts.node},
            "spec": {},
        });
        if let Some(uid) = &uid {
            let owner =
                json!({"apiVersion": "v1", "kind": Node::kind(&()), "name": self.parts.node, "uid": uid});
            object["metadata"]["ownerReferences"] = json!([owner]);
        }
        let (params, patch) = (params(), Patch::Apply(object));
        let made = timeout(WITHIN, self.api.patch(&self.parts.node, &params, &patch)).await?;
        if made.is_err() {
            // Whatever is there, it is not what is wanted.
            self.written = None;
        }
        let made = made?;
        self.owner = owner(&made);
        self.version = made.metadata.resource_version;
        Ok(true)
    }

    /// What is to be told. `released`: nothing runs any more.
    fn status(&self, trouble: Option<&Why>, released: bool) -> TetragonNodeStatus {
        let mut status = self.parts.fixed.clone();
        status::put_policies(&mut status, self.parts.board.rows(), &self.parts.counters, &self.parts.pods);
        if released {
            status::put_released(&mut status);
        }
        status::shrink(&mut status);
        let ready = trouble.map_or(Ok(()), Err);
        // Kubernetes' times have no fractions.
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        status::put_ready(&mut status, ready, self.written.as_ref(), Time(now));
        status
    }

    async fn write(&mut self, status: TetragonNodeStatus) -> Result<bool, WriteError> {
        let object = json!({
            "apiVersion": TetragonNode::api_version(&()),
            "kind": TetragonNode::kind(&()),
            "metadata": {"name": self.parts.node},
            "status": status,
        });
        let (params, patch, begin) = (params(), Patch::Apply(object), Instant::now());
        let result = timeout(WITHIN, self.api.patch_status(&self.parts.node, &params, &patch)).await?;
        self.took = begin.elapsed();
        // Not there any more, or another one: it is looked at again.
        self.written = result.is_ok().then_some(status);
        self.version = result?.metadata.resource_version;
        Ok(true)
    }

    /// Counts, and says what is wrong once.
    fn note(&mut self, result: &Result<bool, WriteError>) {
        match result {
            Ok(true) => self.parts.counts.write("ok"),
            Ok(false) => {}
            Err(e) => self.parts.counts.write(e.result()),
        }
        let text = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
        if !text.is_empty() && text != self.told {
            tracing::warn!("TetragonNode {} cannot be written, trying again: {text}", self.parts.node);
        }
        self.told = text;
    }
}

fn params() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}
