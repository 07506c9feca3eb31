//! From what a policy watches to how it is attached on this kernel (decision 7 of the design).

use std::path::Path;

use tetragon_api::plan::{ArgType, Hook, Target};

use super::btf::{Btf, Described};
use super::format::{self, Field};
use super::kernel::Kernel;
use crate::policy::{Backend, Cause};

/// How and where programs are attached. Policies that have the same are served by one program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attach {
    /// The means.
    pub backend: Backend,
    /// The function's symbol, the LSM hook, or `subsystem/event`.
    pub name: String,
    /// The function is a system call.
    pub syscall: bool,
}

/// What else is known of it.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// BTF id for backends that need it.
    pub btf_id: u32,
    /// Arguments that the context has.
    pub raw_args: u32,
    /// It may be denied.
    pub deny: bool,
    /// Fields of a tracepoint.
    pub fields: Vec<Field>,
    /// Id of a tracepoint.
    pub id: u64,
}

/// Why a hook cannot be attached here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// There is no such function.
    #[error("{0}")]
    Missing(String),
    /// The function has no such argument, or another one.
    #[error("args[{arg}]: {why}")]
    Mismatch {
        /// Which of the hook's.
        arg: usize,
        /// What it is, and what would be right.
        why: String,
    },
    /// The kernel cannot do what is asked.
    #[error("{0}")]
    Unable(String),
}

impl Unavailable {
    /// For status.
    pub fn cause(&self) -> Cause {
        match self {
            Unavailable::Missing(_) | Unavailable::Mismatch { .. } => Cause::Mistaken,
            Unavailable::Unable(_) => Cause::Unable,
        }
    }

    /// Which of the hook's arguments it is about.
    pub fn arg(&self) -> Option<usize> {
        if let Unavailable::Mismatch { arg, .. } = self { Some(*arg) } else { None }
    }
}

/// Arguments that are looked for in registers: on x86-64 no more of them are there (arm64 has eight).
const REGISTERS: u32 = 6;

/// The kernel's function for a system call, on this architecture.
pub fn syscall_symbol(name: &str) -> String {
    symbol_on(std::env::consts::ARCH, name)
}

fn symbol_on(arch: &str, name: &str) -> String {
    match (arch, name) {
        // Its table leads elsewhere; __arm64_sys_personality exists and is never called
        // (arch/arm64/kernel/sys.c, include/uapi/asm-generic/unistd.h).
        ("aarch64", "personality") => "__arm64_sys_arm64_personality".to_owned(),
        ("aarch64", "fadvise64") => "__arm64_sys_fadvise64_64".to_owned(),
        ("aarch64", _) => format!("__arm64_sys_{name}"),
        _ => format!("__x64_sys_{name}"),
    }
}

/// What events and counters call a hook: system calls have the architecture's prefix.
pub fn function_name(target: &Target) -> String {
    use Target::*;
    match target {
        Function(f) | Lsm(f) => f.clone(),
        Syscall(s) => syscall_symbol(s),
        Tracepoint(s, e) | RawTracepoint(s, e) => format!("{s}/{e}"),
    }
}

/// Decides how `hook` is attached.
pub fn resolve(kernel: &Kernel, btf: &Btf, hook: &Hook) -> Result<(Attach, Details), Unavailable> {
    let denies = hook.selectors.iter().any(|s| s.actions.deny.is_some());
    match &hook.target {
        Target::Lsm(name) => {
            if btf.function(&format!("bpf_lsm_{name}")).is_none() {
                return Err(Unavailable::Missing(format!(
                    "LSM hook {name} does not exist on this kernel ({}): its BTF has no bpf_lsm_{name}; \
                     names are those of include/linux/lsm_hook_defs.h, such as file_open",
                    kernel.release
                )));
            }
            if !kernel.lsm {
                return Err(Unavailable::Unable(no_lsm(&format!("LSM hook {name}"), name)));
            }
            lsm(btf, name, hook)
        }
        Target::Function(symbol) => function(kernel, btf, symbol, hook, denies),
        Target::Syscall(name) => syscall(kernel, btf, name, denies),
        Target::RawTracepoint(subsystem, event) => {
            tracepoint_dir(subsystem, event)?;
            raw_tracepoint(btf, subsystem, event, hook)
        }
        Target::Tracepoint(subsystem, event) => tracepoint(subsystem, event, hook),
    }
}

fn no_lsm(what: &str, name: &str) -> String {
    format!(
        "{what}: BPF LSM is not switched on in this kernel (/sys/kernel/security/lsm has no bpf); boot it with \
         lsm=...,bpf, or watch kprobes security_{name} without Override"
    )
}

fn lsm(btf: &Btf, name: &str, hook: &Hook) -> Result<(Attach, Details), Unavailable> {
    let function = format!("bpf_lsm_{name}");
    let (Some(btf_id), Some((params, returns))) = (btf.function(&function), btf.signature(&function)) else {
        return Err(Unavailable::Missing(format!("the kernel's BTF has no signature of {function}")));
    };
    check_args(btf, &function, &params, hook)?;
    if !returns && hook.selectors.iter().any(|s| s.actions.deny.is_some()) {
        return Err(Unavailable::Unable(format!(
            "Override on LSM hook {name}: the hook returns nothing, so it cannot deny; use Sigkill, or a hook that is asked before"
        )));
    }
    let attach = Attach { backend: Backend::Lsm, name: name.to_owned(), syscall: false };
    Ok((attach, Details { btf_id, raw_args: params.len() as u32, deny: returns, ..Details::default() }))
}

