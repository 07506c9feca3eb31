//! Dimensions: what a selector's matchers ask of a call, and the values that they list.

use std::collections::BTreeMap;

use tetragon_abi::cgroup::{HOST, UNKNOWN};
use tetragon_abi::config::*;
use tetragon_abi::hash::Hash128;
use tetragon_api::plan::{
    ArgType, Hook, IntRange, Matcher, NamespaceKind, NamespaceValue, Plan, Selector, TextOp,
    UnknownContainers,
};
use tetragon_api::workload::{Container, Workloads};

use super::unit::{Context, Unit};

/// A question about a call. `lane`: a selector that asks the same question twice (`Prefix` and
/// `NotPrefix` on one argument) asks it once in each of two lanes. The order is that of evaluation:
/// what is cheap and decides most comes first, texts last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DimKey {
    /// The caller's binary.
    Binary(TextOp, u8),
    /// The parent's.
    Parent(TextOp, u8),
    /// The caller's workload, by number.
    Workload(u8),
    /// The process id; true: in its own PID namespace.
    Pid(bool, u8),
    /// A namespace.
    Namespace(NamespaceKind, u8),
    /// An integer argument, by value.
    Int(usize, u8),
    /// An integer argument, by range.
    IntRange(usize, u8),
    /// An integer argument has a bit of the mask.
    Mask(usize, u64),
    /// The process or an ancestor is one of these.
    Lineage {
        /// By id in the PID namespace.
        inner: bool,
        /// Negated: a selector may ask for one and for the other.
        not: bool,
        /// The ids.
        values: Vec<u32>,
    },
    /// A text argument.
    Text(usize, TextOp, u8),
}

impl DimKey {
    /// It is asked as a whole: the values are part of the question.
    pub fn is_predicate(&self) -> bool {
        matches!(self, DimKey::Mask(..) | DimKey::Lineage { .. })
    }
    /// It is asked of what the kernel keeps of the calling process.
    pub fn asks_process(&self) -> bool {
        matches!(
            self,
            DimKey::Binary(..) | DimKey::Parent(..) | DimKey::Pid(true, _) | DimKey::Lineage { .. }
        )
    }
    /// It is asked of the caller's workload.
    pub fn is_workload(&self) -> bool {
        matches!(self, DimKey::Workload(_))
    }
    /// It is asked of a text.
    pub fn is_text(&self) -> bool {
        matches!(self, DimKey::Text(..))
    }
    /// What it is asked of.
    pub fn source(&self) -> (u8, usize) {
        match self {
            DimKey::Binary(..) => (0, 0),
            DimKey::Parent(..) => (1, 0),
            DimKey::Pid(inner, _) => (2, *inner as usize),
            DimKey::Namespace(kind, _) => (3, *kind as usize),
            DimKey::Int(a, _) => (4, *a),
            DimKey::IntRange(a, _) => (5, *a),
            DimKey::Mask(a, _) => (6, *a),
            DimKey::Lineage { inner, .. } => (7, *inner as usize),
            DimKey::Text(a, ..) => (8, *a),
            DimKey::Workload(_) => (9, 0),
        }
    }
    /// Kind, argument and parameter for the engine.
    pub fn spec(&self) -> (u8, u8, u64) {
        use TextOp::*;
        match self {
            DimKey::Binary(Equal, _) => (DIM_BINARY, 0, 0),
            DimKey::Binary(Prefix, _) => (DIM_BINARY_PREFIX, 0, 0),
            DimKey::Binary(Postfix, _) => (DIM_BINARY_POSTFIX, 0, 0),
            DimKey::Parent(Equal, _) => (DIM_PARENT, 0, 0),
            DimKey::Parent(Prefix, _) => (DIM_PARENT_PREFIX, 0, 0),
            DimKey::Parent(Postfix, _) => (DIM_PARENT_POSTFIX, 0, 0),
            DimKey::Workload(_) => (DIM_WORKLOAD, 0, 0),
            DimKey::Pid(inner, _) => (if *inner { DIM_NSPID } else { DIM_PID }, 0, 0),
            DimKey::Namespace(kind, _) => (DIM_NAMESPACE, *kind as u8, 0),
            DimKey::Int(a, _) => (DIM_INT, *a as u8, 0),
            DimKey::IntRange(a, _) => (DIM_INT_RANGE, *a as u8, 0),
            DimKey::Mask(a, mask) => (DIM_MASK, *a as u8, *mask),
            DimKey::Lineage { inner, .. } => (if *inner { DIM_NSPID_FOLLOW } else { DIM_PID_FOLLOW }, 0, 0),
            DimKey::Text(a, Equal, _) => (DIM_TEXT, *a as u8, 0),
            DimKey::Text(a, Prefix, _) => (DIM_TEXT_PREFIX, *a as u8, 0),
            DimKey::Text(a, Postfix, _) => (DIM_TEXT_POSTFIX, *a as u8, 0),
        }
    }
    fn with_lane(&self, n: u8) -> DimKey {
        let mut d = self.clone();
        match &mut d {
            DimKey::Binary(_, l) | DimKey::Parent(_, l) | DimKey::Pid(_, l) | DimKey::Namespace(_, l) => {
                *l = n;
            }
            DimKey::Int(_, l) | DimKey::IntRange(_, l) | DimKey::Text(_, _, l) | DimKey::Workload(l) => {
                *l = n;
            }
            DimKey::Mask(..) | DimKey::Lineage { .. } => {}
        }
        d
    }
}

