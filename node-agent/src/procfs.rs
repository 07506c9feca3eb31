//! Reads /proc: processes that ran before the agent, or that the kernel's records said nothing of.

use std::path::{Path, PathBuf};

use tetragon_abi::config::NAMESPACES;
use tetragon_abi::record::{Credentials, ENVS_MAX};
use tetragon_engine::strings;

use crate::clock::Clock;
use crate::pods::cgroup::Place;

/// Longest argument text that is kept, as from the kernel.
const ARGS_MAX: usize = 4096;

/// Files of /proc/PID/ns, in the order of the namespace kinds.
const NS_FILES: [&str; NAMESPACES] =
    ["uts", "ipc", "mnt", "pid", "pid_for_children", "net", "time", "time_for_children", "cgroup", "user"];

/// A process, from /proc.
#[derive(Clone, Debug, Default)]
pub struct ProcInfo {
    /// Process id.
    pub tgid: u32,
    /// The parent's.
    pub parent: u32,
    /// When it was made, in ns of the monotonic clock (to a hundredth of a second).
    pub ktime: u64,
    /// What it runs: the executable's path; for a kernel thread its name in brackets.
    pub binary: String,
    /// Path of the executable; empty for a kernel thread.
    pub exe: String,
    /// argv.
    pub args: Vec<String>,
    /// argv was longer.
    pub args_cut: bool,
    /// `NAME=VALUE`, if it is read.
    pub environment: Vec<String>,
    /// There was more of it.
    pub environment_cut: bool,
    /// Working directory; empty if it cannot be read.
    pub cwd: String,
    /// The container that it is in.
    pub place: Place,
    /// Its id in its own PID namespace, 0 in the host's.
    pub nspid: u32,
    /// Credentials and namespaces.
    pub cred: Credentials,
}

/// A mounted /proc.
#[derive(Clone, Debug)]
pub struct ProcFs {
    root: PathBuf,
    /// Nanoseconds of a clock tick.
    tick: u64,
    /// Environments are read.
    environment: bool,
}

impl ProcFs {
    /// The one mounted at `root`.
    pub fn new(root: &Path) -> ProcFs {
        // SAFETY: sysconf has no preconditions.
        let hz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        let hz = u64::try_from(hz).ok().filter(|hz| *hz > 0).unwrap_or(100);
        ProcFs { root: root.to_owned(), tick: 1_000_000_000 / hz, environment: false }
    }

    /// Environments are read too, or not.
    pub fn with_environment(self, environment: bool) -> ProcFs {
        ProcFs { environment, ..self }
    }

    /// All processes, by id. Those that end meanwhile are left out.
    pub fn all(&self, clock: &Clock) -> std::io::Result<Vec<ProcInfo>> {
        let mut ids: Vec<u32> = std::fs::read_dir(&self.root)?
            .flatten()
            .filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok()))
            .collect();
        ids.sort_unstable();
        Ok(ids.into_iter().filter_map(|id| self.one(id, clock)).collect())
    }

    /// One process; `None` if there is none.
    pub fn one(&self, tgid: u32, clock: &Clock) -> Option<ProcInfo> {
        let dir = self.root.join(tgid.to_string());
        let stat = read_text(&dir.join("stat"))?;
        let (comm, parent, ticks) = parse_stat(&stat)?;
        let mut info = ProcInfo {
            tgid,
            parent,
            ktime: clock.from_boot(ticks.saturating_mul(self.tick)),
            cwd: read_link(&dir.join("cwd")),
            exe: read_link(&dir.join("exe")),
            ..Default::default()
        };
        parse_status(&read_text(&dir.join("status"))?, &mut info);
        // A program that was replaced on disk is still known by its old path.
        let gone = info.exe.strip_suffix(" (deleted)").map(str::to_owned);
        if let Some(path) = gone {
            info.exe = path;
        }
        info.binary = if info.exe.is_empty() { format!("[{comm}]") } else { info.exe.clone() };
        if let Ok(bytes) = std::fs::read(dir.join("cmdline")) {
            (info.args, info.args_cut) = cut(&bytes, ARGS_MAX);
        }
        if self.environment
            && let Ok(bytes) = std::fs::read(dir.join("environ"))
        {
            (info.environment, info.environment_cut) = cut(&bytes, ENVS_MAX);
        }
        info.place = self.cgroup(tgid).and_then(|text| Place::of_file(&text, "")).unwrap_or_default();
        info.cred.auid =
            read_text(&dir.join("loginuid")).and_then(|t| t.trim().parse().ok()).unwrap_or(u32::MAX);
        info.cred.ns = namespaces(&dir.join("ns"));
        Some(info)
    }

    /// `/proc/PID/cgroup`; `None`: there is no such process.
    pub fn cgroup(&self, tgid: u32) -> Option<String> {
        read_text(&self.root.join(tgid.to_string()).join("cgroup"))
    }

    /// The namespaces of the node's first process; 0: not known.
    pub fn host_namespaces(&self) -> [u32; NAMESPACES] {
        namespaces(&self.root.join("1/ns"))
    }
}

