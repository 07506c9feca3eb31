//! `cargo xtask cluster`: a real Kubernetes on this machine, for tests and for trying things out.
//!
//! etcd, the API server, the controllers and the scheduler run as processes, without containers. Nodes are
//! added to them: on the machine itself, or in QEMU guests with a kernel of choice.

mod channel;
mod components;
mod control_plane;
mod daemon;
mod download;
mod guest_disk;
mod images;
mod network;
mod node;
mod node_guest;
mod node_host;
mod pki;
mod search;
mod state;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use setup::supervise::CLUSTERS;

use crate::tools::{PATIENCE, itself, say};
use components::NEWEST;
pub(crate) use components::go;
use pki::Pki;
use state::{Node, NodeKind, State};

/// How many nodes of one kind a cluster can have.
const NODES: u8 = 4;

/// What can be done with clusters.
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Start a cluster, or what is missing of it
    Up(Up),
    /// Stop a cluster and everything that was started for it, and forget what it holds
    Down(Name),
    /// List the clusters and their nodes
    List,
    /// Print the path of a cluster's kubeconfig
    Kubeconfig(Name),
    /// Kill the API server, as a crash would
    StopApiserver(Name),
    /// Start the API server again, and wait until it is ready
    StartApiserver(Name),
    /// Kill the API server and start it again
    RestartApiserver(Name),
    /// End a node and everything on it, as when its power fails; `up` starts it again
    StopNode {
        #[command(flatten)]
        name: Name,
        /// As kubectl names it: host1, guest1
        node: String,
    },
    /// Run a command on a node, as root, beside its pods
    Run {
        #[command(flatten)]
        name: Name,
        /// As kubectl names it: host1, guest1
        node: String,
        /// The command
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Give every node an image, from an archive as docker, podman or buildah write it
    LoadImage {
        #[command(flatten)]
        name: Name,
        /// Archives
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// A search server, for the export of events to Elasticsearch
    #[command(subcommand)]
    SearchServer(search::Search),
    /// Build and download what clusters need, which `up` does where it is missing
    Build {
        /// Kubernetes' version: 1.37, 1.24, or a full one
        #[arg(long, value_name = "VERSION", default_value = NEWEST)]
        version: String,
        /// Which programs; all of them unless some are named
        components: Vec<String>,
    },
}

/// Which cluster.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// The cluster's name: several can run at once
    #[arg(long, default_value = "default")]
    name: String,
}

/// What to start.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    name: Name,
    /// Kubernetes' version: 1.37, 1.24, or a full one
    #[arg(long, value_name = "VERSION", default_value = NEWEST)]
    version: String,
    /// Nodes to have, on this machine and in guests: `host:1,guest:2`
    #[arg(long, value_name = "KIND:N", value_delimiter = ',', value_parser = parse_nodes)]
    nodes: Vec<(NodeKind, u8)>,
    /// The kernels of guests that are new, in turn
    #[arg(long, value_name = "SERIES", value_delimiter = ',', default_value = "6.12")]
    guest_kernel: Vec<String>,
}

/// Where a program of the newest version is; it is built or unpacked if it is missing.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    components::program(name, NEWEST)
}

/// Builds and unpacks what the tests need.
pub(crate) fn prepare_tests() -> Result<()> {
    components::build(NEWEST, &[])
}

