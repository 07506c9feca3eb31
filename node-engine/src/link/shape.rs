//! The shape of a hook's engine: what cannot be changed without loading a program, and what policies
//! need of it.

use tetragon_abi::config::{ArgSpec, DimSpec, FROM_KERNEL, HookConfig, LAST, LATE, READ};
use tetragon_abi::engine::*;
use tetragon_api::plan::{ArgType, TextOp};

use super::dims::{DimKey, conjuncts};
use super::unit::{Context, Unit};

/// What cannot change while an engine is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The arguments that are read: position and type.
    pub args: Vec<(u32, ArgType)>,
    /// The dimensions, in order of evaluation.
    pub dims: Vec<DimKey>,
    /// Room for words.
    pub words: usize,
    /// Room for entries, with the empty one.
    pub entries: usize,
    /// Room for wide sets, with the empty one.
    pub sets: usize,
    /// Room for exact values.
    pub exact: usize,
    /// Words of the Bloom filter over the binaries that are listed: none, or a power of two.
    pub bloom: usize,
    /// Bytes of a key of the prefix index: a tag and data.
    pub lpm_bytes: usize,
    /// Some selector has a rate limit.
    pub limits: bool,
    /// Of the exact values, those that are kept for workloads: for each dimension of that kind.
    pub workloads: usize,
}

/// Why a policy cannot be linked: a limit of the engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: this hook has room for {most} over all its policies; remove one of them or make them alike")]
pub struct LinkError {
    /// What there is too much of.
    pub what: &'static str,
    /// The limit.
    pub most: usize,
}

/// Containers that there is room for at least: those of the 110 pods that kubelet runs by itself, many
/// times over, because more room means a program to load.
const CONTAINERS: usize = 1024;

/// Sizes of the prefix index's keys: a node of the trie, which has 44 bytes besides, fills an object of the
/// kernel's allocator (64, 96, 128, 192 or 256 bytes).
const LPM_BYTES: [usize; 5] = [20, 52, 84, 148, 212];

/// Where a unit's selectors lie: word, and first bit.
pub type Position = (u8, u8);

/// So many bits, from the lowest on.
pub fn bits(n: usize) -> u64 {
    u64::MAX >> (64 - n)
}

/// The first word with `n` free bits side by side.
pub fn free(active: impl Iterator<Item = u64>, n: usize) -> Option<Position> {
    for (w, active) in active.enumerate() {
        if active.count_ones() as usize + n > 64 {
            continue;
        }
        let first = (0..=64 - n).find(|first| active & (bits(n) << first) == 0);
        if let Some(first) = first {
            return Some((w as u8, first as u8));
        }
    }
    None
}

/// What some units need together.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// The arguments that are read.
    pub args: Vec<(u32, ArgType)>,
    /// The dimensions, as they came.
    pub dims: Vec<DimKey>,
    /// Bits of selectors that are taken, by word: every policy's stay together.
    active: Vec<u64>,
    /// Values that are no workloads.
    pub values: usize,
    /// Bytes of the longest key of the prefix index.
    pub lpm_bytes: usize,
    /// Some selector has a rate limit.
    pub limits: bool,
}

impl Needs {
    /// What there is already.
    pub fn of(shape: &Shape) -> Needs {
        let (args, dims) = (shape.args.clone(), shape.dims.clone());
        Needs { args, dims, lpm_bytes: shape.lpm_bytes, limits: shape.limits, ..Needs::default() }
    }

    /// With one more unit, whose selectors are at that position.
    pub fn with(&self, unit: &Unit, at: Position, context: &Context) -> Result<Needs, LinkError> {
        let mut n = self.clone();
        let hook = unit.plan();
        for a in &hook.args {
            let reading = context.reading(a);
            if a.ty != ArgType::Nop && !n.args.contains(&reading) {
                n.args.push(reading);
            }
        }
        let limit = |what, most| Err(LinkError { what, most });
        if n.args.len() > MAX_ARGS {
            return limit("too many different arguments", MAX_ARGS);
        }
        if n.args.iter().filter(|a| a.1.is_text()).count() > MAX_TEXTS {
            return limit("too many different text arguments", MAX_TEXTS);
        }
        for s in &hook.selectors {
            n.limits |= s.actions.rate_limit.is_some();
            for c in conjuncts(s, unit, &n.args, context) {
                // Workloads are the same for all policies, and have room of their own.
                n.values += if c.dim.is_workload() { 0 } else { c.keys.len() };
                n.lpm_bytes = n.lpm_bytes.max(c.longest() + 1);
                if !n.dims.contains(&c.dim) {
                    n.dims.push(c.dim);
                }
            }
        }
        if n.dims.len() > MAX_DIMS {
            return limit("too many different kinds of conditions", MAX_DIMS);
        }
        let (word, first) = (usize::from(at.0), at.1);
        n.active.resize(n.active.len().max(word + 1), 0);
        n.active[word] |= bits(hook.selectors.len()) << first;
        Ok(n)
    }

