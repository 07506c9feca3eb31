//! Where a measurement happens: in a guest, or on this machine. The same few operations for both.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::vm::guest::{Guest, Happened, Process};
use crate::vm::session;

/// Where, with the paths that are used there.
pub(crate) struct Place {
    host: Host,
    /// Folder of everything that is put there.
    pub(crate) root: String,
    /// A file on tmpfs, four components deep, that no policy names.
    pub(crate) plain: String,
    /// A file on tmpfs, four components deep, that `monitor-sensitive-files` reports.
    pub(crate) secret: String,
    /// The prefix of it that the policy names.
    pub(crate) secret_prefix: String,
    /// Folder on a tmpfs of its own, where the agent's watched folder is: a watch makes every open and close
    /// on its file system dearer, which is a row of its own.
    pub(crate) watched: String,
    /// Port for the agent's metrics.
    pub(crate) port: u16,
}

enum Host {
    Guest(Box<Guest>),
    Here { folders: Vec<PathBuf> },
}

/// A process that goes on beside the measurement.
pub(crate) enum Beside {
    Guest(Process),
    Here(Child),
}

impl Place {
    /// A guest that is up.
    pub(crate) fn guest(guest: Guest) -> Place {
        Place {
            host: Host::Guest(Box::new(guest)),
            root: "/bench".into(),
            plain: "/srv/other/dir/plain.txt".into(),
            secret: "/etc/kubernetes/pki/ca.crt".into(),
            secret_prefix: "/etc/kubernetes/pki".into(),
            watched: "/watched".into(),
            port: 2112,
        }
    }

    /// This machine: nothing is written outside of two temporary folders.
    pub(crate) fn here() -> Result<Place> {
        // SAFETY: a call without arguments.
        if unsafe { libc::geteuid() } != 0 {
            bail!("only root may load eBPF on this machine; run it as root, or name a --kernel for a guest");
        }
        let name = format!("tetragon-bench-{}", std::process::id());
        let (root, files) = (std::env::temp_dir().join(&name), Path::new("/dev/shm").join(&name));
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        for folder in [&root, &files] {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        Ok(Place {
            root: root.display().to_string(),
            watched: root.join("watched").display().to_string(),
            plain: files.join("plain.txt").display().to_string(),
            secret: files.join("secret.key").display().to_string(),
            secret_prefix: files.join("secret").display().to_string(),
            host: Host::Here { folders: vec![root, files] },
            port,
        })
    }

    /// Whether it is this machine, whose settings are not this program's to change.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.host, Host::Here { .. })
    }

    /// A path below the root.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    /// Writes a file; its folder is made.
    pub(crate) fn put(&self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        match &self.host {
            Host::Guest(guest) => guest.put(path, mode, bytes),
            Host::Here { .. } => {
                let file = Path::new(path);
                if let Some(folder) = file.parent() {
                    fs::create_dir_all(folder)?;
                }
                fs::write(file, bytes).with_context(|| format!("writing {path}"))?;
                Ok(fs::set_permissions(file, fs::Permissions::from_mode(mode))?)
            }
        }
    }

    /// Copies a file of the host.
    pub(crate) fn copy(&self, from: &Path, to: &str, mode: u32) -> Result<()> {
        let bytes = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
        self.put(to, mode, &bytes)
    }

    /// Reads a text file.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let bytes = match &self.host {
            Host::Guest(guest) => guest.get(path)?,
            Host::Here { .. } => fs::read(path).with_context(|| format!("reading {path}"))?,
        };
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Runs a program to its end and gives what it wrote; fails unless it succeeds.
    pub(crate) fn run(&self, argv: &[&str]) -> Result<String> {
        let (failed, text) = match &self.host {
            Host::Guest(guest) => {
                let (status, text) = guest.run(&session::process(argv.iter().copied()))?;
                ((status.code() != 0).then(|| status.to_string()), text)
            }
            Host::Here { .. } => {
                let [program, arguments @ ..] = argv else { bail!("no program") };
                let done = Command::new(program).args(arguments).stdin(Stdio::null()).output();
                let done = done.with_context(|| format!("cannot start {program}"))?;
                let text = [done.stdout, done.stderr].concat();
                let failed = (!done.status.success()).then(|| done.status.to_string());
                (failed, String::from_utf8_lossy(&text).into_owned())
            }
        };
        if let Some(status) = failed {
            bail!("`{}` failed ({status}): {}", argv.join(" "), text.trim());
        }
        Ok(text)
    }

    /// Runs a shell command.
    pub(crate) fn shell(&self, text: &str) -> Result<String> {
        self.run(&["/bin/sh", "-c", text])
    }

    /// Starts a shell command that goes on.
    pub(crate) fn spawn(&self, text: &str) -> Result<Beside> {
        Ok(match &self.host {
            Host::Guest(guest) => Beside::Guest(guest.spawn(&session::shell(text))?),
            Host::Here { .. } => Beside::Here(
                Command::new("/bin/sh")
                    .args(["-c", text])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()?,
            ),
        })
    }

    /// How a process ended, if it ended within that time.
    pub(crate) fn ended(&self, process: &mut Beside, limit: Duration) -> Result<Option<String>> {
        let end = Instant::now() + limit;
        match (&self.host, process) {
            (Host::Guest(guest), Beside::Guest(process)) => loop {
                match guest.wait(process, Some(end.saturating_duration_since(Instant::now())))? {
                    Happened::Exit(status) => return Ok(Some(status.to_string())),
                    Happened::Nothing => return Ok(None),
                    Happened::Output(..) => {}
                }
            },
            (_, Beside::Here(child)) => loop {
                if let Some(status) = child.try_wait()? {
                    return Ok(Some(status.to_string()));
                }
                if Instant::now() >= end {
                    return Ok(None);
                }
                std::thread::sleep(Duration::from_millis(20));
            },
            (Host::Here { .. }, Beside::Guest(_)) => bail!("a process of a guest that is gone"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Host::Here { folders } = &self.host {
            for folder in folders {
                let _ = fs::remove_dir_all(folder);
            }
        }
    }
}
