//! Watches the pods of this node.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::StreamExt as _;
use k8s_openapi::api::core::v1::Pod as ApiPod;
use kube::api::ApiResource;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use super::counts::Counts;
use super::object::{Object, Pod};
use super::store::Store;
use crate::counters::add;
use crate::kubernetes::client::whole;
use crate::kubernetes::{Phase, stopped};

/// Pods in one answer of a list: what is not kept of them is in memory that long.
const PAGE: u32 = 100;

/// How often it is looked for what is to be forgotten.
const SWEEP: Duration = Duration::from_secs(5);

/// The task.
pub struct Watcher {
    /// To the API server.
    pub client: Client,
    /// Whose pods.
    pub node: String,
    /// Where they go.
    pub store: Arc<Store>,
    /// Events show annotations.
    pub annotations: bool,
    /// What was told is counted.
    pub counts: Arc<Counts>,
}

impl Watcher {
    /// Watches until the end.
    pub async fn run(self, mut phases: watch::Receiver<Phase>) {
        let pods: Api<Object> = Api::all_with(self.client.clone(), &ApiResource::erase::<ApiPod>(&()));
        let only = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node)).page_size(PAGE);
        let mut pods = pin!(watcher(pods, only).default_backoff());
        let mut sweep = tokio::time::interval(SWEEP);
        let mut trouble = None;
        loop {
            tokio::select! {
                _ = stopped(&mut phases) => return,
                _ = sweep.tick() => self.store.sweep(Instant::now()),
                Some(event) = pods.next() => match event {
                    Ok(event) => {
                        // A list that only begins may fail still.
                        if !matches!(event, Event::Init) && trouble.take().is_some() {
                            tracing::info!("the node's pods can be watched again");
                        }
                        self.take(event);
                    }
                    Err(e) => tell(&mut trouble, &e),
                },
            }
        }
    }

    fn take(&self, event: Event<Object>) {
        add(&self.counts.watched, 1);
        let now = Instant::now();
        match event {
            Event::Init => self.store.begin_list(),
            Event::InitApply(object) | Event::Apply(object) => {
                if let Some(pod) = Pod::new(object, self.annotations) {
                    self.store.apply(pod, now);
                }
            }
            Event::InitDone => self.store.end_list(now),
            Event::Delete(object) => {
                self.store.delete(object.metadata.uid.as_deref().unwrap_or_default(), now);
            }
        }
    }
}

/// Says what is wrong, once.
fn tell(trouble: &mut Option<String>, error: &watcher::Error) {
    if let watcher::Error::WatchError(status) = error
        && status.code == 410
    {
        // The server has forgotten what came after the last event: everything is listed anew.
        return tracing::debug!("pods: {}", status.message);
    }
    let text = whole(error);
    if trouble.as_ref() != Some(&text) {
        tracing::warn!(
            "the node's pods cannot be watched, trying again; events of new containers lack theirs: {text}"
        );
        *trouble = Some(text);
    }
}
