//! Asks the container runtime (CRI) for containers that are waited for: the kubelet reports them a second or
//! so later, and not at all while the API server is away.
//!
//! ```text
//! events that wait --container's id--> Asker --ContainerStatus, ListPodSandbox--> store
//! ```
//!
//! Nothing waits for the runtime: one that is away or slow only does not help. What it could not be asked is
//! asked again by who waits; what it has answered is final for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use tetragon_api::event::Timestamp;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::counters::add;
use crate::nri::messages::PodSandbox as Sandbox;
use crate::pods::cgroup::{OfPod, Place};
use crate::pods::counts::Counts;
use crate::pods::object::{Container, Pod};
use crate::pods::store::{Found, Store};

/// The usual sockets, in the order in which they are tried; Tetragon's.
const USUAL: [&str; 3] = [
    "unix:///run/containerd/containerd.sock",
    "unix:///run/crio/crio.sock",
    "unix:///var/run/cri-dockerd.sock",
];

/// How long one answer may take.
const WITHIN: Duration = Duration::from_secs(2);

/// Containers that may wait to be asked for. What does not fit is asked for again.
const QUEUE: usize = 256;

/// How long the runtime is not asked again for what it does not know, and how much of that is remembered.
const FINAL: Duration = Duration::from_secs(60);
const UNKNOWN_MAX: usize = 1024;

#[derive(Clone, PartialEq, Message)]
struct ContainerStatusRequest {
    #[prost(string, tag = "1")]
    container_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerStatusResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<ContainerStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerStatus {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    metadata: Option<ContainerMetadata>,
    #[prost(int32, tag = "3")]
    state: i32,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "5")]
    started_at: i64,
    #[prost(message, optional, tag = "8")]
    image: Option<ImageSpec>,
    #[prost(string, tag = "9")]
    image_ref: String,
    #[prost(map = "string, string", tag = "12")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    filter: Option<PodSandboxFilter>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxFilter {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(map = "string, string", tag = "3")]
    label_selector: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    items: Vec<PodSandbox>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandbox {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    metadata: Option<PodSandboxMetadata>,
    #[prost(map = "string, string", tag = "5")]
    labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "6")]
    annotations: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct VersionRequest {}

#[derive(Clone, PartialEq, Message)]
struct VersionResponse {
    #[prost(string, tag = "2")]
    runtime_name: String,
}

/// Label that kubelets give all containers, and by which their pod is found.
const POD_UID: &str = "io.kubernetes.pod.uid";

/// The state of a container that runs.
const RUNNING: i32 = 1;

/// Where ids of containers are put that are to be asked for.
#[derive(Clone, Debug)]
pub struct Asked(mpsc::Sender<Box<str>>);

impl Asked {
    /// The runtime is to be asked for a container; it never waits.
    pub fn ask(&self, container: &str) {
        // When the queue is full, it is asked for again while somebody waits.
        let _ = self.0.try_send(container.into());
    }
}

/// Asks.
#[derive(Debug)]
pub struct Asker {
    endpoint: String,
    store: Arc<Store>,
    counts: Arc<Counts>,
    /// Events show annotations.
    annotations: bool,
    queue: mpsc::Receiver<Box<str>>,
}

/// A runtime that answers.
struct Runtime {
    name: String,
    grpc: Grpc<Channel>,
}

impl Asker {
    /// Asks at `endpoint`, or where runtimes usually are if it is empty.
    pub fn new(endpoint: &str, store: Arc<Store>, counts: Arc<Counts>, annotations: bool) -> (Asker, Asked) {
        let (send, queue) = mpsc::channel(QUEUE);
        (Asker { endpoint: endpoint.to_owned(), store, counts, annotations, queue }, Asked(send))
    }

    /// Asks for what is put into the queue, for ever.
    pub async fn run(mut self) {
        let (mut runtime, mut trouble) = (None, false);
        let mut unknown: HashMap<Box<str>, Instant> = HashMap::new();
        while let Some(container) = self.queue.recv().await {
            let answered = unknown.get(&container).is_some_and(|at| at.elapsed() < FINAL);
            if answered || self.is_known(&container) {
                continue;
            }
            add(&self.counts.cri_asked, 1);
            let result = self.ask(&mut runtime, &container).await;
            let Err(error) = result else {
                if std::mem::take(&mut trouble) {
                    tracing::info!("CRI: the container runtime answers again");
                }
                continue;
            };
            add(&self.counts.cri_errors, 1);
            // One that has ended may be gone.
            if error.code() == Code::NotFound {
                tracing::debug!(%container, "CRI: the container runtime does not know it");
                remember(&mut unknown, container);
                continue;
            }
            runtime = None;
            // The others would fail too, one after the other. Who still waits asks again.
            while self.queue.try_recv().is_ok() {}
            if !std::mem::replace(&mut trouble, true) {
                tracing::warn!(
                    "CRI: the container runtime does not tell of containers, so their events wait for it or the \
                     API server: {}",
                    error.message()
                );
            }
        }
    }

    /// Somebody has told of it meanwhile.
    fn is_known(&self, id: &str) -> bool {
        let place = Place { container: Some(id.into()), pod: OfPod::No };
        match self.store.find(&place) {
            Found::Container(_, container) => container.whole,
            Found::Sandbox(_) => true,
            Found::None | Found::Unknown | Found::Pod(_) => false,
        }
    }

