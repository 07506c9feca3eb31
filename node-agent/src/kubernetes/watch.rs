//! Watches plans and the own node, fetches the bodies that are new, and hands decisions to the control
//! thread.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{ObjectMeta, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tetragon_api::plan::Plan;
use tetragon_api::published::{self, OBJECT_LABEL, OBJECT_PLAN, OBJECT_UNINSTALL, PlanMeta, PublishedError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::client::{WITHIN, whole};
use super::plans::{Labels, Plans, Why};
use super::{Phase, reason, stopped};

/// Changes that come together are one change of what runs.
const GATHER: Duration = Duration::from_millis(50);
/// But bodies that are slow to come do not keep the others.
const GATHER_MAX: Duration = Duration::from_secs(2);
/// Bodies fetched at once.
const FETCHES: usize = 4;
/// How long an object rests whose body could not be fetched: doubled each time, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What the watches know, for the node's status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// `metadata.uid` of the Node.
    pub node_uid: Option<String>,
    /// The node was asked for, and the API server has answered.
    pub asked: bool,
    /// What keeps the agent from knowing what to run.
    pub trouble: Option<Why>,
    /// Everything is being uninstalled. Who tells it is gone when the agent ends: it is not forgotten.
    pub uninstall: bool,
}

/// A body, or why there is none.
type Body = Result<Result<Arc<Plan>, PublishedError>, String>;
type Fetch = BoxFuture<'static, (String, String, Body)>;

/// An object rests after a failed attempt.
struct Rest {
    /// When it is tried again; `None`: it is being tried.
    until: Option<Instant>,
    /// How long the next rest will be.
    next: Duration,
}

/// The task.
pub struct Watcher<F> {
    client: Client,
    namespace: String,
    node: String,
    /// `None`: the cluster's policies are not loaded here.
    plans: Option<Plans>,
    /// Takes the decisions.
    out: F,
    view: watch::Sender<View>,
    node_seen: bool,
    /// The node's labels were read once; they stay known.
    labels_known: bool,
    labels_trouble: Option<String>,
    plans_trouble: Option<String>,
    told: HashMap<&'static str, String>,
    queue: VecDeque<(String, PlanMeta)>,
    flying: HashSet<String>,
    /// Objects whose body could not be fetched.
    resting: HashMap<String, Rest>,
    /// When the first and the last change came that the control thread does not know of.
    changed: Option<(Instant, Instant)>,
}

impl<F: FnMut(Vec<super::plans::Decision>)> Watcher<F> {
    /// A task that knows nothing but `plans`.
    pub fn new(
        client: Client,
        namespace: &str,
        node: &str,
        plans: Option<Plans>,
        out: F,
        view: watch::Sender<View>,
    ) -> Self {
        Watcher {
            client,
            namespace: namespace.to_owned(),
            node: node.to_owned(),
            plans,
            out,
            view,
            node_seen: false,
            labels_known: false,
            labels_trouble: None,
            plans_trouble: None,
            told: HashMap::new(),
            queue: VecDeque::new(),
            flying: HashSet::new(),
            resting: HashMap::new(),
            changed: None,
        }
    }

    /// Watches until the end.
    pub async fn run(mut self, mut phases: watch::Receiver<Phase>) {
        let objects = Api::<PartialObjectMeta<ConfigMap>>::namespaced(self.client.clone(), &self.namespace);
        let labels = format!("{OBJECT_LABEL} in ({OBJECT_PLAN},{OBJECT_UNINSTALL})");
        let only = watcher::Config::default().labels(&labels);
        let mut objects = pin!(watcher(objects, only).default_backoff());
        let nodes = Api::<PartialObjectMeta<Node>>::all(self.client.clone());
        let only = watcher::Config::default().fields(&format!("metadata.name={}", self.node));
        let mut nodes = pin!(watcher(nodes, only).default_backoff());
        let mut fetches: FuturesUnordered<Fetch> = FuturesUnordered::new();
        loop {
            let wake = self.wake(fetches.is_empty());
            tokio::select! {
                _ = stopped(&mut phases) => return,
                Some(event) = objects.next(), if self.plans.is_some() => self.object(event),
                Some(event) = nodes.next() => self.node(event),
                Some((name, digest, body)) = fetches.next(), if !fetches.is_empty() => {
                    self.fetched(&name, &digest, body);
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    self.due();
                }
            }
            while fetches.len() < FETCHES {
                let Some((name, meta)) = self.queue.pop_front() else { break };
                self.flying.insert(name.clone());
                fetches.push(fetch(self.client.clone(), self.namespace.clone(), name, meta));
            }
        }
    }

