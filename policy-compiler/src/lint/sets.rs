//! What is known about the sets of calls that matchers take: part of each other, or nothing in
//! common. "No" means "not known".

use tetragon_api::plan::{IntRange, Matcher, NamespaceValue, TextOp};

use super::workloads;
use crate::normalise::{covers, merge};

/// A matcher's values, each as a set, on one dimension.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) not: bool,
    pub(super) sets: Vec<Set>,
}

/// What one value takes.
#[derive(Clone, Debug)]
pub(super) enum Set {
    Text(TextOp, String),
    Int(IntRange),
    Mask(u64),
    Pid(u32),
    Namespace(NamespaceValue),
}

/// Two matchers look at the same thing.
pub(super) fn same_dimension(a: &Matcher, b: &Matcher) -> bool {
    match (a, b) {
        (Matcher::Binary { .. }, Matcher::Binary { .. })
        | (Matcher::ParentBinary { .. }, Matcher::ParentBinary { .. }) => true,
        (
            Matcher::Pid { follow_forks: f, namespace_pid: n, .. },
            Matcher::Pid { follow_forks: g, namespace_pid: m, .. },
        ) => (f, n) == (g, m),
        (Matcher::Namespace { namespace: a, .. }, Matcher::Namespace { namespace: b, .. }) => a == b,
        (Matcher::Text { arg: a, .. }, Matcher::Text { arg: b, .. }) => a == b,
        (
            Matcher::Int { arg: a, .. } | Matcher::Mask { arg: a, .. },
            Matcher::Int { arg: b, .. } | Matcher::Mask { arg: b, .. },
        ) => a == b,
        _ => false,
    }
}

pub(super) fn values(matcher: &Matcher) -> Values {
    let (not, sets) = match matcher {
        Matcher::Binary { op, not, values }
        | Matcher::ParentBinary { op, not, values }
        | Matcher::Text { op, not, values, .. } => {
            (*not, values.iter().map(|v| Set::Text(*op, v.clone())).collect())
        }
        Matcher::Pid { not, values, .. } => (*not, values.iter().map(|v| Set::Pid(*v)).collect()),
        Matcher::Namespace { not, values, .. } => (*not, values.iter().map(|v| Set::Namespace(*v)).collect()),
        Matcher::Int { not, ranges, .. } => (*not, ranges.iter().map(|r| Set::Int(*r)).collect()),
        Matcher::Mask { mask, .. } => (false, vec![Set::Mask(*mask)]),
        // It has no values; it is of the same dimension as nothing.
        Matcher::Workload(_) => (false, Vec::new()),
    };
    Values { not, sets }
}

/// Everything in `a` is in `b`.
pub(super) fn part_of(a: &Set, b: &Set) -> bool {
    match (a, b) {
        (Set::Text(TextOp::Equal, a), Set::Text(op, b)) => covers(*op, b, a),
        (Set::Text(op, a), Set::Text(of, b)) => op == of && *op != TextOp::Equal && covers(*op, b, a),
        (Set::Int(a), Set::Int(b)) => b.min <= a.min && a.max <= b.max,
        (Set::Mask(a), Set::Mask(b)) => a & !b == 0,
        (Set::Pid(a), Set::Pid(b)) => a == b,
        (Set::Namespace(a), Set::Namespace(b)) => a == b,
        _ => false,
    }
}

/// Nothing is in both.
pub(super) fn disjoint(a: &Set, b: &Set) -> bool {
    match (a, b) {
        (Set::Text(TextOp::Equal, a), Set::Text(op, b)) | (Set::Text(op, b), Set::Text(TextOp::Equal, a)) => {
            !covers(*op, b, a)
        }
        (Set::Text(op, a), Set::Text(of, b)) => op == of && !covers(*op, a, b) && !covers(*op, b, a),
        (Set::Int(a), Set::Int(b)) => a.max < b.min || b.max < a.min,
        (Set::Pid(a), Set::Pid(b)) => a != b,
        (Set::Namespace(NamespaceValue::Inum(a)), Set::Namespace(NamespaceValue::Inum(b))) => a != b,
        _ => false,
    }
}

/// Most pairs of values that are looked at. Beyond, nothing is known.
const MOST_PAIRS: usize = 1_000_000;

pub(super) fn too_many(a: &[Set], b: &[Set]) -> bool {
    a.len().saturating_mul(b.len()) > MOST_PAIRS
}

/// Every set of `a` is part of the union of `b`.
fn all_part_of(a: &[Set], b: &[Set]) -> bool {
    // Ranges that touch are one: 1:2 and 3:4 take 2:3.
    let mut ranges: Vec<IntRange> =
        b.iter().filter_map(|s| if let Set::Int(r) = s { Some(*r) } else { None }).collect();
    merge(&mut ranges);
    a.iter().all(|a| b.iter().any(|b| part_of(a, b)) || ranges.iter().any(|r| part_of(a, &Set::Int(*r))))
}

