//! Tests of the plugin: what a runtime says and hears, over a socket pair, and what becomes of it.

use std::collections::HashMap;
use std::sync::mpsc as std_mpsc;

use tetragon_api::workload::Container as Identity;
use tokio::net::UnixListener;

use super::*;
use crate::control::Command;
use crate::counters::get;
use crate::pods::classifier::{self, Hold};
use crate::pods::object::tests::{id, pod as reported, web};
use crate::pods::{Change, Subject};

const UID: &str = "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42";

/// The runtime's side of a connection.
struct Runtime {
    stream: UnixStream,
    decoder: Decoder,
    calls: u32,
}

impl Runtime {
    fn new(stream: UnixStream) -> Runtime {
        Runtime { stream, decoder: Decoder::default(), calls: 0 }
    }

    async fn hear(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.decoder.message().unwrap() {
                return Some(message);
            }
            let mut bytes = [0; 512];
            let read = self.stream.read(&mut bytes).await.unwrap();
            if read == 0 {
                return None;
            }
            self.decoder.push(&bytes[..read]).unwrap();
        }
    }

    async fn say(&mut self, connection: u32, stream: u32, kind: u8, data: Vec<u8>) {
        self.stream.write_all(&Message { connection, stream, kind, data }.encode()).await.unwrap();
    }

    /// Calls without waiting for the answer.
    async fn begin(&mut self, method: &str, payload: Vec<u8>) -> u32 {
        self.calls += 2;
        let service = "nri.pkg.api.v1alpha1.Plugin".to_owned();
        let request = Request { service, method: method.to_owned(), payload };
        self.say(PLUGIN, self.calls - 1, REQUEST, request.encode_to_vec()).await;
        self.calls - 1
    }

    async fn answer(&mut self, stream: u32) -> Response {
        let message = self.hear().await.unwrap();
        assert_eq!((message.connection, message.stream, message.kind), (PLUGIN, stream, RESPONSE));
        Response::decode(&*message.data).unwrap()
    }

    async fn call(&mut self, method: &str, payload: &impl prost::Message) -> Response {
        let stream = self.begin(method, payload.encode_to_vec()).await;
        self.answer(stream).await
    }

    /// Takes the plugin, as containerd does, and tells what there is.
    async fn take(&mut self, there: &SynchronizeRequest) {
        let message = self.hear().await.unwrap();
        assert_eq!((message.connection, message.stream, message.kind), (RUNTIME, 1, REQUEST));
        let request = Request::decode(&*message.data).unwrap();
        assert_eq!(
            (request.service.as_str(), request.method.as_str()),
            ("nri.pkg.api.v1alpha1.Runtime", "RegisterPlugin")
        );
        let plugin = RegisterPluginRequest::decode(&*request.payload).unwrap();
        assert_eq!((plugin.plugin_name.as_str(), plugin.plugin_idx.as_str()), ("tetragon", "01"));
        self.say(RUNTIME, 1, RESPONSE, Response::default().encode_to_vec()).await;
        let configure = ConfigureRequest {
            runtime_name: "containerd".into(),
            runtime_version: "v2.1.4".into(),
            request_timeout: 2000,
        };
        let answer = self.call("Configure", &configure).await;
        let events = ConfigureResponse::decode(&*answer.payload).unwrap().events;
        assert_eq!(
            events, 0b100_0010_1101,
            "RunPodSandbox, RemovePodSandbox, Create-, Start-, RemoveContainer"
        );
        assert_eq!(self.call("Synchronize", there).await, Response::default());
    }
}

/// The agent's side: what a control thread is told.
struct Agent {
    plugin: Option<Plugin>,
    store: Arc<Store>,
    counts: Arc<Counts>,
    commands: std_mpsc::Receiver<Command>,
}

