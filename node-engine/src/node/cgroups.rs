//! The node's cgroups: which hierarchy containers are told apart by, and those that are there when the
//! agent starts. Later ones the kernel's own programs note (node-ebpf/src/cgroups.rs).

use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use tetragon_abi::cgroup::{Cgroup, NAME, part_of_name};

/// A cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub root: PathBuf,
    /// Its number in the kernel; 0: the unified one, cgroup v2.
    pub number: u32,
    /// Of a v1 hierarchy, a subsystem's index in the kernel and 1; 0: the unified one.
    pub subsystem: u32,
}

/// Subsystems whose v1 hierarchy has a cgroup for each container, with the kernel's name of their index.
const SUBSYSTEMS: [(&str, &str); 3] =
    [("memory", "memory_cgrp_id"), ("pids", "pids_cgrp_id"), ("cpuset", "cpuset_cgrp_id")];

/// Where the chart mounts the node's cgroups: in a container's own place only its own cgroups are.
const MOUNTED: &str = "/cgroupRoot";

impl Hierarchy {
    /// The one that the host's first process sees: the unified one where it is mounted alone, else a v1
    /// hierarchy; beside those, container runtimes do not use it. `constant` is one of the kernel's enums.
    pub fn find(procfs: &str, constant: &dyn Fn(&str) -> Option<u32>) -> Option<Hierarchy> {
        let first = Path::new(procfs).join("1");
        let list = fs::read_to_string(first.join("cgroup")).unwrap_or_default();
        // To look into the first process's root needs rights that not every node gives.
        let roots = [first.join("root/sys/fs/cgroup"), MOUNTED.into(), "/sys/fs/cgroup".into()];
        let all: Vec<_> = roots.iter().filter_map(|root| Hierarchy::at(root, &list, constant)).collect();
        all.iter().find(|h| h.is_whole()).or(all.first()).cloned()
    }

    /// What is mounted there; `list` is the first process's /proc/1/cgroup.
    fn at(root: &Path, list: &str, constant: &dyn Fn(&str) -> Option<u32>) -> Option<Hierarchy> {
        if root.join("cgroup.controllers").exists() {
            return Some(Hierarchy { root: root.to_owned(), number: 0, subsystem: 0 });
        }
        SUBSYSTEMS.iter().find_map(|(name, index)| {
            let (number, mounted) = of_v1(list, name)?;
            let root = [*name, mounted].into_iter().map(|n| root.join(n)).find(|r| r.is_dir())?;
            Some(Hierarchy { root, number, subsystem: constant(index)? + 1 })
        })
    }

    /// It is seen from its root on, and not from the cgroup of a container.
    pub fn is_whole(&self) -> bool {
        match self.subsystem {
            0 => !self.root.join("cgroup.events").exists(),
            _ => self.root.join("release_agent").exists(),
        }
    }

    /// For a log line.
    pub fn describe(&self) -> String {
        let version = if self.subsystem == 0 { 2 } else { 1 };
        let part = if self.is_whole() { "" } else { " (a part only)" };
        format!("cgroup v{version} at {}{part}", self.root.display())
    }
}

/// Number and subsystems of the v1 hierarchy that has subsystem `name`, from /proc/PID/cgroup.
fn of_v1<'a>(list: &'a str, name: &str) -> Option<(u32, &'a str)> {
    list.lines().find_map(|l| {
        let mut parts = l.splitn(3, ':');
        let (number, all) = (parts.next()?.parse().ok()?, parts.next()?);
        (number != 0 && all.split(',').any(|s| s == name)).then_some((number, all))
    })
}

/// A cgroup that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: u64,
    /// Its path.
    pub path: PathBuf,
    /// What the kernel is to know of it.
    pub entry: Cgroup,
}

/// Goes through all cgroups below `root`, each after the one that it is in. What disappears meanwhile is
/// left out. False: something could not be looked at.
pub fn walk(root: &Path, each: &mut dyn FnMut(&Found)) -> bool {
    let Ok(id) = fs::metadata(root).map(|m| m.ino()) else { return false };
    let mut whole = true;
    let mut waiting = vec![Found { id, path: root.to_owned(), entry: Cgroup::OF_HOST }];
    while let Some(at) = waiting.pop() {
        each(&at);
        let inside = match fs::read_dir(&at.path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>) {
            Ok(inside) => inside,
            Err(e) => {
                whole &= e.kind() == std::io::ErrorKind::NotFound;
                continue;
            }
        };
        waiting.extend(inside.iter().filter(|e| is_folder(e)).map(|e| {
            let entry = Cgroup::within(at.id, Some(at.entry), name(&e.file_name().to_string_lossy()));
            Found { id: e.ino(), path: e.path(), entry }
        }));
    }
    whole
}

