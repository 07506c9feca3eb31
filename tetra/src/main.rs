//! tetra
fn main() {}
