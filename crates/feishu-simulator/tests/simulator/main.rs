//! Tests the simulator over HTTP against Feishu's documentation.

mod caller;
mod days;
mod faults;
mod limits;
mod pages;
mod parameters;
mod story;
mod tokens;
