//! Tests of the questions to a container runtime, which is one of a few canned answers on a socket.

use std::convert::Infallible;
use std::path::Path;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use serde_json::json;
use tetragon_api::event::get_events_response::Event;
use tetragon_api::event::{GetEventsResponse, Process, ProcessExec};
use tetragon_engine::Match;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::NamedService;
use tower::service_fn;

use super::*;
use crate::counters::get;
use crate::pods::object::tests::{id, pod as reported, web};
use crate::pods::wait::{Assembled, Waiting};
use crate::process::Proc;

const UID: &str = "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42";

/// A runtime that knows container 7.
#[derive(Clone)]
struct Canned;

impl NamedService for Canned {
    const NAME: &'static str = "runtime.v1.RuntimeService";
}

impl tower::Service<http::Request<Body>> for Canned {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        Box::pin(async move {
            Ok(match method.as_str() {
                "Version" => answer(request, |_: &VersionRequest| Ok(version())).await,
                "ContainerStatus" => answer(request, status).await,
                _ => answer(request, sandboxes).await,
            })
        })
    }
}

async fn answer<Q, A>(request: http::Request<Body>, f: fn(&Q) -> Result<A, Status>) -> http::Response<Body>
where
    Q: Message + Default + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let service =
        service_fn(move |q: Request<Q>| async move { f(&q.into_inner()).map(tonic::Response::new) });
    tonic::server::Grpc::new(ProstCodec::<A, Q>::default()).unary(service, request).await
}

fn version() -> VersionResponse {
    VersionResponse { runtime_name: "containerd".into() }
}

fn status(request: &ContainerStatusRequest) -> Result<ContainerStatusResponse, Status> {
    if request.container_id != id(7) {
        return Err(Status::not_found("an error occurred when try to find container"));
    }
    Ok(ContainerStatusResponse {
        status: Some(ContainerStatus {
            id: id(7),
            metadata: Some(ContainerMetadata { name: "nginx".into() }),
            state: RUNNING,
            started_at: 1_795_680_000_250_000_000,
            image: Some(ImageSpec { image: "docker.io/library/nginx:1.27".into() }),
            image_ref: "docker.io/library/nginx@sha256:bc5e".into(),
            labels: [(POD_UID.to_owned(), UID.to_owned())].into(),
        }),
    })
}

fn sandboxes(request: &ListPodSandboxRequest) -> Result<ListPodSandboxResponse, Status> {
    let filter = request.filter.clone().unwrap_or_default();
    let asked = filter.id == id(0xaa) || filter.label_selector.get(POD_UID).is_some_and(|uid| uid == UID);
    let sandbox = PodSandbox {
        id: id(0xaa),
        metadata: Some(PodSandboxMetadata {
            name: "web-5d4f8b7c9-x7k2p".into(),
            uid: UID.into(),
            namespace: "production".into(),
        }),
        labels: [("app".to_owned(), "web".to_owned()), (POD_UID.to_owned(), UID.to_owned())].into(),
        annotations: HashMap::new(),
    };
    Ok(ListPodSandboxResponse { items: Vec::from_iter(asked.then_some(sandbox)) })
}

fn serve(socket: &Path) -> JoinHandle<()> {
    let incoming = UnixListenerStream::new(UnixListener::bind(socket).unwrap());
    let server = tonic::transport::Server::builder().add_service(Canned);
    tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() })
}

fn asker(socket: &Path) -> (Arc<Store>, Arc<Counts>, Asked) {
    let counts = Arc::new(Counts::default());
    let store = Arc::new(Store::new(10, counts.clone()));
    let endpoint = format!("unix://{}", socket.display());
    let (asker, asked) = Asker::new(&endpoint, store.clone(), counts.clone(), false);
    tokio::spawn(asker.run());
    (store, counts, asked)
}

async fn until(done: impl Fn() -> bool) {
    for _ in 0..6000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come to be");
}

fn found(store: &Store) -> Option<(Arc<Pod>, Arc<Container>)> {
    match store.find(&Place { container: Some(id(7).into()), pod: OfPod::Uid(UID.into()) }) {
        Found::Container(pod, container) => Some((pod, container)),
        _ => None,
    }
}

#[tokio::test]
async fn the_runtime_tells_the_container_and_its_pod() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cri.sock");
    let _server = serve(&socket);
    let (store, counts, asked) = asker(&socket);
    asked.ask(&id(7));
    until(|| found(&store).is_some()).await;
    let (pod, container) = found(&store).unwrap();
    assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("production", "web-5d4f8b7c9-x7k2p"));
    assert_eq!(pod.labels, [("app".to_owned(), "web".to_owned())].into());
    assert!(!pod.is_reported() && container.whole);
    assert_eq!(
        (container.url.clone(), container.name.as_str()),
        (format!("containerd://{}", id(7)), "nginx")
    );
    assert_eq!(container.repo(), "docker.io/library/nginx");
    assert_eq!(container.started, Some(Timestamp { seconds: 1_795_680_000, nanos: 250_000_000 }));
    assert_eq!((get(&counts.cri_asked), get(&counts.cri_errors)), (1, 0));
}

