//! The settings of access control.

use std::{num::NonZeroU64, path::PathBuf};

use axum::http::HeaderValue;
use clap::Args;
use reqwest::Url;
use secrecy::SecretString;

use super::{Switch, UnusableSetting};
use crate::access::{AccessConfig, Gatekeeper, OidcConfig};

/// Who is let in, and what they may see.
#[derive(Clone, Debug, Args)]
pub(super) struct AccessSettings {
    /// The file of access keys, a line a key; `feishu-pulse key new` makes keys and their lines. It is read again when it
    /// changes
    #[arg(long = "api-keys-file", env = "PULSE_API_KEYS_FILE", value_name = "PATH")]
    pub(super) keys_file: Option<PathBuf>,

    /// The identity provider (OpenID Connect) whose tokens are taken: the `iss` of its tokens
    #[arg(long, env = "PULSE_OIDC_ISSUER", value_name = "URL", value_parser = super::base_url)]
    pub(super) oidc_issuer: Option<Url>,

    /// What the `aud` of its tokens must name
    #[arg(long, env = "PULSE_OIDC_AUDIENCE", value_name = "NAME")]
    pub(super) oidc_audience: Option<String>,

    /// The claim that holds the scopes (reports:read, users:read, admin): a list, or words; with dots for nested claims
    #[arg(long, env = "PULSE_OIDC_SCOPES_CLAIM", value_name = "CLAIM", default_value = "scope")]
    pub(super) oidc_scopes_claim: String,

    /// The claim that holds the paths of the departments that the holder may see (`*`: all); without it, all may be seen
    #[arg(long, env = "PULSE_OIDC_DEPARTMENTS_CLAIM", value_name = "CLAIM")]
    pub(super) oidc_departments_claim: Option<String>,

    /// The key of pseudonyms, for access keys that show people under pseudonyms; at least 32 bytes. Rather set it in the
    /// environment, or in a file
    #[arg(long, env = "PULSE_PSEUDONYM_KEY", value_name = "SECRET", hide_env_values = true)]
    pub(super) pseudonym_key: Option<SecretString>,

    /// A file that holds the key of pseudonyms, instead of the key itself
    #[arg(long, env = "PULSE_PSEUDONYM_KEY_FILE", value_name = "PATH")]
    pub(super) pseudonym_key_file: Option<PathBuf>,

    /// Serve everyone who can reach the address, without access control
    #[arg(long, env = "PULSE_ALLOW_ANONYMOUS")]
    pub(super) allow_anonymous: bool,

    /// Figures of groups of fewer people than this are withheld from callers without the scope users:read
    #[arg(long, env = "PULSE_MIN_GROUP", value_name = "PEOPLE")]
    pub(super) min_group: Option<NonZeroU64>,

    /// How many requests each caller may make a minute, or `none`
    #[arg(long, env = "PULSE_REQUESTS_PER_MINUTE", value_name = "COUNT", default_value = "6000", value_parser = requests)]
    pub(super) requests_per_minute: Requests,

    /// Origins whose web pages may read answers, such as `https://bi.example.com`, with commas; without it, none
    #[arg(long, env = "PULSE_CORS_ORIGINS", value_name = "ORIGIN,…", value_delimiter = ',', value_parser = origin)]
    pub(super) cors_origins: Vec<HeaderValue>,

    /// Whether callers with an official SDK may ask for ten years and 10,000 rows a page without the header
    /// X-Pulse-Extended
    #[arg(long, env = "PULSE_DROP_IN_EXTENDED", value_name = "SWITCH", value_enum, default_value = "off")]
    pub(super) drop_in_extended: Switch,
}

/// Requests a minute; `None` for any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Requests(pub(super) Option<u32>);

impl AccessSettings {
    /// Whether it matters who asks.
    pub(super) const fn is_controlled(&self) -> bool {
        self.keys_file.is_some() || self.oidc_issuer.is_some()
    }

    /// The access control that is wanted.
    pub(super) fn config(&self) -> Result<AccessConfig, UnusableSetting> {
        Ok(AccessConfig {
            keys_file: self.keys_file.clone(),
            oidc: self.oidc()?,
            pseudonym_key: super::secret(
                ("PULSE_PSEUDONYM_KEY", self.pseudonym_key.as_ref()),
                ("PULSE_PSEUDONYM_KEY_FILE", self.pseudonym_key_file.as_deref()),
            )?,
            allow_anonymous: self.allow_anonymous,
            requests_per_minute: self.requests_per_minute.0,
        })
    }

    /// What is wrong with them, where anything is; reads the keys file too.
    pub(super) fn fault(&self) -> Option<UnusableSetting> {
        let config = match self.config() {
            Ok(config) => config,
            Err(fault) => return Some(fault),
        };
        Gatekeeper::new(&config).err().map(|error| UnusableSetting(error.to_string()))
    }

    fn oidc(&self) -> Result<Option<OidcConfig>, UnusableSetting> {
        match (&self.oidc_issuer, &self.oidc_audience) {
            (Some(issuer), Some(audience)) if !audience.is_empty() => Ok(Some(OidcConfig {
                issuer: issuer.clone(),
                audience: audience.clone(),
                scopes_claim: self.oidc_scopes_claim.clone(),
                departments_claim: self.oidc_departments_claim.clone(),
            })),
            (None, None) => Ok(None),
            (Some(_), _) => Err(UnusableSetting(
                "PULSE_OIDC_AUDIENCE is not set: without it, tokens for other services would be taken too".into(),
            )),
            (None, Some(_)) => Err(UnusableSetting("PULSE_OIDC_AUDIENCE is set, and PULSE_OIDC_ISSUER is not".into())),
        }
    }
}

fn requests(text: &str) -> Result<Requests, String> {
    if text == "none" {
        return Ok(Requests(None));
    }
    let count = text.parse().ok().filter(|count: &u32| (1..=1_000_000).contains(count));
    count.map(|count| Requests(Some(count))).ok_or_else(|| "expected a number from 1 to 1000000, or none".to_owned())
}

/// Scheme, host and port, as browsers send it.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let expected = || "expected origins such as https://bi.example.com or http://localhost:3000".to_owned();
    let url: Url = text.parse().map_err(|_| expected())?;
    let is_web = matches!(url.scheme(), "http" | "https");
    if !is_web || url.origin().ascii_serialization() != text {
        return Err(expected());
    }
    HeaderValue::from_str(text).map_err(|_| expected())
}
