//! Tests of the whole from outside, on real kernels: what runs in each guest is `drive` (a program of
//! this crate), which judges itself.
//!
//! They take minutes and need what `cargo xtask setup` installs: `cargo xtask test --only e2e` runs them.
//! TETRAGON_SCENARIOS=outlive,losses runs those scenarios only (`demo` is the demo), TETRAGON_KERNELS=6.1 those
//! guests.

mod demo;
mod guest;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use guest::{Bed, Guest};

/// Guests, each with the scenarios that run in it one after the other.
const GUESTS: &[(&str, &str, &[&str])] = &[
    ("7.3", "", &["updates", "preempt", "outlive"]),
    ("6.1", "", &["updates", "losses"]),
    ("6.12", "", &["folder", "outlive", "losses", "workloads"]),
    ("5.10", "", &["base", "grpc", "outlive", "workloads"]),
    ("6.12", "preempt=full", &["preempt", "grpc"]),
    ("7.3", "", &["losses", "base"]),
    ("6.18", "", &["base", "grpc", "full"]),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Guests are emulated by one thread each.
    arguments.test_threads.get_or_insert(std::thread::available_parallelism().map_or(2, |n| n.get()));
    let wanted = |variable: &str| std::env::var(variable).unwrap_or_default();
    let (only, kernels) = (wanted("TETRAGON_SCENARIOS"), wanted("TETRAGON_KERNELS"));
    let is_in = |list: &str, name: &str| list.is_empty() || list.split(',').any(|n| n == name);
    let bed = Arc::new(Bed::default());
    let trials = GUESTS.iter().filter_map(|(kernel, append, scenarios)| {
        let chosen: Vec<&str> =
            scenarios.iter().copied().filter(|s| is_in(&only, s) && is_in(&kernels, kernel)).collect();
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