#[tokio::test]
async fn what_runs_in_a_sandbox_waits_for_no_container() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cri.sock");
    let _server = serve(&socket);
    let (store, counts, asked) = asker(&socket);
    let place = Place { container: Some(id(0xaa).into()), pod: OfPod::Uid(UID.into()) };
    asked.ask(&id(0xaa));
    until(|| matches!(store.find(&place), Found::Sandbox(_))).await;
    asked.ask(&id(0xaa));
    asked.ask(&id(8));
    until(|| get(&counts.cri_errors) == 1).await;
    assert_eq!(get(&counts.cri_asked), 2, "what is known is not asked again");
}

#[tokio::test]
async fn of_a_pod_that_is_known_only_the_container_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cri.sock");
    let _server = serve(&socket);
    let (store, _, asked) = asker(&socket);
    let mut object = web();
    object["status"] = json!({});
    store.apply(reported(object), std::time::Instant::now());
    asked.ask(&id(7));
    until(|| found(&store).is_some()).await;
    let (pod, container) = found(&store).unwrap();
    assert_eq!(pod.workload, "web");
    assert_eq!(container.spec.probes, [["cat", "/tmp/healthy"]], "the rest is in its spec");
}

#[tokio::test]
async fn a_runtime_that_is_away_or_does_not_know_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cri.sock");
    let (store, counts, asked) = asker(&socket);
    asked.ask(&id(7));
    until(|| get(&counts.cri_errors) == 1).await;
    let server = serve(&socket);
    asked.ask(&id(9));
    until(|| get(&counts.cri_errors) == 2).await;
    asked.ask(&id(7));
    until(|| found(&store).is_some()).await;
    server.abort();
    // Nobody takes what is asked, and nobody is kept by that.
    for _ in 0..QUEUE * 2 {
        asked.ask(&id(9));
    }
}

/// An event of container 7, whose pod is not known.
fn event() -> Assembled {
    let docker = id(7)[..31].to_owned();
    let process = Process { docker, ..Default::default() };
    let proc = Proc {
        key: (20, 20),
        parent: None,
        message: process.clone(),
        hidden: None,
        binary_properties: None,
        permitted: 0,
        place: Place { container: Some(id(7).into()), pod: OfPod::Maybe },
        nspid: 7,
        pod: std::sync::OnceLock::new(),
    };
    let exec = ProcessExec { process: Some(process), ..Default::default() };
    let event = GetEventsResponse { event: Some(Event::ProcessExec(exec)), ..Default::default() };
    Assembled { event, actors: vec![Arc::new(proc)], complete: false }
}

#[tokio::test]
async fn a_runtime_that_comes_back_is_asked_again_for_what_still_waits() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cri.sock");
    let (store, counts, asked) = asker(&socket);
    let waiting = Waiting::new(store.clone(), 15, Duration::from_secs(2), counts.clone());
    let mut waiting = waiting.with_runtime(move |id| asked.ask(id));
    let start = Instant::now();
    let mut shown = Vec::new();
    let mut out = |event: GetEventsResponse, _: Option<&Match>| {
        let pod = event.process().and_then(|p| p.pod.clone()).unwrap_or_default();
        shown.push((pod.name, pod.container.unwrap_or_default().name));
    };
    waiting.pass(event(), None, start, &mut out);
    waiting.release(start + Duration::from_secs(1), &mut out);
    until(|| get(&counts.cri_errors) == 1).await;
    let _server = serve(&socket);
    waiting.release(start + Duration::from_secs(2), &mut out);
    until(|| found(&store).is_some()).await;
    waiting.release(start + Duration::from_secs(3), &mut out);
    assert_eq!(shown, [("web-5d4f8b7c9-x7k2p".to_owned(), "nginx".to_owned())]);
}

#[tokio::test]
async fn an_answer_is_final_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cri.sock");
    let _server = serve(&socket);
    let (store, counts, asked) = asker(&socket);
    asked.ask(&id(9));
    asked.ask(&id(9));
    asked.ask(&id(7));
    asked.ask(&id(7));
    asked.ask(&id(8));
    until(|| get(&counts.cri_errors) == 2).await;
    assert!(found(&store).is_some());
    assert_eq!(get(&counts.cri_asked), 3, "9, 7 and 8, each once");
}
