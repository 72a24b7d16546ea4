//! The simulated Feishu.

pub mod limit;
