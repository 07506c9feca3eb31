//! Guests that were booted once and saved, so that a fresh one starts in a moment.
//!
//! A saved guest is its RAM, a sparse file, and its state without RAM. Whoever resumes it maps the RAM
//! privately: pages are read when they are touched, and guests that run at once share them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::guest::{Guest, Origin};
use super::machine::{Console, Machine};
use super::session::Running;
use crate::build::Agent;
use crate::tools::{cache, command, run, say};

/// Written last, so that a folder with it is complete.
const COMPLETE: &str = "complete";
/// Holds the running agent's number, where one runs.
const AGENT: &str = "agent";
/// How many saved guests of one kernel are kept: each takes about 200 MB.
const KEPT: usize = 5;
/// An agent that has just started still reads what started beside it.
const CALM: Duration = Duration::from_secs(1);

/// A saved guest. While this exists, it is not thrown away.
#[derive(Debug)]
pub(crate) struct Saved {
    folder: PathBuf,
    _in_use: File,
}

impl Saved {
    /// A fresh guest that goes on where the saved one stood.
    pub(crate) fn resume(&self, machine: &Machine, console: Console) -> Result<Guest> {
        let (state, memory) = (self.folder.join("state"), self.folder.join("memory"));
        Guest::start(machine, &Origin::Saved { state: &state, memory: &memory, keep: false }, console)
    }

    /// A fresh guest in which the agent runs, without policies, and that agent.
    pub(crate) fn resume_running(&self, machine: &Machine) -> Result<(Guest, Running)> {
        let file = self.folder.join(AGENT);
        let id = fs::read_to_string(&file).ok().and_then(|t| t.parse().ok());
        let id = id.with_context(|| format!("{} does not say which process is the agent", file.display()))?;
        let guest = self.resume(machine, Console::File)?;
        let agent = Running::adopt(&guest, id);
        Ok((guest, agent))
    }

    /// A guest that goes on where this one stood, to be saved itself in that folder.
    fn copy(&self, machine: &Machine, folder: &Path) -> Result<Guest> {
        let memory = folder.join("memory");
        run(command("cp", ["--sparse=always", "--reflink=auto"])
            .arg(self.folder.join("memory"))
            .arg(&memory))?;
        let origin = Origin::Saved { state: &self.folder.join("state"), memory: &memory, keep: true };
        Guest::start(machine, &origin, Console::File)
    }
}

/// The saved guest of a machine, booted and saved when there is none.
pub(crate) fn booted(machine: &Machine) -> Result<Saved> {
    let name = machine.digest()?;
    existing_or(&name, |folder| {
        say(&format!("booting {} once, to resume it from now on", machine.kernel.release));
        let memory = folder.join("memory");
        let guest = Guest::start(machine, &Origin::Boot(Some(&memory)), Console::File)?;
        // The kernel's last steps of booting go on beside the first process.
        std::thread::sleep(Duration::from_millis(1500));
        guest.save(&folder.join("state"))
    })
}

/// The saved guest of a machine with this agent on its disk, when there is one.
pub(crate) fn existing_with_agent(machine: &Machine, agent: &Agent) -> Result<Option<Saved>> {
    Ok(existing(&folder_of(&agent_name(machine, agent)?)))
}

/// The saved guest of a machine with this agent on its disk.
pub(crate) fn with_agent(machine: &Machine, agent: &Agent) -> Result<Saved> {
    let name = agent_name(machine, agent)?;
    if let Some(saved) = existing(&folder_of(&name)) {
        return Ok(saved);
    }
    let base = booted(machine)?;
    existing_or(&name, |folder| {
        let guest = base.copy(machine, folder)?;
        install_agent(&guest, agent)?;
        guest.save(&folder.join("state"))
    })
}

