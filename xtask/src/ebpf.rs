//! `cargo xtask ebpf`: the compiled eBPF programs that are checked in.

use std::fs;

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use tetragon_ebpf_objects::{ARCHITECTURES, are_fresh, checked_in, compile, digest, digest_file};

use crate::packages::{self, Kind};
use crate::tools::{root, say};

/// What to do with them.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// Compile them and compare every byte with what is checked in, instead of writing
    #[arg(long)]
    check: bool,
}

/// The objects that are checked in are what their sources give.
pub(crate) fn check() -> Result<()> {
    run(Options { check: true }).map(drop)
}

/// Compiles the programs for each architecture and writes them, or compares.
pub(crate) fn run(options: Options) -> Result<i32> {
    packages::install(&[Kind::Ebpf])?;
    for arch in ARCHITECTURES {
        let folder = root().join("target/ebpf").join(arch);
        let object = fs::read(compile(arch, &folder).map_err(|e| anyhow!(e))?)?;
        let file = checked_in(arch);
        if options.check {
            let same = fs::read(&file).is_ok_and(|checked_in| checked_in == object);
            ensure!(
                same,
                "{} is not what its sources give here; right would be `cargo xtask ebpf`, with the LLVM of rustc \
                 and the bpf-linker of `cargo xtask setup`",
                file.display()
            );
        } else {
            fs::write(&file, &object)?;
        }
        say(&format!("{arch}: {} bytes", object.len()));
    }
    if options.check {
        ensure!(are_fresh()?, "the digest of the sources is old; right would be `cargo xtask ebpf`");
    } else {
        fs::write(digest_file(), format!("{}\n", digest()?))?;
    }
    Ok(0)
}
