//! The binary: its commands, settings and exit codes.

mod check;
mod credentials_in_urls;
mod file_descriptors;
mod file_permissions;
pub(crate) mod process;
mod proxies;
mod settings;
mod signals;
