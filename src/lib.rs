#![doc = include_str!("../docs/architecture.md")]

pub mod feishu;
pub mod model;
pub mod sim;
pub mod source;
pub mod table;
