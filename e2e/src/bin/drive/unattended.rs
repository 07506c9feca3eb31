//! Containers that come while there is no agent, or while one starts. Two processes are moved all the time into
//! cgroups that are made that moment, of two pods: one is denied to open a file, the other one is not. Meanwhile
//! the engine ends without a word, as in a crash, and others take over, of which some end before they have
//! anything in force. No open of the one may succeed, and none of the other may fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tetragon_agent::pods::classifier::Classifier;
use tetragon_agent::pods::{Change, Subject};
use tetragon_api::workload::Container;
use tetragon_engine::{CgroupRecord, Engine, EngineOptions, PolicyInput, Reader, Record};

use crate::bench::policy;
use crate::hammer::{Count, Hammer};
use crate::workloads::{container, enter};

/// What is denied to pods of web.
const POLICY: &str = r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: deny}
spec:
  podSelector: {matchLabels: {app: web}}
  lsmhooks:
  - hook: file_open
    args: [{index: 0, type: file}]
    selectors:
    - matchArgs: [{index: 0, operator: Equal, values: ["/hd/denied"]}]
      matchActions: [{action: Override, argError: -13}, {action: NoPost}]
"#;

/// The pods, by app: the worker of each has its index.
const PODS: [(&str, &str); 2] =
    [("web", "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42"), ("db", "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a43")];
const WEB: usize = 0;

/// What an agent keeps for the next one.
const KEPT: &str = "/run/unattended";
/// Containers that come without an agent that could classify them, at least.
const FEWEST: u64 = 100;
const PAUSE: Duration = Duration::from_millis(400);

/// How far an agent comes before it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It follows cgroups.
    Attached,
    /// It has classified what there was, as the agent before it knew it.
    Classified,
    /// Its policies are in force.
    InForce,
}

const STAGES: [Stage; 4] = [Stage::Attached, Stage::Classified, Stage::InForce, Stage::InForce];

/// The part of an agent that tells the kernel of containers.
struct Agent {
    engine: Engine,
    reader: Reader,
    classifier: Classifier,
}

impl Agent {
    /// Starts slowly, so that containers come at each step.
    fn start(stage: Stage, policies: &[PolicyInput]) -> Result<Agent> {
        let options = EngineOptions {
            ring_bytes: 1 << 20,
            bpf_dir: "/sys/fs/bpf/unattended".into(),
            procfs: "/proc".into(),
            environment: false,
        };
        let (engine, reader) = Engine::start(&options).context("the engine does not start")?;
        let root = engine.hierarchy().map(|h| h.root.clone());
        let mut agent = Agent { engine, reader, classifier: Classifier::new(root, Some(Path::new(KEPT))) };
        pause();
        if stage != Stage::Attached {
            agent.classifier.start(&mut agent.engine);
            pause();
        }
        if stage == Stage::InForce {
            agent.apply(policies)?;
        }
        Ok(agent)
    }

    fn apply(&mut self, policies: &[PolicyInput]) -> Result<()> {
        let report = self.engine.apply(policies, &mut |_| ());
        let error = report.policies.values().find_map(|p| p.error());
        ensure!(error.is_none(), "the policy does not run: {error:?}");
        Ok(())
    }

    fn told(&mut self, subject: Subject, identity: Container) {
        self.classifier.change(Change { subject, identity: Some(identity) }, &mut self.engine);
    }

