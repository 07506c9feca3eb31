//! Tests of the whole from outside, on real kernels: what runs in each guest is `drive` (a program of
//! this crate), which judges itself.
//!
//! They take minutes and need what `cargo xtask setup` installs: `cargo xtask test --only e2e` runs them.
//! TETRAGON_SCENARIOS=outlive,losses runs those scenarios only (`demo` is the demo), TETRAGON_KERNELS=6.1 those
//! guests, and TETRAGON_LONG=1 each scenario on all kernels that it is for.

mod demo;
mod guest;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use guest::{Bed, Guest};

/// A guest, with the scenarios that run in it one after the other.
struct Row {
    kernel: &'static str,
    /// Added to the kernel's command line.
    append: &'static str,
    scenarios: &'static [&'static str],
    /// Those that run with TETRAGON_LONG only: another guest shows the same.
    long: &'static [&'static str],
}

const fn row(
    kernel: &'static str,
    append: &'static str,
    scenarios: &'static [&'static str],
    long: &'static [&'static str],
) -> Row {
    Row { kernel, append, scenarios, long }
}

/// The longest first. Each scenario is in one of the short lists, the kernels that differ most have most.
const GUESTS: &[Row] = &[
    row("6.12", "", &["folder", "workloads"], &["outlive", "losses"]),
    row("5.10", "", &["base", "grpc", "outlive", "workloads"], &[]),
    row("7.3", "", &["updates", "outlive"], &["preempt"]),
    row("6.12", "preempt=full", &["preempt"], &["grpc"]),
    row("6.1", "", &["losses"], &["updates"]),
    row("6.18", "", &["full"], &["base", "grpc"]),
    row("7.3", "", &[], &["losses", "base"]),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Guests are emulated by one thread each.
    arguments.test_threads.get_or_insert(std::thread::available_parallelism().map_or(2, |n| n.get()));
    let wanted = |variable: &str| std::env::var(variable).unwrap_or_default();
    let (only, kernels) = (wanted("TETRAGON_SCENARIOS"), wanted("TETRAGON_KERNELS"));
    // Scenarios that are named run, however long they take.
    let long = [wanted("TETRAGON_LONG"), only.clone(), kernels.clone()].iter().any(|v| !v.is_empty());
    let is_in = |list: &str, name: &str| list.is_empty() || list.split(',').any(|n| n == name);
    let bed = Arc::new(Bed::default());
    let trials = GUESTS.iter().filter_map(|Row { kernel, append, scenarios, long: more }| {
        let all = scenarios.iter().chain(more.iter().filter(|_| long)).copied();
        let chosen: Vec<&str> = all.filter(|s| is_in(&only, s) && is_in(&kernels, kernel)).collect();
        if chosen.is_empty() {
            return None;
        }
        let words = if append.is_empty() { String::new() } else { format!("[{append}]") };
        let name = format!("{kernel}{words}/{}", chosen.join("+"));
        let bed = bed.clone();
        let run = move || {
            let numbers = Guest { kernel, append, scenarios: &chosen }.run(&bed)?;
            numbers.iter().for_each(|line| eprintln!("    {kernel}{append}: {line}"));
            Ok::<(), Failed>(())
        };
        Some(Trial::test(name, run))
    });
    let demo = (is_in(&only, "demo") && is_in(&kernels, demo::KERNEL)).then(|| {
        let bed = bed.clone();
        Trial::test("demo/transcript", move || {
            eprintln!("    demo: {}", demo::transcript(bed.xtask()?)?);
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.chain(demo).collect()).exit_code()
}
