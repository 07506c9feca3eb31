//! A node in a QEMU guest: a stock Debian kernel, cgroup v2, kubelet and containerd.
//!
//! A guest is booted once to the point where containerd runs and has the images that every node has, and is
//! saved. A node starts from there: it is given its name, addresses and certificates, and starts its kubelet.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::channel::Channel;
use super::components::NEWEST;
use super::daemon::Daemon;
use super::guest_disk::{self, ETC};
use super::network::Network;
use super::node;
use super::pki::Pki;
use super::state::{Node, State};
use crate::arch::Arch;
use crate::tools::{PATIENCE, cache, say};
use crate::vm::machine::{Console, Hardware, Machine};
use crate::vm::qmp::Qmp;

const MEMORY: u32 = 2048;
/// Written last, so that a folder with it is complete.
const COMPLETE: &str = "complete";

/// In the guest, before it is saved.
const PREPARE: &str = "\
set -e
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
mount --make-rshared /
setsid containerd --config /etc/node/containerd.toml >/var/log/containerd.log 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 1; done
for image in /var/lib/images/*.tar; do ctr --namespace k8s.io images import $image; done
# Its pages stay in memory.
kubelet --version
";

/// In the guest of a node: name, hardware address, address with its prefix, gateway, id; then the kubelet's
/// arguments.
const START: &str = "\
set -e
hostname $1
ip link set eth0 down
ip link set eth0 address $2
brctl addbr br0
brctl addif br0 eth0
ip link set eth0 up
ip link set br0 up
ip addr add $3 dev br0
ip route add default via $4
echo $5 >/etc/machine-id
shift 5
setsid kubelet \"$@\" >/var/log/kubelet.log 2>&1 &
";

/// Starts a node's guest unless it runs. The node gets ready afterwards.
pub(crate) fn up(state: &mut State, pki: &Pki, name: &str, node: &Node) -> Result<()> {
    let daemon = daemon(name);
    if state.runs(&daemon) {
        return Ok(());
    }
    let series = node.kernel.as_deref().context("a guest without a kernel")?;
    let (machine, saved) = saved(state, series)?;
    say(&format!("cluster: starting node {name} in a guest with kernel {}", machine.kernel.release));
    let folder = state.sockets().join(name);
    super::remove(&folder)?;
    let tap = tap(state, node);
    state.network().tap(&tap)?;
    let mut qemu = qemu(&machine, &folder, Some(&saved), &saved.join("disk"), &tap)?;
    qemu.args(["-incoming", "defer"]);
    state.start(&daemon, &qemu)?;
    let configured = wait_for_sockets(state.daemons[&daemon], &state.log(&daemon), &folder)
        .and_then(|()| wake(&folder, &saved))
        .and_then(|()| configure(state, pki, name, node, &folder));
    if configured.is_err() {
        // The next try begins from the start.
        state.stop(&daemon, Duration::ZERO)?;
    }
    configured.with_context(|| format!("starting node {name}"))
}

/// Tells a guest that was woken which node it is, and starts its kubelet.
fn configure(state: &State, pki: &Pki, name: &str, node: &Node, folder: &Path) -> Result<()> {
    let mut channel = Channel::connect(&folder.join("ctl"))?;
    channel.set_clock()?;
    let place = node::Place { etc: Path::new(ETC), bridge: "br0", cgroup: "/" };
    for (file, text) in node::files(state, pki, name, node, &place)? {
        channel.put(&format!("{ETC}/{file}"), 0o600, text.as_bytes())?;
    }
    let network = state.network();
    let address = network.node(node);
    let mut arguments = vec![
        name.to_owned(),
        format!("52:54:00:97:{:02x}:{:02x}", state.slot, node.number),
        format!("{address}/20"),
        network.gateway(),
        format!("{:032x}", u16::from(state.slot) << 8 | u16::from(node.number)),
    ];
    arguments.extend(node::kubelet_arguments(Path::new(ETC), name, &address));
    channel.script(START, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The daemon's name.
pub(crate) fn daemon(name: &str) -> String {
    format!("qemu-{name}")
}

/// An interface's name has at most 15 bytes.
fn tap(state: &State, node: &Node) -> String {
    format!("{}g{}", state.network().bridge(), node.number)
}

/// Gives a node an image.
pub(crate) fn import(state: &State, name: &str, archive: &Path) -> Result<()> {
    // Sending it is quick; what takes time is containerd, and `--local` halves that.
    let bytes = fs::read(archive).with_context(|| format!("reading {}", archive.display()))?;
    let mut channel = connect(state, name)?;
    channel.put("/tmp/image.tar", 0o600, &bytes)?;
    channel
        .script("ctr --namespace k8s.io images import --local /tmp/image.tar && rm /tmp/image.tar", &[])
        .with_context(|| format!("importing {} on node {name}", archive.display()))
}

/// To tell a node's guest something.
pub(crate) fn connect(state: &State, name: &str) -> Result<Channel> {
    if !state.runs(&daemon(name)) {
        bail!("node {name} does not run; right would be first `cargo xtask cluster up`");
    }
    Channel::connect(&state.sockets().join(name).join("ctl"))
}

/// Ends a node's guest, as when the power fails.
pub(crate) fn stop(state: &mut State, name: &str) -> Result<()> {
    state.stop(&daemon(name), Duration::ZERO)?;
    super::remove(&state.sockets().join(name))
}

/// QEMU with the node's disk and network card. A guest that is to be saved writes to its disk; others keep
/// what they write to themselves, and it is gone with them.
fn qemu(machine: &Machine, folder: &Path, saved: Option<&Path>, disk: &Path, tap: &str) -> Result<Command> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("initramfs"), &machine.initramfs)?;
    let memory = saved.map_or_else(|| disk.with_file_name("memory"), |s| s.join("memory"));
    let mut qemu = machine.qemu(folder, Some((&memory, saved.is_none())), Console::File);
    let snapshot = if saved.is_some() { "on" } else { "off" };
    let drive =
        format!("id=disk,if=none,format=raw,cache=unsafe,snapshot={snapshot},file={}", disk.display());
    qemu.args(["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"]);
    qemu.args(["-netdev", &format!("tap,id=net,ifname={tap},script=no,downscript=no")]);
    qemu.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
    // Guests that were one until now must not draw the same random numbers.
    qemu.args(["-device", "vmgenid,guid=auto"]);
    Ok(qemu)
}

fn wait_for_sockets(qemu: Daemon, log: &Path, folder: &Path) -> Result<()> {
    let there = || ["qmp", "ctl"].iter().all(|socket| folder.join(socket).exists());
    qemu.wait_for(log, PATIENCE, there).context("waiting for QEMU's sockets")
}

/// Goes on where the saved guest stood.
fn wake(folder: &Path, saved: &Path) -> Result<()> {
    let mut qmp = Qmp::connect(&folder.join("qmp"))?;
    qmp.leave_out_memory()?;
    let uri = format!("exec:cat '{}'", saved.join("state").display());
    qmp.call("migrate-incoming", &json!({"uri": uri}))?;
    qmp.wait("query-status", &["paused", "running", "postmigrate"], PATIENCE)?;
    qmp.call("cont", &json!({}))?;
    Ok(())
}

/// The saved guest for a kernel: booted and saved when there is none yet.
fn saved(state: &State, series: &str) -> Result<(Machine, PathBuf)> {
    Arch::of_kernel(series).1.must_be_own("a node of the cluster", series)?;
    let hardware = Hardware { mem: MEMORY, ..Hardware::default() };
    let mut machine = Machine::prepare(series, &hardware)?;
    let all = cache().join("cluster/guests");
    fs::create_dir_all(&all)?;
    let lock = File::create(all.join("lock"))?;
    lock.lock().context("waiting for another one who saves a guest")?;
    let work = all.join("work");
    let _ = fs::remove_dir_all(&work);
    machine.initramfs = guest_disk::initramfs(&machine.kernel, &all)?;
    let folder = all.join(digest(&machine)?);
    if !folder.join(COMPLETE).exists() {
        let begin = Instant::now();
        say(&format!(
            "cluster: booting a node with kernel {} once, to resume it from now on",
            machine.kernel.release
        ));
        forget(&all, series);
        boot(&machine, state.network(), &work)?;
        fs::rename(work.join("saved"), &folder)?;
        say(&format!("cluster: the guest was saved after {} s", begin.elapsed().as_secs()));
    }
    let _ = fs::remove_dir_all(&work);
    Ok((machine, folder))
}

/// A name for everything that a saved guest depends on.
fn digest(machine: &Machine) -> Result<String> {
    use std::os::unix::fs::MetadataExt;
    let mut digest = Sha256::new();
    digest.update(format!("{NEWEST} {PREPARE}"));
    digest.update(include_bytes!("guest_disk.rs"));
    digest.update(include_bytes!("node.rs"));
    for file in guest_disk::ingredients()? {
        let meta = fs::metadata(&file).with_context(|| format!("reading {}", file.display()))?;
        digest.update(format!("{} {}", file.display(), meta.len()));
        // The small ones are this repository's, which are built anew without being others.
        if meta.len() < 8 << 20 {
            digest.update(fs::read(&file)?);
        } else {
            digest.update(meta.mtime().to_le_bytes());
        }
    }
    let hex: String = digest.finalize().iter().take(4).map(|b| format!("{b:02x}")).collect();
    Ok(format!("{}-{hex}", machine.digest()?))
}

/// One saved guest of a kernel is enough: those that run have what they need open.
fn forget(all: &Path, series: &str) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&format!("{series}-")) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Boots a guest and saves it to `saved/` in the folder for work.
fn boot(machine: &Machine, network: Network, work: &Path) -> Result<()> {
    let new = work.join("saved");
    fs::create_dir_all(&new)?;
    guest_disk::make(work, &new.join("disk")).context("making the guest's disk")?;
    let tap = format!("{}g-new", network.bridge());
    network.tap(&tap)?;
    let (folder, log) = (work.join("run"), work.join("log"));
    let qemu = Daemon::start(&qemu(machine, &folder, None, &new.join("disk"), &tap)?, &log)?;
    let saved = boot_and_save(qemu, &folder, &log, &new.join("state"));
    qemu.stop(if saved.is_ok() { Duration::from_secs(10) } else { Duration::ZERO })?;
    network.remove(&tap)?;
    saved?;
    File::create(new.join(COMPLETE))?;
    Ok(())
}

fn boot_and_save(qemu: Daemon, folder: &Path, log: &Path, state: &Path) -> Result<()> {
    wait_for_sockets(qemu, log, folder)?;
    let mut channel = Channel::connect(&folder.join("ctl"))?;
    channel.set_clock()?;
    channel.script(PREPARE, &[])?;
    drop(channel);
    let mut qmp = Qmp::connect(&folder.join("qmp"))?;
    qmp.call("stop", &json!({}))?;
    qmp.leave_out_memory()?;
    qmp.call("migrate", &json!({"uri": format!("exec:cat > '{}'", state.display())}))?;
    let outcome = qmp.wait("query-migrate", &["completed", "failed", "cancelled"], PATIENCE)?;
    if outcome != "completed" {
        bail!("saving the guest: {outcome}");
    }
    qmp.quit();
    Ok(())
}