    /// Classifies what comes, as the agent does; half of the containers' names are told.
    fn serve(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let mut records: Vec<CgroupRecord> = Vec::new();
            self.reader.drain(&mut |r| {
                if let Record::Cgroup(c) = r {
                    records.push(c);
                }
            });
            for record in records {
                self.classifier.cgroup(&record, &mut self.engine);
                let pod = PODS.iter().find(|(_, uid)| record.path.contains(uid));
                let id = record.path.rsplit('/').next().filter(|name| name.len() == 64);
                let named = id.filter(|id| id.ends_with(['1', '2', '5', '6', '9', 'a', 'd', 'e']));
                if let (Some((app, _)), Some(id), false) = (pod, named, record.gone) {
                    self.told(Subject::Container(id.to_owned()), container("x", app, "main"));
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.classifier.tick(0, &mut self.engine);
    }
}

fn pause() {
    std::thread::sleep(PAUSE);
}

/// Makes container after container for the workers.
struct Runtime {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Runtime {
    /// The first containers are there when it returns.
    fn start(kubepods: &Path, workers: &[u32]) -> Result<Runtime> {
        let mut pods = Vec::new();
        for (number, ((_, uid), pid)) in PODS.iter().zip(workers).enumerate() {
            let own = kubepods.join(format!("pod{uid}"));
            let mut pod = Pod { own, number, pid: *pid, last: None };
            pod.next(0)?;
            pods.push(pod);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut n = 0;
            while !stopped.load(Ordering::SeqCst) {
                n += 1;
                for pod in &mut pods {
                    pod.next(n)?;
                }
                std::thread::sleep(Duration::from_millis(3));
            }
            Ok(n)
        });
        Ok(Runtime { stop, thread })
    }

    /// How many containers each pod has had.
    fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().ok().context("the thread panicked")?
    }
}

struct Pod {
    own: PathBuf,
    number: usize,
    pid: u32,
    last: Option<PathBuf>,
}

impl Pod {
    /// The next container, which the worker enters at once: every other time a cgroup in the container's.
    fn next(&mut self, n: u64) -> Result<()> {
        // No two pods have a container of one id.
        let container = self.own.join(format!("{:x}{n:063x}", self.number));
        let inner = container.join("inner");
        let enters = if n.is_multiple_of(2) { &container } else { &inner };
        fs::create_dir_all(enters).with_context(|| format!("cannot make {}", enters.display()))?;
        enter(enters, self.pid)?;
        self.last.replace(container).map_or(Ok(()), |before| remove(&before))
    }
}

/// Removes a cgroup and those in it, which have no files of their own.
fn remove(cgroup: &Path) -> Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup).with_context(|| format!("cannot remove {}", cgroup.display()))
}

/// The scenario, in a hierarchy of either version.
pub(crate) fn run(root: &Path) -> Result<String> {
    fs::create_dir_all("/hd")?;
    fs::write("/hd/denied", "x")?;
    // Of the run in the other hierarchy. It may not exist.
    let _ = fs::remove_dir_all(KEPT);
    let kubepods = root.join("kubepods");
    for (_, uid) in PODS {
        fs::create_dir_all(kubepods.join(format!("pod{uid}")))?;
    }
    let policies = [policy(1, POLICY)?];
    let mut agent = Agent::start(Stage::Classified, &policies)?;
    for (app, uid) in PODS {
        agent.told(Subject::Pod(uid.to_owned()), container("x", app, ""));
    }
    agent.apply(&policies)?;
    let mut hammer = Hammer::start(&["--gap", "200"], &["open:/hd/denied"; PODS.len()])?;
    let runtime = Runtime::start(&kubepods, &hammer.pids)?;
    hammer.go()?;
    agent.serve(PAUSE);
    for stage in STAGES {
        drop(agent);
        pause();
        agent = Agent::start(stage, &policies)?;
        if stage == Stage::InForce {
            agent.serve(PAUSE);
        }
    }
    hammer.mark()?;
    agent.engine.release();
    // 5.10 detaches a moment after the last pin is removed.
    pause();
    hammer.mark()?;
    pause();
    let containers = runtime.stop()?;
    let counts = hammer.stop()?;
    remove(&kubepods)?;
    ensure!(containers >= FEWEST, "only {containers} containers of a pod came");
    judge(&counts).map(|opens| format!("{opens} in {containers} containers while agents ended and started"))
}

fn judge(counts: &[Count]) -> Result<String> {
    let of = |worker: usize, phase: usize| {
        let all = counts.iter().filter(move |c| c.worker == worker && c.phase == Some(phase));
        all.fold((0, 0), |(calls, failed), c| (calls + c.calls, failed + c.failed))
    };
    let (calls, failed) = of(WEB, 0);
    ensure!(calls > 100, "{calls} opens only");
    ensure!(calls == failed, "{} of {calls} opens got through", calls - failed);
    let (after, still) = of(WEB, 2);
    ensure!(after > 0 && still == 0, "{still} of {after} opens were denied after the release");
    let wrong: Vec<_> = counts.iter().filter(|c| c.worker != WEB && c.failed > 0).collect();
    ensure!(wrong.is_empty(), "opens of the other pod were denied: {wrong:?}");
    Ok(format!("{calls} opens denied, none got through,"))
}
