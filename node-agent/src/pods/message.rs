//! `process.pod` of events.

use tetragon_api::event::{Container as ContainerMessage, Image, Pod as PodMessage, SecurityContext};

use super::object::{Container, Pod};
use super::probe::is_probe;

/// What events say of a process of a pod. Without a container: it is the pod's sandbox, or one that is not
/// known. `nspid`: its id in its own PID namespace, 0 if it is not known.
pub fn message(
    pod: &Pod,
    container: Option<&Container>,
    nspid: u32,
    binary: &str,
    arguments: &str,
) -> PodMessage {
    let pid = Some(nspid).filter(|pid| *pid > 0);
    PodMessage {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.as_ref().to_owned(),
        container: container.map(|c| ContainerMessage {
            id: c.url.clone(),
            name: c.name.clone(),
            image: Some(Image { id: c.image_id.clone(), name: c.image.clone() }),
            start_time: c.started,
            pid,
            maybe_exec_probe: c.spec.probes.iter().any(|probe| is_probe(probe, binary, arguments)),
            security_context: Some(SecurityContext { privileged: c.spec.privileged }),
        }),
        pod_labels: pod.labels.clone().into_iter().collect(),
        workload: pod.workload.clone(),
        workload_kind: pod.workload_kind.clone(),
        pod_annotations: pod.annotations.clone().into_iter().collect(),
    }
}
