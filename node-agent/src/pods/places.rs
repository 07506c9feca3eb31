//! Where a process is, from what the kernel tells at its exec: the id of its cgroup and the last part of the
//! cgroup's path, in the hierarchy that containers are told apart by, of either version. Of a pod's
//! cgroup that was made while the agent ran the kernel has told the path; of the others only `/proc` has it: it
//! is read once for each.
//!
//! An agent that sees no such hierarchy is told of the unified one beside version 1, which does not tell one
//! container from another, or of its root.

use std::collections::HashMap;

use tetragon_engine::CgroupRecord;

use super::cgroup::{OfPod, Place};

/// Cgroups remembered.
const KNOWN_MAX: usize = 8192;

/// Files read in a second, so that a node on cgroup version 1, where every exec outside of containers' own
/// cgroups needs one, does not spend more than some percent of a processor.
const READS_PER_SECOND: u32 = 1000;

/// The root of each hierarchy.
const ROOT: u64 = 1;

/// Remembers cgroups.
#[derive(Debug)]
pub struct Places {
    /// By the id of the cgroup, until it is removed.
    by_cgroup: HashMap<u64, Place>,
    reads: u32,
}

impl Default for Places {
    fn default() -> Places {
        Places { by_cgroup: HashMap::new(), reads: READS_PER_SECOND }
    }
}

impl Places {
    /// Once a second: renews the allowance of files.
    pub fn tick(&mut self) {
        self.reads = READS_PER_SECOND;
    }

    /// Where a process is. `before`: where what made it is, or where it was itself. `read` reads its
    /// `/proc/PID/cgroup`; `None`: it has ended.
    pub fn of(
        &mut self,
        cgroup: u64,
        name: &str,
        before: &Place,
        read: impl FnOnce() -> Option<String>,
    ) -> Place {
        let has_id = cgroup > ROOT;
        if let Some(place) = self.by_cgroup.get(&cgroup).filter(|_| has_id) {
            return place.clone();
        }
        let named = Place::of_name(name);
        // The root may be all that is told. What a pod's container starts is in it. (Containers without
        // Kubernetes may be nodes themselves, that start pods.)
        if !has_id && named.container.is_none() && before.container.is_some() && before.pod != OfPod::No {
            return before.clone();
        }
        let file = self.reads.checked_sub(1).and_then(|left| {
            self.reads = left;
            read()
        });
        // Beside version 1, an id that is not that of a container's own cgroup may be of the unified hierarchy,
        // which does not tell one container from another.
        let alone = file.as_ref().is_some_and(|text| text.lines().all(|l| l.starts_with("0::")));
        let tells = alone || named.container.is_some();
        match file.and_then(|text| Place::of_file(&text, name)) {
            Some(place) => {
                if has_id && tells && !name.is_empty() {
                    self.learn(cgroup, place.clone());
                }
                place
            }
            None if named.container.is_some() => named,
            // It has ended: a cgroup without a container's name is below the container of what made it.
            None => before.clone(),
        }
    }

    /// A pod's cgroup was made, or removed.
    pub fn changed(&mut self, cgroup: &CgroupRecord) {
        if cgroup.gone {
            self.by_cgroup.remove(&cgroup.id);
        } else {
            self.learn(cgroup.id, Place::of_path(&cgroup.path));
        }
    }

    /// Where a process in that cgroup is, if that is known without asking.
    pub fn known(&self, cgroup: u64) -> Option<&Place> {
        self.by_cgroup.get(&cgroup)
    }

