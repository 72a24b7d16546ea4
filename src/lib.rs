#![doc = include_str!("../docs/architecture.md")]

pub mod access;
pub mod api;
pub mod app;
pub mod cli;
pub mod feishu;
pub mod fleet;
pub mod model;
pub mod prometheus;
pub mod proxy;
pub mod query;
pub mod report;
pub mod source;
pub mod store;
pub mod table;
