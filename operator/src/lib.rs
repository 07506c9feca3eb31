//! The operator: validates and compiles every policy once, publishes the plans, and sums up what the
//! nodes say about them.
#![warn(missing_docs)]

pub mod admission;
pub mod config;
pub mod metrics;
pub mod nodes;
pub mod platform;
pub mod pod_info;
pub mod policies;
pub mod run;
pub mod text;
