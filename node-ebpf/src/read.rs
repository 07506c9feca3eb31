//! How values are read from the kernel's memory.

pub mod text;
