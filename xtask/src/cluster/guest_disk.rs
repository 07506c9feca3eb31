//! What a guest node boots from: an initramfs that mounts its disk, and the disk.
//!
//! The disk is a file system made by mke2fs from a folder; nothing is mounted here.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::components::{NEWEST, node_packages, program};
use super::{images, node};
use crate::arch::Arch;
use crate::build::{self, wants_interpreter};
use crate::initramfs::Archive;
use crate::kernels::{self, Kernel};
use crate::tools::{command, find, output, run};

/// Loaded before the disk can be mounted, or needed by containers.
const MODULES: &[&str] =
    &["virtio_pci", "virtio_console", "virtio_blk", "virtio_net", "overlay", "veth", "bridge"];
/// The disk's size; only what is written takes room.
const SIZE: &str = "4G";

/// The first program of the guest.
const INIT: &str = "\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*.ko; do /bin/busybox insmod $module; done
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o noatime /dev/vda /disk || exec /bin/busybox sh
/bin/busybox umount /dev
exec /bin/busybox switch_root /disk /usr/sbin/guest-init
";

const FILES: &[(&str, &str)] = &[
    ("etc/group", "root:x:0:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    ("etc/machine-id", ""),
    ("etc/nsswitch.conf", "hosts: files dns\n"),
    (
        "etc/os-release",
        "ID=tetragon-guest\nNAME=\"tetragon-rs test node\"\nPRETTY_NAME=\"tetragon-rs test node\"\n",
    ),
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("etc/resolv.conf", ""),
    ("etc/node/resolv.conf", ""),
];

/// Folders that no package brings. guest-init loads what is in the last; the initramfs has loaded it already.
const FOLDERS: &[&str] = &[
    "dev",
    "etc/node/cni",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "var/lib",
    "var/log",
    "usr/lib/tetragon-boot",
];

/// Where things are in a guest node.
pub(crate) const ETC: &str = "/etc/node";
const PLUGINS: &str = "/usr/lib/cni";

/// The initramfs for a kernel; its modules are kept in that folder.
pub(crate) fn initramfs(kernel: &Kernel, all: &Path) -> Result<Vec<u8>> {
    let modules = all.join(format!("modules-{}", kernel.release));
    if !modules.exists() {
        let new = all.join("modules.new");
        kernels::install_in_order(kernel, MODULES, &new)?;
        fs::rename(new, &modules)?;
    }
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "disk", "modules"] {
        archive.folder(folder, 0o755);
    }
    archive.device("dev/console", 0o600, 5, 1);
    archive.file("bin/busybox", 0o755, &fs::read(busybox()?)?);
    archive.file("init", 0o755, INIT.as_bytes());
    let mut files: Vec<_> = fs::read_dir(&modules)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&format!("modules/{name}"), 0o644, &fs::read(&file)?);
    }
    Ok(archive.finish())
}

/// What the disk is made of, apart from what is in this file: a disk made of other files is another one.
pub(crate) fn ingredients() -> Result<Vec<PathBuf>> {
    let packages = node_packages()?;
    let (guest_init, trig) = build::guest_programs(Arch::Amd64)?;
    Ok(vec![
        guest_init,
        trig,
        busybox()?,
        program("kubelet", NEWEST)?,
        packages.join("usr/bin/containerd"),
        packages.join("usr/sbin/runc"),
    ])
}

/// Makes the disk.
pub(crate) fn make(work: &Path, disk: &Path) -> Result<()> {
    let root = work.join("root");
    fs::create_dir_all(&root)?;
    let packages = node_packages()?;
    // The parts of packages that a node has no use for are the larger ones.
    for part in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64"] {
        if packages.join(part).exists() {
            fs::create_dir_all(root.join(part))?;
            run(command("cp", ["-a"]).arg(packages.join(part).join(".")).arg(root.join(part)))?;
        }
    }
    for (link, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/sbin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
        ("var/run", "/run"),
    ] {
        fs::create_dir_all(root.join("var"))?;
        symlink(target, root.join(link))?;
    }
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder))?;
    }
    for (name, text) in FILES {
        fs::write(root.join(name), text)?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    programs(&root)?;
    fs::write(root.join("etc/node/containerd.toml"), node::containerd(Path::new(ETC), Path::new(PLUGINS)))?;
    images::write(&root.join("var/lib/images"))?;
    let mut mke2fs =
        command(find("mke2fs").context("mke2fs is missing: `cargo xtask setup` installs it")?, ["-q"]);
    // mke2fs says so when it has to make the file.
    fs::File::create(disk)?;
    // Nothing of it must survive a crash of the guest.
    mke2fs.args(["-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0,lazy_itable_init=1", "-d"]);
    run(mke2fs.arg(&root).arg(disk).arg(SIZE))
}

fn programs(root: &Path) -> Result<()> {
    let (guest_init, trig) = build::guest_programs(Arch::Amd64)?;
    fs::copy(guest_init, root.join("usr/sbin/guest-init"))?;
    fs::copy(trig, root.join("usr/bin/trig"))?;
    fs::copy(program("kubelet", NEWEST)?, root.join("usr/bin/kubelet"))?;
    let busybox = busybox()?;
    fs::copy(&busybox, root.join("usr/bin/busybox"))?;
    for applet in output(&mut command(&busybox, ["--list"]))?.lines() {
        for folder in ["usr/bin", "usr/sbin"] {
            let link = root.join(folder).join(applet);
            // What a package brings is better.
            if link.symlink_metadata().is_err() {
                fs::hard_link(root.join("usr/bin/busybox"), link)?;
            }
        }
    }
    Ok(())
}

fn busybox() -> Result<PathBuf> {
    let program =
        find("busybox").context("busybox is missing: `cargo xtask setup` installs busybox-static")?;
    if wants_interpreter(&fs::read(&program)?) {
        bail!("{} is not static: `cargo xtask setup` installs busybox-static", program.display());
    }
    Ok(program)
}
