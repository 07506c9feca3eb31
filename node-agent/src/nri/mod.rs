//! The agent as a plugin of the container runtime (NRI, Node Resource Interface; containerd from 1.7, CRI-O
//! from 1.26). The runtime tells of pods and containers before they start, and starts a container only when
//! the agent has answered: when the kernel knows whose it is.
//!
//! ```text
//! runtime --socket--> wire: frames, messages --> session --> store (who they are)
//!                                                  +--StartContainer--> gate --answered later
//! ```
//!
//! The agent changes no container, never answers an event with an error (it would be the container's) and
//! never late: the runtime drops a plugin that is, and goes on without it.

pub mod messages;
pub mod wire;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::counters::add;
use crate::pods::counts::Counts;
use crate::pods::gate::{Gate, Source, WITHIN};
use crate::pods::store::Store;
use messages::{
    ConfigureRequest, ConfigureResponse, Container, Event, PodContainerRequest, PodSandbox,
    RegisterPluginRequest, Request, Response, STOPPED, StateChangeEvent, Status, SynchronizeRequest,
    SynchronizeResponse,
};
use wire::{Decoder, Message, PLUGIN, REQUEST, RESPONSE, RUNTIME, TooLong};

/// Name of the plugin; that of Tetragon's.
const NAME: &str = "tetragon";

/// Plugins are called in the order of this. What the agent needs to know no other plugin changes.
const INDEX: &str = "01";

/// How long the runtime has to take the plugin.
const REGISTERED_WITHIN: Duration = Duration::from_secs(10);

/// Pauses between attempts to connect: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// gRPC's code for a method that is not there.
const UNIMPLEMENTED: i32 = 12;

/// The plugin.
#[derive(Debug)]
pub struct Plugin {
    /// The runtime's socket.
    pub socket: PathBuf,
    /// Where what it tells goes.
    pub store: Arc<Store>,
    /// What holds containers back.
    pub gate: Gate,
    /// Nobody but the runtime tells of pods.
    pub alone: bool,
    /// Events show annotations.
    pub annotations: bool,
    /// What is counted.
    pub counts: Arc<Counts>,
}

/// Why a session has ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("the runtime has closed the connection")]
    Closed,
    #[error("{0}")]
    Wire(#[from] TooLong),
    #[error("the runtime refuses the plugin: {0}")]
    Refused(String),
    #[error("the runtime does not take the plugin within {REGISTERED_WITHIN:?}")]
    Slow,
}

