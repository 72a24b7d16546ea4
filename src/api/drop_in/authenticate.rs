//! Authentication of the drop-in: the tokens that it has issued to official SDKs.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};

use super::FeishuError;
use crate::{
    access::{AuthError, Caller},
    api::{
        authorization::authorize,
        credentials::bearer_token,
        problem::Problem,
        request_facts::{Authentication, RequestFacts},
        route_policy::RoutePolicy,
        state::ApiState,
    },
};

/// Who may read Feishu's rows.
pub(super) const POLICY: RoutePolicy = RoutePolicy::USERS;

/// Extracts the caller: the token is valid, and the caller may read rows and has not exceeded the rate limit.
pub(in crate::api) struct SdkCaller(pub(super) Caller);

impl FromRequestParts<ApiState> for SdkCaller {
    type Rejection = FeishuError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, FeishuError> {
        let facts = parts.extensions.get::<Arc<RequestFacts>>().cloned().unwrap_or_default();
        facts.audit();
        let authentication = identify_caller(state, bearer_token(&parts.headers), &facts);
        let refusal = match &authentication {
            Authentication::Caller(caller) => {
                if let Some(status) = state.access.authenticator.check_rate_limit(caller) {
                    facts.set_rate_limit(status);
                }
                None
            }
            Authentication::MissingCredentials => Some(FeishuError::missing_token()),
            Authentication::Refused { error: AuthError::Invalid, .. } => Some(FeishuError::invalid_token()),
            Authentication::Refused { error, .. } => Some(Problem::from_auth_error(*error).into()),
        };
        facts.set_authentication(authentication);
        refusal.map_or(Ok(()), Err)?;
        authorize(&facts, POLICY)?.cloned().map(Self).ok_or_else(FeishuError::missing_token)
    }
}

fn identify_caller(state: &ApiState, token: Option<&str>, facts: &RequestFacts) -> Authentication {
    let Some(token) = token else { return Authentication::MissingCredentials };
    let refused = |key_name| {
        let error = state.access.authenticator.record_failure(facts.peer());
        Authentication::Refused { error, key_name }
    };
    let Ok(subject) = state.access.access_tokens.verify(token, state.now()) else { return refused(None) };
    match state.access.authenticator.caller_of_subject(&subject.0) {
        Ok(caller) => Authentication::Caller(caller),
        // The token was issued here, so it names a key, even if that key has been removed since.
        Err(_) => refused(subject.0.split_once('/').map(|(name, _)| name.into())),
    }
}
