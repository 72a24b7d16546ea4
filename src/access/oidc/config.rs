//! Settings of the identity provider.

use reqwest::Url;

/// Which tokens are accepted, and which claims are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcConfig {
    /// The issuer: the `iss` of its tokens, and the base URL of its OpenID configuration.
    pub issuer: Url,
    /// The value that `aud` must contain.
    pub audience: String,
    /// The claim with the scopes: a list, or names separated by spaces. A path with dots addresses a nested claim.
    pub scopes_claim: String,
    /// The claim with the department paths. If set, every token must have it; `*` stands for all departments.
    pub departments_claim: Option<String>,
    /// The claim that says whether the caller sees pseudonyms, as a boolean or its text. If set, every token must have it.
    pub pseudonymous_claim: Option<String>,
}