/// The LSM hook behind a `security_` function, if the arguments that are read are the same.
fn hook_of(btf: &Btf, symbol: &str, hook: &Hook) -> Option<String> {
    let name = match symbol.strip_prefix("security_")? {
        "bprm_check" => "bprm_check_security",
        other => other,
    };
    let behind = format!("bpf_lsm_{name}");
    let ((ours, _), (theirs, _)) = (btf.signature(symbol)?, btf.signature(&behind)?);
    let (our_names, their_names) = (btf.parameters(symbol)?, btf.parameters(&behind)?);
    // security_mmap_file(file, prot, flags) asks mmap_file(file, reqprot, prot, flags): where their
    // numbers differ, arguments are the same only by name.
    let same = |i: usize| {
        ours.get(i).is_some()
            && ours.get(i) == theirs.get(i)
            && (ours.len() == theirs.len() || our_names.get(i) == their_names.get(i))
    };
    hook.args.iter().all(|a| same(a.index as usize)).then(|| name.to_owned())
}

/// LSM hooks that the kernel's own capability checks answer too. These come before BPF: what they
/// refuse, a BPF program never sees, while a probe of the `security_` function does.
const ANSWERED_BEFORE: [&str; 14] = [
    "capable",
    "settime",
    "ptrace_access_check",
    "ptrace_traceme",
    "capget",
    "capset",
    "mmap_addr",
    "task_fix_setuid",
    "task_prctl",
    "task_setscheduler",
    "task_setioprio",
    "task_setnice",
    "vm_enough_memory",
    "bprm_creds_from_file",
];

fn function(
    kernel: &Kernel,
    btf: &Btf,
    symbol: &str,
    hook: &Hook,
    denies: bool,
) -> Result<(Attach, Details), Unavailable> {
    let known = btf.signature(symbol);
    if known.is_none() && !in_kallsyms(symbol) {
        return Err(Unavailable::Missing(format!(
            "function {symbol} does not exist on this kernel ({}): it is neither in its BTF nor in /proc/kallsyms; \
             if it may be missing, say ignore: {{callNotFound: true}}",
            kernel.release
        )));
    }
    if let Some((params, _)) = &known {
        check_args(btf, symbol, params, hook)?;
    }
    let behind =
        hook_of(btf, symbol, hook).filter(|name| denies || !ANSWERED_BEFORE.contains(&name.as_str()));
    if let Some(name) = behind {
        if kernel.lsm {
            return lsm(btf, &name, hook);
        }
        if denies {
            return Err(Unavailable::Unable(no_lsm(&format!("Override on {symbol}"), &name)));
        }
    }
    if denies {
        return Err(Unavailable::Unable(format!(
            "Override on {symbol}: only functions with an LSM hook behind them can be denied; use Sigkill, or an lsmhooks entry"
        )));
    }
    probe(kernel, btf, symbol, false)
}

fn syscall(kernel: &Kernel, btf: &Btf, name: &str, denies: bool) -> Result<(Attach, Details), Unavailable> {
    let symbol = syscall_symbol(name);
    if btf.function(&symbol).is_none() && !in_kallsyms(&symbol) {
        return Err(Unavailable::Missing(format!(
            "system call {name} does not exist on this kernel ({}): it has no function {symbol}",
            kernel.release
        )));
    }
    if denies {
        return Err(Unavailable::Unable(format!(
            "Override on system call {name}: this kernel cannot override system calls; use Sigkill, or an LSM hook that the call asks"
        )));
    }
    probe(kernel, btf, &symbol, true)
}

/// fentry where nothing can be missed (and, before 6.1, so that it can outlive the agent), else a
/// kprobe.
fn probe(kernel: &Kernel, btf: &Btf, symbol: &str, syscall: bool) -> Result<(Attach, Details), Unavailable> {
    let signature = btf.signature(symbol);
    let fentry = signature.is_some() && (kernel.not_preemptible || !kernel.kprobes);
    if !fentry && !kernel.kprobes {
        return Err(Unavailable::Unable(format!(
            "{symbol}: this kernel has no kprobes, and no BTF for the function"
        )));
    }
    let raw_args = signature.map_or(REGISTERS, |(p, _)| (p.len() as u32).min(REGISTERS));
    let backend = if fentry { Backend::Fentry } else { Backend::Kprobe };
    let attach = Attach { backend, name: symbol.to_owned(), syscall };
    Ok((attach, Details { btf_id: btf.function(symbol).unwrap_or(0), raw_args, ..Details::default() }))
}

