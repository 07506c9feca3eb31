//! What comes before `xtask`: the machine is checked, what it lacks is installed, and the test bed's own program is
//! built and watched over. This crate compiles in seconds, so that the first word comes at once.
//!
//! It knows processes, packages and cargo, and nothing of guests, clusters or policies.

pub mod apt;
pub mod arch;
pub mod cargo;
pub mod commands;
pub mod machine;
pub mod packages;
pub mod progress;
pub mod supervise;
pub mod tools;
