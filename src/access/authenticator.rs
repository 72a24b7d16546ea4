//! Who is let in.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    caller::Caller,
    fair_use::{FairUse, Standing},
    key,
    keys::Keys,
    keys_file::{KeysFile, UnusableKeys},
    oidc::{Oidc, OidcConfig},
};
use crate::{
    meter::{Exposition, Meter},
    table::pseudonym::Pseudonyms,
};

/// The shortest key for pseudonyms, in bytes.
const SHORTEST_PSEUDONYM_KEY: usize = 32;

/// How access is controlled.
#[derive(Clone, Debug, Default)]
pub struct AccessConfig {
    /// The file of access keys.
    pub keys_file: Option<PathBuf>,
    /// The identity provider.
    pub oidc: Option<OidcConfig>,
    /// The key of pseudonyms; at least 32 bytes.
    pub pseudonym_key: Option<SecretString>,
    /// Whether everyone is let in under any name of the host, where there is no access control.
    pub allow_anonymous: bool,
    /// Requests a minute that each caller may make; `None`: any number.
    pub requests_per_minute: Option<u32>,
}

/// Why access can't be controlled as it is set.
#[derive(Debug, thiserror::Error)]
pub enum UnusableAccess {
    /// The keys file.
    #[error("PULSE_API_KEYS_FILE: {0}")]
    Keys(UnusableKeys),
    /// TLS to the identity provider.
    #[error("TLS to the identity provider cannot be set up: {0:?}")]
    Tls(#[from] reqwest::Error),
    /// The key of pseudonyms.
    #[error("PULSE_PSEUDONYM_KEY is shorter than 32 bytes: make one with `openssl rand -base64 32`")]
    ShortPseudonymKey,
    /// Both.
    #[error("PULSE_ALLOW_ANONYMOUS lets everyone in, and there is access control too: keep one of them")]
    Contradiction,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The credentials are none of this service, or not any more.
    #[error("the credentials are not valid here, or not any more")]
    Invalid,
    /// The identity provider can't be asked whose they are.
    #[error("the identity provider cannot be reached, so it cannot be told whose token this is")]
    Unavailable,
}

/// Decides who is let in.
#[derive(Debug)]
pub struct Gatekeeper {
    keys: Option<Arc<KeysFile>>,
    oidc: Option<Oidc>,
    pseudonyms: Option<Pseudonyms>,
    fair_use: Option<FairUse>,
    allow_anonymous: bool,
}

impl Gatekeeper {
    /// Controls access as it is set.
    ///
    /// # Errors
    /// [`UnusableAccess`] says what is wrong with the settings.
    pub fn new(config: &AccessConfig) -> Result<Self, UnusableAccess> {
        let is_controlled = config.keys_file.is_some() || config.oidc.is_some();
        if is_controlled && config.allow_anonymous {
            return Err(UnusableAccess::Contradiction);
        }
        let key = config.pseudonym_key.as_ref();
        if key.is_some_and(|key| key.expose_secret().len() < SHORTEST_PSEUDONYM_KEY) {
            return Err(UnusableAccess::ShortPseudonymKey);
        }
        let open = |path: &PathBuf| KeysFile::open(path, key.is_some()).map(Arc::new);
        Ok(Self {
            keys: config.keys_file.as_ref().map(open).transpose().map_err(UnusableAccess::Keys)?,
            oidc: config.oidc.clone().map(Oidc::new).transpose()?,
            pseudonyms: key.map(Pseudonyms::new),
            fair_use: config.requests_per_minute.map(FairUse::new),
            allow_anonymous: config.allow_anonymous,
        })
    }

    /// Whether it matters who asks.
    #[must_use]
    pub const fn is_controlled(&self) -> bool {
        self.keys.is_some() || self.oidc.is_some()
    }