impl Plugin {
    /// Connects, serves and connects again, for ever.
    pub async fn run(self) {
        let mut trouble: Option<String> = None;
        let mut pause = PAUSES.0;
        loop {
            let mut synchronized = false;
            let broken = match UnixStream::connect(&self.socket).await {
                Ok(stream) => Session::new(&self, stream).serve(&mut synchronized).await,
                Err(e) => Broken::Connect(e),
            };
            self.counts.nri_connected.store(0, Ordering::Relaxed);
            add(&self.counts.nri_errors, 1);
            if synchronized {
                (pause, trouble) = (PAUSES.0, None);
            }
            let text = broken.to_string();
            if trouble.as_ref() != Some(&text) {
                let socket = self.socket.display();
                tracing::warn!(
                    "--nri-socket {socket}: {text}; trying again, until then new containers are not held back"
                );
                trouble = Some(text);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// The runtime has told of a pod and of a container of it.
    fn learn(&self, pod: Option<PodSandbox>, containers: Vec<Container>, runtime: &str) {
        let Some(sandbox) = pod else { return };
        let id = sandbox.id.clone();
        let Some(mut pod) = sandbox.pod(self.annotations) else { return };
        self.store.learn_sandbox(&id, &pod.cgroup_uid);
        pod.containers = containers.into_iter().map(|c| Arc::new(c.container(runtime, self.alone))).collect();
        self.store.learn(pod);
    }
}

/// One connection.
struct Session<'a, S> {
    plugin: &'a Plugin,
    stream: S,
    decoder: Decoder,
    /// Answers that come later.
    late: (mpsc::UnboundedSender<Message>, mpsc::UnboundedReceiver<Message>),
    /// The runtime's name.
    runtime: String,
    /// How long a container is held back.
    within: Duration,
    /// What a synchronization in several parts has told so far.
    told: SynchronizeRequest,
    configured: bool,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    fn new(plugin: &'a Plugin, stream: S) -> Session<'a, S> {
        Session {
            plugin,
            stream,
            decoder: Decoder::default(),
            late: mpsc::unbounded_channel(),
            runtime: String::new(),
            within: WITHIN,
            told: SynchronizeRequest::default(),
            configured: false,
        }
    }

    /// Registers, and serves until the connection ends.
    async fn serve(mut self, synchronized: &mut bool) -> Broken {
        let begun = Instant::now();
        if let Err(e) = self.register().await {
            return e;
        }
        loop {
            let left = Some(REGISTERED_WITHIN.saturating_sub(begun.elapsed())).filter(|_| !self.configured);
            let step = self.step(synchronized);
            let done = match left {
                Some(left) => timeout(left, step).await.unwrap_or(Err(Broken::Slow)),
                None => step.await,
            };
            if let Err(e) = done {
                return e;
            }
        }
    }

    async fn register(&mut self) -> Result<(), Broken> {
        let plugin = RegisterPluginRequest { plugin_name: NAME.to_owned(), plugin_idx: INDEX.to_owned() };
        let request = Request {
            service: "nri.pkg.api.v1alpha1.Runtime".to_owned(),
            method: "RegisterPlugin".to_owned(),
            payload: plugin.encode_to_vec(),
        };
        let data = request.encode_to_vec();
        self.send(&Message { connection: RUNTIME, stream: 1, kind: REQUEST, data }).await
    }

    async fn send(&mut self, message: &Message) -> Result<(), Broken> {
        Ok(self.stream.write_all(&message.encode()).await?)
    }

    /// Sends an answer that is ready by now, or takes what comes.
    async fn step(&mut self, synchronized: &mut bool) -> Result<(), Broken> {
        let mut bytes = [0; 16 << 10];
        let read = tokio::select! {
            Some(answer) = self.late.1.recv() => return self.send(&answer).await,
            read = self.stream.read(&mut bytes) => read?,
        };
        if read == 0 {
            return Err(Broken::Closed);
        }
        self.decoder.push(bytes.get(..read).unwrap_or_default())?;
        while let Some(message) = self.decoder.message()? {
            match (message.connection, message.kind) {
                (PLUGIN, REQUEST) => {
                    if let Some(data) = self.request(message.stream, &message.data, synchronized) {
                        self.send(&answer(message.stream, &data)).await?;
                    }
                }
                (RUNTIME, RESPONSE) => registered(&message.data)?,
                // What later versions know is not for this one.
                _ => {}
            }
        }
        Ok(())
    }

    /// Does what is asked. `None`: it is answered later.
    fn request(&mut self, stream: u32, data: &[u8], synchronized: &mut bool) -> Option<Response> {
        let Request { method, payload, .. } = read(data);
        let payload = payload.as_slice();
        Some(match method.as_str() {
            "Configure" => self.configure(&read(payload)),
            "Synchronize" => {
                let answer = self.synchronize(read(payload));
                *synchronized |= !answer.more;
                well(&answer)
            }
            "Shutdown" => Response::default(),
            "StateChange" => {
                let StateChangeEvent { event, pod, container } = read(payload);
                return self.event(stream, Event::of_number(event), PodContainerRequest { pod, container });
            }
            name => match Event::of_method(name) {
                Some(event) => return self.event(stream, Some(event), read(payload)),
                None => {
                    let message = format!("{name} is not what the plugin has asked for");
                    Response { status: Some(Status { code: UNIMPLEMENTED, message }), ..Response::default() }
                }
            },
        })
    }

    fn configure(&mut self, request: &ConfigureRequest) -> Response {
        self.runtime.clone_from(&request.runtime_name);
        self.configured = true;
        // Answered well before the runtime gives the plugin up.
        if let Some(most) = u64::try_from(request.request_timeout).ok().filter(|ms| *ms > 0) {
            self.within = WITHIN.min(Duration::from_millis(most) * 3 / 5);
        }
        tracing::debug!(
            runtime = request.runtime_name,
            version = request.runtime_version,
            within = ?self.within,
            "the container runtime has taken the plugin"
        );
        well(&ConfigureResponse { events: Event::bits() })
    }

    /// What there is: what the plugin knows from before and is not among it is no more.
    fn synchronize(&mut self, part: SynchronizeRequest) -> SynchronizeResponse {
        self.told.pods.extend(part.pods);
        self.told.containers.extend(part.containers);
        if part.more {
            return SynchronizeResponse { more: true };
        }
        let SynchronizeRequest { pods, containers, .. } = std::mem::take(&mut self.told);
        let uids: HashSet<String> = pods.iter().map(|pod| pod.uid.clone()).collect();
        let mut by_pod: BTreeMap<String, Vec<Container>> = BTreeMap::new();
        let running = containers.into_iter().filter(|c| c.state != STOPPED);
        for container in running {
            by_pod.entry(container.pod_sandbox_id.clone()).or_default().push(container);
        }
        let (all, held) = (pods.len(), by_pod.values().map(Vec::len).sum::<usize>());
        for pod in pods {
            let containers = by_pod.remove(&pod.id).unwrap_or_default();
            self.plugin.learn(Some(pod), containers, &self.runtime);
        }
        self.plugin.store.runtime_has(Instant::now(), |uid| uids.contains(uid));
        if self.plugin.alone {
            self.plugin.store.runtime_has_told_all();
        }
        self.plugin.counts.nri_connected.store(1, Ordering::Relaxed);
        tracing::info!(
            "NRI: {} tells of {all} pods with {held} containers, and new containers are held back until they \
             are known",
            self.runtime
        );
        SynchronizeResponse { more: false }
    }

    /// A pod or a container has come or gone.
    fn event(&self, stream: u32, event: Option<Event>, about: PodContainerRequest) -> Option<Response> {
        let (plugin, now) = (self.plugin, Instant::now());
        let PodContainerRequest { pod, container } = about;
        let (sandbox, uid) = pod.as_ref().map(|pod| (pod.id.clone(), pod.uid.clone())).unwrap_or_default();
        let id = container.as_ref().map(|c| c.id.clone()).unwrap_or_default();
        match event {
            Some(Event::RunPodSandbox | Event::CreateContainer) => {
                plugin.learn(pod, container.into_iter().collect(), &self.runtime);
            }
            Some(Event::StartContainer) if !uid.is_empty() => {
                plugin.learn(pod, container.into_iter().collect(), &self.runtime);
                self.hold(stream, id);
                return None;
            }
            Some(Event::RemoveContainer) => plugin.store.removed_container(&id, now),
            Some(Event::RemovePodSandbox) => plugin.store.removed_sandbox(&sandbox, &uid, now),
            // A sandbox that is of no pod: nobody will say more.
            Some(Event::StartContainer) | None => {}
        }
        plugin.store.sweep(now);
        Some(Response::default())
    }

    /// Answers when the kernel knows whose the container is.
    fn hold(&self, stream: u32, container: String) {
        let (gate, within, late) = (self.plugin.gate.clone(), self.within, self.late.0.clone());
        tokio::spawn(async move {
            gate.pass(Source::Nri, &container, true, within).await;
            // The connection may be gone.
            let _ = late.send(answer(stream, &Response::default()));
        });
    }
}

/// What is not as it should be is read as nothing: the runtime is not told, for its containers' sake.
fn read<T: prost::Message + Default>(data: &[u8]) -> T {
    T::decode(data).unwrap_or_else(|e| {
        tracing::warn!("NRI: a message of the runtime cannot be read: {e}");
        T::default()
    })
}

fn well(message: &impl prost::Message) -> Response {
    Response { payload: message.encode_to_vec(), ..Response::default() }
}

fn answer(stream: u32, response: &Response) -> Message {
    Message { connection: PLUGIN, stream, kind: RESPONSE, data: response.encode_to_vec() }
}

fn registered(data: &[u8]) -> Result<(), Broken> {
    match read::<Response>(data).status {
        Some(Status { code, message }) if code != 0 => Err(Broken::Refused(message)),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
