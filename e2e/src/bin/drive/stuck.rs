//! What a process that does not go on is doing: for whoever reads the failure.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The process's threads with their stacks in the kernel, and what else has the processors or waits
/// uninterruptibly. Twice, a second apart: what has moved is slow, what has not is stuck.
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
    text
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
