//! The agent in a Kubernetes cluster: plans in, status out.
//!
//! ```text
//! ConfigMaps --watch--> plans: which are for this node --decisions--> local (control thread): store, disk
//!                                                                        |
//! TetragonNode <--report--- status: what is said of it <----- rows ------+
//! ```
//!
//! The pods of the node are watched for [`crate::pods`].
//!
//! The operator has compiled and published the policies; here they are chosen, verified, kept on disk and
//! handed to the control thread, which loads them beside those of files and gRPC. Of the files, `plans`,
//! `limit` and `status` know neither client nor clock; `watch` and `report` hold the client; `local` and
//! `cache` belong to the control thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tetragon_api::plan::Plan;
use tetragon_engine::Facts;
use tokio::sync::watch as channel;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::control::{Board, Command, DecisionBox};
use crate::counters::{Alarm, Counters};
use crate::pods;
use crate::pods::store::Store;
use cache::{Cache, Found};
use client::Access;
use counts::Counts;
use local::Local;
use plans::{Decision, Plans};
use report::{Parts, Reporter};
use watch::{View, Watcher};

pub mod cache;
pub mod client;
pub mod counts;
pub mod limit;
pub mod local;
pub mod plans;
pub mod report;
pub mod status;
pub mod watch;

/// Words for conditions, failures and metrics, as far as the agent says them; those of plans that
/// cannot be read are [`PublishedError::reason`](tetragon_api::published::PublishedError::reason).
pub mod reason {
    /// A hook of the policy cannot be had on this kernel.
    pub const HOOK_NOT_AVAILABLE: &str = "HookNotAvailable";
    /// It should have worked.
    pub const LOAD_FAILED: &str = "LoadFailed";
    /// The node's labels cannot be read, so that nothing new is loaded.
    pub const NODE_LABELS_UNKNOWN: &str = "NodeLabelsUnknown";
    /// The policy's nodeSelector does not match.
    pub const NODE_SELECTOR: &str = "NodeSelector";
    /// More enforcing actions than the policy may take.
    pub const ACTION_LIMIT: &str = "ActionLimit";
    /// The rollout has not reached the node.
    pub const ROLLOUT_WAITING: &str = "RolloutWaiting";
    /// The annotations are not what the operator wrote.
    pub const PLAN_METADATA_INVALID: &str = "PlanMetadataInvalid";
    /// Somebody has switched the policy off on this node.
    pub const DISABLED: &str = "Disabled";
    /// What an agent before this one has left is in force, until it is known what is wanted.
    pub const WAITING_FOR_PLANS: &str = "WaitingForPlans";
    /// The plans cannot be listed.
    pub const PLANS_UNKNOWN: &str = "PlansUnknown";
    /// The agent runs, knows its plans and the node's labels.
    pub const RUNNING: &str = "Running";
    /// The agent was stopped.
    pub const AGENT_STOPPED: &str = "AgentStopped";
}

/// How long the end of the agent waits for the API server.
const LAST_STATUS: Duration = Duration::from_secs(2);

/// The cluster, before the agent's tasks run.
pub struct Kubernetes {
    access: Access,
    node: String,
    interval: Duration,
    counts: Arc<Counts>,
    decisions: Arc<DecisionBox>,
    /// Plans of the disk; `None`: the cluster's policies are not loaded here.
    known: Option<Vec<(String, Arc<Plan>)>>,
    pods: Arc<Store>,
    /// Events show the annotations of pods.
    annotations: bool,
}

/// What the agent is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Go on.
    Run,
    /// End.
    Stop {
        /// And take everything down.
        release: bool,
    },
}

/// The tasks.
pub struct Tasks {
    phase: channel::Sender<Phase>,
    reporter: JoinHandle<()>,
    /// What the watches know.
    told: channel::Receiver<View>,
}

