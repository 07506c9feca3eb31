//! The policies of one hook as tables: pure, without a system call.

pub mod dims;
pub mod linker;
#[cfg(test)]
mod linker_tests;
pub mod shape;
pub mod tables;
pub mod unit;
pub mod workloads;
