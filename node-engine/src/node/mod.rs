//! The kernel of this node: its types, its features, its cgroups, and how a hook is attached on it.

pub mod btf;
pub mod cgroups;
pub mod format;
pub mod kernel;
pub mod resolve;
