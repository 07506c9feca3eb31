//! `cargo xtask demo`: the whole on a real cluster, or the agent alone on one kernel.

mod alone;
mod whole;

use anyhow::Result;
use clap::{Args, Subcommand};

/// What is shown.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    whole: whole::Options,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The agent alone in one guest, with four policies, each provoked
    Alone(alone::Options),
}

/// Runs the demo; gives the exit code.
pub(crate) fn run(options: &Options) -> Result<i32> {
    match &options.what {
        Some(What::Alone(options)) => alone::run(options),
        None => whole::run(&options.whole),
    }
}