/// Builds and unpacks what a cluster with guests on these kernels needs.
pub(crate) fn prepare_demo(kernels: &[&str]) -> Result<()> {
    let others = kernels.iter().map(ToString::to_string).collect::<Vec<_>>();
    let kernels =
        std::thread::spawn(move || others.iter().try_for_each(|k| crate::kernels::get(k).map(drop)));
    components::for_demo()?;
    kernels.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Stops the controllers of a cluster.
pub(crate) fn stop_controllers(name: &str) -> Result<()> {
    State::existing(name)?.stop(control_plane::CONTROLLERS, Duration::from_secs(5))
}

fn parse_nodes(text: &str) -> Result<(NodeKind, u8), String> {
    let wrong = || format!("`{text}` names no nodes; right would be host:N or guest:N with N up to {NODES}");
    let (kind, count) = text.split_once(':').ok_or_else(wrong)?;
    let kind = match kind {
        "host" => NodeKind::Host,
        "guest" => NodeKind::Guest,
        _ => return Err(wrong()),
    };
    let count = count.parse().ok().filter(|n| *n <= NODES).ok_or_else(wrong)?;
    Ok((kind, count))
}

impl Cluster {
    /// Does it; gives the exit code.
    pub(crate) fn execute(&self) -> Result<i32> {
        match self {
            Cluster::Up(options) => up(options)?,
            Cluster::Down(Name { name }) => down(name)?,
            Cluster::List => list()?,
            Cluster::Kubeconfig(Name { name }) => println!("{}", kubeconfig(name)?.display()),
            Cluster::StopApiserver(Name { name }) => stop_api_server(name)?,
            Cluster::StartApiserver(Name { name }) => start_api_server(name)?,
            Cluster::RestartApiserver(Name { name }) => {
                stop_api_server(name)?;
                start_api_server(name)?;
            }
            Cluster::StopNode { name, node } => stop_node(&mut State::existing(&name.name)?, node)?,
            Cluster::Run { name, node, command } => {
                return run_on(&State::existing(&name.name)?, node, command);
            }
            Cluster::LoadImage { name, archives } => load_images(&State::existing(&name.name)?, archives)?,
            Cluster::SearchServer(search) => search.execute()?,
            Cluster::Build { version, components } => {
                components::build(&components::version(version)?, components)?;
            }
        }
        Ok(0)
    }
}

/// A cluster of somebody else that the environment names; one of ours does not count.
fn foreign() -> Option<PathBuf> {
    let file = std::env::var_os("KUBECONFIG").filter(|k| !k.is_empty())?;
    let ours = crate::tools::root().join("target/cluster");
    Some(PathBuf::from(file)).filter(|f| !f.starts_with(ours))
}

fn up(options: &Up) -> Result<()> {
    if let Some(kubeconfig) = foreign() {
        if !options.nodes.is_empty() {
            bail!(
                "KUBECONFIG is set, and nodes can only be added to a cluster that is started here; unset it"
            );
        }
        say("KUBECONFIG is set: that cluster is used, and nothing is started");
        println!("export KUBECONFIG={}", kubeconfig.display());
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "a cluster needs root for networks and cgroups; right would be `sudo -E env PATH=$PATH cargo xtask \
             cluster up`, or KUBECONFIG of a cluster that runs"
        );
    }
    let begin = Instant::now();
    note_for_supervisor(&options.name.name)?;
    let version = components::version(&options.version)?;
    let mut state = match State::load(&options.name.name)? {
        Some(state) if state.version != version => bail!(
            "cluster `{}` runs {}, not {version}; right would be `cargo xtask cluster down` first, or another \
             --name",
            state.name,
            state.version
        ),
        Some(state) => state,
        None => State::new(&options.name.name, &version)?,
    };
    state.network().up()?;
    let pki = Pki::of(&state)?;
    control_plane::up(&mut state, &pki)?;
    add_nodes(&mut state, &pki, options)?;
    say(&format!("cluster `{}` is up after {:.1} s", state.name, begin.elapsed().as_secs_f64()));
    println!("export KUBECONFIG={}", state.kubeconfig().display());
    Ok(())
}