impl Agent {
    fn new(socket: PathBuf, alone: bool) -> Agent {
        let counts = Arc::new(Counts::default());
        let store = Arc::new(Store::new(10, counts.clone()));
        let (send, commands) = std_mpsc::channel();
        let changes = send.clone();
        store.subscribe(move |change| {
            changes.send(Command::Containers(classifier::Request::Pods(change))).unwrap();
        });
        let plugin = Plugin {
            socket,
            store: store.clone(),
            gate: Gate::new(send, true, counts.clone()),
            alone,
            annotations: false,
            counts: counts.clone(),
        };
        Agent { plugin: Some(plugin), store, counts, commands }
    }

    /// An agent that serves one connection.
    fn connected() -> (Agent, Runtime) {
        Agent::connected_as(false)
    }

    /// The same; `alone`: there is no API server.
    fn connected_as(alone: bool) -> (Agent, Runtime) {
        let mut agent = Agent::new(PathBuf::new(), alone);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let plugin = agent.plugin.take().unwrap();
        tokio::spawn(async move { Session::new(&plugin, ours).serve(&mut false).await });
        (agent, Runtime::new(theirs))
    }

    /// What the control thread was told so far.
    fn told(&self) -> (Vec<(Subject, Option<Identity>)>, Vec<Hold>) {
        let (mut changes, mut holds) = (Vec::new(), Vec::new());
        for command in self.commands.try_iter() {
            match command {
                Command::Containers(classifier::Request::Pods(Change { subject, identity })) => {
                    changes.push((subject, identity));
                }
                Command::Containers(classifier::Request::Hold(hold)) => holds.push(hold),
                other => panic!("{other:?}"),
            }
        }
        (changes, holds)
    }

