//! `POST /open-apis/auth/v3/tenant_access_token/internal`: issues access tokens of the drop-in API.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    FeishuError,
    access_token::{TOKEN_LIFETIME, TokenSubject},
    feishu_error::{FeishuErrorBody, FeishuErrorDetail},
};
use crate::{
    access::{AuthError, Authenticator},
    api::{
        problem::Problem,
        request_facts::{Authentication, RequestFacts},
        state::ApiState,
    },
};

/// Maximum length of the name of a subject in bytes. Every token contains the name.
const MAX_NAME_BYTES: usize = 64;

/// The request body that an SDK sends.
#[derive(Deserialize, ToSchema)]
pub struct TokenRequest {
    /// Name of an access key. If access control is disabled: any name.
    #[serde(default)]
    #[schema(example = "cli_demo")]
    app_id: String,
    /// The access key. If access control is disabled: any text.
    #[serde(default)]
    #[schema(example = "any-secret")]
    app_secret: String,
}

/// A response with status 200: a token, or an error, as in Feishu's API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the responses of `post`")]
struct TokenReply {
    /// 0: the response has a token. Otherwise the code of the error.
    #[schema(example = 0)]
    code: i64,
    /// `ok`, or the error message.
    #[schema(example = "ok")]
    msg: String,
    /// The token for the header `Authorization: Bearer …`. Absent if there is an error.
    #[schema(nullable = false)]
    tenant_access_token: Option<String>,
    /// Validity of the token in seconds. Absent if there is an error.
    #[schema(nullable = false, example = 7200)]
    expire: Option<u64>,
    /// Details of the error. Absent if there is a token.
    #[schema(nullable = false)]
    error: Option<FeishuErrorDetail>,
}

/// An access token in Feishu's format.
#[derive(Serialize)]
pub struct TokenResponse {
    code: i64,
    msg: &'static str,
    tenant_access_token: String,
    /// Validity of the token in seconds.
    expire: u64,
}

/// Get an access token
///
/// An official SDK calls this endpoint by itself. The token is valid for this service only. Neither the token nor the
/// credentials are sent to Feishu.
#[utoipa::path(
    post, path = "/open-apis/auth/v3/tenant_access_token/internal", tag = "drop-in",
    operation_id = "tenantAccessToken",
    request_body = TokenRequest,
    responses(
        (status = 200, description = "A token, or code `10014`: the secret is wrong", body = TokenReply),
        (status = 400, description = "`10003`: the body is not valid JSON, or names no app", body = FeishuErrorBody),
    ),
)]
pub(in crate::api) async fn post(
    State(state): State<ApiState>,
    Extension(facts): Extension<Arc<RequestFacts>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<TokenResponse>, FeishuError> {
    let body = body.map_err(|_| FeishuError::invalid_token_request("the body cannot be read"))?;
    let request = serde_json::from_slice(&body)
        .map_err(|_| FeishuError::invalid_token_request("the body is not a JSON object with app_id and app_secret"))?;
    facts.audit();
    let subject = verify_credentials(&state.access.authenticator, &request, &facts)?;
    if let Ok(caller) = state.access.authenticator.caller_of_subject(&subject.0) {
        facts.set_authentication(Authentication::Caller(caller));
    }
    let tenant_access_token = state.access.access_tokens.issue(&subject, state.now());
    let response = TokenResponse { code: 0, msg: "ok", tenant_access_token, expire: TOKEN_LIFETIME.as_secs() };
    Ok(Json(response))
}

/// The subject of the new token. With access control, the credentials must be the name of an access key and that key.
/// Without it, every name is accepted.
fn verify_credentials(
    authenticator: &Authenticator,
    request: &TokenRequest,
    facts: &RequestFacts,
) -> Result<TokenSubject, FeishuError> {
    let TokenRequest { app_id, app_secret } = request;
    let name = app_id.trim();
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(FeishuError::invalid_token_request("app_id is missing or longer than 64 bytes"));
    }
    if app_secret.trim().is_empty() {
        return Err(FeishuError::wrong_secret());
    }
    let wrong_secret = |_| match authenticator.record_failure(facts.peer()) {
        AuthError::Invalid => FeishuError::wrong_secret(),
        error => Problem::from_auth_error(error).into(),
    };
    let subject = authenticator.token_subject(name, app_secret.trim()).map_err(wrong_secret)?;
    Ok(TokenSubject(subject.into()))
}
