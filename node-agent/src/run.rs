//! The agent as a whole: what is started in which order, and how it ends.
//!
//! Four threads share the work: the *main* thread serves gRPC, metrics and signals; the *events*
//! thread reads the ring buffer; the *control* thread owns the policies and the engine; a *watch*
//! thread per folder of policies says what to look at.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tetragon_daemon::late::Late;
use tetragon_engine::{Engine, EngineOptions, ProcSeed, Records};
use tetragon_filters::Redaction;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::assemble::{AncestorKinds, Assembler};
use crate::clock::Clock;
use crate::config::{Ancestors, Config, RUN_DIR, Usernames};
use crate::control::{Board, Cluster, Command, Control, PolicyFile, read_folders};
use crate::counters::Counters;
use crate::cri::{Asked, Asker};
use crate::events::{self, Pipeline};
use crate::export::Exporter;
use crate::folder::Folder;
use crate::grpc::Service;
use crate::hub::Hub;
use crate::kubernetes::local::Local;
use crate::kubernetes::{self, Kubernetes, Tasks};
use crate::metrics::Metrics;
use crate::nri::Plugin;
use crate::pods::classifier::{Classifier, Request};
use crate::pods::gate::Gate;
use crate::pods::hook::Hook;
use crate::pods::store::Store;
use crate::pods::wait::Waiting;
use crate::process::{Cache, Options};
use crate::procfs::{ProcFs, ProcInfo};
use crate::serve::{Pages, addresses, serve_grpc, serve_http};
use crate::users::Users;
use crate::watch::Watch;

/// Exit code for a wrong policy or flag.
const WRONG: u8 = 2;

/// Bytes of the ring buffer, when no flag says. They count twice in the agent's resident memory,
/// because a ring buffer is mapped twice, one behind the other.
const RING: u64 = 4 << 20;

/// Where bpffs is.
const BPFFS: &str = "/sys/fs/bpf";
/// Where tracepoints are looked up.
const TRACEFS: &str = "/sys/kernel/tracing";

/// How long the end may take before the agent gives up: enforcement then stays.
const END_WITHIN: Duration = Duration::from_secs(60);

/// How long a new agent waits for the end of another one on the same folder.
const OTHER_ENDS_WITHIN: Duration = Duration::from_secs(10);

/// How long clients have to take what was sent to them last.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Why the agent ends other than by a signal.
enum Failure {
    /// A policy or flag is wrong: the messages are for standard error as they are.
    Wrong(Vec<String>),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(e: anyhow::Error) -> Self {
        Failure::Other(e)
    }
}

