//! The node agent: links Plans into a node image, loads it, reads events and serves them.

pub mod config;
pub mod engine;
