//! The binary: its commands, settings and exit codes.

mod check;
mod file_descriptors;
pub(crate) mod process;
mod signals;
