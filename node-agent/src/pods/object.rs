//! A pod as the API server tells it, and what is kept of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use tetragon_api::event::Timestamp;
use tetragon_api::owner::{Workload, workload};
use tetragon_api::workload;

/// Where a static pod's mirror says what cgroups call the pod.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// Every mirror has it.
const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

/// The name of an image as kubelet reports it: `nginx:1.27` is `docker.io/library/nginx:1.27`. Runtimes give it
/// to plugins as it stands in the pod.
pub fn qualified(image: &str) -> String {
    match image.split_once('/') {
        _ if image.is_empty() || image.starts_with("sha256:") => image.to_owned(),
        None => format!("docker.io/library/{image}"),
        Some((host, _)) if host == "localhost" || host.contains(['.', ':']) => image.to_owned(),
        Some(_) => format!("docker.io/{image}"),
    }
}

/// A pod of the API, of which only this is read.
pub type Object = kube::core::Object<Spec, Status>;

/// Of `spec`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    containers: Vec<ContainerSpec>,
    init_containers: Vec<ContainerSpec>,
    ephemeral_containers: Vec<ContainerSpec>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerSpec {
    name: String,
    security_context: Option<SecurityContext>,
    liveness_probe: Option<Probe>,
    readiness_probe: Option<Probe>,
    startup_probe: Option<Probe>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SecurityContext {
    privileged: Option<bool>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Probe {
    exec: Option<ExecAction>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct ExecAction {
    command: Vec<String>,
}

/// Of `status`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
    ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    name: String,
    image: String,
    #[serde(rename = "imageID")]
    image_id: String,
    #[serde(rename = "containerID")]
    container_id: String,
    state: State,
    /// The container before a restart.
    last_state: State,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    running: Option<Since>,
    terminated: Option<Since>,
}

impl State {
    /// The container that has ended.
    fn ended(&self) -> Option<(&str, &Since)> {
        let since = self.terminated.as_ref()?;
        Some((since.container_id.as_str(), since)).filter(|(id, _)| !id.is_empty())
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Since {
    started_at: Option<String>,
    /// Of what has ended.
    #[serde(rename = "containerID")]
    container_id: String,
}

/// What is kept of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Its uid.
    pub uid: Arc<str>,
    /// Its uid in the paths of cgroups: another one for a static pod, which is older than its object.
    pub cgroup_uid: Arc<str>,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations, if events show them.
    pub annotations: BTreeMap<String, String>,
    /// What it was made for.
    pub workload: String,
    /// And what that is. Empty: only the container runtime has told of the pod, which does not know it.
    pub workload_kind: String,
    /// Containers that were started: init containers, those of the spec, ephemeral ones, each followed by the
    /// one before its last restart.
    pub containers: Vec<Arc<Container>>,
    /// What the spec says of containers, started or not.
    pub specs: Vec<Arc<OfSpec>>,
}

/// What only the spec says of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OfSpec {
    /// Name in the pod.
    pub name: String,
    /// `securityContext.privileged`.
    pub privileged: bool,
    /// Commands of its exec probes.
    pub probes: Vec<Vec<String>>,
}

/// A container of a pod, as its status says, or its runtime.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Id with the runtime: `containerd://<id>`.
    pub url: String,
    /// Name in the pod.
    pub name: String,
    /// Image, as the status names it.
    pub image: String,
    /// Image by digest.
    pub image_id: String,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// It runs: it has not ended, and is not between two tries.
    pub running: bool,
    /// What its spec says of it.
    pub spec: Arc<OfSpec>,
    /// All that events show is known. NRI does not tell the image's digest and the start.
    pub whole: bool,
}

impl Container {
    /// The id alone.
    pub fn id(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, id)| id)
    }

    /// Repository of the image: that of the digest, else that of the name.
    pub fn repo(&self) -> &str {
        let plain = |text| -> &str { str::split_once(text, "://").map_or(text, |(_, rest)| rest) };
        if let Some((repo, _)) = plain(&self.image_id).split_once('@') {
            return repo;
        }
        let name = self.image.split('@').next().unwrap_or_default();
        // Of a name that is a digest there is no repository.
        if name.starts_with("sha256:") {
            return "";
        }
        // A colon before the last slash is that of a port.
        match name.rsplit_once(':') {
            Some((repo, tag)) if !tag.contains('/') => repo,
            _ => name,
        }
    }
}

impl Pod {
    /// The API server has told of it.
    pub fn is_reported(&self) -> bool {
        !self.workload_kind.is_empty()
    }

