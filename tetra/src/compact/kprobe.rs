//! The compact line of a kprobe event: well-known functions have their own form, all others show
//! their name.

use tetragon_api::event::kprobe_argument::Arg;
use tetragon_api::event::{KprobeArgument, KprobeSock, ProcessKprobe};

use super::Line;
use super::paint::Paint;
use super::quote::quoted;

/// Prefixes of system call functions, one per architecture.
const SYSCALL_PREFIXES: [&str; 3] = ["__x64_", "__arm64_", "__ia32_"];

/// The line of `kprobe`, without its process.
pub(super) fn line(paint: Paint, kprobe: &ProcessKprobe) -> Line {
    let full = kprobe.function_name.as_str();
    let function = SYSCALL_PREFIXES.iter().find_map(|p| full.strip_prefix(p)).unwrap_or(full);
    let args = Args { paint, list: &kprobe.args };
    match function {
        "sys_write" => Line::new("📝", "write", Some(args.transfer())),
        "sys_read" => Line::new("📚", "read", Some(args.transfer())),
        "fd_install" => Line::new("📬", "open", Some(args.file(1))),
        "sys_openat" => Line::new("📬\u{fe0f}", "openat", Some(args.string(1))),
        "sys_open" => Line::new("📬\u{fe0f}", "open", Some(args.string(1))),
        "sys_close" => Line::new("📪", "close", Some(args.file(0))),
        "sys_mount" => Line::new("💾", "mount", Some(args.two_strings())),
        "sys_pivot_root" => Line::new("💾", "pivot_root", Some(args.two_strings())),
        "sys_setuid" => Line::new("🔑", "setuid", Some(args.number(0))),
        "sys_clock_settime" => Line::new("⏰", "clock_settime", None),
        "proc_exec_connector" => Line::new("🔧", "proc_exec_connector", None),
        "sys_setns" => Line::new("🔧", "setns", Some(args.namespace())),
        "tcp_connect" => Line::new("🔌", "connect", Some(args.socket())),
        "tcp_close" => Line::new("🧹", "close", Some(args.socket())),
        "tcp_sendmsg" => {
            let bytes = args.int(1).unwrap_or(0);
            Line::new("📤", "sendmsg", Some(format!("{} bytes {bytes}", args.socket())))
        }
        "bpf_check" => Line::new("🐝", "bpf_load", Some(args.bpf_program())),
        "security_perf_event_alloc" => Line::new("🐝", "perf_event_alloc", Some(args.perf_event())),
        "security_bpf_map_alloc" | "security_bpf_map_create" => {
            Line::new("🗺", "bpf_map_create", Some(args.bpf_map()))
        }
        "security_file_permission" => args.permission(function),
        "security_mmap_file" => args.mapping(function),
        "security_path_truncate" | "security_file_truncate" => args.truncation(function),
        _ => Line::new("❓", "syscall", Some(full.to_owned())),
    }
}

/// The arguments of an event, as text. What an event does not have is empty.
struct Args<'a> {
    paint: Paint,
    list: &'a [KprobeArgument],
}

