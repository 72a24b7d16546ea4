//! The simulated Feishu, held against upstream's documentation over its own socket.

mod caller;
mod pages;
mod tokens;
