//! The settings of the dashboard.

use reqwest::Url;

/// What operators decide about the dashboard.
#[derive(Clone, Debug, Default)]
pub struct DashboardConfig {
    /// How people sign in with the identity provider; `None`: they enter an access key.
    pub sign_in: Option<OidcSignIn>,
    /// Who may show the page in a frame: `'self'` and origins, as in `frame-ancestors`. Empty: nobody.
    pub frame_ancestors: Vec<String>,
}

/// The client of an OpenID Connect provider that the page signs people in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSignIn {
    /// The issuer.
    pub issuer: Url,
    /// The id of a public client, which has no secret.
    pub client_id: String,
}
