//! The agent's binary: flags, log, and then [`tetragon_agent::run`].

use std::process::ExitCode;

use tetragon_agent::config::Config;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    match Config::load(std::env::args_os()) {
        Ok(config) => {
            tetragon_daemon::log::start(filter(config.level()), config.log_format);
            tetragon_agent::run::run(&config)
        }
        Err(e) => e.exit(),
    }
}

/// The Kubernetes client logs each failed attempt as an error; what matters of that, the agent says.
fn filter(level: tracing::Level) -> EnvFilter {
    let quiet = if level <= tracing::Level::INFO { ",kube_client=off,kube_runtime=off" } else { "" };
    EnvFilter::new(format!("{level}{quiet}"))
}
