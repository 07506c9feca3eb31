//! A running guest, as the host sees it: its files, its processes, its console.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tetragon_guest::{CHUNK, Frame, Kind, Run};

use crate::tools::PATIENCE;

use super::machine::{Console, Machine};
use super::qmp::Qmp;

/// Words on the console after which nothing that the guest says can be trusted.
const FATAL: &[&str] =
    &["Kernel panic", "Oops:", "BUG: unable to handle", "kernel BUG at", "Attempted to kill init"];

/// Who waits for the frames of which request; `None` once the guest is gone.
type Waiting = Arc<Mutex<Option<HashMap<u32, Sender<Frame>>>>>;

/// Where a guest comes from.
pub(crate) enum Origin<'a> {
    /// It boots; with a file, that is its RAM, to be saved.
    Boot(Option<&'a Path>),
    /// It goes on where a saved one stood: the saved state and RAM; with `true` it writes to that RAM.
    Saved { state: &'a Path, memory: &'a Path, keep: bool },
}

/// A guest. Dropping it ends it.
pub(crate) struct Guest {
    qemu: RefCell<Child>,
    qmp: Qmp,
    folder: PathBuf,
    port: Mutex<UnixStream>,
    waiting: Waiting,
    next: AtomicU32,
    console: Console,
    /// When it must be over.
    deadline: Option<Instant>,
    /// When its console was last looked at.
    looked: Cell<Instant>,
}

/// One thing that a process of a guest did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// It wrote to standard output (1) or standard error (2).
    Output(u8, Vec<u8>),
    /// It ended.
    Exit(Status),
    /// Nothing, for the time asked.
    Nothing,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) i32);

impl Status {
    /// As a shell tells it: the exit code, or 128 and the signal.
    pub(crate) fn code(self) -> i32 {
        if libc::WIFSIGNALED(self.0) { 128 + libc::WTERMSIG(self.0) } else { libc::WEXITSTATUS(self.0) }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if libc::WIFSIGNALED(self.0) {
            write!(f, "killed by signal {}", libc::WTERMSIG(self.0))
        } else {
            write!(f, "exit code {}", libc::WEXITSTATUS(self.0))
        }
    }
}

/// A process of a guest.
pub(crate) struct Process {
    /// Its number between host and guest.
    pub(crate) id: u32,
    frames: Receiver<Frame>,
}

impl Guest {
    /// Starts a guest and waits until it answers.
    pub(crate) fn start(machine: &Machine, origin: &Origin<'_>, console: Console) -> Result<Guest> {
        let folder = run_folder()?;
        let guest = Guest::launch(machine, origin, console, &folder);
        if guest.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        guest
    }

    fn launch(machine: &Machine, origin: &Origin<'_>, console: Console, folder: &Path) -> Result<Guest> {
        fs::write(folder.join("initramfs"), &machine.initramfs)?;
        let memory = match origin {
            Origin::Boot(memory) => memory.map(|m| (m, true)),
            Origin::Saved { memory, keep, .. } => Some((*memory, *keep)),
        };
        let mut command = machine.qemu(folder, memory, console);
        if matches!(origin, Origin::Saved { .. }) {
            command.args(["-incoming", "defer"]);
        }
        command.stderr(fs::File::create(folder.join("qemu"))?);
        if console == Console::File {
            command.stdout(std::process::Stdio::null());
        }
        // SAFETY: one system call between fork and exec.
        unsafe { command.pre_exec(end_with_parent) };
        let mut qemu =
            command.spawn().with_context(|| format!("cannot start {}", machine.program().display()))?;
        let sockets = connect(&mut qemu, folder);
        let (qmp, port) = match sockets {
            Ok(both) => both,
            Err(error) => {
                let _ = qemu.kill();
                let _ = qemu.wait();
                return Err(error);
            }
        };
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let reader = port.try_clone()?;
        let listeners = Arc::clone(&waiting);
        std::thread::spawn(move || listen(reader, &listeners));
        let mut guest = Guest {
            qemu: RefCell::new(qemu),
            qmp,
            folder: folder.to_path_buf(),
            port: Mutex::new(port),
            waiting,
            next: AtomicU32::new(1),
            console,
            deadline: Some(Instant::now() + PATIENCE),
            looked: Cell::new(Instant::now()),
        };
        if let Origin::Saved { state, .. } = origin {
            guest.wake(state)?;
        }
        guest.request(Kind::Ping, &[]).context("waiting for the guest to boot")?;
        guest.set_clock()?;
        guest.deadline = None;
        Ok(guest)
    }