/// The saved guest of a machine in which this agent runs, without policies.
pub(crate) fn with_running_agent(machine: &Machine, agent: &Agent) -> Result<Saved> {
    let name = format!("{}+running", agent_name(machine, agent)?);
    if let Some(saved) = existing(&folder_of(&name)) {
        return Ok(saved);
    }
    let base = booted(machine)?;
    existing_or(&name, |folder| {
        let guest = base.copy(machine, folder)?;
        install_agent(&guest, agent)?;
        let mut log = Vec::new();
        let mut sink = |_: u8, bytes: &[u8]| log.extend_from_slice(bytes);
        let started = Running::start(&guest, &[], &mut sink)
            .and_then(|mut running| running.pump(&guest, CALM, &mut sink).map(|()| running));
        let running = started.with_context(|| String::from_utf8_lossy(&log).trim().to_owned())?;
        fs::write(folder.join(AGENT), running.id().to_string())?;
        guest.save(&folder.join("state"))
    })
}

/// Puts the agent and `tetra` into a guest.
pub(crate) fn install_agent(guest: &Guest, agent: &Agent) -> Result<()> {
    guest.put_path(&agent.tetragon, "/usr/bin/tetragon", Some(0o755))?;
    if let Some(tetra) = &agent.tetra {
        guest.put_path(tetra, "/usr/bin/tetra", Some(0o755))?;
    }
    Ok(())
}

fn agent_name(machine: &Machine, agent: &Agent) -> Result<String> {
    let mut name = machine.digest()?;
    for program in std::iter::once(&agent.tetragon).chain(&agent.tetra) {
        name = format!("{name}+{}", program.file_name().unwrap_or_default().to_string_lossy());
    }
    Ok(name)
}

fn folder_of(name: &str) -> PathBuf {
    cache().join("vm/saved").join(name)
}

fn existing(folder: &Path) -> Option<Saved> {
    let in_use = File::options().read(true).write(true).open(folder.join(COMPLETE)).ok()?;
    in_use.lock_shared().ok()?;
    // Thrown away between the two lines above?
    if !folder.join(COMPLETE).exists() {
        return None;
    }
    // For the next cleaning: the longest unused goes first.
    let _ = in_use.set_modified(SystemTime::now());
    Some(Saved { folder: folder.to_path_buf(), _in_use: in_use })
}

fn existing_or(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<Saved> {
    let folder = folder_of(name);
    if let Some(saved) = existing(&folder) {
        return Ok(saved);
    }
    let all = cache().join("vm/saved");
    fs::create_dir_all(&all)?;
    let lock = File::create(all.join(format!("{name}.lock")))?;
    lock.lock().context("waiting for another one who saves the same guest")?;
    if let Some(saved) = existing(&folder) {
        return Ok(saved);
    }
    clean(&all, name);
    let new = all.join(format!("{name}.new"));
    let _ = fs::remove_dir_all(&new);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&new)?;
    make(&new)?;
    File::create(new.join(COMPLETE))?;
    fs::rename(&new, &folder)?;
    let _ = fs::remove_file(all.join(format!("{name}.lock")));
    existing(&folder).with_context(|| format!("the saved guest {} is not complete", folder.display()))
}

/// Throws away the saved guests of this kernel that nobody uses, but for the last used few.
fn clean(all: &Path, name: &str) {
    let kernel = kernel_of(name);
    let mut found: Vec<(SystemTime, PathBuf)> = fs::read_dir(all)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| kernel_of(&e.file_name().to_string_lossy()) == kernel)
        .filter_map(|e| Some((fs::metadata(e.path().join(COMPLETE)).ok()?.modified().ok()?, e.path())))
        .collect();
    found.sort();
    found.reverse();
    for (_, folder) in found.into_iter().skip(KEPT - 1) {
        let Ok(lock) = File::options().read(true).write(true).open(folder.join(COMPLETE)) else { continue };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_file(folder.join(COMPLETE));
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

/// The kernel in a saved guest's name: `6.12-arm64` of `6.12-arm64-DIGEST+PROGRAM`.
fn kernel_of(name: &str) -> &str {
    let machine = name.split('+').next().unwrap_or_default();
    machine.rsplit_once('-').map_or(machine, |(kernel, _)| kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_guests_are_of_a_kernel() {
        for (name, kernel) in [
            ("6.12-0a1b", "6.12"),
            ("6.12-0a1b+tetragon-1-2-3+running", "6.12"),
            ("6.12-arm64-0a1b+tetragon-1-2-3", "6.12-arm64"),
        ] {
            assert_eq!(kernel_of(name), kernel, "{name}");
        }
    }
}
