//! The binary: reads flags and file, builds every part, runs and stops them in order.

fn main() {}
