//! `cargo xtask setup`: what a fresh Debian or Ubuntu machine lacks, and nothing that it has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::apt::{Apt, retry};
use crate::arch::Arch;
use crate::tools::{cache, command, find, output, root, run, say};

/// What the test bed and the build of the eBPF programs need. The first are small; LLVM's are 500 MB.
const PACKAGES: &[&str] = &[
    "binutils",
    "busybox-static",
    "ca-certificates",
    "debian-archive-keyring",
    "gcc",
    "g++",
    "libc6-dev",
    "make",
    "qemu-system-x86",
    "xz-utils",
    "zstd",
];
/// For building bpf-linker, which links LLVM.
const LLVM_PACKAGES: &[&str] =
    &["llvm-22-dev", "libpolly-22-dev", "zlib1g-dev", "libzstd-dev", "libxml2-dev"];
/// What guests of arm64 need besides.
const ARM64_PACKAGES: &[&str] =
    &["binutils-aarch64-linux-gnu", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-system-arm"];
/// For the cluster and the images: a program, and the package that has it.
const CLUSTER_PROGRAMS: &[(&str, &str)] = &[
    ("buildah", "buildah"),
    ("ip", "iproute2"),
    ("javac", "default-jdk-headless"),
    ("mke2fs", "e2fsprogs"),
    ("mvn", "maven"),
    ("nsenter", "util-linux"),
];
const LLVM: &str = "/usr/lib/llvm-22";
const BPF_LINKER: &str = "0.13.0";

/// Most that everything takes of the disk on a fresh machine, in GB: 13 measured, 6 of them while Kubernetes is built.
const DISK: u64 = 15;

/// Installs what is missing, and says what.
pub(crate) fn install() -> Result<()> {
    room()?;
    let mut changes = packages(PACKAGES)?;
    let missing = CLUSTER_PROGRAMS.iter().filter(|(program, _)| find(program).is_none());
    changes |= packages(&missing.map(|(_, package)| *package).collect::<Vec<_>>())?;
    changes |= rust_source()?;
    changes |= bpf_linker()?;
    if !changes {
        say("set-up: everything is there");
    }
    Ok(())
}

/// Says so before long work when the disk may become full.
fn room() -> Result<()> {
    let disk = rustix::fs::statvfs(root()).context("asking how much room the disk has")?;
    let free = disk.f_bavail * disk.f_frsize / 1_000_000_000;
    let ours = || -> Result<u64> {
        let folders = ["target", ".cache"].map(|f| root().join(f)).into_iter().filter(|f| f.is_dir());
        let said = output(command("du", ["-sxc", "--block-size=1GB"]).args(folders))?;
        let total = said.lines().last().and_then(|l| l.split_whitespace().next());
        total.and_then(|t| t.parse().ok()).context("du does not say a total")
    };
    if free < DISK && free + ours()? < DISK {
        say(&format!(
            "set-up: WARNING: {} has {free} GB free; building and testing everything takes {DISK} GB",
            root().display()
        ));
    }
    Ok(())
}

/// Installs what guests of an architecture need besides, when the first is asked for.
pub(crate) fn install_for(arch: Arch) -> Result<()> {
    if arch == Arch::Amd64 {
        return Ok(());
    }
    packages(ARM64_PACKAGES)?;
    let libraries = rustc(&["--print", "target-libdir", "--target", arch.target()])?;
    if !Path::new(libraries.trim()).is_dir() {
        say(&format!("set-up: adding Rust's standard library for {}", arch.target()));
        run(command("rustup", ["target", "add", arch.target()]).current_dir(root()))?;
    }
    Ok(())
}

/// Installs those of the packages that are missing; gives whether there were any.
fn packages(wanted: &[&str]) -> Result<bool> {
    if find("dpkg-query").is_none() || find("apt-get").is_none() {
        return without_apt();
    }
    let missing = missing_packages(wanted)?;
    if missing.is_empty() {
        return Ok(false);
    }
    say(&format!("set-up: installing {}", missing.join(" ")));
    if !missing.iter().all(|p| has_candidate(p)) {
        retry(|| run_as_root(&["apt-get", "-q", "update"]))?;
    }
    if let Some(unknown) = missing.iter().find(|p| !has_candidate(p)) {
        bail!("{}", no_package(unknown));
    }
    let mut install = vec![
        "apt-get",
        "-q",
        "-y",
        "-o",
        "DPkg::Lock::Timeout=600",
        "-o",
        "Acquire::Retries=5",
        "install",
        "--no-install-recommends",
    ];
    install.extend(&missing);
    // A mirror may have moved on since the index was read.
    if run_as_root(&install).is_err() {
        retry(|| run_as_root(&["apt-get", "-q", "update"]))?;
        run_as_root(&install)?;
    }
    Ok(true)
}

fn missing_packages<'a>(wanted: &[&'a str]) -> Result<Vec<&'a str>> {
    let mut query = command("dpkg-query", ["-W", "-f", "${Package} ${db:Status-Status}\n"]);
    // It fails when one of them is unknown, and still tells of the others.
    let known = query.args(wanted).stderr(Stdio::null()).output().context("asking dpkg what is installed")?;
    let known = String::from_utf8_lossy(&known.stdout).into_owned();
    Ok(wanted.iter().filter(|p| !known.lines().any(|l| l == format!("{p} installed"))).copied().collect())
}

