//! cargo, as everything in this repository is built: `.cargo/config.toml` says for which target, with which flags
//! and with which lints. What one step builds the others use.

use std::process::{Command, Stdio};

use crate::arch::Arch;
use crate::tools::{command, root};

/// This machine's target. Guests may have another: [`Arch::target`].
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// cargo in the repository, without what the environment would change about how it builds.
pub fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = command(program, args);
    for arch in Arch::ALL.into_iter().filter(|a| *a != Arch::Amd64) {
        let target = arch.target().replace('-', "_").to_uppercase();
        command.env(format!("CARGO_TARGET_{target}_LINKER"), arch.tool("gcc"));
    }
    command
        .current_dir(root())
        // These would replace the flags of .cargo/config.toml.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTDOCFLAGS")
        // Standard output belongs to results.
        .stdout(Stdio::from(std::io::stderr()));
    // Set by `cargo run` for this program; cargo would rebuild dependencies that look at them.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// cargo for all crates together. With a choice of crates, cargo would build what they need once more, with other
/// features; a choice of programs (`--bin`) is none of crates.
pub fn workspace<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    workspace_for(Arch::Amd64, args)
}

/// The same for an architecture.
pub fn workspace_for<'a>(arch: Arch, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = cargo(args);
    command.args(["--workspace", "--target", arch.target()]);
    command
}
