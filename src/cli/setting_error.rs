//! A setting that is missing or invalid.

use crate::app::{BuildError, FleetStoreError, TlsError, telemetry::TelemetryError};

/// A setting that is missing or invalid. The message is one line that names the setting and says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingError(String);

impl SettingError {
    /// Exit code of a command whose settings are missing or invalid.
    pub(super) const EXIT_CODE: u8 = 2;

    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    pub(super) fn reversed_range() -> Self {
        Self("--to comes before --from".to_owned())
    }

    pub(super) fn no_archive() -> Self {
        Self("PULSE_ARCHIVE is none: there is no archive to fill".to_owned())
    }

    pub(super) fn telemetry(error: &TelemetryError) -> Self {
        Self(error.to_string())
    }

    pub(super) fn key_line(faults: &[String]) -> Self {
        Self(faults.join("; "))
    }

    #[cfg(feature = "demo")]
    pub(super) fn listen(why: &str) -> Self {
        Self(why.to_owned())
    }

    pub(super) fn tls(error: &TlsError) -> Self {
        Self(format!("PULSE_TLS_CERT and PULSE_TLS_KEY: {error}"))
    }

    pub(super) fn fleet_store(error: &FleetStoreError) -> Self {
        Self(format!(
            "PULSE_FLEET (--fleet): {error}; use a Redis or Valkey server instead, such as redis://redis:6379"
        ))
    }

    pub(super) fn build(error: &BuildError) -> Self {
        Self(error.to_string())
    }
}