/// The arguments exist and are what the policy says.
fn check_args(btf: &Btf, function: &str, params: &[u32], hook: &Hook) -> Result<(), Unavailable> {
    for (i, a) in hook.args.iter().enumerate() {
        let refuse = |why: String| Err(Unavailable::Mismatch { arg: i, why });
        let Some(param) = params.get(a.index as usize) else {
            return refuse(format!(
                "{function} has {} arguments on this kernel, so there is no index {}",
                params.len(),
                a.index
            ));
        };
        let is = btf.describe(*param);
        let wants = match a.ty {
            ArgType::File => "file",
            ArgType::Path => "path",
            ArgType::Dentry => "dentry",
            ArgType::LinuxBinprm => "linux_binprm",
            ty => {
                let narrow = ty.is_int()
                    && !matches!(ty, ArgType::Int64 | ArgType::Uint64 | ArgType::Size | ArgType::Auto);
                match is {
                    Described::StructPointer(s) if narrow || ty == ArgType::String => {
                        return refuse(format!(
                            "index {} of {function} is a struct {s} *, which type {} does not fit",
                            a.index,
                            ty.name()
                        ));
                    }
                    Described::Integer if ty == ArgType::String => {
                        return refuse(format!(
                            "index {} of {function} is an integer, which type string does not fit",
                            a.index
                        ));
                    }
                    _ => continue,
                }
            }
        };
        match is {
            Described::StructPointer(s) if s == wants => {}
            Described::StructPointer(s) => {
                return refuse(format!(
                    "index {} of {function} is a struct {s} *, not a struct {wants} *",
                    a.index
                ));
            }
            _ => return refuse(format!("index {} of {function} is not a struct {wants} *", a.index)),
        }
    }
    Ok(())
}

fn in_kallsyms(symbol: &str) -> bool {
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    text.lines().any(|l| l.split_ascii_whitespace().nth(2) == Some(symbol))
}

/// The tracepoint's folder in tracefs.
fn tracepoint_dir(subsystem: &str, event: &str) -> Result<std::path::PathBuf, Unavailable> {
    for root in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
        let dir = Path::new(root).join("events").join(subsystem).join(event);
        if dir.join("format").exists() {
            return Ok(dir);
        }
    }
    Err(Unavailable::Missing(format!(
        "tracepoint {subsystem}/{event} does not exist on this kernel (looked in /sys/kernel/tracing/events)"
    )))
}

fn tracepoint(subsystem: &str, event: &str, hook: &Hook) -> Result<(Attach, Details), Unavailable> {
    let dir = tracepoint_dir(subsystem, event)?;
    let read = |f: &str| {
        std::fs::read_to_string(dir.join(f))
            .map_err(|e| Unavailable::Unable(format!("{}: {e}", dir.join(f).display())))
    };
    let id = read("id")?
        .trim()
        .parse()
        .map_err(|_| Unavailable::Unable(format!("{}/id is no number", dir.display())))?;
    let fields = format::fields(&read("format")?);
    check_fields(subsystem, event, &fields, hook)?;
    let attach =
        Attach { backend: Backend::Tracepoint, name: format!("{subsystem}/{event}"), syscall: false };
    Ok((attach, Details { fields, id, ..Details::default() }))
}

/// The event has the fields, and each is what the policy says.
fn check_fields(subsystem: &str, event: &str, fields: &[Field], hook: &Hook) -> Result<(), Unavailable> {
    for (i, a) in hook.args.iter().enumerate() {
        let why = match fields.get(a.index as usize) {
            Some(field) => match field.fits(subsystem, a.ty) {
                Ok(()) => continue,
                Err(why) => format!("index {} of {subsystem}/{event} {why}", a.index),
            },
            None => format!(
                "{subsystem}/{event} has {} fields on this kernel, so there is no index {}",
                fields.len(),
                a.index
            ),
        };
        return Err(Unavailable::Mismatch { arg: i, why });
    }
    Ok(())
}

/// The most arguments of a raw tracepoint that can be read.
const RAW_ARGUMENTS: u32 = 5;

fn raw_tracepoint(
    btf: &Btf,
    subsystem: &str,
    event: &str,
    hook: &Hook,
) -> Result<(Attach, Details), Unavailable> {
    let name = format!("{subsystem}/{event}");
    // The BTF of a module's tracepoint is the module's.
    let known = btf.tracepoint(event);
    if let Some(params) = &known {
        check_args(btf, &format!("raw tracepoint {name}"), params, hook)?;
    }
    let raw_args = known.map_or(RAW_ARGUMENTS, |p| (p.len() as u32).min(RAW_ARGUMENTS));
    let attach = Attach { backend: Backend::RawTracepoint, name, syscall: false };
    Ok((attach, Details { raw_args, ..Details::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_calls_have_the_prefix_of_the_architecture() {
        for (arch, name, symbol) in [
            ("x86_64", "setns", "__x64_sys_setns"),
            ("x86_64", "personality", "__x64_sys_personality"),
            ("aarch64", "setns", "__arm64_sys_setns"),
            ("aarch64", "personality", "__arm64_sys_arm64_personality"),
            ("aarch64", "fadvise64", "__arm64_sys_fadvise64_64"),
        ] {
            assert_eq!(symbol_on(arch, name), symbol, "{name} on {arch}");
        }
    }
}