/// A value in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexKey {
    /// A hash or a number.
    Exact(Hash128),
    /// The first bits of some bytes.
    Prefix(Vec<u8>, u32),
}

/// What one matcher asks.
#[derive(Clone, Debug)]
pub struct Conjunct {
    /// The question.
    pub dim: DimKey,
    /// Negated.
    pub not: bool,
    /// The values listed; none for a predicate.
    pub keys: Vec<IndexKey>,
}

impl Conjunct {
    /// Bytes of the longest key of the prefix index.
    pub fn longest(&self) -> usize {
        let len = |k: &IndexKey| if let IndexKey::Prefix(d, _) = k { d.len() } else { 0 };
        self.keys.iter().map(len).max().unwrap_or(0)
    }
}

/// How an argument is read.
pub fn arg_kind(ty: ArgType) -> u8 {
    match ty {
        ArgType::Int8 => ARG_SIGNED + 1,
        ArgType::Int16 => ARG_SIGNED + 2,
        ArgType::Int32 | ArgType::Capability => ARG_SIGNED + 4,
        ArgType::Int64 => ARG_SIGNED + 8,
        ArgType::Uint8 => ARG_UNSIGNED + 1,
        ArgType::Uint16 => ARG_UNSIGNED + 2,
        ArgType::Uint32 => ARG_UNSIGNED + 4,
        ArgType::Uint64 | ArgType::Size | ArgType::Auto => ARG_UNSIGNED + 8,
        ArgType::String => ARG_STRING,
        ArgType::File => ARG_FILE,
        ArgType::Path => ARG_PATH,
        ArgType::Dentry => ARG_DENTRY,
        ArgType::Fd => ARG_FD,
        ArgType::LinuxBinprm => ARG_BINPRM,
        ArgType::Nop => ARG_NONE,
    }
}

/// What a selector asks, each question in a lane of its own. `args` are the hook's readings.
pub fn conjuncts(s: &Selector, unit: &Unit, args: &[(u32, ArgType)], cx: &Context) -> Vec<Conjunct> {
    let mut lanes: BTreeMap<DimKey, u8> = BTreeMap::new();
    let mut all = Vec::new();
    let plan = &unit.policy.plan;
    let asked = workloads(plan, s).map(|w| workload(w, plan, cx));
    let others = s.matchers.iter().filter(|m| !matches!(m, Matcher::Workload(_)));
    for mut c in asked.chain(others.map(|m| conjunct(m, unit.plan(), args, cx))) {
        let n = lanes.entry(c.dim.clone()).or_default();
        c.dim = c.dim.with_lane(*n);
        *n += 1;
        all.push(c);
    }
    all
}

