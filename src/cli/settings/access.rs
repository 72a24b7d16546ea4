//! The settings of access control.

use std::{num::NonZeroU64, path::PathBuf};

use axum::http::HeaderValue;
use clap::Args;
use reqwest::Url;
use secrecy::SecretString;

use super::{
    headings::ACCESS,
    secret::SecretSetting,
    values::{Switch, base_url, claim, id, people, secret},
};
use crate::access::{AccessConfig, Authenticator, OidcConfig};
use crate::api::{DashboardConfig, OidcSignIn};
use crate::cli::{setting_error::SettingError, setting_names::both_names};

/// Settings of authentication, suppression and limits of callers.
#[derive(Clone, Debug, Args)]
pub(super) struct AccessSettings {
    /// The file of access keys, with one key per line. `feishu-pulse key new` creates keys and their lines. The file is
    /// read again when it changes
    #[arg(long = "api-keys-file", env = "PULSE_API_KEYS_FILE", value_name = "PATH", help_heading = ACCESS)]
    pub(super) keys_file: Option<PathBuf>,

    /// The OpenID Connect identity provider whose tokens are accepted: the `iss` claim of its tokens
    #[arg(long, env = "PULSE_OIDC_ISSUER", value_name = "URL", value_parser = base_url, help_heading = ACCESS)]
    pub(super) oidc_issuer: Option<Url>,

    /// The value that the `aud` claim of its tokens must contain
    #[arg(long, env = "PULSE_OIDC_AUDIENCE", value_name = "NAME", value_parser = id, help_heading = ACCESS)]
    pub(super) oidc_audience: Option<String>,

    /// The id under which the dashboard is registered with the identity provider, as a public client (authorization code with
    /// PKCE, without a secret). Its redirect URI is the address of the dashboard. Without it people enter an access key
    #[arg(long, env = "PULSE_OIDC_CLIENT_ID", value_name = "ID", value_parser = id, help_heading = ACCESS)]
    pub(super) oidc_client_id: Option<String>,

    /// The claim that contains the scopes (reports:read, users:read, admin), as a list or separated by spaces. Use dots
    /// for nested claims
    #[arg(long, env = "PULSE_OIDC_SCOPES_CLAIM", value_name = "CLAIM", default_value = "scope", value_parser = claim, help_heading = ACCESS)]
    pub(super) oidc_scopes_claim: String,

    /// The claim that contains the paths of the departments that the caller may see (`*` for all). Without it callers
    /// may see all departments
    #[arg(long, env = "PULSE_OIDC_DEPARTMENTS_CLAIM", value_name = "CLAIM", value_parser = claim, help_heading = ACCESS)]
    pub(super) oidc_departments_claim: Option<String>,

    /// The claim that says whether the caller sees people under pseudonyms (true or false). Without it callers see names
    #[arg(long, env = "PULSE_OIDC_PSEUDONYMOUS_CLAIM", value_name = "CLAIM", value_parser = claim, help_heading = ACCESS)]
    pub(super) oidc_pseudonymous_claim: Option<String>,

    /// The secret key for pseudonyms, required for callers who see people under pseudonyms. At least 32 bytes.
    /// Prefer the environment or a file
    #[arg(long, env = "PULSE_PSEUDONYM_KEY", value_name = "SECRET", hide_env_values = true, value_parser = secret, help_heading = ACCESS)]
    pub(super) pseudonym_key: Option<SecretString>,

    /// A file that contains the secret key for pseudonyms
    #[arg(long, env = "PULSE_PSEUDONYM_KEY_FILE", value_name = "PATH", help_heading = ACCESS)]
    pub(super) pseudonym_key_file: Option<PathBuf>,

    /// Serve everyone who can reach the address, without access control
    #[arg(long, env = "PULSE_ALLOW_ANONYMOUS", help_heading = ACCESS)]
    pub(super) allow_anonymous: bool,

    /// Figures of groups with fewer people than this are withheld from callers without the scope users:read
    #[arg(long, env = "PULSE_MIN_GROUP", value_name = "PEOPLE", value_parser = people, help_heading = ACCESS)]
    pub(super) min_group: Option<NonZeroU64>,

    /// Maximum number of requests per caller and minute, or `none`
    #[arg(long, env = "PULSE_REQUESTS_PER_MINUTE", value_name = "COUNT", default_value = "6000", value_parser = requests_per_minute, help_heading = ACCESS)]
    pub(super) requests_per_minute: RequestsPerMinute,