    /// What is kept of an object; `None`: it has no uid, so it is none of an API server.
    pub fn new(object: Object, annotations: bool) -> Option<Pod> {
        let Object { metadata: meta, spec, status, .. } = object;
        let uid: Arc<str> = meta.uid.as_deref().filter(|uid| !uid.is_empty())?.into();
        // Anybody may annotate a pod: only what kubelet has made is believed, and a hash is never the uid of
        // another pod, which has dashes.
        let of_node = meta.owner_references.iter().flatten().any(|o| o.kind == "Node");
        let hash = meta.annotations.as_ref().filter(|a| of_node && a.contains_key(CONFIG_MIRROR));
        let hash = hash.and_then(|a| a.get(CONFIG_HASH)).filter(|hash| !hash.contains('-'));
        let cgroup_uid = hash.map_or_else(|| uid.clone(), |hash| Arc::from(hash.as_str()));
        let Workload { name: workload, kind: workload_kind, .. } = workload(&meta);
        let specs: Vec<Arc<OfSpec>> =
            spec.containers().map(|spec| Arc::new(OfSpec::new(spec.clone()))).collect();
        let ObjectMeta { namespace, name, labels, annotations: all, .. } = meta;
        Some(Pod {
            uid,
            cgroup_uid,
            namespace: namespace.unwrap_or_default(),
            name: name.unwrap_or_default(),
            labels: labels.unwrap_or_default(),
            annotations: all.filter(|_| annotations).unwrap_or_default(),
            workload,
            workload_kind,
            containers: containers(&specs, status.unwrap_or_default()),
            specs,
        })
    }

    /// What policies can ask of a container, or of the pod as long as none of its containers is known. What
    /// is not known is left out.
    pub fn identity(&self, container: Option<&Container>) -> workload::Container {
        let mut labels = self.labels.clone();
        let own = [&self.namespace, &self.name, &self.workload, &self.workload_kind];
        let known = if self.is_reported() { own.len() } else { own.len() - 2 };
        let own = workload::EXTRA_LABELS.map(str::to_owned).into_iter().zip(own.map(Clone::clone));
        labels.extend(own.take(known));
        workload::Container {
            namespace: self.namespace.clone(),
            labels,
            name: container.map(|c| c.name.clone()).unwrap_or_default(),
            repo: container.map(|c| c.repo().to_owned()).unwrap_or_default(),
        }
    }
}

impl Spec {
    fn containers(&self) -> impl Iterator<Item = &ContainerSpec> {
        self.init_containers.iter().chain(&self.containers).chain(&self.ephemeral_containers)
    }
}

impl OfSpec {
    fn new(spec: ContainerSpec) -> OfSpec {
        let probes = [spec.liveness_probe, spec.readiness_probe, spec.startup_probe];
        OfSpec {
            name: spec.name,
            privileged: spec.security_context.and_then(|c| c.privileged).unwrap_or(false),
            probes: probes.into_iter().flatten().filter_map(|p| p.exec).map(|e| e.command).collect(),
        }
    }

    /// That of a name; names of containers are used once in a pod.
    pub fn of(specs: &[Arc<OfSpec>], name: &str) -> Arc<OfSpec> {
        specs.iter().find(|s| s.name == name).cloned().unwrap_or_default()
    }
}

/// The containers that have an id.
fn containers(specs: &[Arc<OfSpec>], status: Status) -> Vec<Arc<Container>> {
    let lists =
        [status.init_container_statuses, status.container_statuses, status.ephemeral_container_statuses];
    let all = lists.into_iter().flatten().flat_map(|s| container(OfSpec::of(specs, &s.name), s));
    all.map(Arc::new).collect()
}

/// The container of a status, and the one before its restart: the kubelet does not report each state, so its
/// id may be told there for the first time, while its events wait.
fn container(spec: Arc<OfSpec>, status: ContainerStatus) -> impl Iterator<Item = Container> {
    let ContainerStatus { name, image, image_id, container_id, state, last_state } = status;
    let before = last_state.ended().map(|(id, since)| (id.to_owned(), since.started_at.clone()));
    let (same, before) = match before {
        // It waits for its next try.
        Some((id, since)) if id == container_id => (since, None),
        other => (None, other),
    };
    let running = state.running.is_some();
    let since = state.running.or(state.terminated).and_then(|s| s.started_at).or(same);
    let of = move |url: String, since: Option<String>, running: bool| Container {
        url,
        name: name.clone(),
        image: image.clone(),
        image_id: image_id.clone(),
        started: since.and_then(|time| time.parse().ok()),
        running,
        spec: spec.clone(),
        whole: true,
    };
    let own = Some((container_id, since, running)).filter(|(id, ..)| !id.is_empty());
    let before = before.map(|(id, since)| (id, since, false));
    own.into_iter().chain(before).map(move |(id, since, running)| of(id, since, running))
}

#[cfg(test)]
#[path = "object_tests.rs"]
pub mod tests;
