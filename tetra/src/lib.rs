//! The parts of `tetra` that others can use.
#![warn(missing_docs)]

pub mod compact;