/// Starts the nodes that are asked for or were there before, then waits for all of them.
fn add_nodes(state: &mut State, pki: &Pki, options: &Up) -> Result<()> {
    for (kind, count) in &options.nodes {
        for number in 1..=*count {
            let kernel = options.guest_kernel.iter().cycle().nth(usize::from(number) - 1);
            let kernel = kernel.filter(|_| *kind == NodeKind::Guest).cloned();
            let node = Node { kind: *kind, number, kernel };
            state.nodes.entry(format!("{kind}{number}")).or_insert(node);
        }
    }
    if !state.nodes.is_empty() && state.version != NEWEST {
        bail!(
            "nodes are of version {NEWEST}, too new for an API server {}; right would be none",
            state.version
        );
    }
    state.save()?;
    // What the API server has of nodes that were stopped says that they are ready for some more seconds.
    let stopped = state.nodes.iter().filter(|(name, node)| !state.runs(&daemon(name, node)));
    let before: BTreeMap<_, _> = stopped.map(|(name, _)| (name.clone(), heartbeat(state, name))).collect();
    for (name, node) in state.nodes.clone() {
        match node.kind {
            NodeKind::Host => node_host::up(state, pki, &name, &node)?,
            NodeKind::Guest => node_guest::up(state, pki, &name, &node)?,
        }
    }
    for (name, node) in &state.nodes {
        let before = before.get(name).map_or("", String::as_str);
        let ready = || {
            let now = heartbeat(state, name);
            now != before && now.starts_with("True ")
        };
        state.wait_for(&daemon(name, node), PATIENCE, ready)?;
    }
    Ok(())
}

/// Whether a node is ready, and when its kubelet has said so; empty when there is none.
fn heartbeat(state: &State, node: &str) -> String {
    let condition = "{range .status.conditions[?(@.type==\"Ready\")]}{.status} {.lastHeartbeatTime}{end}";
    let output = format!("jsonpath={condition}");
    control_plane::kubectl(state, &["get", "node", node, "-o", &output]).unwrap_or_default()
}

/// Whoever stops the work before it ends has this cluster taken down.
fn note_for_supervisor(name: &str) -> Result<()> {
    let Some(file) = std::env::var_os(CLUSTERS) else { return Ok(()) };
    let mut file = std::fs::File::options().create(true).append(true).open(file)?;
    Ok(writeln!(file, "{name}")?)
}

fn list() -> Result<()> {
    for state in State::every()? {
        let runs = if state.runs(control_plane::API_SERVER) { "runs" } else { "stopped" };
        println!("{:<20} {:<10} {runs}", state.name, state.version);
        for (name, node) in &state.nodes {
            let runs = if state.runs(&daemon(name, node)) { "runs" } else { "stopped" };
            println!("  {name:<18} {:<10} {runs}", node.kernel.as_deref().unwrap_or("-"));
        }
    }
    Ok(())
}

/// The daemon without which a node is none.
fn daemon(name: &str, node: &Node) -> String {
    match node.kind {
        NodeKind::Host => node_host::kubelet(name),
        NodeKind::Guest => node_guest::daemon(name),
    }
}

fn node_of(state: &State, name: &str) -> Result<Node> {
    state.nodes.get(name).cloned().with_context(|| {
        let all: Vec<_> = state.nodes.keys().map(String::as_str).collect();
        let all = if all.is_empty() { "none, it has no nodes".to_owned() } else { all.join(", ") };
        format!("cluster `{}` has no node `{name}`; right would be {all}", state.name)
    })
}

fn stop_node(state: &mut State, name: &str) -> Result<()> {
    match node_of(state, name)?.kind {
        NodeKind::Host => node_host::stop(state, name),
        NodeKind::Guest => node_guest::stop(state, name),
    }
}

fn run_on(state: &State, name: &str, command: &[String]) -> Result<i32> {
    match node_of(state, name)?.kind {
        NodeKind::Host => node_host::run(state, name, command),
        NodeKind::Guest => {
            let words: Vec<_> = command.iter().map(String::as_str).collect();
            let (status, output) = node_guest::connect(state, name)?.run(&words)?;
            std::io::stdout().write_all(&output)?;
            Ok(status)
        }
    }
}

