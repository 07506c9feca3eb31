//! Which QEMU runs the guests: the machine's own, or a newer one from Debian's backports where guests are emulated.
//!
//! From version 10 on, each virtual CPU has a thread of its own (`thread=multi`): half the time of one thread for all.
//! Older ones lose guests that way, one in three with 7.2.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::apt;
use crate::arch::Arch;
use crate::tools::{cache, command, find, output, say};

/// The first version whose guests survive a thread for each virtual CPU.
const MULTI: u32 = 10;
/// What the newer one consists of, and the suite of Debian 12 that has it.
const PACKAGES: &[&str] = &["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"];
const SUITE: &str = "bookworm-backports";
/// After how long a QEMU that could not be had is tried again.
const AGAIN: Duration = Duration::from_secs(3600);
/// Where it looks for firmware, in its packages.
const FIRMWARE: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

/// A QEMU that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Qemu {
    pub(crate) program: PathBuf,
    /// Folders with firmware, where it is not installed.
    pub(crate) firmware: Vec<PathBuf>,
    /// `10.0.2`, as it says itself.
    pub(crate) version: String,
}

impl Qemu {
    /// For emulated guests of an architecture: the newest that there is.
    pub(crate) fn for_emulation(arch: Arch) -> Result<Qemu> {
        static FOUND: OnceLock<Option<Qemu>> = OnceLock::new();
        let own = Qemu::installed(arch)?;
        if arch != Arch::Amd64 || own.has_threads() {
            return Ok(own);
        }
        Ok(FOUND.get_or_init(backport).clone().unwrap_or(own))
    }

    /// The machine's own.
    pub(crate) fn installed(arch: Arch) -> Result<Qemu> {
        let name = arch.qemu();
        let program =
            find(name).with_context(|| format!("{name} is missing: `cargo xtask setup` installs it"))?;
        Qemu::at(program, Vec::new())
    }

    fn at(program: PathBuf, firmware: Vec<PathBuf>) -> Result<Qemu> {
        let said = output(&mut command(&program, ["--version"]))?;
        let version = version(&said).with_context(|| format!("{} says `{said}`", program.display()))?;
        Ok(Qemu { program, firmware, version })
    }

    /// Whether each virtual CPU may have a thread.
    pub(crate) fn has_threads(&self) -> bool {
        self.version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|v: u32| v >= MULTI)
    }
}

/// The one of Debian's backports, unpacked into the cache; none where it does not run: it needs the libraries of
/// Debian 12, and a guest on one thread is only slower.
fn backport() -> Option<Qemu> {
    let folder = cache().join("qemu");
    let found = get(&folder);
    if let Err(error) = &found {
        say(&format!("guests run with the machine's own QEMU, which is slower: {error:#}"));
    }
    found.ok()
}

/// Where it could not be had, it is tried again after an hour: a machine without a network need not wait each time.
fn get(folder: &Path) -> Result<Qemu> {
    let failed = folder.join("failed");
    if !folder.join("complete").exists() {
        let age = fs::metadata(&failed).ok().and_then(|m| m.modified().ok()?.elapsed().ok());
        if age.is_some_and(|age| age < AGAIN) {
            bail!("{}; it is tried again an hour later", fs::read_to_string(&failed)?);
        }
        unpack(folder).inspect_err(|error| {
            // Only a later run's wait depends on it.
            let _ = fs::create_dir_all(folder).and_then(|()| fs::write(&failed, format!("{error:#}")));
        })?;
    }
    let firmware = FIRMWARE.iter().map(|f| folder.join("tree").join(f)).collect();
    let qemu = Qemu::at(folder.join("tree/usr/bin").join(Arch::Amd64.qemu()), firmware)?;
    ensure!(qemu.has_threads(), "the one of Debian's backports is {}", qemu.version);
    Ok(qemu)
}

fn unpack(folder: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(folder);
    apt::unpack(SUITE, PACKAGES, &folder.join("tree")).context("a newer QEMU from Debian's backports")?;
    Ok(fs::write(folder.join("complete"), "")?)
}

/// `10.0.2` of `QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)`.
fn version(said: &str) -> Option<String> {
    let rest = said.split_once("version ")?.1;
    let version = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    (!version.is_empty()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_for_newer_versions() {
        for (said, is, threads) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright", "7.2.22", false),
            ("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)", "10.0.2", true),
            ("QEMU emulator version 11.0.0", "11.0.0", true),
        ] {
            let version = version(said).expect(said);
            assert_eq!(version, is);
            let qemu = Qemu { program: PathBuf::new(), firmware: Vec::new(), version };
            assert_eq!(qemu.has_threads(), threads, "{said}");
        }
        assert_eq!(version("nothing"), None);
    }
}
