//! Hooks that do not see, or cannot stop, what the policy seems to be about.

use tetragon_api::plan::{ArgType, Matcher, Target, TextOp};

use crate::codes::Code;
use crate::context::Cx;
use crate::draft::{HookDraft, SelectorDraft};
use crate::signatures;

/// The call is made by a program that is about to become another one.
fn is_exec(target: &Target) -> bool {
    match target {
        Target::Function(name) => name.starts_with("security_bprm_"),
        Target::Lsm(name) => name.starts_with("bprm_"),
        Target::Syscall(name) => matches!(name.as_str(), "execve" | "execveat"),
        Target::Tracepoint(_, event) => matches!(event.as_str(), "sys_enter_execve" | "sys_enter_execveat"),
        Target::RawTracepoint(..) => false,
    }
}

/// An argument behind the last one.
pub(super) fn no_such_arg(cx: &mut Cx<'_>, hook: &HookDraft) {
    for target in &hook.targets {
        let Some(most) = signatures::arguments(target) else { continue };
        for arg in &hook.args {
            let Some(index) = arg.index.filter(|index| *index >= most) else { continue };
            let (name, what) = match target {
                Target::Function(name) => (name.clone(), "arguments"),
                Target::Lsm(name) => (format!("LSM hook {name}"), "arguments"),
                Target::Syscall(name) => (format!("sys_{name}"), "arguments"),
                Target::Tracepoint(of, event) | Target::RawTracepoint(of, event) => {
                    (format!("{of}/{event}"), "fields")
                }
            };
            let message = format!("{name} has {most} {what} at most, so there is no index {index}");
            let help = match most {
                0 => "leave args out".to_owned(),
                most => format!("from 0 to {} is possible", most - 1),
            };
            cx.report(Code::NoSuchArg, &arg.place, message).help(help);
        }
    }
}

/// matchBinaries on an exec hook, with nothing about the program that is executed.
pub(super) fn exec_binary(cx: &mut Cx<'_>, hook: &HookDraft) {
    if !hook.targets.iter().any(is_exec) {
        return;
    }
    for selector in &hook.selectors {
        // Who compares the new program too knows that there are two.
        if selector.matchers.iter().any(|m| matches!(m.matcher, Matcher::Text { .. })) {
            continue;
        }
        for draft in &selector.matchers {
            let Matcher::Binary { op, not: false, values } = &draft.matcher else { continue };
            let does = match selector.actions.enforces() {
                true => "does not stop",
                false => "does not report",
            };
            let first = values.first().map_or("", String::as_str);
            let fix = fix(hook, *op, values);
            let message = format!(
                "matchBinaries sees the binary that calls exec, not the one that is executed: \
                 it {does} the start of {first}"
            );
            let operator = operator(*op);
            cx.report(Code::ExecBinary, &draft.place, message)
                .help(format!(
                    "compare what is executed: matchArgs index 0 {operator} {values:?} on the linux_binprm"
                ))
                .fix(fix);
        }
    }
}

fn operator(op: TextOp) -> &'static str {
    match op {
        TextOp::Equal => "Equal",
        TextOp::Prefix => "Prefix",
        TextOp::Postfix => "Postfix",
    }
}

fn fix(hook: &HookDraft, op: TextOp, values: &[String]) -> String {
    let mut lines = Vec::new();
    let bprm = hook.args.iter().any(|a| a.index == Some(0) && a.ty == Some(ArgType::LinuxBinprm));
    if !bprm {
        lines.push("call: security_bprm_check".to_owned());
        lines.push("syscall: false".to_owned());
        lines.push("args:".to_owned());
        lines.push("  - index: 0".to_owned());
        lines.push("    type: linux_binprm".to_owned());
        lines.push("selectors:".to_owned());
    }
    let (first, rest) = if bprm { ("", "") } else { ("  - ", "    ") };
    lines.push(format!("{first}matchArgs:"));
    lines.push(format!("{rest}  - index: 0"));
    lines.push(format!("{rest}    operator: {}", operator(op)));
    lines.push(format!("{rest}    values:"));
    lines.extend(values.iter().map(|v| format!("{rest}      - {v:?}")));
    lines.join("\n")
}

/// An enforcing action on a hook that comes after the fact.
pub(super) fn too_late(cx: &mut Cx<'_>, hook: &HookDraft) {
    let Some((why, instead)) = hook.targets.iter().find_map(after_the_fact) else { return };
    let enforcing = |s: &SelectorDraft| s.enforcing.clone();
    for place in hook.selectors.iter().filter_map(enforcing) {
        cx.report(Code::TooLate, &place, format!("the action comes too late: {why}")).help(instead.clone());
    }
}

/// Why nothing can be stopped at this hook any more, and which one comes earlier.
fn after_the_fact(target: &Target) -> Option<(&'static str, String)> {
    let exec = (
        "the caller's program is gone by then, and the new one has its credentials",
        "use security_bprm_check with type linux_binprm: it runs before the new program is there".to_owned(),
    );
    let post = ("the change is made by then", "use the hook of the same name without post".to_owned());
    let exit = ("the process is ending anyway", "use a hook that the process passes before".to_owned());
    let name = match target {
        Target::Function(name) => name.strip_prefix("security_").unwrap_or(name),
        Target::Lsm(name) => name,
        Target::Syscall(_) => return None,
        Target::Tracepoint(_, event) | Target::RawTracepoint(_, event) => match event.as_str() {
            "sched_process_exec" => return Some(exec),
            "sched_process_exit" | "sched_process_free" => return Some(exit),
            "sys_exit" => {
                return Some((
                    "the system call is done by then",
                    "use its enter event, or an LSM hook".to_owned(),
                ));
            }
            event => {
                let call = event.strip_prefix("sys_exit_")?;
                return Some((
                    "the system call is done by then",
                    format!("use sys_enter_{call}, or an LSM hook"),
                ));
            }
        },
    };
    match name {
        "bprm_committing_creds" | "bprm_committed_creds" => Some(exec),
        "do_exit" | "do_group_exit" | "acct_process" => Some(exit),
        // Others with "post" in their name are asked before it counts: file_post_open, kernel_post_read_file.
        _ if name.starts_with("inode_post_") || name.starts_with("path_post_") => Some(post),
        _ => None,
    }
}