impl Kubernetes {
    /// Reads what the flags name, and the plans of the disk for the control thread. The API server is
    /// not asked yet.
    pub async fn open(
        config: &Config,
        counters: &Counters,
        pods: Arc<Store>,
    ) -> Result<(Kubernetes, Option<Local>)> {
        let access = Access::new(config).await?;
        let counts = counters.kubernetes.get_or_init(Arc::default).clone();
        let mut kubernetes = Kubernetes {
            access,
            node: crate::run::node_name(),
            interval: config.node_status_interval,
            counts: counts.clone(),
            decisions: Arc::default(),
            known: None,
            pods,
            annotations: config.enable_pod_annotations,
        };
        if !config.enable_tracing_policy_crd {
            return Ok((kubernetes, None));
        }
        let (cache, found) = match Cache::open(&config.plan_dir) {
            Ok((cache, found)) => (Some(cache), found),
            Err(e) => {
                let dir = config.plan_dir.display();
                tracing::error!(
                    "--plan-dir {dir}: plans are not kept, a start without the API server will not know them: {e}"
                );
                counts.plan_error("CacheUnwritable");
                (None, Found::default())
            }
        };
        let known = found.plans.iter().map(|c| (c.meta.digest.clone(), c.plan.clone())).collect();
        kubernetes.known = Some(known);
        Ok((kubernetes, Some(Local::new(cache, found, counts))))
    }

    /// Where decisions for the control thread lie.
    pub fn decisions(&self) -> Arc<DecisionBox> {
        self.decisions.clone()
    }

    /// Starts watching and reporting; to be called inside the runtime. A task that panics ends the agent
    /// by `alive`.
    pub fn start(
        self,
        facts: &Facts,
        board: Arc<Board>,
        counters: Arc<Counters>,
        commands: mpsc::Sender<Command>,
        alive: &Arc<AtomicBool>,
    ) -> Result<Tasks> {
        let client = self.access.client(self.counts.clone()).context("--enable-k8s-api")?;
        let (phase, phases) = channel::channel(Phase::Run);
        let (seen, view) = channel::channel(View::default());
        let limits = commands.clone();
        // It is set once, before there is anything to count.
        let _ = counters.over_limit.set(Alarm(Box::new(move |policy| {
            // The control thread's end is the agent's.
            let _ = limits.send(Command::OverLimit { policy });
        })));
        let decisions = self.decisions;
        let out = move |new: Vec<Decision>| {
            if decisions.put(new) {
                let _ = commands.send(Command::Plans);
            }
        };
        let plans = self.known.map(|known| Plans::new(&self.node, known));
        let watcher = Watcher::new(client.clone(), &self.access.namespace, &self.node, plans, out, seen);
        let told = view.clone();
        let pods = pods::watch::Watcher {
            client: client.clone(),
            node: self.node.clone(),
            store: self.pods.clone(),
            annotations: self.annotations,
            counts: counters.pods.clone(),
        };
        let parts = Parts {
            client,
            node: self.node,
            fixed: status::fixed(facts, crate::grpc::VERSION),
            board,
            counters,
            counts: self.counts,
            view,
            pods: self.pods,
            interval: self.interval,
        };
        spawn("the watch of pods", alive, pods.run(phases.clone()));
        spawn("the watch of plans", alive, watcher.run(phases.clone()));
        let reporter = spawn("the node's status", alive, Reporter::new(parts).run(phases, LAST_STATUS));
        Ok(Tasks { phase, reporter, told })
    }
}

impl Tasks {
    /// Everything is being uninstalled: nothing is to stay in force.
    pub fn is_uninstall(&self) -> bool {
        self.told.borrow().uninstall
    }

    /// Says that the agent is stopped, if the API server takes it at once; with `release`, that nothing
    /// runs any more.
    pub async fn end(self, release: bool) {
        let _ = self.phase.send(Phase::Stop { release });
        let _ = tokio::time::timeout(LAST_STATUS, self.reporter).await;
    }
}

/// Waits for the end. True: everything is taken down.
pub(crate) async fn stopped(phases: &mut channel::Receiver<Phase>) -> bool {
    match phases.wait_for(|phase| *phase != Phase::Run).await.as_deref() {
        Ok(Phase::Stop { release }) => *release,
        // Nobody can stop us any more: that is the end too.
        _ => false,
    }
}

/// Starts a task without which the agent is to end: if it panics.
pub(crate) fn spawn(
    what: &'static str,
    alive: &Arc<AtomicBool>,
    task: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    let alive = alive.clone();
    tokio::spawn(async move {
        if tokio::spawn(task).await.is_err() {
            tracing::error!("{what} has panicked; the message is above");
            alive.store(false, Ordering::Release);
        }
    })
}
