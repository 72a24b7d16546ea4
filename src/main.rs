//! The feishu-pulse binary.

fn main() {}