/// What a selector asks of the caller's workload, by lane: its policy, then itself.
pub fn workloads<'a>(plan: &'a Plan, s: &'a Selector) -> impl Iterator<Item = &'a Workloads> {
    let own = s.matchers.iter().filter_map(|m| if let Matcher::Workload(w) = m { Some(w) } else { None });
    plan.workloads.iter().chain(own)
}

/// What it is asked is whether its number is one of those that are meant now.
fn workload(w: &Workloads, plan: &Plan, cx: &Context) -> Conjunct {
    let closed = plan.unknown_containers == UnknownContainers::FailClosed;
    // Who asks for the host and for all pods asks nothing.
    let unknown = (w.is_everything() || closed && w.pods.is_some()).then_some(UNKNOWN);
    let containers = cx.containers.iter().filter(|(_, c)| means(w, plan, c)).map(|(n, _)| *n);
    let numbers = unknown.into_iter().chain(w.host.then_some(HOST)).chain(containers);
    Conjunct { dim: DimKey::Workload(0), not: false, keys: numbers.map(number).collect() }
}

/// Whether what is asked holds for a container, as far as it is known; what is not is the policy's choice.
pub fn means(w: &Workloads, plan: &Plan, c: &Container) -> bool {
    let closed = plan.unknown_containers == UnknownContainers::FailClosed;
    w.select(Some(c)) || closed && w.pods.as_ref().is_some_and(|pods| pods.may_select(c))
}

fn number(v: u64) -> IndexKey {
    IndexKey::Exact(Hash128 { a: v, b: 0 })
}

fn conjunct(m: &Matcher, hook: &Hook, args: &[(u32, ArgType)], cx: &Context) -> Conjunct {
    // The reading that a plan's argument is; the compiler has checked that it exists.
    let reading = |a: usize| {
        let wanted = cx.reading(&hook.args[a]);
        args.iter().position(|r| *r == wanted).unwrap_or(0)
    };
    match m {
        Matcher::Workload(_) => unreachable!("asked before, with the policy's own"),
        Matcher::Binary { op, not, values } => {
            Conjunct { dim: DimKey::Binary(*op, 0), not: *not, keys: texts(*op, values, cx) }
        }
        Matcher::ParentBinary { op, not, values } => {
            Conjunct { dim: DimKey::Parent(*op, 0), not: *not, keys: texts(*op, values, cx) }
        }
        Matcher::Text { arg, op, not, values } => {
            Conjunct { dim: DimKey::Text(reading(*arg), *op, 0), not: *not, keys: texts(*op, values, cx) }
        }
        Matcher::Pid { not, follow_forks: false, namespace_pid, values } => Conjunct {
            dim: DimKey::Pid(*namespace_pid, 0),
            not: *not,
            keys: values.iter().map(|v| number(u64::from(*v))).collect(),
        },
        Matcher::Pid { not, namespace_pid, values, .. } => Conjunct {
            dim: DimKey::Lineage { inner: *namespace_pid, not: *not, values: values.clone() },
            not: *not,
            keys: Vec::new(),
        },
        Matcher::Namespace { namespace, not, values } => Conjunct {
            dim: DimKey::Namespace(*namespace, 0),
            not: *not,
            keys: values
                .iter()
                .map(|v| match v {
                    NamespaceValue::Host => number(u64::from(cx.host_ns[*namespace as usize])),
                    NamespaceValue::Inum(n) => number(u64::from(*n)),
                })
                .collect(),
        },
        Matcher::Int { arg, not, ranges } => {
            integers(reading(*arg), cx.reading(&hook.args[*arg]).1, *not, ranges)
        }
        Matcher::Mask { arg, mask } => {
            Conjunct { dim: DimKey::Mask(reading(*arg), *mask), not: false, keys: Vec::new() }
        }
    }
}