    /// Where a unit's selectors have room.
    pub fn room_for(&self, unit: &Unit) -> Result<Position, LinkError> {
        let all = self.active.iter().copied().chain(std::iter::repeat(0)).take(MAX_WORDS);
        let full = LinkError { what: "too many selectors", most: MAX_WORDS * 64 };
        free(all, unit.plan().selectors.len()).ok_or(full)
    }

    /// A shape with room to grow, so that few additions need another.
    pub fn shape(mut self, containers: usize) -> Shape {
        self.dims.sort();
        let room = |n: usize, least: usize| (n + n / 4).next_power_of_two().max(least);
        let asked = self.dims.iter().filter(|d| d.is_workload()).count();
        let exact = room(self.values, 64);
        let by_binary = matches!(self.dims.first(), Some(DimKey::Binary(TextOp::Equal, _)));
        let workloads = if asked == 0 { 0 } else { room(containers + containers / 4, CONTAINERS) };
        Shape {
            words: room(self.active.len(), 2).min(MAX_WORDS),
            // Arrays need no power of two.
            entries: (self.values + self.values / 2 + self.dims.len() + 1 + asked * workloads)
                .next_multiple_of(64),
            // How many values lie in more than one word is seen when all are linked.
            sets: 8,
            exact: exact + asked * workloads,
            // Four bits for a value, of which one in many is a binary.
            bloom: if by_binary { exact / 16 } else { 0 },
            workloads,
            lpm_bytes: LPM_BYTES.into_iter().find(|n| self.lpm_bytes <= *n).unwrap_or(256),
            args: self.args,
            dims: self.dims,
            limits: self.limits,
        }
    }
}

impl Shape {
    /// The group of each dimension: those of one source belong together; a source with one
    /// dimension needs none.
    pub fn groups(&self) -> Vec<u8> {
        let mut next = 0;
        let mut groups = Vec::new();
        for (d, dim) in self.dims.iter().enumerate() {
            let with_last = d > 0 && self.dims[d - 1].source() == dim.source();
            let with_next = self.dims.get(d + 1).is_some_and(|n| n.source() == dim.source());
            if with_last {
                groups.push(groups[d - 1]);
            } else if with_next && next < MAX_GROUPS as u8 - 1 {
                groups.push(next);
                next += 1;
            } else {
                groups.push(MAX_GROUPS as u8 - 1);
            }
        }
        groups
    }

    /// What the engine is told of it; `special` are the dimensions' own entries.
    pub fn config(&self, special: &[u32], kernel_strings: bool) -> HookConfig {
        let mut c =
            HookConfig { args: self.args.len() as u32, dims: self.dims.len() as u32, ..HookConfig::ZERO };
        c.lpm_bytes = self.lpm_bytes as u32;
        c.limits = u32::from(self.limits);
        c.bloom = self.bloom.saturating_sub(1) as u32;
        c.process = u32::from(self.dims.iter().any(DimKey::asks_process));
        c.workload = u32::from(self.dims.iter().any(DimKey::is_workload));
        let groups = self.groups();
        let mut texts = 0;
        for (a, (index, ty)) in self.args.iter().enumerate() {
            let late = !self.dims.iter().any(|d| matches!(d, DimKey::Text(at, ..) if *at == a));
            c.arg[a] = ArgSpec {
                kind: super::dims::arg_kind(*ty),
                raw: *index as u8,
                text: texts,
                from: if kernel_strings { FROM_KERNEL } else { 0 } | if late { LATE } else { 0 },
            };
            texts += u8::from(ty.is_text());
        }
        for (d, dim) in self.dims.iter().enumerate() {
            let last = groups.get(d + 1) != Some(&groups[d]) || groups[d] as usize == MAX_GROUPS - 1;
            let read = matches!(dim, DimKey::Text(a, ..) if !self.dims[..d].iter().any(|e| matches!(e, DimKey::Text(b, ..) if b == a)));
            let (kind, arg, param) = dim.spec();
            c.dim[d] = DimSpec {
                kind,
                arg,
                group: groups[d],
                flags: if last { LAST } else { 0 } | if read { READ } else { 0 },
                entry: special[d],
                param,
            };
        }
        c
    }
}
