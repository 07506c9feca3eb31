//! Debian's packages of any suite, without installing them.
//!
//! apt runs with its own sources list and state, so that a machine of another release (or Ubuntu) can
//! download from any suite, with signatures checked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::arch::Arch;
use crate::progress::{self, Counting};
use crate::tools::{cache, command, find, output, run, say};

/// The keys that Debian's suites are signed with, of the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const MIRROR: &str = "http://deb.debian.org";

/// apt with its own sources and state.
pub struct Apt {
    options: Vec<String>,
    /// Where it downloads to.
    folder: PathBuf,
}

impl Apt {
    /// For these suites of Debian, to download into a folder.
    pub fn new(suites: &[&str], to: &Path) -> Result<Apt> {
        Apt::of(Arch::Amd64, suites, to)
    }

    /// For packages of an architecture.
    pub fn of(arch: Arch, suites: &[&str], to: &Path) -> Result<Apt> {
        if find("apt-get").is_none() {
            bail!(
                "kernels come from Debian's packages, and there is no apt-get here: a Debian or Ubuntu machine is needed"
            );
        }
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is missing: `cargo xtask setup` installs the package debian-archive-keyring");
        }
        // One folder for each choice of suites: apt locks it, and several download at once.
        let arch = arch.debian();
        let folder = cache().join("apt").join(format!("{}-{arch}", suites.join("-")));
        fs::create_dir_all(to)?;
        for sub in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        let (main, security) = mirrors();
        let mut list = String::new();
        for suite in suites {
            list += &format!("deb [arch={arch} signed-by={KEYRING}] {main} {suite} main\n");
            if !suite.contains("backports") && *suite != "sid" {
                list += &format!("deb [arch={arch} signed-by={KEYRING}] {security} {suite}-security main\n");
            }
        }
        let sources = folder.join("sources.list");
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

    /// Reads the index; `what` is shown when it lasts.
    pub fn update(&self, what: &str) -> Result<()> {
        retry(|| progress::run(what, &mut self.command("apt-get", &["-q", "update"]), Counting::Apt))
    }

    /// Downloads packages.
    pub fn download(&self, what: &str, packages: impl IntoIterator<Item = String>) -> Result<()> {
        for package in packages {
            let download = ["-q", "download", package.as_str()];
            retry(|| progress::run(what, &mut self.command("apt-get", &download), Counting::Apt))?;
        }
        Ok(())
    }

    /// `apt-get`, `apt-cache` with these sources.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
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

/// Downloads packages of a suite and unpacks them into a folder, which appears when it is complete.
pub fn unpack(suite: &str, packages: &[&str], to: &Path) -> Result<()> {
    let new = to.with_extension("new");
    let _ = fs::remove_dir_all(&new);
    let what = format!("downloading {} of Debian {suite}", packages.join(", "));
    say(&what);
    let apt = Apt::new(&[suite], &new.join("deb"))?;
    apt.update(&what)?;
    apt.download(&what, packages.iter().map(|p| format!("{p}/{suite}")))?;
    for entry in fs::read_dir(new.join("deb"))? {
        run(command("dpkg-deb", ["-x"]).arg(entry?.path()).arg(new.join("tree")))?;
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::rename(new.join("tree"), to)?;
    Ok(fs::remove_dir_all(new)?)
}

/// Mirrors fail for moments; three attempts, with pauses.
pub fn retry(mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    for pause in [3, 15] {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(error) => say(&format!("{error:#}; trying again in {pause} s")),
        }
        std::thread::sleep(std::time::Duration::from_secs(pause));
    }
    attempt()
}
