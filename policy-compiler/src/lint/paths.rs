//! Values that no path of the kernel has, or that take more than they seem to.

use tetragon_api::plan::{ArgType, Matcher, TextOp};

use super::value_place;
use crate::codes::Code;
use crate::context::Cx;
use crate::draft::{HookDraft, MatcherDraft};
use crate::node::quote;

/// Links of usual systems. The kernel's paths have no links in them.
const LINKS: &[(&str, &str)] = &[
    ("/var/run", "/run"),
    ("/var/lock", "/run/lock"),
    ("/bin", "/usr/bin"),
    ("/sbin", "/usr/sbin"),
    ("/lib", "/usr/lib"),
    ("/lib32", "/usr/lib32"),
    ("/lib64", "/usr/lib64"),
    ("/libx32", "/usr/libx32"),
    ("/etc/mtab", "/proc/PID/mounts"),
    ("/proc/self", "/proc/PID"),
    ("/proc/thread-self", "/proc/PID/task/TID"),
    ("/proc/mounts", "/proc/PID/mounts"),
    ("/proc/net", "/proc/PID/net"),
    ("/dev/fd", "/proc/PID/fd"),
];

/// What a matcher compares as a path.
struct Paths<'d> {
    draft: &'d MatcherDraft,
    op: TextOp,
    not: bool,
    values: &'d [String],
    /// Of a program's executable.
    binary: bool,
}

/// Longest list of values that is looked at one by one.
const MOST_VALUES: usize = 1000;

pub(super) fn look(cx: &mut Cx<'_>, hook: &HookDraft) {
    for draft in hook.selectors.iter().flat_map(|s| &s.matchers) {
        let Some(paths) = paths(hook, draft).filter(|p| p.values.len() <= MOST_VALUES) else { continue };
        for (i, value) in paths.values.iter().enumerate() {
            if !impossible(cx, &paths, i, value) {
                link(cx, &paths, i, value);
            }
        }
        open_prefix(cx, &paths);
    }
}

fn paths<'d>(hook: &HookDraft, draft: &'d MatcherDraft) -> Option<Paths<'d>> {
    match &draft.matcher {
        Matcher::Binary { op, not, values } | Matcher::ParentBinary { op, not, values } => {
            Some(Paths { draft, op: *op, not: *not, values, binary: true })
        }
        Matcher::Text { arg, op, not, values } => {
            // A dentry's path begins at its own mount; a string is what a program wrote.
            let whole = matches!(
                hook.args.get(*arg)?.ty?,
                ArgType::File | ArgType::Path | ArgType::Fd | ArgType::LinuxBinprm
            );
            whole.then_some(Paths { draft, op: *op, not: *not, values, binary: false })
        }
        _ => None,
    }
}

/// A value that no path can have.
fn impossible(cx: &mut Cx<'_>, paths: &Paths<'_>, position: usize, value: &str) -> bool {
    let why = match paths.op {
        TextOp::Postfix => None,
        _ if !value.starts_with('/') => Some("a path of the kernel begins with /"),
        _ if ["//", "/./", "/../"].iter().any(|part| value.contains(part)) => {
            Some("the kernel's paths have no //, /./ or /../ in them")
        }
        TextOp::Equal if value.len() > 1 && value.ends_with('/') => Some("no path ends with /"),
        _ => None,
    };
    let Some(why) = why else { return false };
    let does = if paths.not { "excludes nothing" } else { "never matches" };
    let help = match paths.op {
        TextOp::Equal if value.ends_with('/') => {
            "write it without the last /, or use Prefix for what is below"
        }
        _ if !value.starts_with('/') => "write the whole path, or use Postfix for its end",
        _ => "write the path as the kernel shows it",
    };
    let message = format!("{} {does}: {why}", quote(value));
    cx.report(Code::DeadValue, value_place(paths.draft, position), message).help(help);
    true
}

/// A path with a link of usual systems in it.
fn link(cx: &mut Cx<'_>, paths: &Paths<'_>, position: usize, value: &str) {
    if paths.op == TextOp::Postfix {
        return;
    }
    let below = |link: &str| value.strip_prefix(link).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let Some((link, real, rest)) = LINKS.iter().find_map(|(l, r)| Some((l, r, below(l)?))) else { return };
    let right = format!("{real}{rest}");
    let covered = paths.values.iter().any(|v| match paths.op {
        TextOp::Prefix => right.starts_with(v.as_str()),
        _ => right == *v,
    });
    if covered {
        return;
    }
    let systems = if real.starts_with("/proc/") || link.starts_with("/var/") {
        "usual systems"
    } else {
        "systems with a merged /usr"
    };
    let does = if paths.not { "excludes nothing there" } else { "never matches there" };
    let what = if paths.binary { "binary" } else { "path" };
    let help = match real.strip_prefix("/proc/PID") {
        Some(end) => format!("use Prefix \"/proc/\", or Postfix {:?}", format!("{end}{rest}")),
        None => format!("write {right:?}, or both"),
    };
    let message = format!(
        "{link} is a link to {real} on {systems}, and the kernel compares the {what} without links: {} {does}",
        quote(value)
    );
    cx.report(Code::SymlinkPath, value_place(paths.draft, position), message).help(help);
}

/// A Prefix that does not end at a directory.
fn open_prefix(cx: &mut Cx<'_>, paths: &Paths<'_>) {
    let open: Vec<_> = paths
        .values
        .iter()
        .enumerate()
        .filter(|(_, v)| paths.op == TextOp::Prefix && v.starts_with('/') && !v.ends_with('/'))
        .collect();
    let [(first, value), ..] = &open[..] else { return };
    let others = match open.len() - 1 {
        0 => String::new(),
        n => format!(" ({n} more like it)"),
    };
    let message =
        format!("the prefix {} also takes longer names beside it, as {value}-old{others}", quote(value));
    cx.report(Code::OpenPrefix, value_place(paths.draft, *first), message)
        .help("end it with / for what is below a directory, or use Equal for one file");
}
