//! The operator: validates and compiles every policy once, publishes the plans, and sums up what the
//! nodes say about them.
#![warn(missing_docs)]


pub mod index;
pub mod reason;
pub mod text;
