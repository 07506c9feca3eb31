//! tetragon-e2e
fn main() {}
