//! The compact output of `tetra getevents -o compact`: one line per event, with an emoji, the
//! source, the binary and what matters most of the rest, byte for byte as Tetragon's own tool
//! prints it.
//!
//! One thing differs on purpose: the mark at the end of a line, `🛑 CAP_SYS_ADMIN`, stands where
//! that capability is effective. Tetragon prints it where more than 21 capabilities are.

mod kprobe;
mod paint;
mod quote;
mod syscalls;

use std::fmt::Write as _;

use tetragon_api::event::get_events_response::Event;
use tetragon_api::event::kprobe_argument::Arg;
use tetragon_api::event::{
    CapabilitiesType, EventType, GetEventsResponse, Process, ProcessExit, ProcessKprobe, ProcessLoader,
    ProcessLsm, ProcessThrottle, ProcessTracepoint, ThrottleType, Timestamp,
};

use paint::{Colour, Paint};
use quote::quoted;

/// The column up to which a line is filled before its capability mark.
const MARK_COLUMN: usize = 120;

/// How to print events.
#[derive(Clone, Copy, Debug)]
pub struct Compact {
    /// With ANSI colours.
    pub colours: bool,
    /// With the event's time in front.
    pub timestamps: bool,
    /// With the stack traces of kprobe events, a line each frame.
    pub stack_traces: bool,
    /// With the IMA hash of LSM events, on its own line.
    pub ima_hash: bool,
}

/// An event that has no compact form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The event lacks its process.
    #[error("process field is not set in an event of type {}", .0.as_str_name())]
    NoProcess(EventType),
    /// Only the JSON output shows such an event.
    #[error("unknown event type: {}", .0.as_str_name())]
    UnknownType(EventType),
    /// The export limit dropped events here.
    #[error(
        "unknown event type: RATE_LIMIT_INFO: {0} events are missing here, dropped by the agent's export limit"
    )]
    RateLimit(u64),
}

/// A line before it is put together.
struct Line {
    colour: Colour,
    emoji: &'static str,
    name: String,
    rest: Option<String>,
}

impl Line {
    fn new(emoji: &'static str, name: &str, rest: Option<String>) -> Self {
        Self { colour: Colour::Blue, emoji, name: name.to_owned(), rest }
    }
}

impl Compact {
    /// The event as one line, with the lines of its stack traces and hash below it. Every line ends
    /// with a newline.
    pub fn format(&self, event: &GetEventsResponse) -> Result<String, FormatError> {
        let mut out = String::with_capacity(160);
        if self.timestamps {
            out.push_str(&nine_digits(event.time.as_ref()));
            out.push(' ');
        }
        out.push_str(&self.line(event)?);
        out.push('\n');
        match &event.event {
            Some(Event::ProcessKprobe(kprobe)) if self.stack_traces => self.stacks(kprobe, &mut out),
            Some(Event::ProcessLsm(lsm)) if self.ima_hash => self.hash(lsm, &mut out),
            _ => {}
        }
        Ok(out)
    }

    fn line(&self, event: &GetEventsResponse) -> Result<String, FormatError> {
        let paint = Paint(self.colours);
        let kind = event.event_type();
        let line = match event.event.as_ref().ok_or(FormatError::UnknownType(kind))? {
            Event::Test(_) => return Ok("TEST EVENT".to_owned()),
            Event::RateLimitInfo(info) => {
                return Err(FormatError::RateLimit(info.number_of_dropped_process_events));
            }
            Event::ProcessThrottle(throttle) => return Ok(throttled(paint, throttle)),
            Event::ProcessExec(e) => {
                let arguments = e.process.as_ref().map_or("", |p| p.arguments.as_str());
                Line::new("🚀", "process", Some(paint.cyan(&quoted(arguments))))
            }
            Event::ProcessExit(e) => exited(paint, e),
            Event::ProcessLoader(e) => loaded(paint, e),
            Event::ProcessKprobe(e) => kprobe::line(paint, e),
            Event::ProcessTracepoint(e) => traced(e),
            Event::ProcessUprobe(e) => {
                Line::new("🕵\u{fe0f}", "uprobe", Some(format!("{} {}", quoted(&e.path), quoted(&e.symbol))))
            }
            Event::ProcessLsm(e) => Line::new("🔒", "LSM", Some(e.function_name.clone())),
            Event::ProcessUsdt(e) => {
                let rest = format!("{} {} {}", quoted(&e.path), quoted(&e.provider), quoted(&e.name));
                Line::new("🕵\u{fe0f}", "usdt", Some(rest))
            }
        };
        let process = event.process().ok_or(FormatError::NoProcess(kind))?;
        Ok(self.assemble(&line, &event.node_name, process))
    }

    /// Puts head, source, binary and rest together and adds the capability mark.
    fn assemble(&self, line: &Line, node: &str, process: &Process) -> String {
        let paint = Paint(self.colours);
        let mut out = head(paint, line);
        let source = match &process.pod {
            Some(pod) => format!("{}/{}", quoted(&pod.namespace), quoted(&pod.name)),
            None => quoted(node).into_owned(),
        };
        out.push(' ');
        out.push_str(&paint.green(&source));
        out.push(' ');
        out.push_str(&paint.magenta(&quoted(&process.binary)));
        if let Some(rest) = &line.rest {
            out.push(' ');
            out.push_str(rest);
        }
        let mark = paint.magenta(if is_admin(process) { "🛑 CAP_SYS_ADMIN" } else { "" });
        if !mark.is_empty() {
            let width = MARK_COLUMN.saturating_sub(out.len());
            let _ = write!(out, " {mark:>width$}");
        }
        out
    }