fn has_candidate(package: &str) -> bool {
    let policy = output(command("apt-cache", ["policy", package]).env("LC_ALL", "C")).unwrap_or_default();
    policy.lines().any(|l| l.trim().strip_prefix("Candidate: ").is_some_and(|c| c != "(none)"))
}

fn no_package(package: &str) -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let release = release
        .lines()
        .find_map(|l| l.strip_prefix("PRETTY_NAME="))
        .map_or("this machine's release".to_owned(), |n| n.trim_matches('"').to_owned());
    let mut text = format!("{release} has no package {package} in its sources");
    if LLVM_PACKAGES.contains(&package) {
        text += ". The eBPF programs are linked with LLVM 22, which must be that of rustc 1.95. Right would be \
                 Debian 12 or 13 with its security suite, a release that has llvm-22-dev, or the packages of \
                 apt.llvm.org; or a bpf-linker 0.13.0 in the search path, which needs no LLVM here";
    }
    text
}

/// On other systems nothing can be installed, but a machine may have everything.
fn without_apt() -> Result<bool> {
    let programs = ["qemu-system-x86_64", "busybox", "xz", "zstd", "dpkg-deb", "strip", "cc"];
    let missing: Vec<_> = programs.into_iter().filter(|p| find(p).is_none()).collect();
    if !missing.is_empty() {
        bail!(
            "these programs are missing, and without apt they must be installed by hand: {}",
            missing.join(", ")
        );
    }
    Ok(false)
}

fn run_as_root(words: &[&str]) -> Result<()> {
    // SAFETY: it takes nothing and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    let mut command = if root {
        command(words[0], &words[1..])
    } else if find("sudo").is_some() {
        command("sudo", ["DEBIAN_FRONTEND=noninteractive"].iter().chain(words))
    } else {
        bail!("`{}` must run as root, and there is no sudo", words.join(" "));
    };
    run(command.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::io::stderr()))
}

/// The source of Rust's core library, which is compiled for the eBPF target.
fn rust_source() -> Result<bool> {
    let sysroot = rustc(&["--print", "sysroot"])?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    if library.is_dir() {
        return Ok(false);
    }
    say("set-up: adding the source of Rust's core library (rust-src)");
    if find("rustup").is_some()
        && run(Command::new("rustup").args(["component", "add", "rust-src"]).current_dir(root())).is_ok()
        && library.is_dir()
    {
        return Ok(true);
    }
    rust_source_of_debian(Path::new(sysroot.trim()))?;
    if !library.is_dir() {
        bail!("{} is still missing after rust-src was added", library.display());
    }
    Ok(true)
}

fn rustc(args: &[&str]) -> Result<String> {
    output(Command::new("rustc").args(args).current_dir(root()))
}

/// Where rustup's server cannot be reached: Debian's package of exactly this compiler's version, unpacked
/// beside it.
fn rust_source_of_debian(sysroot: &Path) -> Result<()> {
    let version = rustc(&["--version"])?;
    let version = version.split_whitespace().nth(1).context("rustc does not say its version")?.to_owned();
    say(&format!("set-up: rustup has no rust-src; taking Debian's of version {version}"));
    let to = cache().join("rust-src");
    let apt = Apt::new(&["trixie-backports", "sid"], &to)?;
    retry(|| run(&mut apt.command("apt-get", &["-q", "update"])))?;
    let known = output(&mut apt.command("apt-cache", &["madison", "rust-src"]))?;
    let package = known
        .lines()
        .filter_map(|l| l.split('|').nth(1).map(str::trim))
        .find(|v| {
            v.strip_prefix(version.as_str())
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
        })
        .with_context(|| format!("Debian has no rust-src of version {version} any more"))?;
    retry(|| run(&mut apt.command("apt-get", &["-q", "download", &format!("rust-src={package}")])))?;
    let deb = files_of(&to)?
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "deb"))
        .context("apt downloaded no package")?;
    run(command("dpkg-deb", ["-x"]).arg(&deb).arg(to.join("tree")))?;
    let source = to.join(format!("tree/usr/src/rustc-{version}"));
    let link = sysroot.join("lib/rustlib/src/rust");
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder)?;
    }
    // One that was made when there was another cache leads nowhere now.
    if link.is_symlink() {
        fs::remove_file(&link)?;
    }
    std::os::unix::fs::symlink(&source, &link)
        .with_context(|| format!("linking {} to {}", link.display(), source.display()))
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?)
}

/// The linker for eBPF, built here: it must have the compiler's LLVM.
fn bpf_linker() -> Result<bool> {
    let installed = Command::new("bpf-linker").arg("--version").output();
    if installed.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains(BPF_LINKER)) {
        return Ok(false);
    }
    packages(LLVM_PACKAGES)?;
    say(&format!("set-up: building bpf-linker {BPF_LINKER} (about two minutes)"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let install = [
        "install",
        "bpf-linker",
        "--version",
        BPF_LINKER,
        "--force",
        "--no-default-features",
        "--features",
        "llvm-22",
    ];
    let mut install = command(cargo, install);
    install.current_dir(root()).env("LLVM_PREFIX", LLVM).stdout(std::io::stderr());
    retry(|| run(&mut install))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_llvm_is_explained() {
        let text = no_package("llvm-22-dev");
        assert!(text.contains("llvm-22-dev") && text.contains("Right would be"), "{text}");
        assert!(!no_package("zstd").contains("LLVM"));
    }
}