impl Args<'_> {
    fn get(&self, index: usize) -> Option<&Arg> {
        self.list.get(index)?.arg.as_ref()
    }

    fn cyan(&self, text: &str) -> String {
        self.paint.cyan(text)
    }

    /// The path of a file argument.
    fn file(&self, index: usize) -> String {
        match self.get(index) {
            Some(Arg::FileArg(file)) => self.cyan(&quoted(&file.path)),
            _ => String::new(),
        }
    }

    /// A string argument.
    fn string(&self, index: usize) -> String {
        match self.get(index) {
            Some(Arg::StringArg(text)) => self.cyan(&quoted(text)),
            Some(_) => self.cyan(""),
            None => String::new(),
        }
    }

    fn two_strings(&self) -> String {
        format!("{} {}", self.string(0), self.string(1))
    }

    fn int(&self, index: usize) -> Option<i32> {
        match self.get(index)? {
            Arg::IntArg(number) => Some(*number),
            _ => Some(0),
        }
    }

    fn number(&self, index: usize) -> String {
        self.int(index).map(|n| self.cyan(&n.to_string())).unwrap_or_default()
    }

    /// File and byte count of read and write.
    fn transfer(&self) -> String {
        let bytes = match self.get(2) {
            Some(Arg::SizeArg(bytes)) => self.cyan(&format!("{bytes} bytes")),
            Some(_) => self.cyan("0 bytes"),
            None => String::new(),
        };
        format!("{} {bytes}", self.file(0))
    }

    /// The namespace type that setns was asked for.
    fn namespace(&self) -> String {
        let name = match self.int(1) {
            Some(0) => "any",
            Some(0x0200_0000) => "cgroup",
            Some(0x0800_0000) => "ipc",
            Some(0x4000_0000) => "net",
            Some(0x0002_0000) => "mnt",
            Some(0x2000_0000) => "pid",
            Some(0x0000_0080) => "time",
            Some(0x1000_0000) => "user",
            Some(0x0400_0000) => "uts",
            _ => "",
        };
        name.to_owned()
    }

    fn socket(&self) -> String {
        let none = KprobeSock::default();
        let sock = match self.get(0) {
            Some(Arg::SockArg(sock)) => sock,
            Some(_) => &none,
            None => return String::new(),
        };
        let (from, to) = (quoted(&sock.saddr), quoted(&sock.daddr));
        self.cyan(&format!("tcp {from}:{} -> {to}:{}", sock.sport, sock.dport))
    }

    fn bpf_program(&self) -> String {
        match self.get(0) {
            Some(Arg::BpfAttrArg(attr)) => self.cyan(&format!(
                "{} {} instruction count {}",
                attr.prog_type,
                quoted(&attr.prog_name),
                attr.insn_cnt
            )),
            _ => String::new(),
        }
    }

    fn perf_event(&self) -> String {
        match self.get(0) {
            Some(Arg::PerfEventArg(event)) => {
                self.cyan(&format!("{} {}", event.r#type, quoted(&event.kprobe_func)))
            }
            _ => String::new(),
        }
    }

    fn bpf_map(&self) -> String {
        match self.get(0) {
            Some(Arg::BpfMapArg(map)) => self.cyan(&format!(
                "{} {} key size {} value size {} max entries {}",
                map.map_type,
                quoted(&map.map_name),
                map.key_size,
                map.value_size,
                map.max_entries
            )),
            _ => String::new(),
        }
    }

    /// `security_file_permission(file, mask)`.
    fn permission(&self, function: &str) -> Line {
        if self.list.len() < 2 {
            return Line::new("❓", function, Some(String::new()));
        }
        let (emoji, name) = match self.int(1) {
            Some(2) => ("📝", "write"),
            Some(4) => ("📚", "read"),
            _ => ("❓", function),
        };
        Line::new(emoji, name, Some(self.file(0)))
    }

    /// `security_mmap_file(file, prot, flags)`.
    fn mapping(&self, function: &str) -> Line {
        if self.list.len() < 2 {
            return Line::new("❓", function, Some(String::new()));
        }
        let bits = match self.get(1) {
            Some(Arg::UintArg(bits)) => *bits,
            _ => 0,
        };
        let mut name = "mmap-".to_owned();
        name.extend([(1, 'r'), (2, 'w'), (4, 'x')].iter().filter(|(bit, _)| bits & bit != 0).map(|(_, c)| c));
        Line::new("📝", &name, Some(self.file(0)))
    }

    /// `security_path_truncate(path)` and `security_file_truncate(file)`.
    fn truncation(&self, function: &str) -> Line {
        let path = match self.get(0) {
            Some(Arg::PathArg(path)) => &path.path,
            Some(Arg::FileArg(file)) => &file.path,
            _ => return Line::new("❓", function, Some(String::new())),
        };
        Line::new("📝", "truncate", Some(self.cyan(&quoted(path))))
    }
}