    fn stacks(&self, kprobe: &ProcessKprobe, out: &mut String) {
        let paint = Paint(self.colours);
        if !kprobe.kernel_stack_trace.is_empty() {
            out.push_str("Kernel:\n");
        }
        for frame in &kprobe.kernel_stack_trace {
            out.push_str(&paint.green(&format!("   0x{:x}:", frame.address)));
            out.push_str(&paint.blue(&format!(" {}", quoted(&frame.symbol))));
            out.push('+');
            out.push_str(&paint.yellow(&format!("0x{:x}\n", frame.offset)));
        }
        if !kprobe.user_stack_trace.is_empty() {
            out.push_str("User:\n");
        }
        for frame in &kprobe.user_stack_trace {
            out.push_str(&paint.green(&format!("   0x{:x}:", frame.address)));
            if !frame.symbol.is_empty() {
                out.push_str(&paint.blue(&format!(" {}", quoted(&frame.symbol))));
            }
            out.push_str(&paint.yellow(&format!(" ({}+0x{:x})\n", quoted(&frame.module), frame.offset)));
        }
    }

    fn hash(&self, lsm: &ProcessLsm, out: &mut String) {
        let paint = Paint(self.colours);
        let path = hashed_path(lsm).unwrap_or_default();
        if !lsm.ima_hash.is_empty() && !path.is_empty() {
            out.push_str(&paint.green(&format!("   {}", quoted(path))));
            out.push_str(&paint.blue(&format!(" {}\n", lsm.ima_hash)));
        }
    }
}

/// Emoji and name.
fn head(paint: Paint, line: &Line) -> String {
    paint.paint(line.colour, &format!("{} {:<7}", line.emoji, line.name))
}

fn throttled(paint: Paint, throttle: &ProcessThrottle) -> String {
    let what = match throttle.r#type() {
        ThrottleType::ThrottleStart => paint.red("START"),
        ThrottleType::ThrottleStop => paint.green("STOP "),
        ThrottleType::ThrottleUnknown => String::new(),
    };
    let line = Line { colour: Colour::Red, ..Line::new("🧬", "throttle", None) };
    format!("{} {what} {}", head(paint, &line), quoted(&throttle.cgroup))
}

fn exited(paint: Paint, exit: &ProcessExit) -> Line {
    let arguments = exit.process.as_ref().map_or("", |p| p.arguments.as_str());
    let how = match exit.signal.as_str() {
        "" => exit.status.to_string(),
        signal => signal.to_owned(),
    };
    Line::new("💥", "exit", Some(format!("{} {}", paint.cyan(&quoted(arguments)), paint.red(&how))))
}

fn loaded(paint: Paint, loader: &ProcessLoader) -> Line {
    let mut rest = String::new();
    for byte in &loader.buildid {
        let _ = write!(rest, "{byte:02x}");
    }
    if !rest.is_empty() {
        rest.push(' ');
    }
    rest.push_str(&paint.yellow(&quoted(&loader.path)));
    Line::new("🧬", "loader", Some(rest))
}

fn traced(tracepoint: &ProcessTracepoint) -> Line {
    if tracepoint.subsys == "raw_syscalls" && tracepoint.event == "sys_enter" {
        let number = tracepoint.args.first().and_then(|a| a.arg.as_ref());
        let name = match number {
            Some(Arg::LongArg(number)) => {
                u32::try_from(*number).ok().and_then(|n| syscalls::name(syscalls::OWN_ABI, n))
            }
            Some(Arg::SyscallId(id)) => syscalls::name(&id.abi, id.id),
            _ => None,
        };
        return Line::new("☎ ", "syscall", Some(name.unwrap_or("unknown").to_owned()));
    }
    let rest = format!("{} {}", tracepoint.subsys, tracepoint.event);
    Line::new("⁉\u{fe0f}", "tracepoint", Some(rest))
}

fn is_admin(process: &Process) -> bool {
    let admin = CapabilitiesType::CapSysAdmin as i32;
    process.cap.as_ref().is_some_and(|cap| cap.effective.contains(&admin))
}

/// The file that an LSM event's hash is of: the first argument of the hooks that have one.
fn hashed_path(lsm: &ProcessLsm) -> Option<&str> {
    match (lsm.function_name.as_str(), lsm.args.first()?.arg.as_ref()?) {
        (
            "bprm_check_security"
            | "bprm_committed_creds"
            | "bprm_committing_creds"
            | "bprm_creds_for_exec"
            | "bprm_creds_from_file",
            Arg::LinuxBinprmArg(binprm),
        ) => Some(&binprm.path),
        (
            "file_ioctl" | "file_lock" | "file_open" | "file_post_open" | "file_receive" | "mmap_file",
            Arg::FileArg(file),
        ) => Some(&file.path),
        _ => None,
    }
}

/// RFC 3339 in UTC with exactly nine digits; the epoch when there is no time.
fn nine_digits(time: Option<&Timestamp>) -> String {
    let time = time.copied().unwrap_or_default();
    let seconds = Timestamp { seconds: time.seconds, nanos: 0 }.to_string();
    format!("{}.{:09}Z", seconds.trim_end_matches('Z'), time.nanos)
}

#[cfg(test)]
mod tests;
