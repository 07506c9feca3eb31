//! The base sensor's programs and the process table.

use std::os::fd::OwnedFd;
use std::path::Path;

use tetragon_abi::engine::{EXE_HEAD, EXE_TAIL, Exe, PROC_INIT_TREE, Proc};
use tetragon_abi::hash::Hash128;

use super::hook::{HookError, Shared};
use super::object::Load;
use crate::node::cgroups;
use crate::sys::{self, Map};

/// A process that ran before the agent, from /proc.
#[derive(Clone, Debug, Default)]
pub struct ProcSeed {
    /// Thread group id.
    pub tgid: u32,
    /// When it began, in ns of the monotonic clock: its name with the id.
    pub ktime: u64,
    /// Path of its executable.
    pub exe: String,
    /// Thread group id of its parent.
    pub parent: u32,
    /// Path of the parent's executable.
    pub parent_exe: String,
    /// Its id in its own PID namespace; 0 in the host's.
    pub nspid: u32,
    /// It is in the tree of the first process of a PID namespace that is not the host's.
    pub in_init_tree: bool,
}

/// The attached programs.
pub struct Base {
    programs: Vec<(&'static str, OwnedFd, OwnedFd)>,
    /// Says whose a cgroup is; it is not attached.
    classify: OwnedFd,
}

const PROGRAMS: [(&str, &str); 5] = [
    ("base_cgroup_mkdir", "cgroup_mkdir"),
    ("base_cgroup_rmdir", "cgroup_rmdir"),
    ("base_fork", "sched_process_fork"),
    ("base_exec", "sched_process_exec"),
    ("base_exit", "sched_process_exit"),
];

impl Base {
    /// Loads, attaches and pins the programs.
    pub fn attach(shared: &Shared) -> Result<Base, HookError> {
        let maps: Vec<(&str, &Map)> = shared.maps.iter().map(|(n, m)| (*n, m)).collect();
        let load =
            |program| Load { program, name: program, kind: sys::PROG_RAW_TRACEPOINT, attach: 0, btf_id: 0 };
        let mut programs = Vec::new();
        for (program, tracepoint) in PROGRAMS {
            let fd = shared.programs.load(load(program), &shared.constants, &maps)?;
            let what =
                |error| HookError::Call { what: format!("cannot attach to tracepoint {tracepoint}"), error };
            let link = sys::attach_tracing(&fd, Some(tracepoint)).map_err(what)?;
            let _ = std::fs::remove_file(shared.pins.join(program));
            let pinned = sys::pin(&link, &shared.pins.join(program));
            pinned
                .map_err(|error| HookError::Call { what: format!("cannot pin {program} to bpffs"), error })?;
            programs.push((tracepoint, fd, link));
        }
        let load = load("base_classify");
        Ok(Base { programs, classify: shared.programs.load(load, &shared.constants, &maps)? })
    }

    /// Says whose a cgroup is, and whether it is a pod's own. False: there is no such cgroup.
    pub fn classify(&self, cgroup: u64, workload: u64, pod: bool) -> Result<bool, HookError> {
        let done = sys::run(&self.classify, &[cgroup, workload, u64::from(pod)]);
        let failed = |error| HookError::Call { what: format!("cannot classify cgroup {cgroup}"), error };
        Ok(done.map_err(failed)? == 0)
    }

    /// (tracepoint, program).
    pub fn programs(&self) -> impl Iterator<Item = (&'static str, &OwnedFd)> {
        self.programs.iter().map(|(t, fd, _)| (*t, fd))
    }
}

/// Tells the kernel of processes that ran before. What it has seen itself meanwhile stays.
pub fn seed(shared: &Shared, processes: &[ProcSeed]) -> Result<(), HookError> {
    let (procs, exes) = (shared.map("PROCS"), shared.map("EXES"));
    let hash = |path: &str| {
        if path.is_empty() { Hash128::default() } else { Hash128::of(shared.constants.seed, path.as_bytes()) }
    };
    for p in processes {
        let entry = Proc {
            ktime: p.ktime,
            exe: hash(&p.exe),
            parent_exe: hash(&p.parent_exe),
            parent: p.parent,
            flags: if p.in_init_tree { PROC_INIT_TREE } else { 0 },
            nspid: p.nspid,
            pad: 0,
        };
        put(procs, &p.tgid.to_ne_bytes(), sys::bytes(&entry))?;
        for path in [&p.exe, &p.parent_exe] {
            if !path.is_empty() {
                put(exes, sys::bytes(&hash(path)), sys::bytes(&exe(path)))?;
            }
        }
    }
    Ok(())
}

/// Tells the kernel of cgroups that were there before. What it has seen itself meanwhile stays.
pub fn note_cgroups(shared: &Shared, root: &Path) -> Result<usize, HookError> {
    let map = shared.map("CGROUPS");
    let (mut n, mut result) = (0, Ok(()));
    cgroups::walk(root, &mut |found| {
        let key = found.id.to_ne_bytes();
        let noted = match map.update(&key, sys::bytes(&found.entry), sys::NOEXIST) {
            Err(e) if e.raw_os_error() == Some(libc::EEXIST) => return,
            // Removed while it was noted: nobody else would take it out.
            Ok(()) if !cgroups::exists(found) => map.delete(&key).map(drop),
            other => other,
        };
        n += 1;
        if let Err(error) = noted {
            result = Err(HookError::Call { what: format!("cannot note {}", found.path.display()), error });
        }
    });
    result.map(|()| n)
}

fn put(map: &Map, key: &[u8], value: &[u8]) -> Result<(), HookError> {
    match map.update(key, value, sys::NOEXIST) {
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        r => r.map_err(|error| HookError::Call { what: "cannot fill the process table".into(), error }),
    }
}

fn exe(path: &str) -> Exe {
    let b = path.as_bytes();
    let mut e = Exe { len: b.len() as u32, pad: 0, head: [0; EXE_HEAD], tail: [0; EXE_TAIL] };
    for (to, c) in e.head.iter_mut().zip(b) {
        *to = *c;
    }
    for (to, c) in e.tail.iter_mut().zip(b.iter().rev()) {
        *to = *c;
    }
    e
}

/// Takes over the process table of the agent before this one, if it has the same form: the names of
/// processes stay what they were.
pub fn inherit(shared: &Shared, old: &Path, seed: [u64; 2]) -> usize {
    if seed != shared.constants.seed {
        return 0;
    }
    let mut n = 0;
    for (name, key, value) in [("PROCS", 4, size_of::<Proc>()), ("EXES", 16, size_of::<Exe>())] {
        let Ok(map) = Map::open(&old.join(name), key, value) else { continue };
        for (k, v) in map.elements().unwrap_or_default() {
            n += usize::from(put(shared.map(name), &k, &v).is_ok());
        }
    }
    n
}
