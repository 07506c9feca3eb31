//! What a hook watches: names of functions, system calls, LSM hooks and tracepoints.

use std::collections::BTreeMap;

use tetragon_api::plan::Target;
use tetragon_api::policy::ListType;

use crate::codes::Code;
use crate::context::Cx;
use crate::feature::Feature;
use crate::node::{Fields, Item, quote};
use crate::source::Place;
use crate::{schema, signatures, suggest, syscalls};

/// An entry of `spec.lists` that could be read.
pub(crate) struct List {
    place: Place,
    kind: Option<ListType>,
    values: Vec<(String, Place)>,
}

/// The lists by name; `None` for one that exists and could not be read.
pub(crate) type Lists = BTreeMap<String, Option<List>>;

/// Reads `spec.lists`.
pub(crate) fn lists(cx: &mut Cx<'_>, spec: &Fields<'_>) -> Lists {
    let mut lists = Lists::new();
    for item in spec.items(cx, "lists") {
        let Some(fields) = item.fields(cx, schema::LIST) else { continue };
        let list = list(cx, &fields);
        let Some(named) = fields.require(cx, "name", "write name: NAME, to be used as list:NAME") else {
            continue;
        };
        let Some(name) = named.text(cx) else { continue };
        if lists.contains_key(name) {
            cx.report(Code::DuplicateName, &named.place, format!("a list {} is already there", quote(name)))
                .help("give each list a name of its own");
        } else {
            lists.insert(name.to_owned(), list);
        }
    }
    lists
}

fn list(cx: &mut Cx<'_>, fields: &Fields<'_>) -> Option<List> {
    let mut kind = None;
    if let Some(item) = fields.get("type") {
        let name = item.text(cx)?;
        kind = match ListType::from_name(name) {
            Some(ListType::Syscalls) => Some(ListType::Syscalls),
            Some(other) => {
                cx.lacks(
                    Feature::ListType(other.name()),
                    &item.place,
                    format!("not supported yet: lists of type {name}"),
                )
                .help("type syscalls and lists without a type work: write the names into values");
                return None;
            }
            None if name.is_empty() => None,
            None => {
                let known: Vec<_> = ListType::ALL.iter().map(|t| t.name()).collect();
                let message = format!("unknown list type {}", quote(name));
                cx.report(Code::UnknownName, &item.place, message).help(suggest::one_of(name, &known));
                return None;
            }
        };
    }
    let items = fields.items(cx, "values");
    if items.is_empty() {
        cx.report(Code::MissingValues, &fields.place, "the list is empty")
            .help("write the names into values");
    }
    let mut values = Vec::new();
    for item in items {
        if let Some(value) = item.text(cx) {
            values.push((value.to_owned(), item.place));
        }
    }
    Some(List { place: fields.place.clone(), kind, values })
}

/// The targets of a kprobe: one, or those of its list, sorted. Also returns whether they are
/// system calls.
pub(crate) fn kprobe(cx: &mut Cx<'_>, fields: &Fields<'_>, lists: &Lists) -> (Vec<Target>, bool) {
    let syscall = fields.boolean(cx, "syscall", true);
    let explicit = fields.get("syscall").is_some();
    let Some(item) = fields.require(cx, "call", "write the function, as call: security_file_open") else {
        return (Vec::new(), syscall);
    };
    let Some(call) = item.text(cx) else { return (Vec::new(), syscall) };
    let Some(name) = call.strip_prefix("list:") else {
        let function = syscall && looks_like_function(call);
        let target = one(cx, &item.place, call, Naming { syscall, explicit, listed: false });
        // Its args are those of a function: one mistake is one error.
        return (target.into_iter().collect(), syscall && !function);
    };
    let list = match lists.get(name) {
        Some(Some(list)) => list,
        Some(None) => return (Vec::new(), syscall),
        None => {
            let known: Vec<_> = lists.keys().map(String::as_str).collect();
            let help = if known.is_empty() {
                format!("write it into spec.lists: name: {name}, values: [...]")
            } else {
                suggest::one_of(name, &known)
            };
            let message = format!("spec.lists has no list {}", quote(name));
            cx.report(Code::UnknownList, &item.place, message).help(help);
            return (Vec::new(), syscall);
        }
    };
    if list.kind == Some(ListType::Syscalls) && !syscall {
        let at = cx.span(list.place.span.as_ref());
        cx.report(
            Code::ListMismatch,
            &item.place,
            format!("the list {name} is of system calls, and syscall is false"),
        )
        .help("say syscall: true")
        .label(at, "type: syscalls");
        return (Vec::new(), syscall);
    }
    let naming = Naming { syscall, explicit: explicit || list.kind.is_some(), listed: true };
    let mut targets: Vec<_> = list.values.iter().filter_map(|(v, place)| one(cx, place, v, naming)).collect();
    targets.sort();
    targets.dedup();
    (targets, syscall)
}