fn read_text(path: &Path) -> Option<String> {
    std::fs::read(path).ok().map(|b| String::from_utf8_lossy(&b).into_owned())
}

fn read_link(path: &Path) -> String {
    std::fs::read_link(path).map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
}

fn namespaces(dir: &Path) -> [u32; NAMESPACES] {
    NS_FILES.map(|name| parse_ns(&read_link(&dir.join(name))).unwrap_or(0))
}

/// `pid:[4026531836]`
fn parse_ns(link: &str) -> Option<u32> {
    link.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

/// Name, parent and start in ticks since boot. The name is in parentheses and may hold any of both.
fn parse_stat(text: &str) -> Option<(&str, u32, u64)> {
    let open = text.find('(')?;
    let close = text.rfind(')')?;
    let comm = text.get(open + 1..close)?;
    let mut rest = text.get(close + 1..)?.split_ascii_whitespace();
    let parent = rest.nth(1)?.parse().ok()?;
    // Fields are numbered from 1: the parent is the 4th, the start the 22nd.
    let start = rest.nth(17)?.parse().ok()?;
    Some((comm, parent, start))
}

fn parse_status(text: &str, info: &mut ProcInfo) {
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let mut numbers = value.split_ascii_whitespace();
        let mut ids = || [(); 4].map(|()| numbers.next().and_then(|n| n.parse::<u32>().ok()).unwrap_or(0));
        let hex = |value: &str| u64::from_str_radix(value.trim(), 16).unwrap_or(0);
        let cred = &mut info.cred;
        match name {
            "Uid" => {
                let [real, effective, saved, fs] = ids();
                (cred.ids[0], cred.ids[4], cred.ids[2], cred.ids[6]) = (real, effective, saved, fs);
            }
            "Gid" => {
                let [real, effective, saved, fs] = ids();
                (cred.ids[1], cred.ids[5], cred.ids[3], cred.ids[7]) = (real, effective, saved, fs);
            }
            "CapInh" => cred.caps[0] = hex(value),
            "CapPrm" => cred.caps[1] = hex(value),
            "CapEff" => cred.caps[2] = hex(value),
            // One number a PID namespace, the outermost first.
            "NSpid" if value.split_ascii_whitespace().count() > 1 => {
                info.nspid =
                    value.split_ascii_whitespace().next_back().and_then(|n| n.parse().ok()).unwrap_or(0);
            }
            _ => {}
        }
    }
}

/// Texts that each end with a NUL, of at most `max` bytes; true: there are more.
fn cut(bytes: &[u8], max: usize) -> (Vec<String>, bool) {
    (strings(&bytes[..bytes.len().min(max)]), bytes.len() > max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process() {
        let clock = Clock::now();
        let fs = ProcFs::new(Path::new("/proc"));
        let all = fs.all(&clock).unwrap();
        let me = all.iter().find(|i| i.tgid == std::process::id()).unwrap();
        assert_eq!(me.exe, std::env::current_exe().unwrap().to_string_lossy());
        assert_eq!(me.cwd, std::env::current_dir().unwrap().to_string_lossy());
        assert!(me.args.first().is_some_and(|a| a.contains("tetragon_agent")), "{:?}", me.args);
        assert!(me.ktime > 0 && me.ktime < crate::clock::monotonic());
        assert_ne!(me.cred.ns[0], 0);
        assert!(all.windows(2).all(|w| w[0].tgid < w[1].tgid));
        assert!(fs.one(u32::MAX, &clock).is_none());
        assert!(me.environment.is_empty());
        let me = fs.with_environment(true).one(std::process::id(), &clock).unwrap();
        assert!(me.environment.iter().any(|v| v.starts_with("PATH=")), "{:?}", me.environment);
    }

    #[test]
    fn stat_lines() {
        let line = "42 (a (b) c) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 1000 1";
        assert_eq!(parse_stat(line), Some(("a (b) c", 7, 12345)));
        assert_eq!(parse_stat("42 (x) S 7"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn status() {
        let mut info = ProcInfo::default();
        let text =
            "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nNSpid:\t900\t12\t1\nCapPrm:\t000001ffffffffff\n";
        parse_status(text, &mut info);
        assert_eq!(info.cred.ids, [1, 5, 3, 7, 2, 6, 4, 8]);
        assert_eq!((info.nspid, info.cred.caps[1]), (1, 0x1ff_ffff_ffff));
        let mut host = ProcInfo::default();
        parse_status("NSpid:\t900\n", &mut host);
        assert_eq!(host.nspid, 0);
    }

    #[test]
    fn command_lines() {
        let parse = |bytes: &[u8]| cut(bytes, ARGS_MAX);
        assert_eq!(parse(b"a\0b c\0\0"), (vec!["a".into(), "b c".into(), String::new()], false));
        assert_eq!(parse(b""), (vec![], false));
        let (args, cut) = parse(&[b'x'; 5000]);
        assert_eq!((args[0].len(), cut), (4096, true));
    }
}
