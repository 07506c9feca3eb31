//! The agent against a real API server: the binary as it is, as root, on this machine's kernel (which
//! needs tracepoints only), with exactly the rights that the documentation asks for.
//!
//! `KUBECONFIG` names a cluster for tests, `XTASK` the program that made it and `CLUSTER_NAME` its name;
//! without them every scenario fails. `cargo xtask test --only api` sets all of it.

mod agent;
mod bed;
mod scenarios;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};

use bed::Bed;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|a| a == agent::SEEK) {
        return match agent::be_seeker(&args[2..]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(2),
        };
    }
    let mut arguments = Arguments::from_args();
    // Each judges by what processes of this machine do.
    arguments.test_threads = Some(1);
    let bed: Arc<Mutex<Option<Result<Bed, String>>>> = Arc::default();
    let trials = scenarios::ALL.iter().map(|(name, scenario)| {
        let bed = bed.clone();
        Trial::test(*name, move || {
            let mut bed = bed.lock().unwrap_or_else(PoisonError::into_inner);
            let bed = bed.get_or_insert_with(|| Bed::new().map_err(|e| format!("{e:#}")));
            let bed = bed.as_ref().map_err(|e| Failed::from(e.as_str()))?;
            scenario(bed).map_err(|e| Failed::from(format!("{e:#}")))
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
