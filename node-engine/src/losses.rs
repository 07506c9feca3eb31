//! Counts of the kernel: lost records, and runs of programs.

use std::collections::BTreeMap;

/// Losses by name, namespace and function of a policy.
pub(crate) type ByPolicy = BTreeMap<(String, Option<String>, String), u64>;

/// Losses in the kernel since the programs were loaded.
#[derive(Clone, Debug, Default)]
pub struct KernelLosses {
    /// Records that were put into the ring.
    pub sent: u64,
    /// Records of hooks that found the ring full.
    pub call: u64,
    /// Exec records.
    pub exec: u64,
    /// Fork records.
    pub fork: u64,
    /// Exit records.
    pub exit: u64,
    /// Calls that found no scratch memory and were not judged.
    pub scratch: u64,
    /// Calls of which the loss could not be counted by policy.
    pub uncounted: u64,
    /// Processes that did not fit in the process table.
    pub process: u64,
    /// Executables that did not fit in their table.
    pub exe: u64,
    /// Paths too deep or too long to read.
    pub path: u64,
    /// Cgroups that did not fit in their table.
    pub cgroup: u64,
    /// Records of cgroups that found the ring full.
    pub cgroup_record: u64,
    /// Runs of a hook's program that the kernel skipped (recursion_misses), all hooks.
    pub skipped: u64,
    /// By policy name, namespace and hook function: events lost because the ring was full.
    pub by_policy: BTreeMap<(String, Option<String>, String), u64>,
}

impl KernelLosses {
    /// Events that are missing in the stream.
    pub fn events(&self) -> u64 {
        // A record may stand for events of several policies, and not all of them may be known.
        let calls = self.by_policy.values().sum::<u64>() + self.uncounted;
        calls.max(self.call) + self.exec + self.exit
    }
}

/// One loaded program and what the kernel counts of it (times need `kernel.bpf_stats_enabled`).
#[derive(Clone, Debug, Default)]
pub struct ProgramStats {
    /// The program's name in the kernel.
    pub name: String,
    /// The hook it serves, or the base sensor's tracepoint.
    pub hook: String,
    /// How it is attached.
    pub attach: String,
    /// Times it ran.
    pub run_count: u64,
    /// Time it took, in ns.
    pub run_time_ns: u64,
    /// Runs that were skipped.
    pub recursion_misses: u64,
    /// Locked memory of the program.
    pub memlock: u64,
}
