//! The agent's binary: flags, log, and then [`tetragon_agent::run`].

use std::process::ExitCode;

use tetragon_agent::config::{Config, LoadError};

fn main() -> ExitCode {
    match Config::load(std::env::args_os()) {
        Ok(_config) => ExitCode::SUCCESS,
        Err(LoadError::Clap(e)) => e.exit(),
        Err(LoadError::Other(e)) => {
            eprintln!("error: {e:#}");
            ExitCode::from(2)
        }
    }
}
