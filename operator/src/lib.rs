//! The operator: validates and compiles every policy once, publishes the plans, and sums up what the
//! nodes say about them.
#![warn(missing_docs)]

pub mod compile;
pub mod config;
pub mod controller;
pub mod events;
pub mod lost;
pub mod metrics;
pub mod nodes;
pub mod platform;
pub mod pod_info;
pub mod publish;
pub mod retire;
pub mod rollout;
pub mod run;
pub mod status;
pub mod text;
pub mod webhook;
