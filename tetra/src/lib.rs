//! `tetra`, the command line of tetragon-rs: events, policies and health of an agent over gRPC, and
//! the policy compiler without one. `main.rs` only calls [`run`]; everything is here so that tests
//! reach it.
//!
//! Tetragon's agent understands this client, and Tetragon's own client understands our agent: the
//! flags and the output are its contract.
//!
//! - `policy/`: the compiler without an agent
//! - `compact/`: events in one line
//! - `terminal`: what every command prints with
#![warn(missing_docs)]

mod address;
mod cli;
mod client;
pub mod compact;
mod duration;
mod events;
mod fields;
mod filter;
mod mode;
mod policies;
mod policy;
mod recorded;
mod table;
mod tail;
mod terminal;
mod tls;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use clap_complete::Shell;

use cli::{Cli, Command, Globals};
use terminal::{closed_pipe, note};

/// Runs the command that `args` (with the program's name first) ask for. Exit codes: 0 success, 1 any
/// error, 2 a policy that was checked or compiled has errors.
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match dispatch(cli) {
        Ok(code) => code,
        // Whoever read our output has seen enough.
        Err(error) if closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("Error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Help and version go to stdout and succeed; a wrong command line is an error like any other.
fn usage(error: &clap::Error) -> ExitCode {
    // A group without its subcommand shows its help.
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = write!(io::stdout(), "{}", error.render());
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").map_or(text.clone(), |rest| format!("Error: {rest}"));
    note(text.trim_end());
    ExitCode::FAILURE
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let globals = cli.globals;
    match cli.command {
        Command::Getevents(options) => events::run(&globals, &options)?,
        Command::Status => policies::status(&globals)?,
        Command::Version(options) => version(&globals, &options)?,
        Command::Tracingpolicy { command } => policies::run(&globals, command)?,
        Command::Policy { command } => return policy::run(command),
        Command::Rthooks { command: cli::Rthooks::CreateContainer(options) } => {
            policies::create_container(&globals, options)?;
        }
        Command::Tail(options) => tail::run(&options)?,
        Command::Completion { shell } => completion(shell)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn version(globals: &Globals, options: &cli::Version) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "CLI version: {}", env!("CARGO_PKG_VERSION"))?;
    if options.server {
        writeln!(out, "Server version: {}", policies::server_version(globals)?)?;
    }
    if options.build {
        writeln!(out, "Target: {}-{}", std::env::consts::ARCH, std::env::consts::OS)?;
        writeln!(out, "Build: {}", if cfg!(debug_assertions) { "debug" } else { "release" })?;
        writeln!(out, "Plan format: {}", tetragon_api::plan::FORMAT)?;
    }
    out.flush()?;
    Ok(())
}

fn completion(shell: Shell) -> anyhow::Result<()> {
    // Generated into memory first: the generator panics when its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tetra", &mut script);
    let mut out = io::stdout().lock();
    out.write_all(&script)?;
    out.flush()?;
    Ok(())
}
