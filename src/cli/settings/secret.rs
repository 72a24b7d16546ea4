//! A secret that is given as a setting or in a file.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use super::values::trimmed;
use crate::cli::{setting_error::SettingError, setting_names::both_names};

/// The two settings of one secret: the value itself, and the path of a file that contains it.
pub(super) struct SecretSetting<'a> {
    pub(super) name: &'a str,
    pub(super) value: Option<&'a SecretString>,
    pub(super) file_name: &'a str,
    pub(super) file: Option<&'a Path>,
}

impl SecretSetting<'_> {
    /// The secret; `None` if neither setting is given.
    pub(super) fn read(&self) -> Result<Option<SecretString>, SettingError> {
        let Self { name, file_name, .. } = self;
        let value = self.value.filter(|secret| !secret.expose_secret().is_empty());
        let Some(path) = self.file else { return Ok(value.cloned()) };
        if value.is_some() {
            let fault = format!("and {} are both set: remove one of them", both_names(file_name));
            return Err(SettingError::of(name, fault));
        }
        let location = path.display();
        let content = std::fs::read_to_string(path).map_err(|error| {
            SettingError::of(file_name, format_args!("is \"{location}\", which cannot be read: {error}"))
        })?;
        match trimmed(&content) {
            "" => Err(SettingError::of(file_name, format_args!("is \"{location}\", which is empty"))),
            secret => Ok(Some(secret.into())),
        }
    }
}