/// Runs the agent until a signal ends it.
pub fn run(config: &Config) -> ExitCode {
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Wrong(messages)) => {
            let mut stderr = std::io::stderr().lock();
            for message in messages {
                // Nobody is left to tell when standard error is gone.
                let _ = writeln!(stderr, "{}", message.trim_end());
            }
            let _ = writeln!(stderr, "error: nothing was loaded");
            ExitCode::from(WRONG)
        }
        Err(Failure::Other(e)) => {
            tracing::error!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(config: &Config) -> Result<(), Failure> {
    let late = Late::of(config.config_dir.as_deref());
    let counters = Arc::new(Counters::default());
    let wrong = |e: anyhow::Error| Failure::Wrong(vec![format!("error: {e:#}")]);
    let exporter = Exporter::new(config, counters.clone()).map_err(wrong)?;
    let redaction = redaction(config).map_err(wrong)?;
    let addresses = addresses(config).map_err(wrong)?;
    // Watched before they are read: a change in between is told twice rather than never.
    let dirs = policy_dirs(config);
    let watches: Vec<Watch> = dirs.iter().map(|dir| Watch::new(dir)).collect();
    let mut folders: Vec<Folder> = dirs.iter().map(|dir| Folder::new(dir)).collect();
    let files = read_policies(config, &mut folders)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime for gRPC and metrics cannot be made")?;
    let pods = Arc::new(Store::new(config.deleted_pod_cache_size, counters.pods.clone()));
    let kubernetes = if config.enable_k8s_api {
        Some(runtime.block_on(Kubernetes::open(config, &counters, pods.clone())).map_err(wrong)?)
    } else {
        None
    };

    let mut engine = EngineParts::start(config)?;
    let (assembler, infos) = processes(config, redaction, &mut engine)?;
    let hub = Arc::new(Hub::new(config.event_queue_size as usize, counters.clone()));
    let board = Arc::new(Board::default());
    let told = config.enable_k8s_api || !config.nri_socket.is_empty();
    let (asker, asked) = asker(config, &pods, &counters).unzip();
    let (assembler, waiting) = if told {
        let waiting = waiting(config, pods.clone(), &counters);
        let waiting = match asked {
            Some(asked) => waiting.with_runtime(move |id| asked.ask(id)),
            None => waiting,
        };
        (assembler.with_pods(pods.clone()), waiting)
    } else {
        (assembler, Waiting::none())
    };
    let pipeline = Pipeline::new(assembler, exporter, hub.clone(), counters.clone());
    let (commands, requests) = mpsc::channel();
    let told = commands.clone();
    let mut pipeline = pipeline.with_waiting(waiting).with_cgroups(move |record| {
        // Nobody takes it at the end.
        let _ = told.send(Command::Containers(Request::Cgroup(record.clone())));
    });
    pipeline.seed(&infos);
    drop(infos);
    let alive = Arc::new(AtomicBool::new(true));
    let reading = Reading::start(engine.reader, pipeline, alive.clone())?;

    let facts = engine.engine.facts().clone();
    tracing::debug!("{facts:?}");
    let old = engine.engine.has_old_hooks();
    let root = engine.engine.hierarchy().map(|h| h.root.clone());
    let told = kubernetes.is_some() || !config.nri_socket.is_empty();
    let classifier = Classifier::new(root, told.then_some(&*config.plan_dir));
    let gate = Gate::new(commands.clone(), kubernetes.is_some(), counters.pods.clone());
    let control = Control::new(requests, Box::new(engine.engine), folders, counters.clone(), board.clone());
    let mut control = control.with_classifier(classifier);
    let (kubernetes, local) = kubernetes.unzip();
    if let (Some(kubernetes), Some(local)) = (&kubernetes, local.flatten()) {
        control = control.with_cluster(Cluster {
            held: must_wait(&local, old),
            decisions: kubernetes.decisions(),
            local,
        });
    }
    if let Err(messages) = control.load(&files) {
        control.release();
        reading.stop()?;
        return Err(Failure::Wrong(messages));
    }
    drop(files);
    let controlling = spawn("control", {
        let alive = alive.clone();
        move || {
            control.run();
            alive.store(false, Ordering::Release);
        }
    })?;
    for (folder, watch) in watches.into_iter().enumerate() {
        let commands = commands.clone();
        spawn("watch", move || watch_folder(folder, watch, &commands))?;
    }

    let changes = commands.clone();
    pods.subscribe(move |change| {
        // Nobody takes it at the end.
        let _ = changes.send(Command::Containers(Request::Pods(change)));
    });
    let labels: Vec<&str> = config.metric_labels().collect();
    let metrics = Arc::new(Metrics::new(counters.clone(), board.clone(), &node_name(), &labels));
    let ready = Arc::new(AtomicBool::new(false));
    let pages = Pages { metrics, control: commands.clone(), ready: ready.clone(), alive: alive.clone() };
    let plugin = plugin(config, &gate, &pods, &counters);
    let hook = Hook { gate, store: pods };
    let service =
        Service::new(hub, board.clone(), counters.clone(), commands.clone(), hook).with_shown(config.shown());
    let served = runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let mut signals = Signals::new()?;
        let left = "what was loaded stays in force, and the next agent takes it over";
        serve_grpc(&addresses, service, config.server_tls(), &stopped).await.context(left)?;
        serve_http(config, &pages, &stopped).await.context(left)?;
        if let Some(asker) = asker {
            kubernetes::spawn("the container runtime's client", &alive, asker.run());
        }
        if let Some(plugin) = plugin {
            kubernetes::spawn("the NRI plugin", &alive, plugin.run());
        }
        let start = |k: Kubernetes| k.start(&facts, board, counters, commands.clone(), &alive);
        let cluster = kubernetes.map(start).transpose().context(left)?;
        write_run_files(config);
        ready.store(true, Ordering::Release);
        give_back_memory();
        say_ready();
        let end = signals.wait(&alive, late.as_ref()).await;
        ready.store(false, Ordering::Release);
        let release = match end {
            End::Signal(name) => {
                tracing::info!("{name}: stopping");
                !config.keep_sensors_on_exit || cluster.as_ref().is_some_and(Tasks::is_uninstall)
            }
            End::Late => {
                tracing::info!("the settings that this pod was made for have come: starting again with them");
                false
            }
            // Enforcement does not end because of a defect in what reports it.
            End::Broken => false,
        };
        give_up_later()?;
        if let Some(cluster) = cluster {
            cluster.end(release).await;
        }
        // Clients get what is left while the rest ends.
        let finished = tokio::task::spawn_blocking(move || finish(&commands, reading, controlling, release));
        let finished = finished.await.context("the end has panicked")?;
        // Nobody who still waits for an answer is kept waiting.
        let _ = stop.send(true);
        tokio::time::sleep(LAST_WORDS).await;
        finished
    });
    remove_run_files();
    Ok(served?)
}