/// Every call that `a` takes, `b` takes too.
pub(super) fn implies(a: &Matcher, b: &Matcher) -> bool {
    if let (Matcher::Workload(a), Matcher::Workload(b)) = (a, b) {
        return workloads::implies(a, b);
    }
    if !same_dimension(a, b) {
        return false;
    }
    let follows = matches!(a, Matcher::Pid { follow_forks: true, .. });
    let (a, b) = (values(a), values(b));
    if too_many(&a.sets, &b.sets) {
        return false;
    }
    match (a.not, b.not) {
        (false, false) => all_part_of(&a.sets, &b.sets),
        // A process has several ancestors: one in the list does not keep another out of it.
        (false, true) => !follows && a.sets.iter().all(|x| b.sets.iter().all(|y| disjoint(x, y))),
        (true, true) => all_part_of(&b.sets, &a.sets),
        (true, false) => false,
    }
}

/// No call satisfies both.
pub(super) fn contradict(a: &Matcher, b: &Matcher) -> bool {
    if !same_dimension(a, b) {
        return false;
    }
    let follows = matches!(a, Matcher::Pid { follow_forks: true, .. });
    let (a, b) = (values(a), values(b));
    if too_many(&a.sets, &b.sets) {
        return false;
    }
    match (a.not, b.not) {
        (false, false) => !follows && a.sets.iter().all(|x| b.sets.iter().all(|y| disjoint(x, y))),
        (false, true) => all_part_of(&a.sets, &b.sets),
        (true, false) => all_part_of(&b.sets, &a.sets),
        (true, true) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(op: TextOp, not: bool, values: &[&str]) -> Matcher {
        Matcher::Text { arg: 0, op, not, values: values.iter().map(|v| (*v).to_owned()).collect() }
    }

    fn int(not: bool, ranges: &[(i128, i128)]) -> Matcher {
        Matcher::Int {
            arg: 0,
            not,
            ranges: ranges.iter().map(|(min, max)| IntRange { min: *min, max: *max }).collect(),
        }
    }

    use TextOp::{Equal, Postfix, Prefix};

    #[test]
    fn implications() {
        for (a, b, expected) in [
            (text(Equal, false, &["/etc/x"]), text(Prefix, false, &["/etc/"]), true),
            (text(Equal, false, &["/etc/x", "/a"]), text(Prefix, false, &["/etc/"]), false),
            (text(Prefix, false, &["/etc/x"]), text(Prefix, false, &["/etc/"]), true),
            (text(Prefix, false, &["/etc/"]), text(Prefix, false, &["/etc/x"]), false),
            (text(Prefix, false, &["/etc/"]), text(Postfix, false, &["/"]), false),
            (text(Equal, false, &["/a"]), text(Prefix, true, &["/etc/"]), true),
            (text(Prefix, false, &["/e"]), text(Prefix, true, &["/etc/"]), false),
            (text(Prefix, true, &["/e"]), text(Prefix, true, &["/etc/"]), true),
            (text(Equal, true, &["/e"]), text(Prefix, false, &["/"]), false),
            (text(Prefix, false, &["/e"]), text(Equal, true, &["/x"]), true),
            (int(false, &[(1, 4)]), int(false, &[(1, 2), (3, 9)]), true),
            (int(false, &[(1, 4)]), int(false, &[(1, 2), (4, 9)]), false),
            (int(false, &[(5, 5)]), int(true, &[(6, 9)]), true),
            (Matcher::Mask { arg: 0, mask: 1 }, Matcher::Mask { arg: 0, mask: 3 }, true),
            (Matcher::Mask { arg: 0, mask: 3 }, Matcher::Mask { arg: 0, mask: 1 }, false),
        ] {
            assert_eq!(implies(&a, &b), expected, "{a:?} {b:?}");
        }
    }

    #[test]
    fn contradictions() {
        for (a, b, expected) in [
            (text(Equal, false, &["/a"]), text(Equal, false, &["/b", "/c"]), true),
            (text(Prefix, false, &["/etc/"]), text(Prefix, true, &["/etc"]), true),
            (text(Prefix, false, &["/etc/"]), text(Prefix, true, &["/etc/ssl"]), false),
            (text(Prefix, false, &["/etc/"]), text(Postfix, false, &[".key"]), false),
            (int(false, &[(5, 9)]), int(false, &[(1, 4)]), true),
            (int(true, &[(5, 9)]), int(true, &[(1, 4)]), false),
            (int(false, &[(5, 9)]), int(true, &[(1, 20)]), true),
        ] {
            assert_eq!(contradict(&a, &b), expected, "{a:?} {b:?}");
            assert_eq!(contradict(&b, &a), expected, "{b:?} {a:?}");
        }
    }
}
