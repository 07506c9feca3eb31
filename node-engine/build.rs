//! The eBPF object that the agent embeds: the one that is checked in while it is that of the sources, else one that is
//! compiled now.

use std::env;
use std::path::PathBuf;

use tetragon_ebpf_objects::{ARCHITECTURES, are_fresh, checked_in, compile, digest_file, sources};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    assert!(
        ARCHITECTURES.contains(&arch.as_str()),
        "the programs do not know the registers of {arch}; right would be --target x86_64-unknown-linux-gnu or \
         aarch64-unknown-linux-gnu"
    );
    for file in sources().chain([digest_file(), checked_in(&arch)]) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let object = match are_fresh() {
        Ok(true) => checked_in(&arch),
        Ok(false) => compile(&arch, &out.join("target")).unwrap_or_else(|e| panic!("{e}")),
        Err(e) => panic!("the sources of the eBPF programs cannot be read: {e}"),
    };
    std::fs::copy(&object, out.join("tetragon-ebpf")).unwrap_or_else(|e| panic!("{}: {e}", object.display()));
}
