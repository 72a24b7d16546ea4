//! A setting that is missing or invalid.

use std::{fmt, path::Path};

use super::setting_names::{both_names, example};
use crate::{
    access::AccessConfigError,
    app::{BuildError, FleetStoreError, FleetTlsFiles, TlsError, telemetry::TelemetryError},
};

/// A setting that is missing or invalid. The message is one line that names the setting, says what to do, and gives an
/// example.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingError(String);

impl SettingError {
    /// Exit code of a command whose settings are missing or invalid.
    pub(super) const EXIT_CODE: u8 = 2;

    /// A fault that is not one of a declared setting.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// A fault of the setting with this variable. The sentence continues after the name of the setting: `is empty`.
    pub(super) fn of(variable: &str, fault: impl fmt::Display) -> Self {
        Self(format!("{} {fault}{}", both_names(variable), example(variable)))
    }

    pub(super) fn reversed_range() -> Self {
        Self("--to comes before --from".to_owned())
    }

    pub(super) fn no_archive() -> Self {
        Self::of("PULSE_ARCHIVE", "is none: there is no archive to fill")
    }

    pub(super) fn telemetry(error: &TelemetryError) -> Self {
        match error {
            TelemetryError::Filter(error) => Self::of("PULSE_LOG", format_args!("is not a valid log filter: {error}")),
            TelemetryError::Exporter(error) => {
                let fault = format_args!("or another OTEL_ variable is invalid: {error}");
                Self::of("OTEL_EXPORTER_OTLP_ENDPOINT", fault)
            }
        }
    }

    pub(super) fn key_line(faults: &[String]) -> Self {
        Self(faults.join("; "))
    }

    #[cfg(feature = "demo")]
    pub(super) fn listen(why: &str) -> Self {
        Self(why.to_owned())
    }

    /// TLS cannot be served with the files of the settings; `key` is that of the private key.
    pub(super) fn tls(error: &TlsError, key: Option<&Path>) -> Self {
        let is_key = matches!(error, TlsError::File { path, .. } if Some(path.as_path()) == key);
        Self::of(if is_key { "PULSE_TLS_KEY" } else { "PULSE_TLS_CERT" }, format_args!("is wrong: {error}"))
    }

    /// TLS between replicas cannot be used with these files.
    pub(super) fn fleet_tls(error: &TlsError, files: &FleetTlsFiles) -> Self {
        let setting = match error {
            TlsError::File { path, .. } if *path == files.pair.key => "PULSE_FLEET_TLS_KEY",
            TlsError::File { path, .. } if *path == files.authorities => "PULSE_FLEET_TLS_CA",
            _ => "PULSE_FLEET_TLS_CERT",
        };
        Self::of(setting, format_args!("is wrong: {error}"))
    }

    pub(super) fn access(error: &AccessConfigError) -> Self {
        match error {
            AccessConfigError::Keys(error) => Self::of("PULSE_API_KEYS_FILE", format_args!("is wrong: {error}")),
            AccessConfigError::ShortPseudonymKey => {
                let fault = "is shorter than 32 bytes: generate one with `openssl rand -base64 32`";
                Self::of("PULSE_PSEUDONYM_KEY", fault)
            }
            AccessConfigError::MissingPseudonymKey => {
                let claim = both_names("PULSE_OIDC_PSEUDONYMOUS_CLAIM");
                let fault = format!("is not set, but {claim} is: generate one with `openssl rand -base64 32`");
                Self::of("PULSE_PSEUDONYM_KEY", fault)
            }
            AccessConfigError::AnonymousConflict => {
                let [keys, issuer] = ["PULSE_API_KEYS_FILE", "PULSE_OIDC_ISSUER"].map(both_names);
                let fault = format!("is true although access is controlled by {keys} or {issuer}: keep one of the two");
                Self::of("PULSE_ALLOW_ANONYMOUS", fault)
            }
            AccessConfigError::Tls(_) => Self(error.to_string()),
        }
    }

    pub(super) fn fleet_store(error: &FleetStoreError) -> Self {
        Self::of("PULSE_FLEET", format_args!("is wrong: {error}; use a Redis or Valkey server"))
    }

    pub(super) fn build(error: &BuildError) -> Self {
        match error {
            BuildError::Access(error) => Self::access(error),
            BuildError::Archive(_) | BuildError::ArchiveOwner { .. } => {
                Self::of("PULSE_ARCHIVE", format_args!("is wrong: {error}"))
            }
            BuildError::ArchiveCache(error) => Self::of("PULSE_ARCHIVE_CACHE", format_args!("is wrong: {error}")),
            BuildError::FleetTls { files, error } => Self::fleet_tls(error, files),
            BuildError::FleetStore(error) => Self::fleet_store(error),
            BuildError::Tls(_) | BuildError::Threads(_) | BuildError::FleetThread(_) => Self(error.to_string()),
        }
    }
}
