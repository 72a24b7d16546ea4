//! The simulated Feishu, held against upstream's documentation over its own socket.

mod caller;
mod days;
mod faults;
mod limits;
mod pages;
mod parameters;
mod tokens;
