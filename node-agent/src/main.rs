//! The agent's binary: flags, log, and then [`tetragon_agent::run`].

use std::io::IsTerminal as _;
use std::process::ExitCode;

use tetragon_agent::config::{Config, LoadError, LogFormat};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    match Config::load(std::env::args_os()) {
        Ok(config) => {
            start_log(&config);
            tetragon_agent::run::run(&config)
        }
        Err(LoadError::Clap(e)) => e.exit(),
        Err(LoadError::Other(e)) => {
            eprintln!("error: {e:#}");
            ExitCode::from(2)
        }
    }
}

/// The Kubernetes client logs each failed attempt as an error; what matters of that, the agent says.
fn filter(level: tracing::Level) -> EnvFilter {
    let quiet = if level <= tracing::Level::INFO { ",kube_client=off,kube_runtime=off" } else { "" };
    EnvFilter::new(format!("{level}{quiet}"))
}

/// The log goes to standard error: events may go to standard output.
fn start_log(config: &Config) {
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_env_filter(filter(config.level()));
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