/// How events wait for their pods.
fn waiting(config: &Config, pods: Arc<Store>, counters: &Counters) -> Waiting {
    let delay = Duration::from_secs(config.event_cache_retry_delay.into());
    Waiting::new(pods, config.event_cache_retries, delay, counters.pods.clone())
}

/// The agent as a plugin of the container runtime.
fn plugin(config: &Config, gate: &Gate, store: &Arc<Store>, counters: &Counters) -> Option<Plugin> {
    let socket = Some(PathBuf::from(&config.nri_socket)).filter(|socket| !socket.as_os_str().is_empty())?;
    Some(Plugin {
        socket,
        store: store.clone(),
        gate: gate.clone(),
        alone: !config.enable_k8s_api,
        annotations: config.enable_pod_annotations,
        counts: counters.pods.clone(),
    })
}

/// What asks the container runtime for containers.
fn asker(config: &Config, store: &Arc<Store>, counters: &Counters) -> Option<(Asker, Asked)> {
    let (annotations, counts) = (config.enable_pod_annotations, counters.pods.clone());
    config.enable_cri.then(|| Asker::new(&config.cri_endpoint, store.clone(), counts, annotations))
}

/// With the first change of policies goes what an agent before this one has left. If the disk does not
/// say what the cluster wants, that waits for the API server.
fn must_wait(local: &Local, old: bool) -> bool {
    let wait = old && !local.is_complete();
    if wait {
        tracing::warn!(
            "--plan-dir does not have all plans that were in force: what the agent before has left stays, and \
             nothing else is loaded, until the API server has told all plans"
        );
    }
    wait
}

/// An end that takes too long is cut short.
fn give_up_later() -> Result<()> {
    spawn("end", move || {
        std::thread::sleep(END_WITHIN);
        eprintln!("error: the agent does not come to an end within {} s: it gives up", END_WITHIN.as_secs());
        std::process::exit(1);
    })?;
    Ok(())
}

/// Tells what is left, in order, and takes everything down unless it is to go on.
fn finish(
    commands: &mpsc::Sender<Command>,
    reading: Reading,
    controlling: JoinHandle<()>,
    release: bool,
) -> Result<()> {
    let (ready, told) = mpsc::channel();
    let asked = commands.send(Command::Stop { ready, release }).is_ok();
    // What the kernel counted is published first, so that the stream ends with it.
    if asked {
        let _ = told.recv();
    }
    let read = reading.stop();
    let done = controlling.join();
    anyhow::ensure!(
        asked && done.is_ok(),
        "the control thread had ended: what was loaded goes on without the agent"
    );
    if !release {
        tracing::info!("programs stay loaded and enforce without the agent");
    }
    read
}

/// The folders of policies.
fn policy_dirs(config: &Config) -> Vec<PathBuf> {
    let given = config.tracing_policy.as_deref().filter(|path| path.is_dir());
    let mut dirs: Vec<PathBuf> = given.into_iter().chain(config.policy_dir()).map(Path::to_owned).collect();
    dirs.dedup();
    dirs
}

/// Reads and compiles the policies of the start. Any error in any of them ends the agent.
fn read_policies(config: &Config, folders: &mut [Folder]) -> Result<Vec<PolicyFile>, Failure> {
    let mut files = read_folders(folders).map_err(|e| Failure::Wrong(vec![format!("error: {e}")]))?;
    if let Some(path) = config.tracing_policy.as_deref().filter(|path| !path.is_dir()) {
        let text = std::fs::read(path).map_err(|e| {
            Failure::Wrong(vec![format!("error: --tracing-policy {}: cannot be read: {e}", path.display())])
        })?;
        files.push(PolicyFile::new(path.to_owned(), &text));
    }
    let colour = std::io::stderr().is_terminal();
    let errors: Vec<String> = files.iter().filter_map(|f| f.errors(colour)).collect();
    if errors.is_empty() { Ok(files) } else { Err(Failure::Wrong(errors)) }
}