/// How a name is to be read.
#[derive(Clone, Copy)]
struct Naming {
    syscall: bool,
    /// The policy says so itself.
    explicit: bool,
    /// From a list: `x64/sys_NAME`, `arm64/sys_NAME` are possible.
    listed: bool,
}

fn one(cx: &mut Cx<'_>, place: &Place, call: &str, naming: Naming) -> Option<Target> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/');
    if call.is_empty() || !call.chars().all(of_name) {
        let what = if naming.syscall { "a system call" } else { "a kernel function" };
        let right = if naming.syscall { "sys_openat" } else { "security_file_open" };
        cx.report(Code::BadCall, place, format!("{} cannot be the name of {what}", quote(call)))
            .help(format!("write one name, such as {right}"));
        return None;
    }
    if naming.syscall { syscall(cx, place, call, naming) } else { function(cx, place, call) }
}

fn syscall(cx: &mut Cx<'_>, place: &Place, call: &str, naming: Naming) -> Option<Target> {
    let bare = call.strip_prefix("x64/").or_else(|| call.strip_prefix("arm64/"));
    if let Some(name) = short(bare.filter(|_| naming.listed).unwrap_or(call)) {
        if !valid(cx, place, name, "a system call", "letters, digits and _") {
            return None;
        }
        if !syscalls::is_known(name) {
            unknown_syscall(cx, place, name);
        }
        return Some(Target::Syscall(name.to_owned()));
    }
    if OTHER_ABIS.iter().any(|p| call.starts_with(p)) {
        cx.lacks(Feature::OTHER_ABIS, place, format!("not supported yet: {}", quote(call)))
            .help("64-bit system calls work, as sys_NAME, which is the same call on x86-64 and arm64");
    } else if !looks_like_function(call) {
        let name = syscalls::symbol_of(call).unwrap_or(call);
        cx.report(Code::BadCall, place, format!("{} is not how a system call is written", quote(call)))
            .help(format!("write sys_{name}"));
    } else {
        let why = if naming.explicit { "" } else { " (its default)" };
        let message = format!("{} looks like a kernel function, and syscall is true{why}", quote(call));
        cx.report(Code::SyscallDefault, place, message)
            .help("say syscall: false for a kernel function; a system call is written sys_NAME");
    }
    None
}

/// Beginnings of system calls. A Plan is for nodes of all architectures, so that a symbol of one of them
/// means the call: each node puts its own prefix before the name.
const PREFIXES: &[&str] = &["sys_", "__x64_sys_", "__arm64_sys_"];

/// A system call's name behind its prefix.
fn short(call: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|p| call.strip_prefix(p))
}

/// Beginnings of system calls that are not the nodes' own.
const OTHER_ABIS: &[&str] =
    &["i386/", "arm64/", "arm32/", "__ia32_", "__x32_", "__arm64_", "compat_sys_", "x64/"];

/// No system call of any ABI, with or without a prefix.
fn looks_like_function(call: &str) -> bool {
    !PREFIXES.iter().chain(OTHER_ABIS).any(|p| call.starts_with(p))
        && !syscalls::is_known(call)
        && syscalls::symbol_of(call).is_none()
}

fn unknown_syscall(cx: &mut Cx<'_>, place: &Place, name: &str) {
    let help = match (syscalls::symbol_of(name), suggest::nearest(name, syscalls::SYSCALLS)) {
        (Some(symbol), _) => format!("its symbol has another name: write sys_{symbol}"),
        (None, Some(near)) => format!("did you mean \"sys_{near}\"?"),
        (None, None) => "the node refuses it unless its kernel has it".to_owned(),
    };
    cx.report(
        Code::UnknownSyscall,
        place,
        format!("neither x86-64 nor arm64 has a system call sys_{name} that is known here"),
    )
    .help(help);
}