    /// Origins whose web pages may send requests and read responses, such as `https://bi.example.com`, separated by
    /// commas. Without it only pages of the gateway itself may
    #[arg(long, env = "PULSE_CORS_ORIGINS", value_name = "ORIGIN,…", value_delimiter = ',', value_parser = origin, help_heading = ACCESS)]
    pub(super) cors_origins: Vec<HeaderValue>,

    /// Origins whose web pages may show the dashboard in a frame, such as `https://portal.example.com`, separated by commas;
    /// `self` is the gateway's own origin. Without it no page may
    #[arg(long, env = "PULSE_FRAME_ANCESTORS", value_name = "ORIGIN,…", value_delimiter = ',', value_parser = frame_ancestor, help_heading = ACCESS)]
    pub(super) frame_ancestors: Vec<FrameAncestor>,

    /// Whether callers with an official SDK may request ten years and 10,000 rows per page without the header
    /// X-Pulse-Extended
    #[arg(long, env = "PULSE_DROP_IN_EXTENDED", value_name = "SWITCH", value_enum, default_value = "off", help_heading = ACCESS)]
    pub(super) drop_in_extended: Switch,
}

/// The limit of requests per minute; `None` means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestsPerMinute(pub(super) Option<u32>);

/// A source in the directive `frame-ancestors` of a content security policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameAncestor(String);

impl AccessSettings {
    /// Whether access control is configured.
    pub(super) const fn is_controlled(&self) -> bool {
        self.keys_file.is_some() || self.oidc_issuer.is_some()
    }

    /// The configuration of access control.
    pub(super) fn config(&self) -> Result<AccessConfig, SettingError> {
        Ok(AccessConfig {
            keys_file: self.keys_file.clone(),
            oidc: self.oidc()?,
            pseudonym_key: self.pseudonym_key()?,
            allow_anonymous: self.allow_anonymous,
            requests_per_minute: self.requests_per_minute.0,
        })
    }

    /// All invalid settings. Reads the keys file as well, if the other settings are valid.
    pub(super) fn errors(&self) -> Vec<SettingError> {
        let dashboard = self.dashboard().err().into_iter();
        let Ok(config) = self.config() else {
            return dashboard.chain(self.oidc().err()).chain(self.pseudonym_key().err()).collect();
        };
        let access = Authenticator::new(&config).err().map(|error| SettingError::access(&error));
        dashboard.chain(access).collect()
    }

    /// The configuration of the dashboard.
    pub(super) fn dashboard(&self) -> Result<DashboardConfig, SettingError> {
        let sign_in = match (&self.oidc_issuer, self.oidc_client_id.as_deref().filter(|id| !id.is_empty())) {
            (Some(issuer), Some(client_id)) => {
                Some(OidcSignIn { issuer: issuer.clone(), client_id: client_id.to_owned() })
            }
            (_, None) => None,
            (None, Some(_)) => {
                let [client, audience] = ["PULSE_OIDC_CLIENT_ID", "PULSE_OIDC_AUDIENCE"].map(both_names);
                let fault = format!("is not set, but {client} is: set it and {audience}, or none of them");
                return Err(SettingError::of("PULSE_OIDC_ISSUER", fault));
            }
        };
        let frame_ancestors = self.frame_ancestors.iter().map(|FrameAncestor(source)| source.clone()).collect();
        Ok(DashboardConfig { sign_in, frame_ancestors })
    }

    fn pseudonym_key(&self) -> Result<Option<SecretString>, SettingError> {
        let setting = SecretSetting {
            name: "PULSE_PSEUDONYM_KEY",
            value: self.pseudonym_key.as_ref(),
            file_name: "PULSE_PSEUDONYM_KEY_FILE",
            file: self.pseudonym_key_file.as_deref(),
        };
        setting.read()
    }