/// Gives every node the images, to all at once: guests take their time.
fn load_images(state: &State, archives: &[PathBuf]) -> Result<()> {
    std::thread::scope(|scope| {
        let nodes = state.nodes.iter().map(|(name, node)| {
            scope.spawn(move || {
                archives.iter().try_for_each(|archive| match node.kind {
                    NodeKind::Host => node_host::import(state, name, archive),
                    NodeKind::Guest => node_guest::import(state, name, archive),
                })
            })
        });
        let nodes: Vec<_> = nodes.collect();
        nodes.into_iter().try_for_each(|node| match node.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn down(name: &str) -> Result<()> {
    let Some(mut state) = State::load(name)? else {
        say(&format!("there is no cluster `{name}`"));
        return Ok(());
    };
    for (name, node) in state.nodes.clone() {
        match node.kind {
            NodeKind::Host => node_host::down(&mut state, &name)?,
            NodeKind::Guest => node_guest::stop(&mut state, &name)?,
        }
        state.nodes.remove(&name);
        state.save()?;
    }
    node_host::leave_machine(&state)?;
    control_plane::down(&mut state)?;
    state.network().down()?;
    remove(&state.sockets())?;
    remove(&state.folder())?;
    say(&format!("cluster `{name}` is gone"));
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// The kubeconfig that one would use by hand: of the cluster that the environment names, or of this one.
fn kubeconfig(name: &str) -> Result<PathBuf> {
    match foreign() {
        Some(kubeconfig) => Ok(kubeconfig),
        None => own_kubeconfig(name),
    }
}

/// The kubeconfig of a cluster that was started here, whatever the environment names.
pub(crate) fn own_kubeconfig(name: &str) -> Result<PathBuf> {
    Ok(State::existing(name)?.kubeconfig())
}

/// Starts this program anew without KUBECONFIG, if that is set: what it starts then knows of no cluster but
/// its own.
pub(crate) fn without_kubeconfig() -> Result<()> {
    if std::env::var_os("KUBECONFIG").is_none_or(|k| k.is_empty()) {
        return Ok(());
    }
    say("KUBECONFIG is set and not used: what needs a cluster starts its own");
    let mut anew = itself(std::env::args_os().skip(1))?;
    Err(anew.env_remove("KUBECONFIG").exec()).context("starting anew without KUBECONFIG")
}

/// What fills a cluster and deletes what it finds there is for a cluster of its own.
pub(crate) fn refuse_foreign(who: &str) -> Result<()> {
    refuse(who, foreign().as_deref())
}

fn refuse(who: &str, foreign: Option<&Path>) -> Result<()> {
    match foreign {
        None => Ok(()),
        Some(kubeconfig) => bail!(
            "KUBECONFIG names {}, and `{who}` fills the cluster that it uses and deletes what is there: it runs \
             only on one that it starts itself; right would be `env -u KUBECONFIG cargo xtask {who}`",
            kubeconfig.display()
        ),
    }
}

fn stop_api_server(name: &str) -> Result<()> {
    State::existing(name)?.stop(control_plane::API_SERVER, Duration::ZERO)
}

fn start_api_server(name: &str) -> Result<()> {
    let mut state = State::existing(name)?;
    let pki = Pki::of(&state)?;
    control_plane::start_api_server(&mut state, &pki)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_of_somebody_else_is_refused_with_what_to_do() {
        let error = refuse("bench pods", Some(Path::new("/home/me/.kube/config"))).expect_err("refused");
        let error = error.to_string();
        assert!(error.contains("/home/me/.kube/config"), "{error}");
        assert!(error.ends_with("`env -u KUBECONFIG cargo xtask bench pods`"), "{error}");
        assert!(refuse("bench pods", None).is_ok());
    }

    #[test]
    fn nodes_are_named_by_kind_and_count() {
        assert_eq!(parse_nodes("host:1"), Ok((NodeKind::Host, 1)));
        assert_eq!(parse_nodes("guest:4"), Ok((NodeKind::Guest, 4)));
        for wrong in ["", "host", "host:", "host:5", "host:-1", "vm:1"] {
            assert!(parse_nodes(wrong).expect_err(wrong).contains("right would be"), "{wrong}");
        }
    }
}