    /// When something is to be done without an event.
    fn wake(&self, idle: bool) -> Option<Instant> {
        let send = self.changed.map(|(first, last)| {
            let late = first + GATHER_MAX;
            if idle && self.queue.is_empty() { late.min(last + GATHER) } else { late }
        });
        send.into_iter().chain(self.resting.values().filter_map(|r| r.until)).min()
    }

    /// Fetches what is wanted, and hands over what is decided.
    fn due(&mut self) {
        let Some(plans) = &mut self.plans else { return };
        let now = Instant::now();
        let wanted = plans.wanted_bodies();
        self.resting.retain(|name, _| wanted.iter().any(|(w, _)| w == name));
        let before = self.queue.len();
        for (name, meta) in wanted {
            let rest = self.resting.get_mut(&name);
            let rests = rest.as_ref().is_some_and(|r| r.until.is_some_and(|until| until > now));
            if rests || self.flying.contains(&name) || self.queue.iter().any(|(n, _)| *n == name) {
                continue;
            }
            if let Some(rest) = rest {
                rest.until = None;
            }
            self.queue.push_back((name, meta));
        }
        let Some((first, _)) = self.changed else { return };
        // What is fetched now comes in a moment: then all is decided at once.
        if self.queue.len() > before && now < first + GATHER_MAX {
            return;
        }
        self.changed = None;
        if let Some(decisions) = plans.decisions() {
            (self.out)(decisions);
        }
    }

    fn change(&mut self) {
        let now = Instant::now();
        self.changed = Some((self.changed.map_or(now, |(first, _)| first), now));
    }

    fn object(&mut self, event: watcher::Result<Event<PartialObjectMeta<ConfigMap>>>) {
        let Some(plans) = &mut self.plans else { return };
        let event = match event {
            Ok(event) => event,
            Err(e) => {
                self.plans_trouble = refusal(&e).or(self.plans_trouble.take());
                self.tell("plans", &e);
                return self.show();
            }
        };
        match event {
            // Nothing was answered yet.
            Event::Init => return plans.begin_list(),
            Event::InitApply(o) | Event::Apply(o) if is_uninstall(&o.metadata) => return self.uninstall(),
            Event::Delete(o) if is_uninstall(&o.metadata) => return,
            Event::InitApply(o) | Event::Apply(o) => plans.apply(&o.metadata),
            Event::Delete(o) => plans.delete(o.metadata.name.as_deref().unwrap_or_default()),
            Event::InitDone => plans.end_list(),
        }
        self.plans_trouble = None;
        self.well("plans");
        self.change();
        self.show();
    }

    fn uninstall(&mut self) {
        if self.view.send_if_modified(|v| !std::mem::replace(&mut v.uninstall, true)) {
            tracing::info!("this is being uninstalled: what is loaded is let go when the agent ends");
        }
    }