    fn wake(&mut self, state: &Path) -> Result<()> {
        self.qmp.leave_out_memory()?;
        let uri = format!("exec:cat '{}'", state.display());
        self.qmp.call("migrate-incoming", &json!({"uri": uri}))?;
        let outcome = self.qmp.wait("query-status", &["paused", "running", "postmigrate"], PATIENCE);
        if let Err(error) = outcome {
            return Err(error.context(self.told("the saved guest does not wake up")));
        }
        self.qmp.call("cont", &json!({}))?;
        Ok(())
    }

    /// Stops the guest and saves its state; its RAM is the file that it was started with. The guest is over.
    pub(crate) fn save(mut self, state: &Path) -> Result<()> {
        self.try_save(state).map_err(|e| e.context(self.told("the guest cannot be saved")))
    }

    fn try_save(&mut self, state: &Path) -> Result<()> {
        self.qmp.call("stop", &json!({}))?;
        self.qmp.leave_out_memory()?;
        self.qmp.call("migrate", &json!({"uri": format!("exec:cat > '{}'", state.display())}))?;
        let outcome = self.qmp.wait("query-migrate", &["completed", "failed", "cancelled"], PATIENCE)?;
        if outcome != "completed" {
            bail!("saving the guest: {outcome}");
        }
        self.qmp.quit();
        self.qemu.get_mut().wait()?;
        Ok(())
    }

    /// Everything from here on must be over by then.
    pub(crate) fn set_deadline(&mut self, limit: Duration) {
        self.deadline = Some(Instant::now() + limit);
    }

    fn send(&self, frame: &Frame) -> Result<()> {
        let mut port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        port.write_all(&frame.encode())
            .map_err(|e| anyhow::anyhow!(e).context(self.told("the guest is gone")))
    }

    fn listener(&self) -> (u32, Receiver<Frame>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        (id, self.listen_to(id))
    }

    fn listen_to(&self, id: u32) -> Receiver<Frame> {
        let (sender, receiver) = channel();
        if let Some(waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            waiting.insert(id, sender);
        }
        receiver
    }

    fn forget(&self, id: u32) {
        if let Some(waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            waiting.remove(&id);
        }
    }

