//! Why a command failed.

use std::{io, net::SocketAddr, process::ExitCode};

use super::setting_error::SettingError;
use crate::source::LoadError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A setting is missing or invalid.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; {}", listen_remedy(error, setting))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The setting that contains the address.
        setting: &'static str,
        /// The cause.
        error: io::Error,
    },
    /// A day could not be fetched.
    #[error("{0}; the days fetched so far are archived; run the command again to continue")]
    Backfill(#[from] LoadError),
    /// An operation of the operating system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn listen_remedy(error: &io::Error, setting: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("stop the process that uses it, or set {setting} to another port, such as 127.0.0.1:8081")
        }
        io::ErrorKind::PermissionDenied => {
            format!("set {setting} to a port from 1024, such as 127.0.0.1:8080; lower ones require privileges")
        }
        _ => format!("set {setting} to an address of this machine, such as 127.0.0.1:8080"),
    }
}

impl CliError {
    /// 2 for a missing or invalid setting, 1 for any other error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Setting(_) => ExitCode::from(SettingError::EXIT_CODE),
            Self::Listen { .. } | Self::Backfill(_) | Self::Io(_) => ExitCode::FAILURE,
        }
    }
}
