//! Keeps the [`Index`] up to date: three watches, each object taken apart as it comes.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::index::Index;
use super::model::{Pod, Source};
use super::slim;
use crate::platform::watch::patient;

/// The label of the agents' pods.
const AGENT_PODS: &str = "app.kubernetes.io/name=tetragon";
/// TetragonNodes are large on nodes with many policies: 44 kB with 100, and a page is held several times over
/// while it is read.
const PAGE: u32 = 50;

/// Follows nodes, TetragonNodes and the agents' pods (in `namespace`), for as long as it is polled.
pub async fn watch(client: Client, namespace: String, index: Arc<Index>) {
    let nodes = follow(
        Api::<PartialObjectMeta<KubeNode>>::all(client.clone()),
        watcher::Config::default(),
        Source::Nodes,
        &index,
        |object| index.apply_node(&object.name_any(), object.metadata.labels.unwrap_or_default()),
        |name| index.delete_node(name),
    );
    let reports = follow(
        Api::<slim::TetragonNode>::all(client.clone()),
        watcher::Config::default().page_size(PAGE),
        Source::Reports,
        &index,
        |object| {
            let (name, said, agent, policies) = object.take_apart();
            index.apply_report(&name, said, agent, policies);
        },
        |name| index.delete_report(name),
    );
    let pods = follow(
        Api::<slim::Pod>::namespaced(client, &namespace),
        watcher::Config::default().labels(AGENT_PODS),
        Source::Pods,
        &index,
        |object| {
            let pod = Pod { node: object.node().to_owned(), ready: object.ready() };
            index.apply_pod(&object.name_any(), &pod);
        },
        |name| index.delete_pod(name),
    );
    tokio::join!(nodes, reports, pods);
}

async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    source: Source,
    index: &Index,
    apply: impl Fn(K),
    delete: impl Fn(&str),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    let mut events = Box::pin(patient(watcher(api, config), kind));
    let mut listed: HashSet<String> = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.insert(object.name_any());
                apply(object);
            }
            Event::InitDone => index.retain(source, &std::mem::take(&mut listed)),
            Event::Apply(object) => apply(object),
            Event::Delete(object) => delete(&object.name_any()),
        }
    }
}