fn is_folder(e: &DirEntry) -> bool {
    e.file_type().is_ok_and(|t| t.is_dir())
}

/// The cgroup is still there.
pub fn exists(found: &Found) -> bool {
    fs::metadata(&found.path).as_ref().map(Metadata::ino).is_ok_and(|id| id == found.id)
}

/// What a cgroup's name says of it, as the kernel's programs see it.
fn name(name: &str) -> u64 {
    let seen = &name.as_bytes()[..name.len().min(NAME - 1)];
    let parts = seen.windows(8).filter_map(|part| <[u8; 8]>::try_from(part).ok());
    parts.fold(0, |said, part| said | part_of_name(u64::from_le_bytes(part)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tetragon_abi::cgroup::{FIRST, FOR_PODS, HOST, LINKS, OF_MONITOR, UNKNOWN};

    use super::*;

    /// What a process in cgroup `id` is, as node-ebpf/src/cgroups.rs finds it.
    fn workload(all: &BTreeMap<u64, Cgroup>, mut id: u64) -> u64 {
        for _ in 0..LINKS {
            let Some(c) = all.get(&id) else { break };
            if c.workload != UNKNOWN {
                return c.workload;
            }
            id = c.above;
        }
        UNKNOWN
    }

    #[test]
    fn pods_are_told_from_the_host_by_the_names_that_kubelet_gives() {
        let dir = tempfile::tempdir().unwrap();
        let host = ["system.slice/kubelet.service", "init.scope", "user.slice/user-0.slice", "docker/abc"];
        let pods = [
            "kubepods/burstable/pod1/c1",
            "kubepods/pod2",
            "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod3.slice/cri-containerd-c.scope",
            "kubelet.slice/kubelet-kubepods.slice",
            "a/b/kubepods/pod4/c/inner/deeper",
        ];
        for p in host.iter().chain(&pods) {
            fs::create_dir_all(dir.path().join(p)).unwrap();
        }
        fs::write(dir.path().join("cgroup.procs"), "").unwrap();
        let (mut all, mut ids) = (BTreeMap::new(), BTreeMap::new());
        let whole = walk(dir.path(), &mut |f| {
            assert!(exists(f));
            assert!(all.contains_key(&f.entry.above) || f.entry.above == 0, "the one above comes before");
            all.insert(f.id, f.entry);
            ids.insert(f.path.strip_prefix(dir.path()).unwrap().to_string_lossy().into_owned(), f.id);
        });
        assert!(whole && !walk(&dir.path().join("away"), &mut |_| panic!("it is not there")));
        let of = |p: &str| workload(&all, ids[p]);
        for p in host.iter().chain(&["", "kubelet.slice", "a/b"]) {
            assert_eq!(of(p), HOST, "{p}");
        }
        for p in pods.iter().chain(&["kubepods", "kubepods.slice", "a/b/kubepods/pod4"]) {
            assert_eq!(of(p), UNKNOWN, "{p}");
        }
        let container = ids["a/b/kubepods/pod4/c"];
        all.get_mut(&container).unwrap().workload = FIRST;
        let of = |p: &str| workload(&all, ids[p]);
        assert_eq!(
            of("a/b/kubepods/pod4/c/inner/deeper"),
            FIRST,
            "what is in a container is the container's"
        );
        assert_eq!(of("a/b/kubepods/pod4"), UNKNOWN);
    }

    /// Of the pod's own cgroup and of a container's in it, with the pod's name and the container's.
    const POD: u64 = FIRST;
    const CONTAINER: u64 = FIRST + 1;

    /// However deep cgroups lie, and whether they were made before or after the agent has said whose the pod's
    /// and the container's are, they are found to be theirs within the links that are asked.
    #[test]
    fn nothing_in_a_pod_or_a_container_is_too_deep() {
        let moments = [4, 5, 6, 7, 20, 99, 100];
        for (pod_at, container_at) in moments.into_iter().flat_map(|p| moments.map(move |c| (p, c.max(5)))) {
            let mut all = BTreeMap::from([(1, Cgroup::OF_HOST)]);
            for id in 2..100u64 {
                let known = all.get(&(id - 1)).copied();
                all.insert(id, Cgroup::within(id - 1, known, if id == 2 { FOR_PODS } else { 0 }));
                // kubepods 2, burstable 3, pod 4, container 5.
                if id == pod_at {
                    *all.get_mut(&4).unwrap() = Cgroup { workload: POD, pod: 1, ..all[&4] };
                }
                if id == container_at {
                    all.get_mut(&5).unwrap().workload = CONTAINER;
                }
            }
            let pod = if pod_at < 100 { POD } else { UNKNOWN };
            let container = if container_at < 100 { CONTAINER } else { pod };
            for id in 5..100 {
                let found = workload(&all, id);
                assert_eq!(found, container, "said at {pod_at} and {container_at}: {id} {:?}", all[&id]);
            }
            assert_eq!((workload(&all, 4), workload(&all, 3)), (pod, UNKNOWN));
            // What was said of the container is taken back: it is its pod's again, and all that is in it.
            all.get_mut(&5).unwrap().workload = UNKNOWN;
            assert!((5..100).all(|id| workload(&all, id) == pod), "said at {pod_at} and {container_at}");
        }
    }

    /// A monitor is in the pod's cgroup, and executes the runtime. Of what a container makes, nothing is one.
    #[test]
    fn what_watches_a_container_is_the_nodes() {
        let monitor = name(&format!("crio-conmon-{}.scope", "0123456789abcdef".repeat(4)));
        assert_eq!((monitor, name("kubelet-kubepods.slice"), name("init.scope")), (OF_MONITOR, FOR_PODS, 0));
        let kubepods = Cgroup::within(1, Some(Cgroup::OF_HOST), FOR_PODS);
        let pod = Cgroup { workload: POD, pod: 1, ..Cgroup::within(2, Some(kubepods), 0) };
        assert_eq!(Cgroup::within(3, Some(pod), monitor), Cgroup::OF_HOST);
        for container in [CONTAINER, UNKNOWN] {
            let container = Cgroup { workload: container, ..Cgroup::within(3, Some(pod), 0) };
            let all =
                BTreeMap::from([(3, pod), (4, container), (5, Cgroup::within(4, Some(container), monitor))]);
            assert_eq!(workload(&all, 5), workload(&all, 4), "a container chooses its cgroups' names");
        }
    }

    #[test]
    fn a_cgroup_whose_parent_is_told_of_later_is_what_that_is() {
        let mut all = BTreeMap::from([(7, Cgroup::within(6, None, 0))]);
        assert_eq!(workload(&all, 7), UNKNOWN);
        all.insert(6, Cgroup::OF_HOST);
        assert_eq!(workload(&all, 7), HOST);
    }

    #[test]
    fn a_containers_own_cgroups_are_not_the_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let list = "8:pids:/\n4:memory:/a/b\n0::/\n";
        let at = |name: &str, files: &[&str]| {
            let root = dir.path().join(name);
            for file in files {
                let path = root.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            Hierarchy::at(&root, list, &|_| Some(2))
        };
        let whole = |h: Option<Hierarchy>| h.map(|h| (h.number, h.subsystem, h.is_whole()));
        assert_eq!(whole(at("v2", &["cgroup.controllers"])), Some((0, 0, true)));
        assert_eq!(whole(at("v2-own", &["cgroup.controllers", "cgroup.events"])), Some((0, 0, false)));
        assert_eq!(whole(at("v1", &["memory/release_agent"])), Some((4, 3, true)));
        assert_eq!(whole(at("v1-own", &["memory/tasks"])), Some((4, 3, false)));
        assert_eq!(whole(at("nothing", &[])), None);
    }

    #[test]
    fn a_hierarchy_by_its_subsystem() {
        let list = "9:name=systemd:/\n8:pids:/a\n4:cpu,cpuacct:/x:y\n0::/\n";
        assert_eq!(of_v1(list, "pids"), Some((8, "pids")));
        assert_eq!(of_v1(list, "cpuacct"), Some((4, "cpu,cpuacct")));
        assert_eq!(of_v1(list, "memory"), None);
        assert_eq!(of_v1("0::/\n", "memory"), None);
    }
}
