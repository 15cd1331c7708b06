//! Arguments, wiring, wait.
fn main() {}
