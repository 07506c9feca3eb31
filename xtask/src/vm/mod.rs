//! `cargo xtask vm`: stock Debian kernels in QEMU, with or without the agent.

pub(crate) mod guest;
pub(crate) mod machine;
mod qemu;
pub(crate) mod qmp;
mod run;
pub(crate) mod saved;
pub(crate) mod session;

use anyhow::Result;
use clap::Subcommand;

use crate::kernels;

/// What can be done with guests.
#[derive(Debug, Subcommand)]
pub(crate) enum Vm {
    /// Run a shell command in a guest, with the agent and policies
    ///
    /// The guest is fresh, and gone afterwards. Its programs are busybox's applets; name them with their
    /// path (/bin/cat): busybox's shell runs a bare `cat` inside itself, which is no exec to the kernel.
    ///
    /// Exit code: the command's (128 + signal when it was killed); 3 when the agent ended before it was
    /// ready; 124 when the time was up; 125 when the guest's kernel broke down or there is no guest.
    Run(run::RunOptions),
    /// A shell in a guest, on this terminal
    Shell(run::ShellOptions),
    /// The kernels that the project is tested on, and which of them are downloaded
    List,
}

impl Vm {
    /// Does it; gives the exit code.
    pub(crate) fn execute(self) -> Result<i32> {
        match self {
            Vm::Run(options) => run::run(&options),
            Vm::Shell(options) => run::shell(&options),
            Vm::List => {
                for series in kernels::BED {
                    let release =
                        kernels::in_cache(series).map_or("not downloaded yet".into(), |k| k.release);
                    println!("{series:<6} {release}");
                }
                Ok(0)
            }
        }
    }
}
