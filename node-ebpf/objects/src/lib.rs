//! The eBPF programs as objects for the agent: compiled ones that are checked in, and how they are compiled.
//!
//! Compiling them takes LLVM and bpf-linker, half a gigabyte and minutes on a fresh machine, and gives 60 kB. So the
//! objects are checked in beside a digest of their sources. The agent's build takes them as long as the digest is
//! that of the sources, and compiles them otherwise. A test compiles them and compares every byte.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// The architectures of kernels that there are objects for: where arguments lie in registers is theirs.
pub const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];
/// What the objects are made of, relative to the repository. This file decides with which flags.
const SOURCES: [&str; 5] = [
    "node-abi/src",
    "node-ebpf/Cargo.lock",
    "node-ebpf/Cargo.toml",
    "node-ebpf/objects/src",
    "node-ebpf/src",
];

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files and folders that decide what the objects are.
pub fn sources() -> impl Iterator<Item = PathBuf> {
    SOURCES.iter().map(|s| root().join(s))
}

/// The object that is checked in for an architecture.
#[must_use]
pub fn checked_in(arch: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{arch}.o"))
}

/// The file with the digest of the sources that the objects were compiled from.
#[must_use]
pub fn digest_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sources.sha256")
}

/// Whether the objects are those of the sources.
///
/// # Errors
/// A source or the digest cannot be read.
pub fn are_fresh() -> io::Result<bool> {
    Ok(fs::read_to_string(digest_file())?.trim() == digest()?)
}

/// The digest of the sources: their names and contents, in the order of the names.
///
/// # Errors
/// A source cannot be read.
pub fn digest() -> io::Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        files_below(&root().join(source), source.to_owned(), &mut files)?;
    }
    files.sort();
    let mut digest = Sha256::new();
    for (name, file) in files {
        let text = fs::read(file)?;
        digest.update(format!("{name} {}\n", text.len()));
        digest.update(text);
    }
    Ok(digest.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

fn files_below(path: &Path, name: String, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    if !path.is_dir() {
        files.push((name, path.to_owned()));
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        files_below(&entry.path(), format!("{name}/{}", entry.file_name().to_string_lossy()), files)?;
    }
    Ok(())
}

/// Compiles the programs for the kernels of an architecture, in a folder that holds what can be used again; gives
/// the object. The compiler is the agent's, with its nightly options switched on.
///
/// # Errors
/// What is missing or wrong, in words.
pub fn compile(arch: &str, folder: &Path) -> Result<PathBuf, String> {
    let source = root().join("node-ebpf");
    let arch_flag = format!("--cfg=bpf_target_arch=\"{arch}\"");
    let flags = ["-Clinker=bpf-linker", "-Cdebuginfo=0", "-Cpanic=abort", &arch_flag].join("\x1f");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo sets for a build that this is a part of must not reach the other one.
    for name in env::vars_os().map(|(name, _)| name).filter(is_of_another_build) {
        cargo.env_remove(name);
    }
    let status = cargo
        .current_dir(&source)
        // The lints of the workspace are not for another target's programs.
        .env("CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER", "")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .args(["build", "--release", "--locked", "-Zbuild-std=core", "--target", "bpfel-unknown-none"])
        .arg("--target-dir")
        .arg(folder)
        .status();
    match status {
        Ok(s) if s.success() => Ok(folder.join("bpfel-unknown-none/release/tetragon")),
        Ok(s) => Err(format!("compiling node-ebpf failed ({s}); `cargo xtask setup` installs what it needs")),
        Err(e) => Err(format!("cannot run cargo for node-ebpf: {e}")),
    }
}

fn is_of_another_build(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    let others = ["RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS"];
    others.contains(&name.as_ref()) || (name.starts_with("CARGO_") && name != "CARGO_HOME")
}
