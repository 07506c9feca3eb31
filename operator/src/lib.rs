//! The operator: validates and compiles every policy once, publishes the plans, and sums up what the
//! nodes say about them.
//!
//! The files and folders, from top to bottom. Each imports only from its own line and from the lines below it.
//!
//! - `main` `run`: start, wire and end the parts.
//! - `admission/` `pod_info/` `metrics`: the webhook that checks policies; the PodInfo of each pod; the numbers of
//!   the process, its webhook and its lease.
//! - `policies/`: the steps of a policy, from the object to its plan and its status; lost agents.
//! - `nodes/`: the index of nodes and agents, their reports about policies, and what their kernels cannot do.
//! - `platform/`: the API server and its watches, the lease, certificates, definitions, HTTP, the log.
//! - `config` `text`: the flags; texts that fit into a status.
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
