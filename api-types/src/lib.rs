//! Data types shared by every part of tetragon-rs. No I/O, no async.
#![warn(missing_docs)]

pub mod plan;
pub mod policy;