    fn oidc(&self) -> Result<Option<OidcConfig>, SettingError> {
        match (&self.oidc_issuer, &self.oidc_audience) {
            (Some(issuer), Some(audience)) if !audience.is_empty() => Ok(Some(OidcConfig {
                issuer: issuer.clone(),
                audience: audience.clone(),
                scopes_claim: self.oidc_scopes_claim.clone(),
                departments_claim: self.oidc_departments_claim.clone(),
                pseudonymous_claim: self.oidc_pseudonymous_claim.clone(),
            })),
            (None, None) => Ok(None),
            (Some(_), _) => Err(SettingError::of(
                "PULSE_OIDC_AUDIENCE",
                format_args!(
                    "is not set, but {} is: set it to the audience of this service, so that tokens for other services \
                     are rejected",
                    both_names("PULSE_OIDC_ISSUER")
                ),
            )),
            (None, Some(_)) => Err(SettingError::of(
                "PULSE_OIDC_ISSUER",
                format_args!("is not set, but {} is: set both or neither", both_names("PULSE_OIDC_AUDIENCE")),
            )),
        }
    }
}

fn requests_per_minute(text: &str) -> Result<RequestsPerMinute, String> {
    if text == "none" {
        return Ok(RequestsPerMinute(None));
    }
    let count = text.parse().ok().filter(|count: &u32| (1..=1_000_000).contains(count));
    count
        .map(|count| RequestsPerMinute(Some(count)))
        .ok_or_else(|| "expected a number from 1 to 1000000, or none".to_owned())
}

/// Parses `self` or an origin.
fn frame_ancestor(text: &str) -> Result<FrameAncestor, String> {
    match text {
        "self" | "'self'" => Ok(FrameAncestor("'self'".to_owned())),
        text => origin(text)
            .map(|_| FrameAncestor(text.to_owned()))
            .map_err(|fault| format!("{fault}; the gateway's own origin is self")),
    }
}

/// Parses an origin: scheme, host and port, in the form that browsers send. Any other form never matches.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let expected = || "expected origins: http or https, host and port, without a path".to_owned();
    if text.contains('*') {
        return Err("an asterisk matches no origin; list each origin".to_owned());
    }
    let url: Url = text.parse().map_err(|_| expected())?;
    let origin = url.origin().ascii_serialization();
    let host = url.host_str().unwrap_or_default();
    let is_host = host.split('.').all(|label| !label.is_empty());
    if !matches!(url.scheme(), "http" | "https") || !is_host {
        return Err(expected());
    }
    if origin != text {
        return Err(format!("browsers send this origin as {origin}; write it in this form"));
    }
    HeaderValue::from_str(text).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://bi.example.com")]
    #[case("http://localhost:3000")]
    #[case("http://[::1]:3000")]
    #[case("https://xn--fsq.example")]
    fn an_origin_that_browsers_send_is_accepted(#[case] text: &str) {
        assert_eq!(origin(text), Ok(HeaderValue::from_str(text).unwrap()));
    }

    #[rstest]
    #[case("self", Ok("'self'"))]
    #[case("'self'", Ok("'self'"))]
    #[case("https://portal.example.com", Ok("https://portal.example.com"))]
    #[case("*", Err(()))]
    #[case("https://portal.example.com; script-src *", Err(()))]
    fn a_frame_ancestor_is_the_own_origin_or_another(#[case] text: &str, #[case] expected: Result<&str, ()>) {
        let parsed = frame_ancestor(text).map(|FrameAncestor(source)| source).map_err(|_| ());
        assert_eq!(parsed, expected.map(str::to_owned));
    }

    #[rstest]
    #[case("*", "list each origin")]
    #[case("https://*.example.com", "list each origin")]
    #[case("https://bi.example.com:*", "list each origin")]
    #[case("https://BI.example.com", "as https://bi.example.com;")]
    #[case("https://bi.example.com/", "as https://bi.example.com;")]
    #[case("https://bi.example.com:443", "as https://bi.example.com;")]
    #[case("https://bi.example.com/dashboard", "as https://bi.example.com;")]
    #[case(" https://bi.example.com", "as https://bi.example.com;")]
    #[case("https://me:hush@bi.example.com", "as https://bi.example.com;")]
    #[case("https://例.example", "as https://xn--fsq.example;")]
    #[case("https://.example.com", "expected origins")]
    #[case("https://bi..example.com", "expected origins")]
    #[case("https://bi.example.com.", "expected origins")]
    #[case("bi.example.com", "expected origins")]
    #[case("null", "expected origins")]
    #[case("ftp://bi.example.com", "expected origins")]
    fn an_origin_that_never_matches_is_refused_with_the_remedy(#[case] text: &str, #[case] remedy: &str) {
        let error = origin(text).expect_err("never matches");
        assert!(error.contains(remedy), "{error}");
    }
}
