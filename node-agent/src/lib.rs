//! The node agent: links Plans into a node image, loads it, reads events and serves them.

pub mod assemble;
pub mod clock;
pub mod config;
pub mod control;
pub mod counters;
pub mod cri;
pub mod elasticsearch;
pub mod events;
pub mod export;
pub mod facts;
pub mod folder;
pub mod grpc;
pub mod hub;
pub mod kubernetes;
pub mod metrics;
pub mod nri;
pub mod pods;
pub mod policies;
pub mod process;
pub mod procfs;
pub mod rotate;
pub mod run;
pub mod serve;
pub mod users;
pub mod watch;
