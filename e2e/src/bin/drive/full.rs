//! A hook with as many selectors as it takes: a policy that grows or comes is refused and says why, what runs
//! goes on, and where one goes there is room for another.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use tetragon_engine::{ApplyReport, CallRecord, Cause, PolicyInput};

use crate::bench::{Bench, arg, policy};

/// Of the hook: docs/architecture.md has the limits.
const SELECTORS: u64 = 4096;
/// Of a policy.
const EACH: u64 = 4;

/// A policy's manifest, around its name and its selectors.
const HEAD: &str = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\n";
const HOOK: &str =
    "  kprobes:\n  - call: sys_lseek\n    syscall: true\n    args: [{index: 2, type: int}]\n    selectors:\n";

/// What was judged, and how often: policy, lseek's third argument.
type Seen = BTreeMap<(String, i64), u32>;

fn note(seen: &mut Seen, c: &CallRecord) {
    for m in &c.matches {
        let whence = match arg(c, m, 0) {
            Some(tetragon_engine::ArgValue::Int(n)) => *n,
            _ => -1,
        };
        *seen.entry((m.policy.plan.name.clone(), whence)).or_default() += 1;
    }
}

/// A policy with a selector for each of these values of lseek's third argument.
fn of(id: u64, name: &str, values: impl Iterator<Item = u64>) -> Result<PolicyInput> {
    let selectors: String = values
        .map(|v| format!("    - matchArgs: [{{index: 2, operator: Equal, values: [\"{v}\"]}}]\n"))
        .collect();
    policy(id, &format!("{HEAD}metadata: {{name: {name}}}\nspec:\n{HOOK}{selectors}"))
}

/// Exactly this one of the report is refused, for want of room, and nothing stopped.
fn only_refused(report: &ApplyReport, id: u64) -> Result<()> {
    let refused: Vec<_> = report.policies.iter().filter(|(_, p)| p.error().is_some()).collect();
    ensure!(refused.len() == 1 && *refused[0].0 == id, "refused instead of {id}: {refused:?}");
    let hook = &refused[0].1.hooks[0];
    let error = hook.error.as_deref().unwrap_or_default();
    ensure!(hook.cause == Some(Cause::Full) && error.contains("too many selectors"), "refused: {hook:?}");
    ensure!(report.stopped.is_empty(), "policies that ran were stopped: {:?}", report.stopped);
    Ok(())
}

/// Calls with these arguments.
fn call(values: &[u64]) {
    for v in values {
        // SAFETY: numbers; the descriptor does not exist.
        unsafe { libc::syscall(libc::SYS_lseek, -1, 0, *v) };
    }
}

/// Policies that fill the gaps of others stay where they are when the hook's shape changes: in another order they
/// would not fit.
fn dense() -> Result<usize> {
    let (large, small, each) = (40, 24, 60);
    let mut bench = Bench::start(4 << 20, Seen::new(), note)?;
    let policies = |from: u64, n: u64| -> Result<Vec<PolicyInput>> {
        (from..from + each).map(|i| of(i + 1, &format!("p{i}"), i * 100..i * 100 + n)).collect()
    };
    let larges = policies(0, large)?;
    bench.apply(&larges)?;
    let mut all = policies(each, small)?;
    all.extend(larges);
    bench.apply(&all)?;
    // Another kind of condition.
    let selector = "matchBinaries: [{operator: In, values: [/bin/nobody]}]";
    let yaml = format!("{HEAD}metadata: {{name: other}}\nspec:\n{HOOK}    - {selector}\n");
    all.insert(0, policy(2 * each + 1, &yaml)?);
    let report = bench.apply(&all)?;
    ensure!(report.stopped.is_empty(), "policies that ran were stopped: {:?}", report.stopped);
    call(&[large - 1, each * 100 + small - 1]);
    let seen = bench.finish()?.seen;
    ensure!(seen.len() == 2, "judged: {seen:?}");
    Ok(all.len())
}

/// A hook reads at most eight different arguments: a version that wants a ninth is refused, though it stands first
/// and has no more selectors than before.
fn readings() -> Result<()> {
    let kinds = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "size_t"];
    let of = |id: u64, name: &str, kind: &str| {
        let args = format!("args: [{{index: 2, type: {kind}}}]");
        let selector = "matchArgs: [{index: 2, operator: Equal, values: [\"7\"]}]";
        let yaml = format!("{HEAD}metadata: {{name: {name}}}\nspec:\n{HOOK}    - {selector}\n");
        policy(id, &yaml.replace("args: [{index: 2, type: int}]", &args))
    };
    let mut bench = Bench::start(4 << 20, Seen::new(), note)?;
    let mut all = vec![of(1, "first", kinds[0])?];
    for (id, kind) in (2..).zip(&kinds[..8]) {
        all.push(of(id, kind, kind)?);
    }
    bench.apply(&all)?;
    all[0] = of(100, "first", kinds[8])?;
    let report = bench.engine.apply(&all, &mut |_| ());
    ensure!(report.stopped.is_empty(), "policies that ran were stopped: {:?}", report.stopped);
    let refused: Vec<_> = report.policies.iter().filter(|(_, p)| p.error().is_some()).collect();
    ensure!(refused.len() == 1 && *refused[0].0 == 100, "refused instead of the first: {refused:?}");
    call(&[7]);
    let seen = bench.finish()?.seen;
    ensure!(seen.len() == all.len(), "judged: {seen:?}");
    Ok(())
}

/// The scenario.
pub(crate) fn run() -> Result<String> {
    let dense = dense()?;
    readings()?;
    let policies = SELECTORS / EACH;
    let mut bench = Bench::start(4 << 20, Seen::new(), note)?;
    let mut all = (0..policies)
        .map(|i| of(i + 1, &format!("p{i}"), i * EACH..(i + 1) * EACH))
        .collect::<Result<Vec<_>>>()?;
    bench.apply(&all)?;
    // The first, which others would have to make room for, wants one more.
    let more = 10_000;
    let grown = of(policies + 1, "p0", (0..EACH).chain([more]))?;
    let small = std::mem::replace(&mut all[0], grown.clone());
    only_refused(&bench.engine.apply(&all, &mut |_| ()), grown.id)?;
    call(&[0, SELECTORS - 1, more]);
    // Another comes.
    all[0] = small;
    let other = of(policies + 2, "other", [more + 1].into_iter())?;
    all.insert(0, other.clone());
    only_refused(&bench.engine.apply(&all, &mut |_| ()), other.id)?;
    call(&[1, SELECTORS - 2, more + 1]);
    // The last goes: both fit.
    all.pop();
    all[1] = grown;
    bench.apply(&all[1..])?;
    call(&[2, SELECTORS - 3, more + 2, more]);
    bench.apply(&all)?;
    call(&[more + 1]);
    let outcome = bench.finish()?;
    let last = format!("p{}", policies - 1);
    let wanted: Seen = [("p0", 0), (&last, SELECTORS - 1), ("p0", 1), (&last, SELECTORS - 2), ("p0", 2)]
        .into_iter()
        .chain([("p0", more), ("other", more + 1)])
        .map(|(name, v)| ((name.to_owned(), v as i64), 1))
        .collect();
    ensure!(outcome.seen == wanted, "judged: {:?} instead of {wanted:?}", outcome.seen);
    Ok(format!(
        "{policies} policies with {SELECTORS} selectors, two refused, {} calls judged; {dense} policies in each other's gaps",
        wanted.len()
    ))
}
