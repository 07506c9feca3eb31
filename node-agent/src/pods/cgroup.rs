//! From the name or the path of a cgroup to the container, for both versions of cgroups, both drivers of
//! the kubelet (systemd and cgroupfs) and the runtimes' ways to name them.

use std::sync::Arc;

/// Characters of a container's id that events show, and by which it is found: 124 bits.
pub const SHOWN: usize = 31;

/// Length of a container's id.
const ID: usize = 64;

/// Where a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Id of its container; `None`: it is in none.
    pub container: Option<Arc<str>>,
    /// Whether that is one of a pod.
    pub pod: OfPod,
}

/// Whether a container is one of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OfPod {
    /// It is not.
    #[default]
    No,
    /// Only its name is known, which does not say it.
    Maybe,
    /// Of the pod with this uid (of a static pod: the hash of its manifest).
    Uid(Arc<str>),
}

impl Place {
    /// The container's id as events show it; empty for none.
    pub fn shown(&self) -> &str {
        self.container.as_deref().and_then(|id| id.get(..SHOWN)).unwrap_or_default()
    }

    /// What the last part of a path says, which is all that the kernel tells.
    pub fn of_name(name: &str) -> Place {
        match container_id(name) {
            Some(id) => Place { container: Some(id.into()), pod: OfPod::Maybe },
            None => Place::default(),
        }
    }

    /// What a path says. Of a container in a pod's container, the pod's is meant; outside of pods, the
    /// innermost.
    pub fn of_path(path: &str) -> Place {
        // A runtime that was told systemd's name and makes the cgroup itself puts three into one part.
        let mut parts = path.split(['/', ':']);
        if let Some(uid) = parts.by_ref().find_map(pod_uid) {
            return Place {
                container: parts.find_map(container_id).map(Arc::from),
                pod: OfPod::Uid(uid.into()),
            };
        }
        let container = path.split('/').rev().find_map(container_id).map(Arc::from);
        // The path of another cgroup as seen from a container begins where that one is: what is above both
        // is not in it.
        let cut = path.starts_with("/..");
        let pod = if cut && container.is_some() { OfPod::Maybe } else { OfPod::No };
        Place { container, pod }
    }

    /// What `/proc/PID/cgroup` says. `name`: the cgroup's name, as the kernel told it; `None` if the file
    /// speaks of another one, because the process has moved or is another.
    pub fn of_file(text: &str, name: &str) -> Option<Place> {
        let paths = || text.lines().filter_map(|l| l.splitn(3, ':').nth(2));
        // As seen from its own container, a cgroup is "/".
        let known = |path: &str| path == "/" || path.rsplit('/').next() == Some(name);
        if !name.is_empty() && !paths().any(known) {
            return None;
        }
        let places: Vec<Place> = paths().map(Place::of_path).collect();
        let in_pod = places.iter().find(|p| p.container.is_some() && p.pod != OfPod::No);
        let found = in_pod.or_else(|| places.iter().find(|p| p.container.is_some()));
        let named = Place::of_name(name);
        match found {
            Some(place) => Some(place.clone()),
            // Only its name says that it is a container.
            None if named.container.is_some() => Some(named),
            None => Some(Place::default()),
        }
    }
}

/// The id in one part of a path: `<id>`, `cri-containerd-<id>.scope`, `crio-<id>.scope`,
/// `docker-<id>.scope`, `libpod-<id>.scope`, `slice:cri-containerd:<id>`. What watches a container is not
/// in it: `crio-conmon-<id>.scope`.
pub fn container_id(part: &str) -> Option<&str> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    let id = name.rsplit(['-', ':']).next()?;
    let before = &name[..name.len() - id.len()];
    let is_id = id.len() == ID && id.bytes().all(|b| b.is_ascii_hexdigit());
    (is_id && !before.ends_with("conmon-")).then_some(id)
}

/// A path is that of a pod's own cgroup, in which the runtime makes those of the pod's containers.
pub fn is_pods_own(path: &str) -> bool {
    let Some((above, name)) = path.rsplit_once('/') else { return false };
    pod_uid(name).is_some() && Place::of_path(above).pod == OfPod::No
}

/// A cgroup's name says that it is that of a container's monitor: `crio-conmon-<id>.scope`.
pub fn is_monitors(name: &str) -> bool {
    name.contains("-conmon-")
}

