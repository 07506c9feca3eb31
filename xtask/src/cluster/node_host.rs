//! A node on this machine: kubelet, containerd and runc, without a guest.
//!
//! What a kubelet changes on the machine is put back: the sysctls, its cgroups, its mounts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::components::program;
use super::images;
use super::node;
use super::pki::Pki;
use super::state::{Node, State};
use crate::tools::{PATIENCE, command, output, say};

const CGROUPS: &str = "/sys/fs/cgroup";
/// What a kubelet sets when it starts.
const SYSCTLS: &[&str] = &[
    "kernel.keys.root_maxbytes",
    "kernel.keys.root_maxkeys",
    "kernel.panic",
    "kernel.panic_on_oops",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
];
/// Who has changed the sysctls, and what they were.
const OWNERS: &str = "/run/tetragon-rs-sysctls.json";

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Owners {
    /// Folders of clusters with nodes on this machine.
    clusters: BTreeSet<PathBuf>,
    /// The sysctls before the first of them.
    before: BTreeMap<String, String>,
    /// Folders that were made for nodes' folders to be mounted on.
    made: BTreeSet<PathBuf>,
}

/// In the node's mount namespace, before it becomes containerd: the machine's own folders stay as they are,
/// and what the node mounts is gone with its processes. Mounts are shared below it, which pods that mount
/// something for others need; BPF programs are pinned to a file system that only this node sees.
const PREPARE: &str = r#"
set -e
var=$1; shift
for group in /sys/fs/cgroup/$CGROUP /sys/fs/cgroup/*/$CGROUP; do
    if [ -d "$group" ]; then echo $$ > "$group/cgroup.procs"; fi
done
mount -t tmpfs -o mode=755 run /run
for folder in $FOLDERS; do mount --bind "$var/$folder" "/var/$folder"; done
mount -t bpf -o mode=700 bpf /sys/fs/bpf
mount --make-rshared /
exec "$@"
"#;
/// The part of a node's cgroup that containerd and its shims are in, beside the pods.
const RUNTIME: &str = "runtime";
/// Folders of /var that a node has for itself: those of Kubernetes and of the agent.
const OWN: &[&str] = &[
    "lib/cni",
    "lib/containerd",
    "lib/kubelet",
    "lib/tetragon",
    "log/containers",
    "log/pods",
    "log/tetragon",
];

/// Starts what does not run yet of a node. It gets ready afterwards.
pub(crate) fn up(state: &mut State, pki: &Pki, name: &str, node: &Node) -> Result<()> {
    let (containerd, kubelet) = daemons(name);
    if state.runs(&containerd) && state.runs(&kubelet) {
        return Ok(());
    }
    say(&format!("cluster: starting node {name} on this machine"));
    enter_machine(state)?;
    let address = state.network().node(node);
    state.network().address(&format!("{address}/32"))?;
    let folder = state.folder().join(name);
    make_cgroups(&cgroup(state, name))?;
    configure(state, pki, name, node, &folder)?;
    if !state.runs(&containerd) {
        // It would be in the mount namespace of the containerd before.
        state.stop(&kubelet, Duration::from_secs(5))?;
    }
    state.start(&containerd, &start_containerd(&folder, &cgroup(state, name))?)?;
    state.wait_for(&containerd, PATIENCE, || ctr(state, name, &["version"]).is_ok())?;
    for image in images::write(&state.folder().join("images"))? {
        import(state, name, &image)?;
    }
    let mut inside = inside(state, name)?;
    inside.arg(program("kubelet", &state.version)?).args(node::kubelet_arguments(&folder, name, &address));
    state.start(&kubelet, &inside)?;
    Ok(())
}

/// The names of a node's daemons.
fn daemons(name: &str) -> (String, String) {
    (format!("containerd-{name}"), kubelet(name))
}

/// The name of a node's kubelet among the daemons.
pub(crate) fn kubelet(name: &str) -> String {
    format!("kubelet-{name}")
}

fn cgroup(state: &State, name: &str) -> String {
    format!("tetragon-rs-{}-{name}", state.slot)
}

fn configure(state: &State, pki: &Pki, name: &str, node: &Node, folder: &Path) -> Result<()> {
    let plugins = program("cni", &state.version)?;
    let cgroup = format!("/{}", cgroup(state, name));
    let bridge = state.network().bridge();
    let place = node::Place { etc: folder, bridge: &bridge, cgroup: &cgroup };
    fs::create_dir_all(folder.join("cni"))?;
    for (file, text) in node::files(state, pki, name, node, &place)? {
        fs::write(folder.join(file), text)?;
    }
    fs::write(folder.join("containerd.toml"), node::containerd(folder, &plugins))?;
    fs::copy("/etc/resolv.conf", folder.join("resolv.conf")).context("reading /etc/resolv.conf")?;
    for own in OWN {
        fs::create_dir_all(folder.join("var").join(own))?;
    }
    Ok(())
}

fn start_containerd(folder: &Path, cgroup: &str) -> Result<Command> {
    let containerd = program("containerd", "")?;
    let runc = program("runc", "")?;
    let usual = std::env::var_os("PATH").unwrap_or_default();
    // It finds its shim and runc there.
    let mut path: Vec<_> =
        [&containerd, &runc].iter().filter_map(|p| p.parent()).map(PathBuf::from).collect();
    path.extend(std::env::split_paths(&usual));
    path.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let mut prepare = command("unshare", ["--mount", "--propagation", "private", "sh", "-c", PREPARE, "sh"]);
    prepare.arg(folder.join("var")).arg(containerd).arg("--config").arg(folder.join("containerd.toml"));
    prepare.env("PATH", std::env::join_paths(path)?).env("FOLDERS", OWN.join(" "));
    prepare.env("CGROUP", format!("{cgroup}/{RUNTIME}"));
    Ok(prepare)
}

/// To run something in a node's mount namespace.
fn inside(state: &State, name: &str) -> Result<Command> {
    let containerd = state.daemons.get(&daemons(name).0);
    let containerd = containerd.with_context(|| format!("node {name} was not started"))?;
    Ok(command("nsenter", [format!("--mount=/proc/{}/ns/mnt", containerd.pid)]))
}

/// containerd's own client.
fn ctr(state: &State, name: &str, arguments: &[&str]) -> Result<String> {
    let mut inside = inside(state, name)?;
    inside.arg(program("containerd", "")?.with_file_name("ctr")).args(["--namespace", "k8s.io"]);
    output(inside.args(arguments))
}

/// Gives a node an image.
pub(crate) fn import(state: &State, name: &str, archive: &Path) -> Result<()> {
    let archive = archive.canonicalize().with_context(|| format!("there is no {}", archive.display()))?;
    let file = archive.to_str().context("an archive's path that is not UTF-8")?;
    ctr(state, name, &["images", "import", file])
        .map(|_| ())
        .with_context(|| format!("importing {file} on node {name}"))
}

/// Ends a node's processes and what runs on it, as when the power fails.
pub(crate) fn stop(state: &mut State, name: &str) -> Result<()> {
    let (containerd, kubelet) = daemons(name);
    state.stop(&kubelet, Duration::ZERO)?;
    // containerd and its shims are in one of them.
    remove_cgroups(&cgroup(state, name))?;
    state.stop(&containerd, Duration::ZERO)
}

/// Ends a node and puts back what it changed on this machine.
pub(crate) fn down(state: &mut State, name: &str) -> Result<()> {
    stop(state, name)?;
    super::remove(&state.folder().join(name))
}

/// Runs something where the node's processes are: in their mount namespace.
pub(crate) fn run(state: &State, name: &str, words: &[String]) -> Result<i32> {
    let status = inside(state, name)?.args(words).status().context("cannot start nsenter")?;
    Ok(status.code().unwrap_or(1))
}

/// The owners, and the file that they are in, locked.
fn owners() -> Result<(Owners, File)> {
    let file = File::options().create(true).truncate(false).read(true).write(true).open(OWNERS);
    let mut file = file.with_context(|| format!("opening {OWNERS}"))?;
    file.lock()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if text.is_empty() {
        return Ok((Owners::default(), file));
    }
    let mut owners: Owners = serde_json::from_str(&text)
        .with_context(|| format!("{OWNERS} does not say what the sysctls were"))?;
    // Of a cluster whose folder was removed by hand nobody can say any more that it is taken down.
    owners.clusters.retain(|cluster| cluster.exists());
    Ok((owners, file))
}

/// Remembers what the sysctls are, unless another node has changed them already, and makes the folders to
/// mount on.
fn enter_machine(state: &State) -> Result<()> {
    let (mut owners, file) = owners()?;
    if owners.before.is_empty() {
        for name in SYSCTLS {
            // Some kernels lack some of them.
            if let Ok(value) = fs::read_to_string(sysctl(name)) {
                owners.before.insert((*name).to_owned(), value.trim().to_owned());
            }
        }
    }
    for folder in OWN.iter().map(|own| Path::new("/var").join(own)).filter(|f| !f.exists()) {
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        owners.made.insert(folder);
    }
    owners.clusters.insert(state.folder());
    write_owners(&owners, file)
}

fn write_owners(owners: &Owners, mut file: File) -> Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.write_all(&serde_json::to_vec_pretty(owners)?)?)
}

/// Puts back the sysctls and removes the folders when no other cluster has nodes on this machine. Not
/// before: a folder that is removed takes what is mounted on it with it, also for those who still use that.
pub(crate) fn leave_machine(state: &State) -> Result<()> {
    if !Path::new(OWNERS).exists() {
        return Ok(());
    }
    let (mut owners, file) = owners()?;
    owners.clusters.remove(&state.folder());
    if !owners.clusters.is_empty() {
        return write_owners(&owners, file);
    }
    for (name, value) in owners.before {
        fs::write(sysctl(&name), value).with_context(|| format!("putting back {name}"))?;
    }
    for folder in owners.made {
        // Somebody else may have put something there.
        let _ = fs::remove_dir(folder);
    }
    Ok(fs::remove_file(OWNERS)?)
}

fn sysctl(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}

/// The folders of a cgroup: one with cgroup v2, one per hierarchy with v1.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(CGROUPS);
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.to_path_buf()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        // Some are links to others: cpu to cpu,cpuacct.
        if path.is_dir() && !path.is_symlink() && path.join("cgroup.procs").exists() {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("{CGROUPS} has no cgroups; right would be a machine that mounts them there");
    }
    Ok(found)
}

fn make_cgroups(name: &str) -> Result<()> {
    for root in hierarchies()? {
        let folder = root.join(name);
        let runtime = folder.join(RUNTIME);
        fs::create_dir_all(&runtime).with_context(|| format!("making the cgroup {}", runtime.display()))?;
        if let Ok(controllers) = fs::read_to_string(root.join("cgroup.controllers")) {
            let all: Vec<_> = controllers.split_whitespace().map(|c| format!("+{c}")).collect();
            for parent in [&root, &folder] {
                fs::write(parent.join("cgroup.subtree_control"), all.join(" "))
                    .with_context(|| format!("enabling controllers in {}", parent.display()))?;
            }
            continue;
        }
        // A new cpuset of v1 has no CPUs, and nothing can run in it.
        for file in ["cpuset.cpus", "cpuset.mems"].into_iter().filter(|f| folder.join(f).exists()) {
            for group in [&folder, &runtime] {
                fs::write(group.join(file), fs::read(root.join(file))?)?;
            }
        }
    }
    Ok(())
}

/// Ends every process in a node's cgroups and removes them.
fn remove_cgroups(name: &str) -> Result<()> {
    for root in hierarchies()? {
        let folder = root.join(name);
        let mut left = Ok(());
        for _ in 0..100 {
            kill_all(&folder);
            left = remove_tree(&folder);
            if left.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        left.with_context(|| format!("removing the cgroup {}", folder.display()))?;
    }
    Ok(())
}

fn kill_all(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            kill_all(&entry.path());
        }
    }
    let processes = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|l| Pid::from_raw(l.parse().ok()?)) {
        // It may have ended just now.
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn remove_tree(cgroup: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(cgroup) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
