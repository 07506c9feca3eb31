//! Keeps the [`Index`] up to date: three watches, each object taken apart as it comes.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::{Index, Pod, Source, slim};

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

/// Longest time between two attempts: an API server that is back is noticed soon.
const MOST_PATIENT: Duration = Duration::from_secs(5);

/// A watch that never ends: it goes on after a while, and its errors are logged once each.
pub(crate) fn patient<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    kind: String,
) -> impl Stream<Item = Event<K>> {
    let mut trouble = Trouble::default();
    events
        .then(move |result| {
            let wait = trouble.of(&result, &kind);
            async move {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                stream::iter(result.ok())
            }
        })
        .flatten()
}

/// What keeps a watch from going on.
#[derive(Default)]
struct Trouble {
    wait: Duration,
    /// What was logged last.
    told: String,
}

impl Trouble {
    /// Gives the time until the next attempt.
    fn of<K>(&mut self, result: &watcher::Result<Event<K>>, kind: &str) -> Duration {
        match result {
            // It comes before the API server is asked.
            Ok(Event::Init) => Duration::ZERO,
            Ok(_) => self.ends(kind),
            Err(error) => self.note(error, kind),
        }
    }

    fn note(&mut self, error: &watcher::Error, kind: &str) -> Duration {
        let text = if is_undefined(error) {
            "there is no definition of this kind yet, it is waited for".to_owned()
        } else {
            format!("a watch is interrupted, and tried again: {error}")
        };
        if text != self.told {
            tracing::warn!(kind, "{text}");
            self.told = text;
        }
        self.wait = (self.wait * 2).clamp(Duration::from_millis(250), MOST_PATIENT);
        self.wait
    }

    fn ends(&mut self, kind: &str) -> Duration {
        if !self.told.is_empty() {
            tracing::info!(kind, "the watch goes on");
        }
        *self = Trouble::default();
        Duration::ZERO
    }
}

/// The API server does not know the kind.
fn is_undefined(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    // The answer to a path that there is not is no Status, and so has no reason.
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> watcher::Error {
        let status = Status::failure("m", "R").with_code(code);
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn a_trouble_is_told_once_and_waited_for_longer_and_longer() {
        let mut trouble = Trouble::default();
        let waits: Vec<u128> =
            (0..7).map(|_| trouble.note(&refused(404), "TetragonNode").as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert!(trouble.told.starts_with("there is no definition of this kind yet"), "{}", trouble.told);
        trouble.note(&refused(503), "TetragonNode");
        assert!(trouble.told.starts_with("a watch is interrupted"), "{}", trouble.told);
        trouble.ends("TetragonNode");
        assert_eq!(trouble.note(&refused(404), "TetragonNode").as_millis(), 250);
        assert!(!trouble.told.is_empty(), "it is told again");
    }

    /// kube says that it begins a list before it asks for one: a wait that this ended would never grow.
    #[test]
    fn the_begin_of_a_list_is_no_success() {
        let mut trouble = Trouble::default();
        let mut of = |result: watcher::Result<Event<()>>| trouble.of(&result, "TetragonNode").as_millis();
        let mut waits = Vec::new();
        for _ in 0..3 {
            waits.extend([of(Ok(Event::Init)), of(Err(refused(404)))]);
        }
        assert_eq!(waits, [0, 250, 0, 500, 0, 1000]);
        assert_eq!((of(Ok(Event::InitDone)), of(Err(refused(404)))), (0, 250));
    }
}