/// The uid in one part of a path: `pod<uid>`, `kubepods-burstable-pod<uid>.slice`.
fn pod_uid(part: &str) -> Option<String> {
    let uid = match part.strip_suffix(".slice") {
        // systemd takes a dash for a level.
        Some(slice) => slice.rsplit_once("-pod")?.1.replace('_', "-"),
        None => part.strip_prefix("pod")?.to_owned(),
    };
    let is_uid = uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    is_uid.then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    const UID: &str = "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42";
    const SLICE: &str = "8d2e5a4f_9c1b_4f6e_a1d3_0c9b7e6f5a42";
    const STATIC: &str = "4d4b6a0d1a2c4b5e8f9a0b1c2d3e4f50";

    /// The container's id, and the pod's uid, "?" (not known) or "" (none).
    fn of(place: &Place) -> (&str, &str) {
        let pod = match &place.pod {
            OfPod::No => "",
            OfPod::Maybe => "?",
            OfPod::Uid(uid) => uid,
        };
        (place.container.as_deref().unwrap_or_default(), pod)
    }

    #[test]
    fn paths_of_drivers_and_runtimes() {
        for (path, container, pod) in [
            // containerd, systemd driver.
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE}.slice/cri-containerd-{A}.scope"
                ),
                A,
                UID,
            ),
            // Guaranteed pods have no slice of their class.
            (format!("/kubepods.slice/kubepods-pod{SLICE}.slice/cri-containerd-{A}.scope"), A, UID),
            // CRI-O, and what watches its container.
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{SLICE}.slice/crio-{A}.scope"
                ),
                A,
                UID,
            ),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{SLICE}.slice/crio-{A}.scope/container"
                ),
                A,
                UID,
            ),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{SLICE}.slice/crio-conmon-{A}.scope"
                ),
                "",
                UID,
            ),
            // cri-dockerd.
            (format!("/kubepods.slice/kubepods-pod{SLICE}.slice/docker-{A}.scope"), A, UID),
            // cgroupfs driver, of both versions.
            (format!("/kubepods/burstable/pod{UID}/{A}"), A, UID),
            (format!("/kubepods/pod{UID}/{A}"), A, UID),
            // containerd with a runtime that was told systemd's name without systemd.
            (
                format!(
                    "/system.slice/containerd.service/kubepods-burstable-pod{SLICE}.slice:cri-containerd:{A}"
                ),
                A,
                UID,
            ),
            // A static pod is named by the hash of its manifest.
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC}.slice/cri-containerd-{A}.scope"
                ),
                A,
                STATIC,
            ),
            // Cgroups below the container's own: systemd in it, and a container in it.
            (format!("/kubepods/burstable/pod{UID}/{A}/init.scope"), A, UID),
            (format!("/kubepods/burstable/pod{UID}/{A}/system.slice/nginx.service"), A, UID),
            (format!("/kubepods/burstable/pod{UID}/{A}/docker/{B}"), A, UID),
            // kind: a node that is a container.
            (format!("/docker/{B}/kubelet/kubepods/besteffort/pod{UID}/{A}"), A, UID),
            (
                format!(
                    "/system.slice/docker-{B}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{SLICE}.slice/cri-containerd-{A}.scope"
                ),
                A,
                UID,
            ),
            // Containers without Kubernetes.
            (format!("/docker/{A}"), A, ""),
            (format!("/docker/{A}/docker/{B}"), B, ""),
            (format!("/system.slice/docker-{A}.scope"), A, ""),
            (format!("/machine.slice/libpod-{A}.scope/container"), A, ""),
            (format!("/machine.slice/libpod-conmon-{A}.scope"), "", ""),
            // As seen from a container.
            (format!("/../../besteffort/pod{UID}/{A}"), A, UID),
            (format!("/../cri-containerd-{A}.scope"), A, "?"),
            // None.
            ("/".to_owned(), "", ""),
            ("/user.slice/user-0.slice/session-1.scope".to_owned(), "", ""),
            ("/system.slice/kubelet.service".to_owned(), "", ""),
            (format!("/system.slice/container-{A}.service"), "", ""),
        ] {
            assert_eq!(of(&Place::of_path(&path)), (container, pod), "{path}");
        }
    }

    #[test]
    fn names_alone_do_not_say_whether_it_is_a_pod() {
        for name in [
            format!("cri-containerd-{A}.scope"),
            format!("crio-{A}.scope"),
            format!("docker-{A}.scope"),
            format!("kubelet-kubepods.slice:cri-containerd:{A}"),
            A.to_owned(),
        ] {
            let place = Place::of_name(&name);
            assert_eq!((of(&place), place.shown()), ((A, "?"), &A[..31]), "{name}");
        }
        for name in [
            "",
            "user.slice",
            "session-1.scope",
            "init.scope",
            "a-very-long-name-of-a-service-that-is-no-id",
            "run-r0123456789abcdef0123456789abcdef.scope",
            &A[..63],
            &format!("crio-conmon-{A}.scope"),
        ] {
            assert_eq!(Place::of_name(name), Place::default(), "{name}");
        }
    }

    #[test]
    fn files_of_both_versions() {
        let v2 = format!("0::/kubepods.slice/kubepods-pod{SLICE}.slice/cri-containerd-{A}.scope\n");
        let name = format!("cri-containerd-{A}.scope");
        assert_eq!(of(&Place::of_file(&v2, &name).unwrap()), (A, UID));
        // Version 1: some runtimes make no cgroup in every hierarchy.
        let v1 = format!(
            "12:pids:/kubepods/burstable/pod{UID}/{A}\n3:cpuset:/kubepods/burstable/pod{UID}/{A}\n\
             1:name=systemd:/kubepods/burstable/pod{UID}/{A}\n0::/system.slice/containerd.service\n"
        );
        assert_eq!(of(&Place::of_file(&v1, "").unwrap()), (A, UID));
        assert_eq!(of(&Place::of_file(&v1, "containerd.service").unwrap()), (A, UID));
        // The process has moved, or its id is another's by now.
        assert_eq!(Place::of_file(&v1, &name), None);
        // The agent's own cgroup, from within.
        assert_eq!(of(&Place::of_file("0::/\n", &name).unwrap()), (A, "?"));
        assert_eq!(Place::of_file("0::/user.slice\n", "user.slice"), Some(Place::default()));
        assert_eq!(Place::of_file("1:name=systemd:/\n0::/\n", ""), Some(Place::default()));
    }
}