    /// The next container that is held back.
    async fn held(&self) -> Hold {
        for _ in 0..6000 {
            if let Some(hold) = self.told().1.pop() {
                return hold;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody is held back");
    }
}

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn sandbox() -> PodSandbox {
    PodSandbox {
        id: id(0xaa),
        name: "web-5d4f8b7c9-x7k2p".into(),
        uid: UID.into(),
        namespace: "production".into(),
        labels: map(&[("app", "web"), ("io.kubernetes.pod.name", "web-5d4f8b7c9-x7k2p")]),
        annotations: map(&[("kubernetes.io/config.source", "api")]),
    }
}

fn nginx(n: u8) -> Container {
    Container {
        id: id(n),
        pod_sandbox_id: id(0xaa),
        name: "nginx".into(),
        annotations: map(&[("io.kubernetes.cri.image-name", "docker.io/library/nginx:1.27")]),
        ..Container::default()
    }
}

fn about(n: u8) -> PodContainerRequest {
    PodContainerRequest { pod: Some(sandbox()), container: Some(nginx(n)) }
}

/// The identity of a container by its runtime's word.
fn by_runtime(name: &str, repo: &str) -> Identity {
    let labels = [
        ("app", "web"),
        ("k8s:io.kubernetes.pod.namespace", "production"),
        ("k8s:io.kubernetes.pod.name", "web-5d4f8b7c9-x7k2p"),
    ];
    Identity {
        namespace: "production".into(),
        labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        name: name.into(),
        repo: repo.into(),
    }
}

#[tokio::test]
async fn what_there_is_is_told_by_synchronization() {
    let (agent, mut runtime) = Agent::connected();
    let ended = Container { state: STOPPED, ..nginx(3) };
    let there = SynchronizeRequest { pods: vec![sandbox()], containers: vec![nginx(2), ended], more: false };
    runtime.take(&there).await;
    let pod = (Subject::Pod(UID.into()), Some(by_runtime("", "")));
    let container = (Subject::Container(id(2)), Some(by_runtime("nginx", "docker.io/library/nginx")));
    assert_eq!(agent.told().0, [pod, container]);
    assert_eq!(get(&agent.counts.nri_connected), 1);
}

/// What the agent before knew, and the runtime does not name, is no more.
#[tokio::test]
async fn without_an_api_server_the_runtime_tells_of_all_pods() {
    let (agent, mut runtime) = Agent::connected_as(true);
    runtime.take(&SynchronizeRequest::default()).await;
    assert_eq!(agent.told().0, [(Subject::Rest, None)]);
    runtime.call("Synchronize", &SynchronizeRequest::default()).await;
    assert_eq!(agent.told().0, [], "it is the first list that says it");
}

#[tokio::test]
async fn a_synchronization_in_parts_is_one() {
    let (agent, mut runtime) = Agent::connected();
    runtime
        .take(&SynchronizeRequest { pods: vec![sandbox()], containers: vec![nginx(2)], more: false })
        .await;
    assert_eq!(agent.store.size(), (1, 1));
    let mut first = SynchronizeRequest { pods: Vec::new(), containers: vec![nginx(2)], more: true };
    let answer = runtime.call("Synchronize", &first).await;
    assert!(SynchronizeResponse::decode(&*answer.payload).unwrap().more);
    first = SynchronizeRequest { pods: vec![sandbox()], ..SynchronizeRequest::default() };
    runtime.call("Synchronize", &first).await;
    agent.store.sweep(Instant::now() + Duration::from_secs(61));
    assert_eq!(agent.store.size(), (1, 1), "it is among what there is");
    // And then it is not.
    runtime.call("Synchronize", &SynchronizeRequest::default()).await;
    agent.store.sweep(Instant::now() + Duration::from_secs(61));
    assert_eq!(agent.store.size(), (0, 0));
}

#[tokio::test]
async fn a_container_starts_when_it_is_classified() {
    let (agent, mut runtime) = Agent::connected();
    runtime.take(&SynchronizeRequest::default()).await;
    assert_eq!(runtime.call("CreateContainer", &about(2)).await, Response::default());
    let (told, held) = agent.told();
    assert_eq!((told.len(), held.len()), (2, 0), "the pod and the container; it is not held yet");
    let start = runtime.begin("StartContainer", about(2).encode_to_vec()).await;
    let hold = agent.held().await;
    assert_eq!(hold.container, id(2));
    // Others are served meanwhile.
    let pod = PodContainerRequest { pod: Some(sandbox()), container: None };
    assert_eq!(runtime.call("RunPodSandbox", &pod).await, Response::default());
    hold.reply.send(()).unwrap();
    assert_eq!(runtime.answer(start).await, Response::default());
    assert_eq!(agent.counts.starts(), [(("nri", "classified"), 1)].into());
}

#[tokio::test]
async fn older_runtimes_tell_the_same_as_changes_of_state() {
    let (agent, mut runtime) = Agent::connected();
    runtime.take(&SynchronizeRequest::default()).await;
    let PodContainerRequest { pod, container } = about(2);
    let started = StateChangeEvent { event: 6, pod, container };
    let start = runtime.begin("StateChange", started.encode_to_vec()).await;
    agent.held().await.reply.send(()).unwrap();
    assert_eq!(runtime.answer(start).await, Response::default());
    // An event that nobody has asked for.
    assert_eq!(
        runtime.call("StateChange", &StateChangeEvent { event: 99, ..started }).await,
        Response::default()
    );
}

#[tokio::test]
async fn a_container_starts_when_the_agent_is_stuck() {
    let (agent, mut runtime) = Agent::connected();
    runtime.take(&SynchronizeRequest::default()).await;
    let begun = Instant::now();
    // Nobody answers.
    assert_eq!(runtime.call("StartContainer", &about(2)).await, Response::default());
    assert!(begun.elapsed() >= WITHIN, "{:?}", begun.elapsed());
    assert_eq!(agent.counts.starts(), [(("nri", "late"), 1)].into());
}

#[tokio::test]
async fn the_api_servers_word_stays() {
    let (agent, mut runtime) = Agent::connected();
    runtime.take(&SynchronizeRequest::default()).await;
    agent.store.apply(reported(web()), Instant::now());
    agent.told();
    let old = PodSandbox { labels: map(&[("app", "old")]), ..sandbox() };
    let about = |n| PodContainerRequest { pod: Some(old.clone()), container: Some(nginx(n)) };
    runtime.call("CreateContainer", &about(2)).await;
    assert_eq!(agent.told().0, [], "it is in the pod's status");
    runtime.call("CreateContainer", &about(8)).await;
    let (told, _) = agent.told();
    let [(subject, Some(identity))] = &told[..] else { panic!("{told:?}") };
    assert_eq!((subject, identity.name.as_str()), (&Subject::Container(id(8)), "nginx"));
    assert_eq!(identity.labels.get("app").map(String::as_str), Some("web"));
    assert!(identity.knows_workload());
}

#[tokio::test]
async fn what_is_removed_is_forgotten() {
    let (agent, mut runtime) = Agent::connected();
    runtime
        .take(&SynchronizeRequest { pods: vec![sandbox()], containers: vec![nginx(2)], more: false })
        .await;
    runtime.call("RemoveContainer", &about(2)).await;
    let later = Instant::now() + Duration::from_secs(61);
    agent.store.sweep(later);
    assert_eq!(agent.store.size(), (1, 0));
    runtime.call("RemovePodSandbox", &PodContainerRequest { pod: Some(sandbox()), container: None }).await;
    agent.store.sweep(later + Duration::from_secs(61));
    assert_eq!(agent.store.size(), (0, 0));
}

/// Fields and methods of later versions, and what is broken: never the container's trouble.
#[tokio::test]
async fn what_is_not_known_does_no_harm() {
    let (_agent, mut runtime) = Agent::connected();
    runtime.take(&SynchronizeRequest::default()).await;
    let mut payload = about(2).encode_to_vec();
    // Field 99, a string; field 100, a number.
    payload.extend([0x9a, 6, 2, b'h', b'i', 0xa0, 6, 1]);
    let create = runtime.begin("CreateContainer", payload).await;
    assert_eq!(runtime.answer(create).await, Response::default());
    let broken = runtime.begin("CreateContainer", vec![0xff; 9]).await;
    assert_eq!(runtime.answer(broken).await, Response::default());
    let later = runtime.call("PauseContainer", &PodContainerRequest::default()).await;
    assert_eq!(later.status.unwrap().code, UNIMPLEMENTED);
    // A kind of message that only later versions of ttrpc have.
    runtime.say(PLUGIN, 99, 7, Vec::new()).await;
    assert_eq!(runtime.call("Shutdown", &PodContainerRequest::default()).await, Response::default());
}

#[tokio::test]
async fn a_runtime_that_refuses_says_why() {
    let agent = Agent::new(PathBuf::new(), false);
    let plugin = agent.plugin.unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut runtime = Runtime::new(theirs);
    let refused = Response {
        status: Some(Status { code: 2, message: "invalid plugin index".into() }),
        ..Response::default()
    };
    let talk = async {
        runtime.hear().await.unwrap();
        runtime.say(RUNTIME, 1, RESPONSE, refused.encode_to_vec()).await;
    };
    let mut synchronized = false;
    let (broken, ()) = tokio::join!(Session::new(&plugin, ours).serve(&mut synchronized), talk);
    assert_eq!(broken.to_string(), "the runtime refuses the plugin: invalid plugin index");
}

#[tokio::test]
async fn a_runtime_that_comes_late_and_again_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("nri.sock");
    let mut agent = Agent::new(socket.clone(), false);
    tokio::spawn(agent.plugin.take().unwrap().run());
    while get(&agent.counts.nri_errors) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..2 {
        let listener = UnixListener::bind(&socket).unwrap();
        let mut runtime = Runtime::new(listener.accept().await.unwrap().0);
        runtime.take(&SynchronizeRequest::default()).await;
        assert_eq!(get(&agent.counts.nri_connected), 1);
        let errors = get(&agent.counts.nri_errors);
        drop((runtime, listener));
        std::fs::remove_file(&socket).unwrap();
        while get(&agent.counts.nri_errors) == errors {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(get(&agent.counts.nri_connected), 0);
    }
}
