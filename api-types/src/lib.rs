//! Data types shared by every part of tetragon-rs. No I/O, no async.
//!
//! - `generated/`: what protobuf's descriptions make
//! - `event/`: an event as JSON has it
#![warn(missing_docs)]

#[cfg(feature = "crd")]
pub mod crd;
pub mod event;
pub mod labels;
#[cfg(feature = "crd")]
pub mod owner;
pub mod plan;
pub mod policy;
#[cfg(feature = "published")]
pub mod published;
pub mod reason;
pub mod selector;
#[cfg(feature = "grpc")]
pub mod service;
#[cfg(feature = "crd")]
pub mod status;
pub mod workload;