fn function(cx: &mut Cx<'_>, place: &Place, call: &str) -> Option<Target> {
    if !valid(cx, place, call, "a kernel function", "letters, digits, _ and .") {
        return None;
    }
    if let Some(name) = short(call).filter(|n| syscalls::is_known(n)) {
        cx.report(
            Code::SyscallAsFunction,
            place,
            format!(
                "{call} is a system call, hooked as a function: its only argument is a pointer to registers"
            ),
        )
        .help(format!("write call: sys_{name} and syscall: true"));
    }
    if call.starts_with("security_") {
        unknown_function(cx, place, call);
    }
    Some(Target::Function(call.to_owned()))
}

/// A function that asks LSM hooks and is most likely misspelt: others of the name's beginning may exist.
fn unknown_function(cx: &mut Cx<'_>, place: &Place, call: &str) {
    let known = signatures::security_functions();
    if known.contains(&call) {
        return;
    }
    if let Some(near) = suggest::nearest(call, &known) {
        cx.report(Code::UnknownHook, place, format!("no kernel from 5.10 to 7.3 has {call}"))
            .help(format!("did you mean {near:?}?"));
    }
}

/// Target of an entry of `lsmhooks`.
pub(crate) fn lsm(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Target> {
    let hook = item.text(cx)?;
    let bare = hook.strip_prefix("bpf_lsm_").or_else(|| hook.strip_prefix("security_")).unwrap_or(hook);
    let right = if bare == "bprm_check" { "bprm_check_security" } else { bare };
    if right != hook {
        cx.report(Code::BadCall, &item.place, format!("{} is not the name of an LSM hook", quote(hook)))
            .help(format!("write {right}"));
        return None;
    }
    if !valid(cx, &item.place, hook, "an LSM hook", "letters, digits and _") {
        return None;
    }
    let known = signatures::lsm_hooks();
    if !known.contains(&hook) {
        let help = match suggest::nearest(hook, &known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "the node refuses it unless its kernel has it".to_owned(),
        };
        let message = format!("no kernel from 5.10 to 7.3 has an LSM hook {hook}");
        cx.report(Code::UnknownHook, &item.place, message).help(help);
    }
    Some(Target::Lsm(hook.to_owned()))
}

/// Target of an entry of `tracepoints`.
pub(crate) fn tracepoint(
    cx: &mut Cx<'_>,
    subsystem: &Item<'_>,
    event: &Item<'_>,
    raw: bool,
) -> Option<Target> {
    let (sub, name) = (subsystem.text(cx), event.text(cx));
    let (sub, name) = (sub?, name?);
    if let Some((s, e)) = name.split_once('/').or_else(|| name.split_once(':')) {
        cx.report(Code::BadCall, &event.place, format!("{} names a subsystem too", quote(name)))
            .help(format!("write subsystem: {s} and event: {e}"));
        return None;
    }
    let good = valid(cx, &subsystem.place, sub, "a subsystem", "letters, digits, _ and -")
        & valid(cx, &event.place, name, "an event", "letters, digits, _ and -");
    if good && !raw {
        unknown_event(cx, &event.place, sub, name);
    }
    let (sub, name) = (sub.to_owned(), name.to_owned());
    let target = if raw { Target::RawTracepoint(sub, name) } else { Target::Tracepoint(sub, name) };
    good.then_some(target)
}

/// The tracepoint of a system call that is not known.
fn unknown_event(cx: &mut Cx<'_>, place: &Place, subsystem: &str, event: &str) {
    let Some((name, exit)) = signatures::syscall_of(subsystem, event) else { return };
    if syscalls::is_known(name) {
        return;
    }
    let beginning = if exit { "sys_exit_" } else { "sys_enter_" };
    let near = syscalls::symbol_of(name).or_else(|| suggest::nearest(name, syscalls::SYSCALLS));
    let help = match near {
        Some(near) => format!("did you mean \"{beginning}{near}\"?"),
        None => "the node refuses it unless its kernel has it".to_owned(),
    };
    let message = format!("x86-64 has no system call {name} that is known here");
    cx.report(Code::UnknownSyscall, place, message).help(help);
}

/// Longest name of a kernel symbol (KSYM_NAME_LEN less its NUL).
const LONGEST: usize = 511;

fn valid(cx: &mut Cx<'_>, place: &Place, name: &str, what: &str, of: &str) -> bool {
    let extra = |c| (of.ends_with('.') && c == '.') || (of.ends_with('-') && c == '-');
    let good = !name.is_empty()
        && name.len() <= LONGEST
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || extra(c));
    if !good {
        cx.report(Code::BadCall, place, format!("{} cannot be the name of {what}", quote(name)))
            .help(format!("a name has {of}"));
    }
    good
}
