//! What is known of hooks without a kernel: which there are, and how many arguments they have. Kernels
//! differ, so that it is good for warnings only.

use tetragon_api::plan::Target;

/// `NAME ARGUMENTS` a line. Made from the BTF of Debian's kernels 5.10, 6.1, 6.12, 6.18 and 7.3, and, for hooks
/// that these leave out, from include/linux/lsm_hook_defs.h.
const LSM_HOOKS: &str = include_str!("../resources/lsm-hooks.txt");
const SECURITY_FUNCTIONS: &str = include_str!("../resources/security-functions.txt");
const SYSCALLS: &str = include_str!("../resources/syscall-arguments.txt");

/// Fields of a system call's tracepoints before its arguments, or its result: four common ones, its number.
const FIELDS_BEFORE: u32 = 5;

fn entries(table: &'static str) -> impl Iterator<Item = (&'static str, u32)> {
    let entry = |line: &'static str| {
        let (name, arguments) = line.split_once(' ')?;
        Some((name, arguments.parse().ok()?))
    };
    table.lines().filter(|line| !line.starts_with('#')).filter_map(entry)
}

fn arguments_in(table: &'static str, name: &str) -> Option<u32> {
    entries(table).find(|(known, _)| *known == name).map(|(_, arguments)| arguments)
}

/// Names of LSM hooks.
pub(crate) fn lsm_hooks() -> Vec<&'static str> {
    entries(LSM_HOOKS).map(|(name, _)| name).collect()
}

/// Names of the functions through which the kernel asks LSM hooks.
pub(crate) fn security_functions() -> Vec<&'static str> {
    entries(SECURITY_FUNCTIONS).map(|(name, _)| name).collect()
}

/// The system call of a tracepoint of its own, and whether it is that of its end.
pub(crate) fn syscall_of<'e>(subsystem: &str, event: &'e str) -> Option<(&'e str, bool)> {
    if subsystem != "syscalls" {
        return None;
    }
    let enter = event.strip_prefix("sys_enter_").map(|name| (name, false));
    enter.or_else(|| event.strip_prefix("sys_exit_").map(|name| (name, true)))
}

/// How many arguments (fields, of a tracepoint) it has on any kernel, where that is known.
pub(crate) fn arguments(target: &Target) -> Option<u32> {
    match target {
        Target::Function(name) => arguments_in(SECURITY_FUNCTIONS, name),
        Target::Lsm(name) => arguments_in(LSM_HOOKS, name),
        Target::Syscall(name) => arguments_in(SYSCALLS, name),
        Target::Tracepoint(subsystem, event) => match syscall_of(subsystem, event)? {
            (_, true) => Some(FIELDS_BEFORE + 1),
            (name, false) => Some(FIELDS_BEFORE + arguments_in(SYSCALLS, name)?),
        },
        Target::RawTracepoint(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls;

    #[test]
    fn tables_are_sorted_and_complete() {
        for table in [LSM_HOOKS, SECURITY_FUNCTIONS, SYSCALLS] {
            assert_eq!(entries(table).count(), table.lines().count() - 1, "each line is read");
            let names: Vec<_> = entries(table).map(|(name, _)| name).collect();
            assert!(names.is_sorted_by(|a, b| a < b));
        }
        assert_eq!(entries(SYSCALLS).map(|(name, _)| name).collect::<Vec<_>>(), syscalls::SYSCALLS);
    }

    #[test]
    fn arguments_are_counted_per_kind() {
        for (target, count) in [
            (Target::Lsm("file_open".into()), Some(1)),
            (Target::Lsm("mmap_file".into()), Some(4)),
            (Target::Lsm("nothing".into()), None),
            (Target::Function("security_mmap_file".into()), Some(3)),
            (Target::Function("vfs_read".into()), None),
            (Target::Syscall("mmap".into()), Some(6)),
            (Target::Syscall("getpid".into()), Some(0)),
            (Target::Tracepoint("syscalls".into(), "sys_enter_openat".into()), Some(9)),
            (Target::Tracepoint("syscalls".into(), "sys_exit_openat".into()), Some(6)),
            (Target::Tracepoint("sched".into(), "sys_enter_openat".into()), None),
            (Target::RawTracepoint("sched".into(), "sched_switch".into()), None),
        ] {
            assert_eq!(arguments(&target), count, "{target:?}");
        }
    }
}
