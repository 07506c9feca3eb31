//! The operator's binary: the command line and the log, then [`tetragon_operator::run`].

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;
use tetragon_operator::config::{Cli, Command};
use tetragon_operator::platform::{crds, logs};
use tetragon_operator::run;

/// The C library's allocator does not find the room that lists of large objects leave when something small
/// that stays was put between them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    match Cli::load(&args) {
        Ok(Cli { command: Command::Serve(flags) }) => {
            logs::start(flags.log_level, flags.log_format);
            logs::end_on_panic();
            run::run(&flags)
        }
        Ok(Cli { command: Command::Crds }) => print(crds::yaml().as_bytes()),
        Ok(Cli { command: Command::Completion { shell } }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tetragon-operator", &mut script);
            print(&script)
        }
        Err(e) => e.exit(),
    }
}

/// To standard output; a reader that closed it has seen enough.
fn print(text: &[u8]) -> ExitCode {
    match std::io::stdout().write_all(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: standard output: {e}");
            ExitCode::FAILURE
        }
    }
}
