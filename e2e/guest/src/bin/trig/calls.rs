//! The names of system calls and their numbers, which are part of the kernel's contract.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::{LOW, OTHERWISE};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{LOW, OTHERWISE};

/// How a call that the architecture does not have is made: its name, the name of another, and where that
/// one's arguments come from.
pub(crate) type Otherwise = (&'static str, &'static str, &'static [Argument]);

/// Where an argument comes from.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    all(target_arch = "x86_64", not(test)),
    expect(dead_code, reason = "x86-64 has all calls that cases make")
)]
pub(crate) enum Argument {
    /// From the command line, counted from 0.
    Given(usize),
    /// It is always this.
    Fixed(i64),
}

/// The number of a call.
pub(crate) fn number(name: &str) -> Option<i64> {
    let name = OTHER_NAMES.iter().find(|(other, _)| *other == name).map_or(name, |(_, real)| real);
    LOW.iter().chain(HIGH).find(|(n, _)| *n == name).map(|(_, number)| *number)
}

/// Names and numbers that all architectures share, by number.
pub(crate) const HIGH: &[(&str, i64)] = &[
    ("pidfd_send_signal", 424),
    ("io_uring_setup", 425),
    ("io_uring_enter", 426),
    ("io_uring_register", 427),
    ("open_tree", 428),
    ("move_mount", 429),
    ("fsopen", 430),
    ("fsconfig", 431),
    ("fsmount", 432),
    ("fspick", 433),
    ("pidfd_open", 434),
    ("clone3", 435),
    ("close_range", 436),
    ("openat2", 437),
    ("pidfd_getfd", 438),
    ("faccessat2", 439),
    ("process_madvise", 440),
    ("epoll_pwait2", 441),
    ("mount_setattr", 442),
    ("quotactl_fd", 443),
    ("landlock_create_ruleset", 444),
    ("landlock_add_rule", 445),
    ("landlock_restrict_self", 446),
    ("memfd_secret", 447),
    ("process_mrelease", 448),
    ("futex_waitv", 449),
    ("set_mempolicy_home_node", 450),
    ("cachestat", 451),
    ("fchmodat2", 452),
    ("map_shadow_stack", 453),
    ("futex_wake", 454),
    ("futex_wait", 455),
    ("futex_requeue", 456),
    ("statmount", 457),
    ("listmount", 458),
    ("lsm_get_self_attr", 459),
    ("lsm_set_self_attr", 460),
    ("lsm_list_modules", 461),
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
];

/// Names that people use for the same calls.
pub(crate) const OTHER_NAMES: &[(&str, &str)] = &[
    ("umount", "umount2"),
    ("pread", "pread64"),
    ("pwrite", "pwrite64"),
    ("sendfile64", "sendfile"),
    ("newfstat", "fstat"),
    ("newstat", "stat"),
    ("newlstat", "lstat"),
    ("fstatat", "newfstatat"),
    ("sysctl", "_sysctl"),
];
