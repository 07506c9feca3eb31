//! What a thousand policies for a thousand workloads cost: `open` by callers that are in none, in one, or
//! on the host, the memory of a policy and of a cgroup, and the time until a new container is known.
//! `cargo xtask bench --rows 'workloads/*'` runs it with `--icount`, where times are in guest instructions,
//! and makes rows of the object that it prints.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tetragon_api::plan::Plan;
use tetragon_api::policy::LabelSelector;
use tetragon_api::workload::{Container, Pods, Workloads};
use tetragon_engine::{CallRecord, Classified, PolicyInput};

use crate::bench::{self, Bench, policy};

const PODS: &str = "/sys/fs/cgroup/kubepods";
const MANY: usize = 1000;
const OPENS: usize = 1500;
const FILE: &str = "/hd/a/b/file";

fn container(app: usize) -> Container {
    let labels = [("app".to_owned(), app.to_string())].into();
    Container { namespace: "x".into(), labels, name: "main".into(), repo: "docker.io/library/x".into() }
}

/// An allow-list for one workload.
fn allow(i: usize) -> Result<PolicyInput> {
    let yaml = format!(
        r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: allow-{i}}}
spec:
  kprobes:
  - call: security_file_open
    syscall: false
    args: [{{index: 0, type: file}}]
    selectors: [{{matchArgs: [{{index: 0, operator: Prefix, values: ["/srv/{i}/", "/etc/app-{i}/"]}}]}}]
"#
    );
    let mut input = policy(i as u64 + 1, &yaml)?;
    let match_labels = [("app".to_owned(), i.to_string())].into();
    let labels = Some(LabelSelector { match_labels, ..LabelSelector::default() });
    let workloads = Some(Workloads { host: false, pods: Some(Pods { labels, ..Pods::default() }) });
    input.plan = std::sync::Arc::new(Plan { workloads, ..Plan::clone(&input.plan) });
    Ok(input)
}

fn ignore((): &mut (), _: &CallRecord) {}

fn cpu() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the struct.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Median of five rounds, an open and close.
fn opens() -> Result<u64> {
    let path = CString::new(FILE)?;
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let begin = cpu();
        for _ in 0..OPENS {
            // SAFETY: a path, and the descriptor that it gave.
            unsafe { libc::close(libc::open(path.as_ptr(), libc::O_RDONLY)) };
        }
        rounds.push((cpu() - begin) / OPENS as u64);
    }
    rounds.sort_unstable();
    Ok(rounds[2])
}

fn enter(cgroup: &Path) -> Result<()> {
    fs::write(cgroup.join("cgroup.procs"), std::process::id().to_string())
        .with_context(|| format!("cannot enter {}", cgroup.display()))
}

/// Slab, vmalloc and per-CPU memory, once nothing moves.
fn kernel_memory() -> Result<i64> {
    for _ in 0..4 {
        fs::write("/proc/sys/vm/drop_caches", "3")?;
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    let text = fs::read_to_string("/proc/meminfo")?;
    let of = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name));
        line.and_then(|l| l.trim().split(' ').next()?.parse::<i64>().ok()).unwrap_or_default()
    };
    Ok((of("Slab:") + of("VmallocUsed:") + of("Percpu:")) * 1024)
}

struct Scale {
    bench: Bench<()>,
    made: usize,
}

impl Scale {
    /// One more container, made, and what telling of it took.
    fn container(&mut self, app: usize) -> Result<(PathBuf, u64)> {
        let path = Path::new(PODS).join(format!("pod{}/c", self.made));
        self.made += 1;
        fs::create_dir_all(&path)?;
        let id = fs::metadata(&path)?.ino();
        let begin = bench::now();
        let told = self.bench.engine.classify(id, container(app))?;
        let took = bench::now() - begin;
        ensure!(told == Classified::Done, "{told:?}");
        Ok((path, took))
    }

    /// By a caller on the host, in a container that nobody asks for, in one that a policy is for.
    fn callers(&self, none: &Path, one: &Path) -> Result<[u64; 3]> {
        let mut all = [0; 3];
        for (cost, cgroup) in all.iter_mut().zip([Path::new("/sys/fs/cgroup"), none, one]) {
            enter(cgroup)?;
            *cost = opens()?;
        }
        enter(Path::new("/sys/fs/cgroup"))?;
        Ok(all)
    }
}

/// The scenario.
pub(crate) fn run() -> Result<String> {
    fs::create_dir_all("/hd/a/b")?;
    fs::write(FILE, "x")?;
    opens()?;
    let alone = opens()?;
    let bench = Bench::start(1 << 20, (), ignore)?;
    let mut s = Scale { bench, made: 0 };
    let (one, _) = s.container(0)?;
    let (none, _) = s.container(MANY * 2)?;
    let all = (0..MANY).map(allow).collect::<Result<Vec<_>>>()?;
    s.bench.apply(&all[..1])?;
    s.bench.engine.complete();
    let few = s.callers(&none, &one)?;
    s.bench.apply(&all[..100])?;
    (0..3).for_each(|_| s.bench.engine.complete());
    let (real, counted) = (kernel_memory()?, s.bench.engine.map_memory());
    let begin = bench::now();
    s.bench.apply(&all)?;
    let linked = bench::now() - begin;
    (0..3).for_each(|_| s.bench.engine.complete());
    let policies = MANY as i64 - 100;
    let of_policy =
        ((kernel_memory()? - real) / policies, (s.bench.engine.map_memory() - counted) as i64 / policies);
    // Folders first: cgroups themselves are large.
    for i in 0..MANY {
        fs::create_dir_all(Path::new(PODS).join(format!("pod{}/c", s.made + i)))?;
    }
    let (real, counted) = (kernel_memory()?, s.bench.engine.map_memory());
    let mut times = Vec::new();
    for app in 1..=MANY {
        times.push(s.container(app)?.1);
    }
    let (cgroups, counted_now) = (MANY as i64, s.bench.engine.map_memory());
    let of_cgroup = ((kernel_memory()? - real) / cgroups, (counted_now as i64 - counted as i64) / cgroups);
    let many = s.callers(&none, &one)?;
    let worst = times.iter().copied().enumerate().max_by_key(|t| t.1).unwrap_or_default();
    times.sort_unstable();
    let last = s.container(5)?.1;
    s.bench.finish()?;
    let open = |policies: &str, costs: [u64; 3]| {
        let added = costs.map(|c| c as i64 - alone as i64);
        json!({"policies": policies, "host": added[0], "none": added[1], "one": added[2]})
    };
    let result = json!({
        "alone": alone,
        "few": open("1", few),
        "many": open(&MANY.to_string(), many),
        "policy_bytes": of_policy.0,
        "policy_bytes_counted": of_policy.1,
        "cgroup_bytes": of_cgroup.0,
        "cgroup_bytes_counted": of_cgroup.1,
        "linked_ns": linked,
        "known_ns": {"median": times[MANY / 2], "p99": times[MANY * 99 / 100], "worst": worst.1, "worst_at": worst.0},
        "like_known_ns": last,
    });
    Ok(result.to_string())
}
