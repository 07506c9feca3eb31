//! What the kernel has counted under an image: losses, runs of programs, memory.

use tetragon_abi::engine::{LOST_COUNTERS, Lost, LostKey};

use super::Engine;
use crate::load::hook::Hook;
use crate::losses::{ByPolicy, KernelLosses, ProgramStats};
use crate::node::resolve::function_name;
use crate::records::read::{History, lock};
use crate::sys;

impl Engine {
    /// What was lost in the kernel.
    pub fn losses(&self) -> KernelLosses {
        let mut buffer = vec![0u8; 8 * possible_cpus()];
        let mut count = |counter: Lost| {
            let key = (counter as u32).to_ne_bytes();
            let found = self.shared.map("LOST").lookup(&key, &mut buffer).unwrap_or(false);
            if found { buffer.chunks_exact(8).filter_map(sys::from_bytes::<u64>).sum() } else { 0 }
        };
        const { assert!(LOST_COUNTERS == Lost::CgroupRecord as usize + 1) };
        let mut l = KernelLosses {
            sent: count(Lost::Sent),
            call: count(Lost::Call),
            exec: count(Lost::Exec),
            fork: count(Lost::Fork),
            exit: count(Lost::Exit),
            scratch: count(Lost::Scratch),
            uncounted: count(Lost::Uncounted),
            process: count(Lost::Process),
            exe: count(Lost::Exe),
            path: count(Lost::Path),
            cgroup: count(Lost::Cgroup),
            cgroup_record: count(Lost::CgroupRecord),
            ..KernelLosses::default()
        };
        l.skipped = self.programs().iter().map(|p| p.recursion_misses).sum();
        l.by_policy = self.past_losses.clone();
        let history = lock(&self.history);
        for (key, n) in self.lost_by() {
            add_losses(&mut l.by_policy, &history, &key, n);
        }
        l
    }

    /// What the kernel has counted by selector since the last change.
    fn lost_by(&self) -> Vec<(LostKey, u64)> {
        let all = self.shared.map("LOST_BY").elements().unwrap_or_default();
        all.iter().filter_map(|(k, v)| Some((sys::from_bytes(k)?, sys::from_bytes(v)?))).collect()
    }

    /// Counts losses under images before `state` by policy, while it is still known what their bits
    /// were, and makes room for others. Nobody counts under those images any more.
    pub(super) fn keep_losses(&mut self, state: u64) {
        let history = lock(&self.history);
        for (key, n) in self.lost_by().into_iter().filter(|(k, _)| k.state < state) {
            add_losses(&mut self.past_losses, &history, &key, n);
            if let Err(e) = self.shared.map("LOST_BY").delete(sys::bytes(&key)) {
                tracing::warn!("cannot delete a counter of losses: {e}");
            }
        }
    }

    /// What the kernel counts of the loaded programs.
    pub fn programs(&self) -> Vec<ProgramStats> {
        let base = self.base.programs().map(|(t, fd)| (t.to_owned(), t.to_owned(), "raw_tracepoint", fd));
        let hooks = self.hooks.values().flat_map(|h| {
            h.programs()
                .into_iter()
                .map(|(name, fd)| (name, h.attach.name.clone(), h.attach.backend.name(), fd))
        });
        base.chain(hooks)
            .map(|(name, hook, attach, fd)| {
                let s = sys::run_stats(fd);
                ProgramStats {
                    name,
                    hook,
                    attach: attach.to_owned(),
                    run_count: s.count,
                    run_time_ns: s.time_ns,
                    recursion_misses: s.misses,
                    memlock: s.memlock,
                }
            })
            .collect()
    }

    /// Locked memory of all maps, in bytes.
    pub fn map_memory(&self) -> u64 {
        let shared: u64 = self.shared.maps.iter().map(|(_, m)| m.memlock()).sum();
        shared + self.hooks.values().map(Hook::memlock).sum::<u64>()
    }
}

/// Adds `n` lost records to every policy that one would have told.
fn add_losses(all: &mut ByPolicy, history: &History, key: &LostKey, n: u64) {
    let Some(view) = history.view(key.state, key.hook) else { return };
    for bit in (0..64).filter(|b| key.bits >> b & 1 == 1) {
        let owner = view.owners.get(key.word as usize * 64 + bit).and_then(Option::as_ref);
        let Some(o) = owner else { continue };
        let plan = &o.unit.policy.plan;
        let of = (plan.name.clone(), plan.namespace.clone(), function_name(&o.unit.plan().target));
        *all.entry(of).or_default() += n;
    }
}

fn possible_cpus() -> usize {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = text.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<usize>().ok());
    last.map_or(1, |n| n + 1)
}