    /// Whether the gateway answers to names of this machine alone: where everyone is let in who can reach loopback, a
    /// page in a browser must not get in by a name that it made lead there.
    #[must_use]
    pub const fn is_for_loopback_alone(&self) -> bool {
        !self.is_controlled() && !self.allow_anonymous
    }

    /// Pseudonyms, where there is a key for them.
    #[must_use]
    pub const fn pseudonyms(&self) -> Option<&Pseudonyms> {
        self.pseudonyms.as_ref()
    }

    /// The keys file, where there is one.
    #[must_use]
    pub const fn keys_file(&self) -> Option<&Arc<KeysFile>> {
        self.keys.as_ref()
    }

    /// Whose credentials these are: an access key, or a token of the identity provider.
    ///
    /// # Errors
    /// [`Refusal`] says why nobody is let in with them.
    pub async fn admit(&self, credentials: &str, now: Timestamp) -> Result<Caller, Refusal> {
        if let Some(keys) = self.keys_for(credentials) {
            return keys.holder(credentials).cloned().ok_or(Refusal::Invalid);
        }
        match &self.oidc {
            Some(oidc) => oidc.holder(credentials, now).await,
            None => Err(Refusal::Invalid),
        }
    }

    /// Whose credentials these are, where that can be told without asking anybody and without checking a signature.
    #[must_use]
    pub fn known(&self, credentials: &str, now: Timestamp) -> Option<Caller> {
        match self.keys_for(credentials) {
            Some(keys) => keys.holder(credentials).cloned(),
            None => self.oidc.as_ref()?.known(credentials, now),
        }
    }

    /// The keys, where the credentials look like one of them; otherwise they are a token.
    fn keys_for(&self, credentials: &str) -> Option<Arc<Keys>> {
        self.keys.as_ref().filter(|_| credentials.starts_with(key::PREFIX)).map(|file| file.keys())
    }

    /// Whom a token of ours is issued to, who shows an access key and its name. It names the key too, so that the token
    /// ends with the key. Where access is not controlled, anything will do.
    ///
    /// # Errors
    /// Where the key is not that of the name.
    pub fn holder(&self, name: &str, key: &str) -> Result<String, Refusal> {
        if !self.is_controlled() {
            // No key has such a name: where there is access control later, this holder will be nobody.
            return Ok(format!("/{name}"));
        }
        let keys = self.keys.as_ref().ok_or(Refusal::Invalid)?.keys();
        let holder = keys.holder(key).filter(|caller| **caller.name() == *name).ok_or(Refusal::Invalid)?;
        let (fingerprint, _) = keys.named(holder.name()).ok_or(Refusal::Invalid)?;
        Ok(format!("{name}/{fingerprint}"))
    }

    /// Whom a token of ours was issued to.
    ///
    /// # Errors
    /// Where the key is not valid any more that it was issued for.
    pub fn bearer(&self, holder: &str) -> Result<Caller, Refusal> {
        if !self.is_controlled() {
            return Ok(Caller::anyone());
        }
        let (name, issued_for) = holder.split_once('/').ok_or(Refusal::Invalid)?;
        let keys = self.keys.as_ref().ok_or(Refusal::Invalid)?.keys();
        let (fingerprint, caller) = keys.named(name).ok_or(Refusal::Invalid)?;
        if fingerprint.to_string() == issued_for { Ok(caller.clone()) } else { Err(Refusal::Invalid) }
    }

    /// Takes a request from what the caller has left, where that is limited.
    #[must_use]
    pub fn take(&self, caller: &Caller) -> Option<Standing> {
        // Anyone is many.
        caller.id().and(self.fair_use.as_ref()).map(|fair_use| fair_use.take(caller.name()))
    }

    /// Reads the keys file again whenever it has changed, for ever.
    pub async fn watch(&self) {
        if let Some(keys) = &self.keys {
            keys.watch().await;
        }
    }
}

impl Meter for Gatekeeper {
    fn write(&self, page: &mut Exposition) {
        if let Some(keys) = &self.keys {
            keys.write(page);
        }
    }
}
