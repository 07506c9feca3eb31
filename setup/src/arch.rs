//! The architectures of guests: amd64, which is this machine's, and arm64, which is emulated. What differs
//! between them is asked here.

use anyhow::{Result, bail};

/// An architecture, with Debian's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// This machine's own.
    Amd64,
    /// Emulated, whatever the machine.
    Arm64,
}

impl Arch {
    /// Both.
    pub const ALL: [Arch; 2] = [Arch::Amd64, Arch::Arm64];

    /// The series and the architecture of a kernel by its name: `6.12`, `6.12-arm64`.
    pub fn of_kernel(name: &str) -> (&str, Arch) {
        name.strip_suffix("-arm64").map_or((name, Arch::Amd64), |series| (series, Arch::Arm64))
    }

    /// A kernel's name.
    pub fn kernel(self, series: &str) -> String {
        match self {
            Arch::Amd64 => series.to_owned(),
            Arch::Arm64 => format!("{series}-arm64"),
        }
    }

    /// What an ELF program is for.
    pub fn of_program(elf: &[u8]) -> Option<Arch> {
        let machine = |arch: &Arch| match arch {
            Arch::Amd64 => [62, 0],
            Arch::Arm64 => [183, 0],
        };
        Arch::ALL.into_iter().find(|a| elf.starts_with(b"\x7fELF") && elf.get(18..20) == Some(&machine(a)))
    }

    /// Debian's name.
    pub fn debian(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }

    /// rustc's target.
    pub fn target(self) -> &'static str {
        match self {
            Arch::Amd64 => "x86_64-unknown-linux-gnu",
            Arch::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// A program of binutils or gcc for it.
    pub fn tool(self, name: &str) -> String {
        match self {
            Arch::Amd64 => name.to_owned(),
            Arch::Arm64 => format!("aarch64-linux-gnu-{name}"),
        }
    }

    /// QEMU's program for it.
    #[must_use]
    pub fn qemu(self) -> &'static str {
        match self {
            Arch::Amd64 => "qemu-system-x86_64",
            Arch::Arm64 => "qemu-system-aarch64",
        }
    }

    /// Refuses what is there for this machine's own architecture only.
    pub fn must_be_own(self, what: &str, kernel: &str) -> Result<()> {
        if self != Arch::Amd64 {
            bail!(
                "{what} with kernel {kernel}: that is there for amd64 only; kernels of arm64 can be used by \
                 `cargo xtask vm` and `cargo xtask conformance`"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_an_architecture() {
        for (name, of) in [("6.12", ("6.12", Arch::Amd64)), ("6.12-arm64", ("6.12", Arch::Arm64))] {
            assert_eq!(Arch::of_kernel(name), of);
            assert_eq!(of.1.kernel(of.0), name);
        }
    }

    #[test]
    fn programs_have_an_architecture() {
        let own = std::fs::read(std::env::current_exe().expect("a path")).expect("a program");
        assert_eq!(Arch::of_program(&own), Some(Arch::Amd64));
        let mut other = own;
        other[18] = 183;
        assert_eq!(Arch::of_program(&other), Some(Arch::Arm64));
        other[18] = 40;
        assert_eq!(Arch::of_program(&other), None);
        assert_eq!(Arch::of_program(b"#!/bin/sh"), None);
    }
}
