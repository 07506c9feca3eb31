//! The messages of NRI (nri.pkg.api.v1alpha1) and of ttrpc, with the fields that are used: what is not here
//! is skipped when it is read. Written by hand, because a build must not need protoc and the rest of the API
//! is about changing containers.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;

use crate::pods::object::{Container as PodContainer, Pod, qualified};

/// Labels that the kubelet adds for itself when it hands a pod's to the runtime.
const OF_KUBELET: [&str; 4] = [
    "io.kubernetes.pod.name",
    "io.kubernetes.pod.namespace",
    "io.kubernetes.pod.uid",
    "io.kubernetes.container.name",
];

/// Where runtimes that do not tell an image in a field of its own tell it: containerd and CRI-O.
pub const IMAGE_ANNOTATIONS: [&str; 2] = ["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"];

/// A call.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// Name of the service.
    #[prost(string, tag = "1")]
    pub service: String,
    /// Name of the method.
    #[prost(string, tag = "2")]
    pub method: String,
    /// The method's message.
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
}

/// The answer to a call.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// How it went; none: well.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    /// The method's message.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

/// How a call went.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// As in gRPC; 0 is well.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// Why not.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// A plugin says who it is.
#[derive(Clone, PartialEq, Message)]
pub struct RegisterPluginRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub plugin_name: String,
    /// Two digits: plugins are called in their order.
    #[prost(string, tag = "2")]
    pub plugin_idx: String,
}

/// The runtime says who it is.
#[derive(Clone, PartialEq, Message)]
pub struct ConfigureRequest {
    /// `containerd`, `cri-o`.
    #[prost(string, tag = "2")]
    pub runtime_name: String,
    /// Its version.
    #[prost(string, tag = "3")]
    pub runtime_version: String,
    /// Milliseconds that a plugin has for a request. Older runtimes do not say it.
    #[prost(int64, tag = "5")]
    pub request_timeout: i64,
}

/// The plugin says what it wants to be told.
#[derive(Clone, PartialEq, Message)]
pub struct ConfigureResponse {
    /// A bit for each [`Event`].
    #[prost(int32, tag = "2")]
    pub events: i32,
}

/// All pods and containers that there are.
#[derive(Clone, PartialEq, Message)]
pub struct SynchronizeRequest {
    /// The pods.
    #[prost(message, repeated, tag = "1")]
    pub pods: Vec<PodSandbox>,
    /// The containers.
    #[prost(message, repeated, tag = "2")]
    pub containers: Vec<Container>,
    /// More of them come in another request.
    #[prost(bool, tag = "3")]
    pub more: bool,
}

/// The plugin has taken them.
#[derive(Clone, PartialEq, Message)]
pub struct SynchronizeResponse {
    /// It can take more, if there are.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// The requests about one pod or container: all have these fields.
#[derive(Clone, PartialEq, Message)]
pub struct PodContainerRequest {
    /// The pod.
    #[prost(message, optional, tag = "1")]
    pub pod: Option<PodSandbox>,
    /// The container, if it is about one.
    #[prost(message, optional, tag = "2")]
    pub container: Option<Container>,
}

/// The same for all events that have no request of their own; before NRI 0.11 that is most of them.
#[derive(Clone, PartialEq, Message)]
pub struct StateChangeEvent {
    /// Which event.
    #[prost(int32, tag = "1")]
    pub event: i32,
    /// The pod.
    #[prost(message, optional, tag = "2")]
    pub pod: Option<PodSandbox>,
    /// The container, if it is about one.
    #[prost(message, optional, tag = "3")]
    pub container: Option<Container>,
}

/// A pod.
#[derive(Clone, PartialEq, Message)]
pub struct PodSandbox {
    /// Id of its sandbox.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Its uid, as cgroups name it.
    #[prost(string, tag = "3")]
    pub uid: String,
    /// Namespace.
    #[prost(string, tag = "4")]
    pub namespace: String,
    /// Labels, as they were when it was made, and the kubelet's.
    #[prost(map = "string, string", tag = "5")]
    pub labels: HashMap<String, String>,
    /// Annotations.
    #[prost(map = "string, string", tag = "6")]
    pub annotations: HashMap<String, String>,
}

/// A container.
#[derive(Clone, PartialEq, Message)]
pub struct Container {
    /// Id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Id of its pod's sandbox.
    #[prost(string, tag = "2")]
    pub pod_sandbox_id: String,
    /// Name in the pod.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Its state, of which [`STOPPED`] is one.
    #[prost(int32, tag = "4")]
    pub state: i32,
    /// Annotations of its OCI spec.
    #[prost(map = "string, string", tag = "6")]
    pub annotations: HashMap<String, String>,
    /// Its image; older runtimes tell it in an annotation only.
    #[prost(message, optional, tag = "22")]
    pub image: Option<Image>,
}

/// An image.
#[derive(Clone, PartialEq, Message)]
pub struct Image {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// [`Container::state`] of one that has ended.
pub const STOPPED: i32 = 4;

/// What a plugin can be told. All that the agent wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A pod was made.
    RunPodSandbox = 1,
    /// A pod was removed.
    RemovePodSandbox = 3,
    /// A container is about to be made.
    CreateContainer = 4,
    /// A container is made, and about to be started.
    StartContainer = 6,
    /// A container was removed.
    RemoveContainer = 11,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 5] = [
        Event::RunPodSandbox,
        Event::RemovePodSandbox,
        Event::CreateContainer,
        Event::StartContainer,
        Event::RemoveContainer,
    ];

    /// By its number.
    pub fn of_number(number: i32) -> Option<Event> {
        Event::ALL.into_iter().find(|event| *event as i32 == number)
    }

    /// By the name of its method.
    pub fn of_method(name: &str) -> Option<Event> {
        Event::ALL.into_iter().find(|event| format!("{event:?}") == name)
    }

    /// The bits of all of them.
    pub fn bits() -> i32 {
        Event::ALL.into_iter().fold(0, |bits, event| bits | 1 << (event as i32 - 1))
    }
}

impl PodSandbox {
    /// What is kept of it. `None`: it has no uid, so it is no pod of a kubelet.
    pub fn pod(self, annotations: bool) -> Option<Pod> {
        let uid: Arc<str> = Some(self.uid).filter(|uid| !uid.is_empty())?.into();
        let labels = self.labels.into_iter().filter(|(key, _)| !OF_KUBELET.contains(&key.as_str()));
        Some(Pod {
            cgroup_uid: uid.clone(),
            uid,
            namespace: self.namespace,
            name: self.name,
            labels: labels.collect(),
            annotations: self.annotations.into_iter().filter(|_| annotations).collect(),
            ..Pod::default()
        })
    }
}

impl Container {
    /// What is kept of it. `whole`: nobody tells more.
    pub fn container(mut self, runtime: &str, whole: bool) -> PodContainer {
        let named = self.image.map(|image| image.name).filter(|name| !name.is_empty());
        let image = named.or_else(|| IMAGE_ANNOTATIONS.iter().find_map(|key| self.annotations.remove(*key)));
        PodContainer {
            url: format!("{runtime}://{}", self.id),
            name: self.name,
            image: image.map(|image| qualified(&image)).unwrap_or_default(),
            running: true,
            whole,
            ..PodContainer::default()
        }
    }
}
