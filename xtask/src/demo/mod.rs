//! `cargo xtask demo`: the agent alone on one kernel, then the whole on a real cluster.

mod acts;
mod alone;
mod whole;

use anyhow::Result;
use clap::{Args, Subcommand};
pub(crate) use whole::make_needs;

/// An argument of processes that are no part of an act.
const MARK: &str = "mark-of-the-demo";

/// What is shown.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    stage: Option<Stage>,
    #[command(flatten)]
    whole: whole::Options,
}

#[derive(Debug, Subcommand)]
enum Stage {
    /// The agent alone in one guest, with policies from files, each provoked
    Alone(alone::Options),
    /// The whole on a cluster of two kernels, without the first stage
    Cluster(whole::Options),
}

/// Runs the demo; gives the exit code.
pub(crate) fn run(options: &Options) -> Result<i32> {
    match &options.stage {
        Some(Stage::Alone(options)) => alone::run(options, &mut || ()),
        Some(Stage::Cluster(options)) => whole::run(options, whole::Needs::start()?),
        None => stages(&options.whole),
    }
}

/// Both stages. What the second needs is built while the first is on the screen.
fn stages(options: &whole::Options) -> Result<i32> {
    let mut needs = None;
    let first = alone::run(&alone::Options::default(), &mut || needs = Some(whole::Needs::start()))?;
    let needs = match needs {
        Some(started) => started?,
        None => whole::Needs::start()?,
    };
    Ok(first.max(whole::run(options, needs)?))
}