struct EngineParts {
    engine: Engine,
    reader: tetragon_engine::Reader,
    /// Held until the end: no second agent on the same folder.
    _lock: File,
}

impl EngineParts {
    fn start(config: &Config) -> Result<EngineParts> {
        let ring = if config.rb_size_total.0 == 0 { RING } else { config.rb_size_total.0 };
        let ring_bytes = u32::try_from(ring)
            .ok()
            .filter(|n| *n <= 1 << 30)
            .with_context(|| format!("--rb-size-total {ring}: a ring buffer has at most 1G"))?;
        mount_filesystems()?;
        let bpf_dir = Path::new(BPFFS).join(&config.bpf_dir);
        let lock = only_agent(&bpf_dir, OTHER_ENDS_WITHIN)?;
        let procfs = config.procfs.to_string_lossy().into_owned();
        let environment = config.enable_process_environment_variables;
        let options = EngineOptions { ring_bytes, bpf_dir, procfs, environment };
        let (engine, reader) = Engine::start(&options).context("the engine cannot start")?;
        tracing::info!("engine started: {}", engine.describe());
        if let Some(part) = engine.hierarchy().filter(|h| !h.is_whole()) {
            tracing::warn!(
                "{} is not the root of its hierarchy: containers that run already are unknown until they start \
                 again; mount the node's /sys/fs/cgroup at /cgroupRoot, or give the agent CAP_SYS_PTRACE",
                part.root.display()
            );
        }
        Ok(EngineParts { engine, reader, _lock: lock })
    }
}