    /// The next frame for a request; an error when the guest is broken or time is up.
    fn next(&self, frames: &Receiver<Frame>, limit: Option<Duration>) -> Result<Option<Frame>> {
        let end = limit.map(|l| Instant::now() + l);
        let mut slice = Duration::from_millis(100);
        loop {
            if let Some(end) = end {
                slice = slice.min(end.saturating_duration_since(Instant::now()));
            }
            match frames.recv_timeout(slice) {
                Ok(frame) => return Ok(Some(frame)),
                Err(RecvTimeoutError::Disconnected) => {
                    // The console's last words may still be on their way.
                    std::thread::sleep(Duration::from_millis(200));
                    self.check_console()?;
                    bail!(self.told("the guest ended by itself"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.check_console()?;
            if self.deadline.is_some_and(|d| Instant::now() > d) {
                bail!(TimedOut(self.told("time is up")));
            }
            if end.is_some_and(|e| Instant::now() >= e) {
                return Ok(None);
            }
        }
    }

    /// Sends a request and waits for its one answer.
    fn request(&self, kind: Kind, payload: &[u8]) -> Result<Vec<u8>> {
        let (id, frames) = self.listener();
        self.send(&Frame::new(kind, id, payload))?;
        let answer = self.answer(&frames);
        self.forget(id);
        answer
    }

    fn answer(&self, frames: &Receiver<Frame>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let Some(frame) = self.next(frames, None)? else { continue };
            match frame.kind {
                Kind::Done => return Ok(bytes),
                Kind::Pong => return Ok(frame.payload),
                Kind::Output => bytes.extend_from_slice(frame.payload.get(1..).unwrap_or_default()),
                Kind::Error => bail!("in the guest: {}", String::from_utf8_lossy(&frame.payload)),
                other => bail!("the guest answered with {other:?}"),
            }
        }
    }

    fn set_clock(&self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = u64::try_from(now.as_nanos()).unwrap_or_default();
        self.request(Kind::Clock, &nanoseconds.to_le_bytes()).context("setting the guest's clock")?;
        Ok(())
    }

    /// Writes a file of the guest.
    pub(crate) fn put(&self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        let (id, frames) = self.listener();
        let payload: Vec<u8> = mode.to_le_bytes().into_iter().chain(path.bytes()).collect();
        self.send(&Frame::new(Kind::Put, id, payload))?;
        for chunk in bytes.chunks(CHUNK) {
            self.send(&Frame::new(Kind::Data, id, chunk))?;
        }
        self.send(&Frame::new(Kind::End, id, []))?;
        let answer = self.answer(&frames);
        self.forget(id);
        answer.map(|_| ()).with_context(|| format!("writing {path}"))
    }

    /// Copies a file or folder of the host into the guest.
    pub(crate) fn put_path(&self, from: &Path, to: &str, mode: Option<u32>) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let meta = fs::metadata(from).with_context(|| format!("there is no {}", from.display()))?;
        if meta.is_dir() {
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                let to = format!("{}/{}", to.trim_end_matches('/'), entry.file_name().to_string_lossy());
                self.put_path(&entry.path(), &to, mode)?;
            }
            return Ok(());
        }
        let bytes = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
        self.put(to, mode.unwrap_or(meta.permissions().mode() & 0o7777), &bytes)
    }

    /// Reads a file of the guest.
    pub(crate) fn get(&self, path: &str) -> Result<Vec<u8>> {
        self.request(Kind::Get, path.as_bytes())
    }

    /// Starts a process.
    pub(crate) fn spawn(&self, run: &Run) -> Result<Process> {
        let (id, frames) = self.listener();
        self.send(&Frame::new(Kind::Run, id, run.encode()))?;
        loop {
            match self.next(&frames, None)? {
                Some(Frame { kind: Kind::Started, .. }) => return Ok(Process { id, frames }),
                Some(Frame { kind: Kind::Error, payload, .. }) => {
                    bail!("in the guest: {}", String::from_utf8_lossy(&payload))
                }
                Some(other) => bail!("the guest answered with {:?}", other.kind),
                None => {}
            }
        }
    }

    /// A process that runs since before the guest was saved.
    pub(crate) fn adopt(&self, id: u32) -> Process {
        self.next.fetch_max(id + 1, Ordering::Relaxed);
        Process { id, frames: self.listen_to(id) }
    }

    /// What a process does next, within that time.
    pub(crate) fn wait(&self, process: &Process, limit: Option<Duration>) -> Result<Happened> {
        let Some(frame) = self.next(&process.frames, limit)? else { return Ok(Happened::Nothing) };
        Ok(match frame.kind {
            Kind::Exit => {
                self.forget(process.id);
                Happened::Exit(Status(frame.payload.try_into().map_or(-1, i32::from_le_bytes)))
            }
            Kind::Output => {
                let mut bytes = frame.payload;
                let stream = bytes.first().copied().unwrap_or(1);
                bytes.drain(..bytes.len().min(1));
                Happened::Output(stream, bytes)
            }
            other => bail!("the guest answered with {other:?}"),
        })
    }

    /// Runs a process to its end; gives how it ended, and what it wrote (both streams).
    pub(crate) fn run(&self, run: &Run) -> Result<(Status, String)> {
        let process = self.spawn(run)?;
        let mut text = Vec::new();
        loop {
            match self.wait(&process, None)? {
                Happened::Output(_, bytes) => text.extend(bytes),
                Happened::Exit(status) => return Ok((status, String::from_utf8_lossy(&text).into_owned())),
                Happened::Nothing => {}
            }
        }
    }

    /// Sends a signal; a process that has just ended is no error.
    pub(crate) fn signal(&self, process: &Process, signal: i32) -> Result<()> {
        self.send(&Frame::new(Kind::Signal, process.id, signal.to_le_bytes()))
    }

    /// What went wrong, with the end of the console.
    fn told(&self, what: &str) -> String {
        let console = last_words(&self.folder.join("console"));
        let qemu = tail(&self.folder.join("qemu"), 10);
        let mut text = what.to_owned();
        if !qemu.is_empty() {
            text += &format!("\nQEMU said:\n{qemu}");
        }
        if let Ok(Some(status)) = self.qemu.borrow_mut().try_wait() {
            text += &format!("\nQEMU ended: {status}");
        }
        text += &if console.is_empty() {
            "\nits console is empty".into()
        } else {
            format!("\nthe end of its console:\n{console}")
        };
        text
    }

    fn check_console(&self) -> Result<()> {
        if self.console == Console::Terminal || self.looked.get().elapsed() < Duration::from_millis(100) {
            return Ok(());
        }
        self.looked.set(Instant::now());
        let text = fs::read(self.folder.join("console")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        if let Some(word) = FATAL.iter().find(|w| text.contains(**w)) {
            // The report is many lines long.
            std::thread::sleep(Duration::from_millis(1500));
            bail!(self.told(&format!("the guest's kernel broke down (`{word}`)")));
        }
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let qemu = self.qemu.get_mut();
        let _ = qemu.kill();
        let _ = qemu.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The error when a guest takes longer than it may.
#[derive(Debug)]
pub(crate) struct TimedOut(String);

impl std::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TimedOut {}

/// A new folder for sockets, whose paths must be short.
fn run_folder() -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("tetragon-vm-{}-{number}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// In QEMU's process, before it is QEMU: no guest outlives the one who started it.
fn end_with_parent() -> std::io::Result<()> {
    // SAFETY: numbers only.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

fn connect(qemu: &mut Child, folder: &Path) -> Result<(Qmp, UnixStream)> {
    for _ in 0..3000 {
        if let Some(status) = qemu.try_wait()? {
            bail!("QEMU ended at once ({status}): {}", tail(&folder.join("qemu"), 10));
        }
        if folder.join("qmp").exists() && folder.join("ctl").exists() {
            // Listening follows the appearance of the socket's file.
            if let Ok(port) = UnixStream::connect(folder.join("ctl"))
                && let Ok(qmp) = Qmp::connect(&folder.join("qmp"))
            {
                return Ok((qmp, port));
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("QEMU does not open its sockets: {}", tail(&folder.join("qemu"), 10))
}

/// Gives each frame to whoever waits for it, until the guest is gone; then nobody waits any more.
fn listen(mut port: UnixStream, waiting: &Waiting) {
    while let Ok(Some(frame)) = Frame::read(&mut port) {
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = waiting.as_ref().and_then(|w| w.get(&frame.id)) {
            // Whoever does not listen any more does not need it.
            let _ = sender.send(frame);
        }
    }
    *waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// The end of a console, but no less than what begins with the first fatal word (up to a limit: a panic's
/// first lines say most).
fn last_words(console: &Path) -> String {
    let all = tail(console, usize::MAX);
    let lines: Vec<_> = all.lines().collect();
    let fatal = lines.iter().position(|l| FATAL.iter().any(|w| l.contains(w)));
    let from = fatal.map_or(usize::MAX, |f| f.saturating_sub(3)).min(lines.len().saturating_sub(40));
    lines[from..].iter().take(80).copied().collect::<Vec<_>>().join("\n")
}

fn tail(file: &Path, lines: usize) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    let all: Vec<_> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
