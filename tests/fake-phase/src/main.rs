//! The fake Phase as a program, for demonstrations and benches.
#![forbid(unsafe_code)]
fn main() {}