    /// Asks for a container, and for its pod if nobody has told of that.
    async fn ask(&self, runtime: &mut Option<Runtime>, id: &str) -> Result<(), Status> {
        let runtime = match runtime {
            Some(runtime) => runtime,
            None => runtime.insert(self.connect().await?),
        };
        let request = ContainerStatusRequest { container_id: id.to_owned() };
        let answer = runtime.call::<_, ContainerStatusResponse>("ContainerStatus", request).await;
        let answer = match answer {
            Err(e) if e.code() == Code::NotFound => return self.ask_sandbox(runtime, id).await,
            other => other?,
        };
        let status = answer.status.ok_or_else(|| Status::not_found("it has no status"))?;
        let uid = status.labels.get(POD_UID).cloned().unwrap_or_default();
        let container = container(status, &runtime.name);
        if self.store.learn_container(&uid, &container) {
            return Ok(());
        }
        let label_selector = [(POD_UID.to_owned(), uid)].into();
        let request = ListPodSandboxRequest {
            filter: Some(PodSandboxFilter { label_selector, ..PodSandboxFilter::default() }),
        };
        let answer: ListPodSandboxResponse = runtime.call("ListPodSandbox", request).await?;
        // The newest is first. All of them are of the same pod.
        let pod = answer.items.into_iter().next().and_then(|sandbox| pod(sandbox, self.annotations));
        let pod = pod.ok_or_else(|| Status::not_found("its pod is not known"))?;
        self.store.learn(Pod { containers: vec![Arc::new(container)], ..pod });
        Ok(())
    }

    /// It is no container: it may be the sandbox of a pod.
    async fn ask_sandbox(&self, runtime: &mut Runtime, id: &str) -> Result<(), Status> {
        let filter = PodSandboxFilter { id: id.to_owned(), ..PodSandboxFilter::default() };
        let request = ListPodSandboxRequest { filter: Some(filter) };
        let answer: ListPodSandboxResponse = runtime.call("ListPodSandbox", request).await?;
        let sandbox = answer.items.into_iter().find(|s| s.id == id);
        let pod = sandbox.and_then(|sandbox| pod(sandbox, self.annotations));
        let pod = pod.ok_or_else(|| Status::not_found("it is neither a container nor a sandbox"))?;
        self.store.learn_sandbox(id, &pod.cgroup_uid);
        self.store.learn(pod);
        Ok(())
    }

    /// The first runtime that answers.
    async fn connect(&self) -> Result<Runtime, Status> {
        let given = [self.endpoint.as_str()];
        let all = if self.endpoint.is_empty() { &USUAL[..] } else { &given };
        let mut wrong = Vec::new();
        for endpoint in all {
            match Runtime::connect(endpoint).await {
                Ok(runtime) => {
                    tracing::info!("CRI: {} answers at {endpoint}", runtime.name);
                    return Ok(runtime);
                }
                Err(e) => wrong.push(format!("{endpoint}: {}", e.message())),
            }
        }
        Err(Status::unavailable(wrong.join("; ")))
    }
}

impl Runtime {
    async fn connect(endpoint: &str) -> Result<Runtime, Status> {
        let wrong = |e: tonic::transport::Error| Status::unavailable(crate::kubernetes::client::whole(&e));
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(wrong)?;
        let channel = endpoint.connect_timeout(WITHIN).connect().await.map_err(wrong)?;
        let mut runtime = Runtime { name: String::new(), grpc: Grpc::new(channel) };
        let version: VersionResponse = runtime.call("Version", VersionRequest {}).await?;
        runtime.name = version.runtime_name;
        Ok(runtime)
    }

    async fn call<Q, A>(&mut self, method: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let path = PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}"));
        let path = path.map_err(|e| Status::internal(e.to_string()))?;
        let answered = timeout(WITHIN, async {
            self.grpc.ready().await.map_err(|e| Status::unavailable(crate::kubernetes::client::whole(&e)))?;
            self.grpc.unary(Request::new(request), path, ProstCodec::<Q, A>::default()).await
        });
        let late = |_| Status::deadline_exceeded(format!("{method}: no answer within {WITHIN:?}"));
        Ok(answered.await.map_err(late)??.into_inner())
    }
}

/// The runtime does not know a container.
fn remember(unknown: &mut HashMap<Box<str>, Instant>, container: Box<str>) {
    if unknown.len() >= UNKNOWN_MAX {
        unknown.retain(|_, at| at.elapsed() < FINAL);
    }
    if unknown.len() >= UNKNOWN_MAX {
        unknown.clear();
    }
    unknown.insert(container, Instant::now());
}

fn container(status: ContainerStatus, runtime: &str) -> Container {
    let nanos = status.started_at;
    let started = Timestamp {
        seconds: nanos.div_euclid(1_000_000_000),
        nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or_default(),
    };
    Container {
        url: format!("{runtime}://{}", status.id),
        name: status.metadata.map(|m| m.name).unwrap_or_default(),
        image: status.image.map(|i| i.image).unwrap_or_default(),
        image_id: status.image_ref,
        started: (nanos > 0).then_some(started),
        running: status.state == RUNNING,
        whole: true,
        ..Container::default()
    }
}

fn pod(sandbox: PodSandbox, annotations: bool) -> Option<Pod> {
    let PodSandboxMetadata { name, uid, namespace } = sandbox.metadata?;
    let PodSandbox { id, labels, annotations: all, .. } = sandbox;
    Sandbox { id, name, uid, namespace, labels, annotations: all }.pod(annotations)
}

#[cfg(test)]
#[path = "cri_tests.rs"]
mod tests;