    fn node(&mut self, event: watcher::Result<Event<PartialObjectMeta<Node>>>) {
        let labels = match event {
            Ok(Event::Init) => {
                self.node_seen = false;
                return;
            }
            Ok(Event::InitApply(node) | Event::Apply(node)) => {
                self.node_seen = true;
                let uid = node.metadata.uid;
                self.view.send_if_modified(|v| std::mem::replace(&mut v.node_uid, uid.clone()) != uid);
                Labels::Known(node.metadata.labels.unwrap_or_default())
            }
            // Its labels stay what they were: a node that is made anew comes back in a moment.
            Ok(Event::Delete(_)) => return,
            Ok(Event::InitDone) if self.node_seen => return,
            Ok(Event::InitDone) => {
                let node = &self.node;
                Labels::Failed(format!("there is no Node {node}: NODE_NAME must be the name of this node"))
            }
            Err(e) => {
                self.tell("the node", &e);
                match refusal(&e) {
                    Some(text) => Labels::Failed(text),
                    None => return,
                }
            }
        };
        self.labels_trouble = match &labels {
            Labels::Failed(text) => Some(text.clone()),
            _ => None,
        };
        if matches!(labels, Labels::Known(_)) {
            self.labels_known = true;
            self.well("the node");
        }
        self.view.send_if_modified(|v| !std::mem::replace(&mut v.asked, true));
        if let Some(plans) = &mut self.plans {
            plans.set_labels(labels);
            self.change();
        }
        self.show();
    }

    fn fetched(&mut self, name: &str, digest: &str, body: Body) {
        let Some(plans) = &mut self.plans else { return };
        self.flying.remove(name);
        match body {
            Ok(body) => {
                self.resting.remove(name);
                plans.fetched(name, digest, body);
            }
            Err(e) => {
                let rest = self.resting.get(name).map_or(RETRY.0, |r| r.next);
                tracing::warn!(
                    "plan {name} cannot be fetched, the next attempt is in {} s: {e}",
                    rest.as_secs()
                );
                let until = Some(Instant::now() + rest);
                self.resting.insert(name.to_owned(), Rest { until, next: (rest * 2).min(RETRY.1) });
            }
        }
        self.change();
    }

    /// Says what is wrong with a watch, once.
    fn tell(&mut self, what: &'static str, error: &watcher::Error) {
        if let watcher::Error::WatchError(status) = error
            && status.code == 410
        {
            // The server has forgotten what came after the last event: everything is listed anew.
            return tracing::debug!("{what}: {}", status.message);
        }
        let text = whole(error);
        if self.told.get(what) != Some(&text) {
            tracing::warn!("{what} cannot be watched, trying again: {text}");
            self.told.insert(what, text);
        }
    }

    fn well(&mut self, what: &'static str) {
        if self.told.remove(what).is_some() {
            tracing::info!("{what} can be watched again");
        }
    }

    fn show(&mut self) {
        let labels = self.labels_trouble.clone().filter(|_| !self.labels_known);
        let trouble = match (labels, self.plans_trouble.clone()) {
            (Some(message), _) => Some(Why { reason: reason::NODE_LABELS_UNKNOWN, message }),
            (None, Some(message)) => Some(Why { reason: reason::PLANS_UNKNOWN, message }),
            (None, None) => None,
        };
        self.view.send_if_modified(|v| std::mem::replace(&mut v.trouble, trouble.clone()) != trouble);
    }
}

/// The object says that everything is being uninstalled.
fn is_uninstall(meta: &ObjectMeta) -> bool {
    meta.labels.as_ref().and_then(|l| l.get(OBJECT_LABEL)).is_some_and(|v| v == OBJECT_UNINSTALL)
}

/// Fetches a ConfigMap and verifies what is in it.
fn fetch(client: Client, namespace: String, name: String, meta: PlanMeta) -> Fetch {
    Box::pin(async move {
        let api = Api::<ConfigMap>::namespaced(client, &namespace);
        let body = match tokio::time::timeout(WITHIN, api.get(&name)).await {
            Ok(Ok(object)) => Ok(published::decode(&object, &meta).map(Arc::new)),
            Ok(Err(e)) => Err(whole(&e)),
            Err(_) => Err(format!("no answer within {} s", WITHIN.as_secs())),
        };
        (name, meta.digest, body)
    })
}

/// What the API server has against a request; `None`: it did not answer, or it is nothing that stays.
fn refusal(error: &watcher::Error) -> Option<String> {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status,
        _ => return None,
    };
    matches!(status.code, 401 | 403 | 404).then(|| status.message.clone())
}
