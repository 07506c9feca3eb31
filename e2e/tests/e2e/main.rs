//! Tests of the whole, in guests.
fn main() {}
