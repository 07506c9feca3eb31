//! `cargo xtask`: what a developer of tetragon-rs runs.

mod build;
mod initramfs;
mod kernels;
mod modules;
mod tools;
mod vm;

use std::process::ExitCode;

use clap::Parser;

/// What a developer of tetragon-rs runs.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", version, about, max_term_width = 100)]
enum Xtask {
    /// Guests: stock Debian kernels in QEMU
    #[command(subcommand)]
    Vm(vm::Vm),
}

fn main() -> ExitCode {
    let result = match Xtask::parse() {
        Xtask::Vm(vm) => vm.execute(),
    };
    match result {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
