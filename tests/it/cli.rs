//! The binary: its commands, settings and exit codes.

mod check;
pub(crate) mod process;
