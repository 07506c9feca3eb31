//! Builds the eBPF object that the agent embeds: `node-ebpf/` for the eBPF target, with the same
//! compiler (its nightly options switched on) and bpf-linker, for the kernels that the agent is built for.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let source = here.join("../node-ebpf");
    for dir in ["../node-ebpf/src", "../node-ebpf/Cargo.toml", "../node-ebpf/Cargo.lock", "../node-abi/src"] {
        println!("cargo::rerun-if-changed={dir}");
    }
    let target = out.join("target");
    // Where arguments lie in registers is the architecture's.
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    assert!(
        ["x86_64", "aarch64"].contains(&arch.as_str()),
        "the programs do not know the registers of {arch}; right would be --target x86_64-unknown-linux-gnu or \
         aarch64-unknown-linux-gnu"
    );
    let arch = format!("--cfg=bpf_target_arch=\"{arch}\"");
    let flags = ["-Clinker=bpf-linker", "-Cdebuginfo=0", "-Cpanic=abort", &arch].join("\x1f");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo sets for this build must not reach the other one.
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_") && name != "CARGO_HOME" {
            cargo.env_remove(name);
        }
    }
    let status = cargo
        .current_dir(&source)
        .env_remove("RUSTC")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTFLAGS")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .args(["build", "--release", "-Zbuild-std=core", "--target", "bpfel-unknown-none", "--target-dir"])
        .arg(&target)
        .status();
    match status {
        Ok(s) if s.success() => {}
        Ok(s) => panic!("building node-ebpf failed ({s}); `cargo xtask setup` installs what it needs"),
        Err(e) => panic!("cannot run cargo for node-ebpf: {e}"),
    }
    let object = target.join("bpfel-unknown-none/release/tetragon");
    std::fs::copy(&object, out.join("tetragon-ebpf")).unwrap_or_else(|e| panic!("{}: {e}", object.display()));
}
