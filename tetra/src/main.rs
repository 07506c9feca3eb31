//! The `tetra` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    tetra::run(std::env::args_os())
}
