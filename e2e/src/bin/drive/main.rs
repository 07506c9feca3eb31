//! `drive SCENARIO...`: what the tests do inside a guest. Each scenario judges itself, with counts from
//! two independent sides, and ends with one line, `pass NAME: NUMBERS` or `FAIL NAME: WHY`.

mod agent;
mod base;
mod bench;
mod folder;
mod full;
mod grpc;
mod hammer;
mod losses;
mod outlive;
mod preempt;
mod scale;
mod stuck;
mod unattended;
mod updates;
mod workloads;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

/// A scenario: its name, and the function that gives the numbers for the last line.
type Scenario = (&'static str, fn() -> Result<String>);

const SCENARIOS: &[Scenario] = &[
    ("base", base::run),
    ("folder", folder::run),
    ("full", full::run),
    ("grpc", grpc::run),
    ("losses", losses::run),
    ("outlive", outlive::run),
    ("preempt", preempt::run),
    ("scale", scale::run),
    ("updates", updates::run),
    ("workloads", workloads::run),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut code = ExitCode::SUCCESS;
    if wanted.is_empty() {
        eprintln!("drive: right would be one or more of: {}", names());
        return ExitCode::from(2);
    }
    for name in &wanted {
        let Some((_, scenario)) = SCENARIOS.iter().find(|(n, _)| n == name) else {
            eprintln!("drive: there is no scenario `{name}`, only: {}", names());
            return ExitCode::from(2);
        };
        let begin = Instant::now();
        match scenario() {
            Ok(numbers) => println!("pass {name}: {numbers} ({:.1} s)", begin.elapsed().as_secs_f64()),
            Err(e) => {
                println!("FAIL {name}: {e:#} ({:.1} s)", begin.elapsed().as_secs_f64());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn names() -> String {
    SCENARIOS.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ")
}
