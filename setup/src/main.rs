//! `cargo xtask`: checks the machine, installs what the command needs first beside the compilation of xtask, and
//! becomes xtask's supervisor.

use std::ffi::OsString;
use std::process::ExitCode;
use std::thread::JoinHandle;

use anyhow::{Result, bail};
use setup::cargo::workspace;
use setup::commands::{self, Row};
use setup::progress::{self, Counting};
use setup::supervise::{self, Stop};
use setup::tools::say;
use setup::{machine, packages};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[OsString]) -> Result<i32> {
    let stop = Stop::listen()?;
    let asks_for_help = arguments.iter().any(|a| a == "--help" || a == "-h");
    let words: Vec<&str> = arguments.iter().map_while(|a| a.to_str()).collect();
    let row = if asks_for_help { None } else { commands::row(&words) };
    if let Some(row) = row {
        announce(row)?;
    }
    let prepared = prepare(row, &stop);
    if stop.wanted() {
        supervise::clean_up(&supervise::built("xtask"), std::path::Path::new(""));
        return Ok(130);
    }
    prepared?;
    supervise::run(&supervise::built("xtask"), arguments, &stop)
}

/// Says what the command will take, and everything that stands in its way.
fn announce(row: &Row) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    say(&format!(
        "{}: {} (measured on two cores; this machine has {cores}); {} GB of disk and {} GB of memory",
        row.name, row.takes, row.needs.disk, row.needs.memory
    ));
    let problems = machine::problems(&row.needs);
    if !problems.is_empty() {
        bail!("this machine cannot run it:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

/// xtask, and beside it the packages that the command needs first.
fn prepare(row: Option<&'static Row>, stop: &Stop) -> Result<()> {
    let built = std::thread::spawn(build_xtask);
    let installed = row.map(|row| std::thread::spawn(|| packages::install(row.first)));
    let built = wait(built, stop);
    installed.map_or(Ok(()), |installed| wait(installed, stop)).and(built)
}

/// Waits for a part of the work, unless somebody wants to stop: it ends with what it has started then.
fn wait(part: JoinHandle<Result<()>>, stop: &Stop) -> Result<()> {
    while !part.is_finished() {
        if stop.wanted() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Builds xtask with the features that its crates have in the whole workspace: nothing is compiled twice.
fn build_xtask() -> Result<()> {
    let xtask = ["build", "--bin", "xtask"];
    progress::run("building xtask", &mut workspace(xtask), Counting::Cargo)
}
