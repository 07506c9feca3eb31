//! Builds what runs in a guest: everything static, with one set of flags and one target folder, so that no
//! two steps undo each other's work.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::progress::{self, Counting};
use crate::tools::{cache, command, root, run};

pub(crate) use setup::cargo::{TARGET, cargo, workspace, workspace_for};

/// Writes the custom resources of `config/crd/`.
pub(crate) fn crds() -> Result<()> {
    let example = ["run", "--quiet", "--package", "tetragon-api", "--features", "crd", "--example", "crds"];
    // With the flags of the target, so for the target: no macro can be built with them for this machine.
    run(cargo(example).args(["--target", TARGET]))
}

fn output_folder(arch: Arch, profile: &str) -> PathBuf {
    root().join("target").join(arch.target()).join(profile)
}

/// The guest's first process and `trig`.
pub(crate) fn guest_programs(arch: Arch) -> Result<(PathBuf, PathBuf)> {
    let common = ["--package", "tetragon-guest", "--profile", "guest", "--target", arch.target()];
    let what = "building the guest's own programs";
    progress::run(what, cargo(["build"]).args(common).args(["--bin", "guest-init"]), Counting::Cargo)?;
    let mut trig = cargo(["rustc"]);
    trig.args(common).args(["--bin", "trig", "--", "-C", "link-arg=-nostartfiles"]);
    progress::run(what, &mut trig, Counting::Cargo)?;
    let folder = output_folder(arch, "guest");
    Ok((folder.join("guest-init"), folder.join("trig")))
}

/// A program of this repository, in the dev profile, wherever it was built last.
pub(crate) fn program(name: &str) -> PathBuf {
    output_folder(Arch::Amd64, "debug").join(name)
}

/// The agent and, where there is one, the command line tool beside it: copies without debugging information,
/// which stay as they are while the originals are built anew.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) tetragon: PathBuf,
    pub(crate) tetra: Option<PathBuf>,
}

impl Agent {
    fn copied(tetragon: &Path, tetra: Option<&Path>) -> Result<Agent> {
        Ok(Agent { tetragon: stripped(tetragon)?, tetra: tetra.map(stripped).transpose()? })
    }
}

/// Builds the agent and `tetra` of this repository.
pub(crate) fn agent(arch: Arch, release: bool) -> Result<Agent> {
    let mut build = workspace_for(arch, ["build", "--bin", "tetragon", "--bin", "tetra"]);
    if release {
        build.arg("--release");
    }
    progress::run("building the agent and tetra", &mut build, Counting::Cargo)?;
    let folder = output_folder(arch, if release { "release" } else { "debug" });
    Agent::copied(&folder.join("tetragon"), Some(&folder.join("tetra")))
}

/// An agent built elsewhere; `tetra` may stand beside it.
pub(crate) fn given_agent(arch: Arch, tetragon: &Path) -> Result<Agent> {
    let tetragon =
        tetragon.canonicalize().with_context(|| format!("there is no agent at {}", tetragon.display()))?;
    if Arch::of_program(&std::fs::read(&tetragon)?) != Some(arch) {
        bail!("{} is no program for {}, which the kernel is of", tetragon.display(), arch.debian());
    }
    let tetra = tetragon.with_file_name("tetra");
    Agent::copied(&tetragon, tetra.is_file().then_some(tetra.as_path()))
}

/// A copy without debugging information, made once per version of the file: guests get it over a serial port.
pub(crate) fn stripped(program: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(program).with_context(|| format!("reading {}", program.display()))?;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let folder = cache().join("vm/programs");
    let copy = folder.join(format!(
        "{name}-{:x}-{:x}-{:x}{:09}",
        meta.ino(),
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec()
    ));
    if copy.is_file() {
        return Ok(copy);
    }
    std::fs::create_dir_all(&folder)?;
    forget_old_copies(&folder, &name);
    let new = folder.join(format!("new-{name}-{}", std::process::id()));
    let arch = Arch::of_program(&std::fs::read(program)?).unwrap_or(Arch::Amd64);
    run(command(arch.tool("strip"), ["--strip-debug", "-o"]).arg(&new).arg(program))?;
    let linker = wants_interpreter(&std::fs::read(&new)?);
    if linker {
        std::fs::remove_file(&new)?;
        bail!(
            "{} is dynamically linked, and a guest has no libraries; right would be one that \
             `cargo build` has built in this repository",
            program.display()
        );
    }
    std::fs::rename(&new, &copy)?;
    Ok(copy)
}

/// Keeps the newest few copies of a program, for two people at work and two profiles.
fn forget_old_copies(folder: &Path, name: &str) {
    let prefix = format!("{name}-");
    let mut copies: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with(&prefix))
        .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
        .collect();
    copies.sort();
    copies.reverse();
    for (_, path) in copies.into_iter().skip(6) {
        let _ = std::fs::remove_file(path);
    }
}

/// Whether a 64-bit ELF program names a dynamic linker: it has a program header of type 3.
pub(crate) fn wants_interpreter(elf: &[u8]) -> bool {
    let number = |at: usize, size: usize| -> usize {
        let bytes = elf.get(at..at + size).unwrap_or_default();
        bytes.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|i| number(table.saturating_add(i * size), 4) == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_programs_are_seen() {
        let shell = std::fs::read("/bin/sh").expect("a shell");
        assert!(wants_interpreter(&shell), "Debian's and Ubuntu's sh is dynamic");
        assert!(!wants_interpreter(b"#!/bin/sh"));
        let mut own = shell;
        own[56..58].fill(0);
        assert!(!wants_interpreter(&own), "without program headers");
    }
}