/// Two agents on one folder would judge every call twice: the second one waits for the end of the
/// first, as in an upgrade, and gives up if there is none.
fn only_agent(dir: &Path, within: Duration) -> Result<File> {
    let since = Instant::now();
    let mut told = false;
    loop {
        std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be created", dir.display()))?;
        let lock = File::open(dir).with_context(|| format!("{} cannot be opened", dir.display()))?;
        let ours = lock.try_lock().is_ok();
        // The one before may have removed the folder in between.
        let same =
            std::fs::metadata(dir).ok().zip(lock.metadata().ok()).is_some_and(|(a, b)| a.ino() == b.ino());
        if ours && same {
            return Ok(lock);
        }
        if !ours && since.elapsed() >= within {
            anyhow::bail!(
                "another agent uses {} (its process id is in {RUN_DIR}/tetragon.pid); stop it, or give this one \
                 another --bpf-dir",
                dir.display()
            );
        }
        if !std::mem::replace(&mut told, true) {
            tracing::info!("waiting for the end of another agent that uses {}", dir.display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Mounts bpffs and tracefs where they are not, as on nodes without systemd: what is pinned outlives the agent
/// in the first, tracepoints are looked up in the second.
fn mount_filesystems() -> Result<()> {
    mount(c"bpf", BPFFS, libc::BPF_FS_MAGIC).with_context(|| {
        format!(
            "{BPFFS} is no bpffs and none can be mounted; the agent needs root, and /sys/fs/bpf of the host"
        )
    })?;
    if let Err(e) = mount(c"tracefs", TRACEFS, libc::TRACEFS_MAGIC) {
        tracing::warn!("{TRACEFS} is no tracefs and none can be mounted: {e}; no tracepoint is found");
    }
    Ok(())
}

/// Mounts a file system of this kind, unless one is there.
fn mount(kind: &CStr, on: &str, magic: libc::c_long) -> std::io::Result<()> {
    let dir = CString::new(on)?;
    // SAFETY: all zero is a value of this struct of integers.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `dir` is a C string, `stat` a struct for the call to fill.
    if unsafe { libc::statfs(dir.as_ptr(), &raw mut stat) } == 0 && stat.f_type == magic {
        return Ok(());
    }
    // SAFETY: all are C strings; neither file system needs data.
    if unsafe { libc::mount(kind.as_ptr(), dir.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    tracing::info!("{} mounted on {on}", kind.to_string_lossy());
    Ok(())
}

/// What `--redaction-filters` hides.
fn redaction(config: &Config) -> Result<Redaction> {
    Redaction::parse(&config.redaction_filters).context("--redaction-filters")
}

/// Reads /proc, tells the kernel of what ran before, and makes the cache.
fn processes(
    config: &Config,
    redaction: Redaction,
    parts: &mut EngineParts,
) -> Result<(Assembler, Vec<ProcInfo>)> {
    let clock = Clock::now();
    let procfs = ProcFs::new(&config.procfs).with_environment(config.enable_process_environment_variables);
    let infos = procfs
        .all(&clock)
        .with_context(|| format!("--procfs {}: processes cannot be read", config.procfs.display()))?;
    parts.engine.exe_seen(&seeds(&infos)).context("the kernel cannot be told of running processes")?;
    let options = Options {
        capacity: config.process_cache_size as usize,
        node: node_name(),
        cred: config.enable_process_cred,
        ns: config.enable_process_ns,
        host_ns: procfs.host_namespaces(),
        redaction,
        environment_names: config.environment_names().cloned().collect(),
    };
    let has = |kind| config.enable_ancestors.contains(&kind);
    let ancestors = AncestorKinds {
        base: has(Ancestors::Base),
        kprobe: has(Ancestors::Kprobe),
        tracepoint: has(Ancestors::Tracepoint),
        lsm: has(Ancestors::Lsm),
    };
    let mut cache = Cache::new(options.clone(), clock);
    if config.username_metadata == Usernames::Unix {
        cache = cache.with_users(Users::of_node(&config.procfs));
    }
    let assembler = Assembler::new(cache, options, config.cluster_name.clone(), ancestors, procfs);
    Ok((assembler, infos))
}

fn seeds(infos: &[ProcInfo]) -> Vec<ProcSeed> {
    let exe = |pid: u32| {
        let found = infos.binary_search_by_key(&pid, |i| i.tgid).ok().and_then(|i| infos.get(i));
        found.map(|i| i.exe.clone()).unwrap_or_default()
    };
    let seed = |i: &ProcInfo| ProcSeed {
        tgid: i.tgid,
        ktime: i.ktime,
        exe: i.exe.clone(),
        parent: i.parent,
        parent_exe: exe(i.parent),
        nspid: i.nspid,
        in_init_tree: i.nspid != 0,
    };
    infos.iter().map(seed).collect()
}

/// The thread that reads events, and how it is stopped.
struct Reading {
    thread: JoinHandle<std::io::Result<()>>,
    stop: UnixStream,
}

impl Reading {
    fn start(reader: impl Records, pipeline: Pipeline, alive: Arc<AtomicBool>) -> Result<Reading> {
        let (stop, stopped) = UnixStream::pair().context("a socket pair cannot be made")?;
        let thread = spawn("events", move || {
            let result = events::run(reader, pipeline, stopped);
            alive.store(false, Ordering::Release);
            result
        })?;
        Ok(Reading { thread, stop })
    }

    /// Lets it read what is left, and waits for it.
    fn stop(self) -> Result<()> {
        // It may have ended by itself: the join says why.
        let _ = (&self.stop).write_all(&[0]);
        match self.thread.join() {
            Ok(result) => result.context("the ring buffer cannot be read"),
            Err(_) => anyhow::bail!("the event thread has panicked; its message is above"),
        }
    }
}

fn watch_folder(folder: usize, mut watch: Watch, commands: &mpsc::Sender<Command>) {
    loop {
        let notice = watch.wait();
        if commands.send(Command::Files { folder, notice }).is_err() {
            return;
        }
    }
}

fn spawn<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(f);
    thread.with_context(|| format!("the {name} thread cannot be started"))
}

/// Why the agent ends.
enum End {
    /// It was told to.
    Signal(&'static str),
    /// Other settings have come.
    Late,
    /// A thread that must not end has ended.
    Broken,
}

/// The signals that end the agent.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        let listen = |kind| signal(kind).context("signals cannot be received");
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them, for settings that are late, or for the end of a thread that must not end.
    async fn wait(&mut self, alive: &AtomicBool, late: Option<&Late>) -> End {
        let come = Late::come(late);
        tokio::pin!(come);
        let mut look = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return End::Signal("SIGINT"),
                _ = self.terminate.recv() => return End::Signal("SIGTERM"),
                () = &mut come => return End::Late,
                _ = look.tick() => {
                    if !alive.load(Ordering::Acquire) {
                        return End::Broken;
                    }
                }
            }
        }
    }
}

/// The start reads the kernel's types and loads programs, which takes memory that is not used again.
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it has no preconditions.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// What tests and scripts wait for, whatever the log level.
fn say_ready() {
    if tracing::enabled!(tracing::Level::INFO) {
        tracing::info!("Listening for events");
    } else {
        eprintln!("Listening for events");
    }
}

/// `NODE_NAME`, as Kubernetes sets it, or the host's name.
pub fn node_name() -> String {
    if let Some(name) = std::env::var("NODE_NAME").ok().filter(|n| !n.is_empty()) {
        return name;
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.trim().to_owned()
}

/// Tells clients on this host how to reach the agent. Without these files they need flags, no more.
fn write_run_files(config: &Config) {
    let pid = std::process::id();
    let info = serde_json::json!({
        "pid": pid,
        "version": crate::grpc::VERSION,
        // Beside TLS there is the socket, for which clients need no flags.
        "server_address": if config.server_tls().is_some() { crate::config::DEFAULT_SOCKET } else { &config.server_address },
        "metrics_address": config.metrics_server,
        "export_filename": config.export_filename,
        "map_dir": Path::new(BPFFS).join(&config.bpf_dir),
    });
    let files = [("tetragon-info.json", format!("{info}\n")), ("tetragon.pid", format!("{pid}\n"))];
    for (name, text) in files {
        let path = Path::new(RUN_DIR).join(name);
        let written = std::fs::create_dir_all(RUN_DIR).and_then(|()| std::fs::write(&path, text));
        if let Err(e) = written {
            tracing::warn!("{}: cannot be written: {e}; clients need --server-address", path.display());
        }
    }
}

fn remove_run_files() {
    for name in ["tetragon-info.json", "tetragon.pid"] {
        // They may never have been written.
        let _ = std::fs::remove_file(Path::new(RUN_DIR).join(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_on_one_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tetragon");
        let first = only_agent(&folder, Duration::ZERO).unwrap();
        let error = only_agent(&folder, Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("another agent uses") && error.contains("--bpf-dir"), "{error}");
        // It goes on when the first has taken everything down.
        let waiting = std::thread::spawn({
            let folder = folder.clone();
            move || only_agent(&folder, Duration::from_secs(20))
        });
        std::fs::remove_dir(&folder).unwrap();
        drop(first);
        assert!(waiting.join().unwrap().is_ok());
        assert!(folder.exists());
    }

    #[test]
    fn the_kernel_is_told_of_parents() {
        let info = |tgid, parent, exe: &str| ProcInfo { tgid, parent, exe: exe.into(), ..Default::default() };
        let mut nested = info(9, 7, "/bin/b");
        nested.nspid = 1;
        let seeds = seeds(&[info(1, 0, "/init"), info(7, 1, "/bin/a"), nested]);
        let parents: Vec<&str> = seeds.iter().map(|s| s.parent_exe.as_str()).collect();
        assert_eq!(parents, ["", "/init", "/bin/a"]);
        assert_eq!(seeds.iter().map(|s| s.in_init_tree).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn one_wrong_file_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("bad.yaml"), "kind: Nothing\n").unwrap();
        let text = dir.path().to_str().unwrap();
        let config = <Config as clap::Parser>::try_parse_from([
            "tetragon",
            "--tracing-policy",
            text,
            "--tracing-policy-dir",
            "",
        ])
        .unwrap();
        let dirs = policy_dirs(&config);
        assert_eq!(dirs, [dir.path()]);
        let mut folders: Vec<Folder> = dirs.iter().map(|d| Folder::new(d)).collect();
        let Err(Failure::Wrong(messages)) = read_policies(&config, &mut folders) else {
            panic!("it is accepted")
        };
        assert!(messages[0].contains("bad.yaml:1:") && messages[0].contains("error["), "{messages:?}");
        let config =
            <Config as clap::Parser>::try_parse_from(["tetragon", "--tracing-policy", "/nonexistent/p.yaml"])
                .unwrap();
        let Err(Failure::Wrong(messages)) = read_policies(&config, &mut []) else { panic!("it is accepted") };
        assert!(messages[0].contains("--tracing-policy /nonexistent/p.yaml: cannot be read"), "{messages:?}");
    }
}
