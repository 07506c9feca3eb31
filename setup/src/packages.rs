//! What a fresh Debian or Ubuntu machine lacks, and nothing that it has: by kind, so that a command installs only
//! what it needs.
//!
//! A package manager is never interrupted: it runs in a process group of its own, which a terminal's Ctrl-C does
//! not reach.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::apt::{Apt, retry};
use crate::arch::Arch;
use crate::progress::{self, Counting, duration};
use crate::tools::{cache, command, find, is_root, output, root, run, say};

/// What something is installed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Guests of this machine's architecture.
    Guests,
    /// The compiler of the eBPF programs: LLVM is 500 MB.
    Ebpf,
    /// Clusters and images.
    Cluster,
    /// The search server of the tests of the export.
    Search,
}

/// All of them.
pub const ALL: &[Kind] = &[Kind::Guests, Kind::Ebpf, Kind::Cluster, Kind::Search];

/// A package, what it is for, and the program in the search path that makes it unnecessary.
struct Wanted {
    kind: Kind,
    package: &'static str,
    program: Option<&'static str>,
}

const fn package(kind: Kind, package: &'static str) -> Wanted {
    Wanted { kind, package, program: None }
}

const fn program(kind: Kind, package: &'static str, program: &'static str) -> Wanted {
    Wanted { kind, package, program: Some(program) }
}

const WANTED: &[Wanted] = &[
    package(Kind::Guests, "binutils"),
    package(Kind::Guests, "busybox-static"),
    package(Kind::Guests, "ca-certificates"),
    package(Kind::Guests, "debian-archive-keyring"),
    package(Kind::Guests, "gcc"),
    package(Kind::Guests, "libc6-dev"),
    package(Kind::Guests, "make"),
    package(Kind::Guests, "qemu-system-x86"),
    package(Kind::Guests, "xz-utils"),
    package(Kind::Guests, "zstd"),
    program(Kind::Cluster, "buildah", "buildah"),
    program(Kind::Cluster, "iproute2", "ip"),
    program(Kind::Cluster, "e2fsprogs", "mke2fs"),
    program(Kind::Cluster, "util-linux", "nsenter"),
    program(Kind::Search, "default-jdk-headless", "javac"),
    program(Kind::Search, "maven", "mvn"),
];
/// For building bpf-linker, which links LLVM.
const LLVM_PACKAGES: &[&str] =
    &["g++", "llvm-22-dev", "libpolly-22-dev", "zlib1g-dev", "libzstd-dev", "libxml2-dev"];
/// What guests of arm64 need besides.
const ARM64_PACKAGES: &[&str] =
    &["binutils-aarch64-linux-gnu", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-system-arm"];
const LLVM: &str = "/usr/lib/llvm-22";
const BPF_LINKER: &str = "0.13.0";
/// As in rust-toolchain.toml, outside of the repository.
const TOOLCHAIN: &str = "1.95.0";

/// Installs what is missing for these kinds, and says what.
pub fn install(kinds: &[Kind]) -> Result<()> {
    let mut changes = packages(&wanted(kinds))?;
    if kinds.contains(&Kind::Ebpf) {
        changes |= rust_source()?;
        changes |= bpf_linker()?;
    }
    if !changes {
        say("setup: nothing is missing");
    }
    Ok(())
}

/// The packages that are missing for these kinds.
#[must_use]
pub fn missing(kinds: &[Kind]) -> Vec<&'static str> {
    let mut wanted = wanted(kinds);
    if kinds.contains(&Kind::Ebpf) && !has_bpf_linker() {
        wanted.extend(LLVM_PACKAGES);
    }
    if find("dpkg-query").is_none() { Vec::new() } else { missing_packages(&wanted).unwrap_or_default() }
}

fn wanted(kinds: &[Kind]) -> Vec<&'static str> {
    let of_kind = WANTED.iter().filter(|w| kinds.contains(&w.kind));
    of_kind.filter(|w| w.program.is_none_or(|p| find(p).is_none())).map(|w| w.package).collect()
}

/// Installs what guests of an architecture need besides, when the first is asked for.
pub fn install_for(arch: Arch) -> Result<()> {
    if arch == Arch::Amd64 {
        return Ok(());
    }
    packages(ARM64_PACKAGES)?;
    let libraries = rustc(&["--print", "target-libdir", "--target", arch.target()])?;
    if !Path::new(libraries.trim()).is_dir() {
        say(&format!("setup: adding Rust's standard library for {}", arch.target()));
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
    say(&format!("setup: installing {}", missing.join(" ")));
    let begin = Instant::now();
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
    say(&format!("setup: {} packages installed in {}", missing.len(), duration(begin.elapsed())));
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

/// apt-get as root, in a process group of its own, with its output in a file.
fn run_as_root(words: &[&str]) -> Result<()> {
    let mut command = if is_root() {
        command(words[0], &words[1..])
    } else if find("sudo").is_some() {
        // The password is asked for on the terminal, which only its foreground can read.
        run(&mut command("sudo", ["-v"]))?;
        command("sudo", ["-n", "DEBIAN_FRONTEND=noninteractive"].iter().chain(words))
    } else {
        bail!("`{}` must run as root, and there is no sudo", words.join(" "));
    };
    command.env("DEBIAN_FRONTEND", "noninteractive").process_group(0);
    progress::run("Debian's packages", &mut command, Counting::Apt)
}

/// The source of Rust's core library, which is compiled for the eBPF target.
fn rust_source() -> Result<bool> {
    let sysroot = rustc(&["--print", "sysroot"])?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    if library.is_dir() {
        return Ok(false);
    }
    say("setup: adding the source of Rust's core library (rust-src)");
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
    say(&format!("setup: rustup has no rust-src; taking Debian's of version {version}"));
    let to = cache().join("rust-src");
    let apt = Apt::new(&["trixie-backports", "sid"], &to)?;
    apt.update("rust-src")?;
    let known = output(&mut apt.command("apt-cache", &["madison", "rust-src"]))?;
    let package = known
        .lines()
        .filter_map(|l| l.split('|').nth(1).map(str::trim))
        .find(|v| {
            v.strip_prefix(version.as_str())
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
        })
        .with_context(|| format!("Debian has no rust-src of version {version} any more"))?;
    apt.download("rust-src", [format!("rust-src={package}")])?;
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

fn has_bpf_linker() -> bool {
    let installed = Command::new("bpf-linker").arg("--version").output();
    installed.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains(BPF_LINKER))
}

/// The linker for eBPF, built here: it must have the compiler's LLVM.
fn bpf_linker() -> Result<bool> {
    if has_bpf_linker() {
        return Ok(false);
    }
    packages(LLVM_PACKAGES)?;
    say(&format!("setup: building bpf-linker {BPF_LINKER}"));
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
    // Elsewhere than in the repository, whose settings are for static programs.
    install.current_dir(std::env::temp_dir()).env("LLVM_PREFIX", LLVM);
    if std::env::var_os("RUSTUP_TOOLCHAIN").is_none() {
        install.env("RUSTUP_TOOLCHAIN", TOOLCHAIN);
    }
    retry(|| progress::run("building bpf-linker", &mut install, Counting::Cargo))?;
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
