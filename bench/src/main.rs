//! The floor: a server that only moves and flushes bytes.
fn main() {}