/// Numbers of values that a matcher puts into the exact and the prefix index, for estimates.
pub fn values(m: &Matcher) -> (usize, usize) {
    match m {
        Matcher::Binary { op, values, .. }
        | Matcher::ParentBinary { op, values, .. }
        | Matcher::Text { op, values, .. } => {
            if *op == TextOp::Equal {
                (values.len(), 0)
            } else {
                (0, values.len())
            }
        }
        Matcher::Pid { values, .. } => (values.len(), 0),
        Matcher::Namespace { values, .. } => (values.len(), 0),
        Matcher::Int { ranges, .. } => (ranges.len(), 0),
        // Containers are in the index once, for all policies.
        Matcher::Mask { .. } | Matcher::Workload(_) => (0, 0),
    }
}

fn texts(op: TextOp, values: &[String], cx: &Context) -> Vec<IndexKey> {
    values
        .iter()
        .map(|v| match op {
            TextOp::Equal => IndexKey::Exact(Hash128::of(cx.seed, v.as_bytes())),
            TextOp::Prefix => IndexKey::Prefix(v.as_bytes().to_vec(), v.len() as u32 * 8),
            TextOp::Postfix => IndexKey::Prefix(v.bytes().rev().collect(), v.len() as u32 * 8),
        })
        .collect()
}

/// A few single values are looked up by value, all else by range.
fn integers(arg: usize, ty: ArgType, not: bool, ranges: &[IntRange]) -> Conjunct {
    const SINGLE: i128 = 8;
    if ranges.iter().all(|r| r.max - r.min < SINGLE) {
        let keys =
            ranges.iter().flat_map(|r| r.min..=r.max).map(|v| IndexKey::Exact(Hash128 { a: v as u64, b: 0 }));
        return Conjunct { dim: DimKey::Int(arg, 0), not, keys: keys.collect() };
    }
    // Bytes that sort like the numbers: the sign bit is turned, the highest byte comes first.
    let sortable = |v: i128| v as u64 ^ (u64::from(ty.is_signed()) << 63);
    let keys = ranges.iter().flat_map(|r| blocks(sortable(r.min), sortable(r.max)));
    Conjunct {
        dim: DimKey::IntRange(arg, 0),
        not,
        keys: keys.map(|(v, bits)| IndexKey::Prefix(v.to_be_bytes().to_vec(), bits)).collect(),
    }
}

/// A closed range as blocks of numbers with the same first bits: (first number, bits).
fn blocks(mut min: u64, max: u64) -> Vec<(u64, u32)> {
    let mut all = Vec::new();
    loop {
        // The largest block that begins at min and ends by max.
        let mut free = if min == 0 { 64 } else { min.trailing_zeros() };
        while free > 0
            && (free == 64 && (min != 0 || max != u64::MAX) || free < 64 && max - min < (1u64 << free) - 1)
        {
            free -= 1;
        }
        all.push((min, 64 - free));
        let size = if free == 64 { return all } else { 1u64 << free };
        match min.checked_add(size) {
            Some(next) if next <= max => min = next,
            _ => return all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_a_range_and_nothing_else() {
        for (min, max) in
            [(0, 0), (0, u64::MAX), (1, 1), (3, 9), (0, 255), (u64::MAX - 2, u64::MAX), (5, 1 << 40)]
        {
            let all = blocks(min, max);
            let size: u128 = all.iter().map(|(_, bits)| 1u128 << (64 - bits)).sum();
            assert_eq!(size, u128::from(max) - u128::from(min) + 1, "{min}..={max}");
            assert_eq!(all[0].0, min);
            for (v, bits) in all {
                assert!(v >= min && v <= max && (bits == 0 || v.trailing_zeros() >= 64 - bits));
            }
        }
    }
}
