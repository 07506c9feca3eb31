//! What a process that does not go on is doing: for whoever reads the failure.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Messages of the kernel that are shown: a report of a stall is so long.
const MESSAGES: usize = 60;

/// The process's threads with their stacks in the kernel, and what else has the processors or waits
/// uninterruptibly. Twice, a second apart: what has moved is slow, what has not is stuck. Then what the
/// kernel has said last.
pub(crate) fn report(pid: u32) -> String {
    let mut text = String::new();
    for time in ["then", "a second later"] {
        if !text.is_empty() {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        // Writing to a String does not fail.
        let _ = writeln!(text, "{time}, load {}:", read(Path::new("/proc/loadavg")));
        for (process, thread) in threads() {
            let state = Thread::read(&thread);
            if process == pid || state.is_busy() {
                text += &state.lines(&thread, process == pid);
            }
        }
    }
    text + "the kernel's last messages:\n" + &messages()
}

/// The end of the kernel's log. Each reading of /dev/kmsg is one message: level, number, microseconds
/// since the boot, and more, before a semicolon.
fn messages() -> String {
    let mut all = Vec::new();
    let log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
    let mut buffer = [0; 8192];
    // The end of the log is an error to one who does not want to wait.
    while let Ok(n) = log.as_ref().map_or(Ok(0), |mut f| f.read(&mut buffer))
        && n > 0
    {
        let message = String::from_utf8_lossy(&buffer[..n]).into_owned();
        let (head, text) = message.split_once(';').unwrap_or_default();
        let time = head.split(',').nth(2).and_then(|t| t.parse::<u64>().ok()).unwrap_or(0);
        all.push(format!("  {:.3} {}\n", time as f64 / 1e6, text.lines().next().unwrap_or_default()));
    }
    all[all.len().saturating_sub(MESSAGES)..].concat()
}

/// All threads: (process, folder in /proc).
fn threads() -> Vec<(u32, PathBuf)> {
    let list = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let number = |p: &Path| p.file_name()?.to_str()?.parse::<u32>().ok();
    let own = std::process::id();
    list(Path::new("/proc"))
        .filter_map(|p| Some((number(&p)?, p)))
        .filter(|(pid, _)| *pid != own)
        .flat_map(|(pid, p)| list(&p.join("task")).map(move |t| (pid, t)))
        .collect()
}

/// A few fields of /proc/PID/stat.
struct Thread {
    name: String,
    /// From the state on.
    fields: Vec<String>,
}

impl Thread {
    fn read(thread: &Path) -> Thread {
        let stat = read(&thread.join("stat"));
        let (name, rest) = stat.rsplit_once(')').unwrap_or_default();
        Thread {
            name: name.split_once('(').unwrap_or_default().1.to_owned(),
            fields: rest.split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// Field `n` as proc(5) counts.
    fn field(&self, n: usize) -> &str {
        self.fields.get(n - 3).map_or("?", String::as_str)
    }

    fn is_busy(&self) -> bool {
        ["R", "D"].contains(&self.field(3))
    }

    fn lines(&self, thread: &Path, stack: bool) -> String {
        let file = |name: &str| read(&thread.join(name));
        let mut text = format!(
            "  {} {}: {} on CPU {}, policy {} priority {}, {}+{} ticks, in {}, system call {}\n",
            thread.display(),
            self.name,
            self.field(3),
            self.field(39),
            self.field(41),
            self.field(40),
            self.field(14),
            self.field(15),
            file("wchan"),
            file("syscall")
        );
        if stack || self.field(3) == "D" {
            file("stack").lines().for_each(|l| {
                text += &format!("    {l}\n");
            });
        }
        text
    }
}

/// A thread may have ended.
fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default().trim_end().to_owned()
}
