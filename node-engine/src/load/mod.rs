//! Programs and maps in the kernel: from the embedded object to hooks that are attached.

pub mod base;
pub mod hook;
pub mod maps;
pub mod object;
