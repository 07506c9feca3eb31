//! Data types shared by every part of tetragon-rs. No I/O, no async.
#![warn(missing_docs)]

pub mod event;
pub mod plan;
pub mod policy;
#[cfg(feature = "grpc")]
pub mod service;