    fn learn(&mut self, cgroup: u64, place: Place) {
        if self.by_cgroup.len() >= KNOWN_MAX {
            // Those that are in use come back with their next exec.
            self.by_cgroup.clear();
        }
        self.by_cgroup.insert(cgroup, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42";

    fn inside() -> Place {
        Place { container: Some(A.into()), pod: OfPod::Uid(UID.into()) }
    }

    fn never() -> Option<String> {
        panic!("/proc is read")
    }

    fn file(below: &str) -> String {
        format!("0::/kubepods/pod{UID}/{A}{below}\n")
    }

    #[test]
    fn a_cgroup_is_looked_up_once() {
        let mut places = Places::default();
        let host = Place::default();
        assert_eq!(places.of(70, A, &host, || Some(file(""))), inside());
        assert_eq!(places.of(70, A, &host, never), inside());
        // A cgroup in the container has a name of its own.
        assert_eq!(places.of(71, "init.scope", &inside(), || Some(file("/init.scope"))), inside());
        assert_eq!(places.of(71, "init.scope", &host, never), inside());
        assert_eq!(places.of(72, "session-1.scope", &host, || Some("0::/session-1.scope".into())), host);
        assert_eq!(places.of(72, "session-1.scope", &host, never), host);
    }

    #[test]
    fn the_cgroup_of_a_pod_is_known_from_its_beginning_to_its_end() {
        let mut places = Places::default();
        let made = CgroupRecord { id: 70, path: format!("/kubepods/pod{UID}/{A}"), gone: false };
        places.changed(&made);
        assert_eq!(places.known(70), Some(&inside()));
        assert_eq!(places.of(70, A, &Place::default(), never), inside());
        places.changed(&CgroupRecord { gone: true, ..made });
        assert_eq!(places.known(70), None, "another may have its id");
    }

    #[test]
    fn a_process_that_has_ended_is_where_its_name_or_its_parent_says() {
        let mut places = Places::default();
        let host = Place::default();
        let named = Place { container: Some(A.into()), pod: OfPod::Maybe };
        let name = format!("cri-containerd-{A}.scope");
        assert_eq!(places.of(70, &name, &host, || None), named);
        assert_eq!(places.of(71, "init.scope", &inside(), || None), inside());
        // The id is another process's by now.
        assert_eq!(places.of(70, &name, &host, || Some("0::/user.slice\n".into())), named);
        assert_eq!(places.of(71, "payload", &inside(), || Some("0::/user.slice\n".into())), inside());
        // None of that was remembered.
        assert_eq!(places.of(71, "init.scope", &host, || Some(file("/init.scope"))), inside());
    }

    /// Both versions are mounted, and the runtime makes cgroups in version 1 only: all that containerd
    /// starts has the unified cgroup of containerd.
    #[test]
    fn a_unified_hierarchy_beside_version_1_says_nothing() {
        let mut places = Places::default();
        let host = Place::default();
        let name = "containerd.service";
        let of = |path: &str| Some(format!("4:memory:{path}\n0::/system.slice/{name}\n"));
        assert_eq!(places.of(60, name, &host, || of(&format!("/kubepods/pod{UID}/{A}"))), inside());
        assert_eq!(places.of(60, name, &host, || of("/system.slice/containerd.service")), host);
    }

    #[test]
    fn version_1_tells_a_containers_own_cgroup() {
        let mut places = Places::default();
        let host = Place::default();
        let v1 = |below: &str| {
            let path = format!("/kubepods/pod{UID}/{A}{below}");
            Some(format!("4:memory:{path}\n1:name=systemd:{path}\n0::/\n"))
        };
        assert_eq!(places.of(70, A, &host, || v1("")), inside());
        assert_eq!(places.of(70, A, &host, never), inside(), "once");
        // Others are looked up each time.
        assert_eq!(places.of(71, "below", &host, || v1("/below")), inside());
        assert_eq!(places.of(71, "below", &host, || Some("4:memory:/below\n".into())), host);
    }

    #[test]
    fn an_agent_that_sees_no_hierarchy_is_told_of_the_root() {
        let mut places = Places::default();
        let host = Place::default();
        let v1 = format!("4:memory:/kubepods/pod{UID}/{A}\n1:name=systemd:/kubepods/pod{UID}/{A}\n");
        assert_eq!(places.of(1, "", &host, || Some(v1)), inside());
        // What a container's process makes is in the container.
        assert_eq!(places.of(1, "", &inside(), never), inside());
        assert_eq!(places.of(1, "", &host, || Some("4:memory:/\n".into())), host);
        // A node that is a container starts a pod.
        let node = Place { container: Some(A.into()), pod: OfPod::No };
        assert_eq!(places.of(1, "", &node, || Some(file(""))), inside());
        for _ in 0..READS_PER_SECOND {
            places.of(1, "", &host, || None);
        }
        assert_eq!(places.of(1, "", &host, never), host);
        places.tick();
        assert_eq!(places.of(1, "", &host, || Some(file(""))), inside());
    }
}
