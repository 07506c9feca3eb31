//! Debian's packages of any suite, without installing them.
//!
//! apt runs with its own sources list and state, so that a machine of another release (or Ubuntu) can
//! download from any suite, with signatures checked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::arch::Arch;
use crate::tools::{cache, command, find, output, say};

/// Whoever signs Debian's suites; the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const MIRROR: &str = "http://deb.debian.org";

/// apt with its own sources and state.
pub(crate) struct Apt {
    options: Vec<String>,
    /// Where it downloads to.
    folder: PathBuf,
}

impl Apt {
    /// For these suites of Debian, to download into a folder.
    pub(crate) fn new(suites: &[&str], to: &Path) -> Result<Apt> {
        Apt::of(Arch::Amd64, suites, to)
    }

    /// For packages of an architecture.
    pub(crate) fn of(arch: Arch, suites: &[&str], to: &Path) -> Result<Apt> {
        if find("apt-get").is_none() {
            bail!(
                "kernels come from Debian's packages, and there is no apt-get here: a Debian or Ubuntu machine is needed"
            );
        }
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is missing: `cargo xtask setup` installs the package debian-archive-keyring");
        }
        let folder = cache().join("apt");
        fs::create_dir_all(to)?;
        for sub in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        let (main, security) = mirrors();
        let mut list = String::new();
        let arch = arch.debian();
        for suite in suites {
            list += &format!("deb [arch={arch} signed-by={KEYRING}] {main} {suite} main\n");
            if !suite.contains("backports") && *suite != "sid" {
                list += &format!("deb [arch={arch} signed-by={KEYRING}] {security} {suite}-security main\n");
            }
        }
        let sources = folder.join(format!("{}-{arch}.list", suites.join("-")));
        fs::write(&sources, list)?;
        let options = [
            format!("APT::Architecture={arch}"),
            format!("APT::Architectures={arch}"),
            format!("Dir::Etc::sourcelist={}", sources.display()),
            "Dir::Etc::sourceparts=-".into(),
            format!("Dir::State::lists={}", folder.join("lists").display()),
            format!("Dir::Cache={}", folder.join("cache").display()),
            "APT::Get::List-Cleanup=0".into(),
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
            // Descriptions and icons for software centres.
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "Acquire::Retries=5".into(),
        ];
        Ok(Apt {
            options: options.into_iter().flat_map(|o| ["-o".into(), o]).collect(),
            folder: to.to_path_buf(),
        })
    }

    /// `apt-get`, `apt-cache` with these sources.
    pub(crate) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = command(program, &self.options);
        command.args(args).current_dir(&self.folder).env("LC_ALL", "C");
        command
    }
}

/// Where the machine itself gets Debian's packages and security updates from, else Debian's own address.
fn mirrors() -> (String, String) {
    let mut sites = Vec::new();
    if let Ok(text) =
        output(&mut command("apt-get", ["indextargets", "--format", "$(SITE)", "Created-By: Packages"]))
    {
        sites.extend(text.lines().map(|l| l.trim_end_matches('/').to_owned()));
    }
    let site = |end: &str| {
        sites
            .iter()
            .find(|s| s.starts_with("http") && s.ends_with(end))
            .cloned()
            .unwrap_or_else(|| format!("{MIRROR}{end}"))
    };
    (site("/debian"), site("/debian-security"))
}

/// Mirrors fail for moments; three attempts, with pauses.
pub(crate) fn retry(mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    for pause in [3, 15] {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(error) => say(&format!("{error:#}; once more in {pause} s")),
        }
        std::thread::sleep(std::time::Duration::from_secs(pause));
    }
    attempt()
}
