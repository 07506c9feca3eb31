//! A fleet of simulated agents in one process, for measurements of the control plane: real
//! TetragonNode objects of real Node objects in a real API server, written as agents write them: each
//! of its own, when something changed, coalesced and spread.
//!
//! ```text
//! fleet --nodes 5000 [--failing 3]     makes the nodes, then follows plans; a line of JSON per round
//! fleet --nodes 5000 --remove          takes them away
//! ```

mod node;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, DeleteParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use tetragon_api::published::{OBJECT_LABEL, OBJECT_PLAN, PlanMeta};
use tetragon_api::status::TetragonNode;

use node::Simulated;

/// How long an agent waits for more changes before it writes: that, and ten times what its last write took, up
/// to the second.
const COALESCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Requests at once.
const PARALLEL: usize = 64;

struct Options {
    nodes: usize,
    /// Nodes whose kernel cannot have the hooks, of a hundred.
    failing: usize,
    remove: bool,
    namespace: String,
}

fn options() -> Result<Options> {
    let mut options = Options { nodes: 0, failing: 0, remove: false, namespace: "kube-system".into() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--nodes" => options.nodes = value()?.parse()?,
            "--failing" => options.failing = value()?.parse()?,
            "--namespace" => options.namespace = value()?,
            "--remove" => options.remove = true,
            _ => bail!("unknown argument {arg:?}"),
        }
    }
    if options.nodes == 0 {
        bail!("--nodes N is needed");
    }
    Ok(options)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = options()?;
    let client = Client::try_default().await.context("there is no cluster: set KUBECONFIG")?;
    if options.remove {
        return remove(&client, options.nodes).await;
    }
    let begin = Instant::now();
    let nodes: Vec<Arc<Simulated>> = futures::stream::iter(0..options.nodes)
        .map(|i| make(&client, i, i % 100 < options.failing))
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let took = begin.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({"event": "ready", "nodes": nodes.len(), "seconds": took}));
    follow(&client, &options.namespace, &nodes).await
}

fn name(i: usize) -> String {
    format!("sim-{i:05}")
}

/// A Node and its TetragonNode.
async fn make(client: &Client, i: usize, failing: bool) -> Result<Arc<Simulated>> {
    let nodes: Api<Node> = Api::all(client.clone());
    let mut object = Node::default();
    object.metadata.name = Some(name(i));
    let zone = format!("zone-{}", i % 3);
    object.metadata.labels = Some(
        [("kubernetes.io/os", "linux"), ("topology.kubernetes.io/zone", &zone)]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
    );
    let made = match nodes.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(e)) if e.code == 409 => nodes.get(&name(i)).await?,
        other => other?,
    };
    let uid = made.uid().context("a node has a uid")?;
    let node = Arc::new(Simulated::new(name(i), uid, failing));
    node.create(client).await?;
    Ok(node)
}

/// Follows the plans of the cluster for all nodes with one watch.
async fn follow(client: &Client, namespace: &str, nodes: &[Arc<Simulated>]) -> Result<()> {
    let plans: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client.clone(), namespace);
    let config = watcher::Config::default().labels(&format!("{OBJECT_LABEL}={OBJECT_PLAN}"));
    let mut events = watcher(plans, config).default_backoff().boxed();
    let mut known: BTreeMap<String, PlanMeta> = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    loop {
        let Some(event) = events.next().await else { bail!("the watch has ended") };
        note(&mut known, event);
        let begin = Instant::now();
        // What comes within this time belongs to the same round.
        let deadline = tokio::time::Instant::now() + COALESCE.0 + (slowest * 10).min(COALESCE.1);
        while let Ok(Some(event)) = tokio::time::timeout_at(deadline, events.next()).await {
            note(&mut known, event);
        }
        let writes;
        (writes, slowest) = round(client, nodes, &known).await?;
        let took = begin.elapsed().as_secs_f64();
        println!(
            "{}",
            serde_json::json!({"event": "round", "plans": known.len(), "writes": writes, "seconds": took})
        );
    }
}

type Seen = Result<watcher::Event<PartialObjectMeta<ConfigMap>>, watcher::Error>;

fn note(known: &mut BTreeMap<String, PlanMeta>, event: Seen) {
    match event {
        Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
            match PlanMeta::from_meta(&object.metadata) {
                Ok(meta) => {
                    known.insert(object.name_any(), meta);
                }
                Err(e) => eprintln!("{}: {e}", object.name_any()),
            }
        }
        Ok(watcher::Event::Delete(object)) => {
            known.remove(&object.name_any());
        }
        Ok(watcher::Event::Init) => known.clear(),
        Ok(watcher::Event::InitDone) => {}
        Err(e) => eprintln!("the watch: {e}"),
    }
}

/// Every node takes its plans, and writes if that changes what it says. Gives the number of writes and the
/// time that the slowest took.
async fn round(
    client: &Client,
    nodes: &[Arc<Simulated>],
    known: &BTreeMap<String, PlanMeta>,
) -> Result<(usize, Duration)> {
    let take = |node: &Arc<Simulated>| {
        let node = node.clone();
        async move {
            let begin = Instant::now();
            let wrote = node.take(client, known).await?;
            anyhow::Ok(if wrote { (1, begin.elapsed()) } else { (0, Duration::ZERO) })
        }
    };
    futures::stream::iter(nodes)
        .map(take)
        .buffer_unordered(PARALLEL)
        .try_fold((0, Duration::ZERO), |(sum, slowest), (wrote, took)| async move {
            Ok((sum + wrote, slowest.max(took)))
        })
        .await
}

async fn remove(client: &Client, count: usize) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let statuses: Api<TetragonNode> = Api::all(client.clone());
    let gone = |result: Result<(), kube::Error>| match result {
        Err(kube::Error::Api(e)) if e.code == 404 => Ok(()),
        other => other,
    };
    futures::stream::iter(0..count)
        .map(|i| {
            let (nodes, statuses) = (nodes.clone(), statuses.clone());
            async move {
                let now = DeleteParams::background();
                gone(statuses.delete(&name(i), &now).await.map(drop))?;
                gone(nodes.delete(&name(i), &now).await.map(drop))
            }
        })
        .buffer_unordered(PARALLEL)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}
