//! `POST /open-apis/auth/v3/tenant_access_token/internal`: credentials for an access token, never upstream's own.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Failure,
    access_token::{Holder, LIFETIME},
    failure::FailureBody,
};
use crate::{
    access::Gatekeeper,
    api::{
        audit::{Asker, Found},
        state::ApiState,
    },
};

/// The longest name of a holder, in bytes: it travels in every token.
const LONGEST_NAME: usize = 64;

/// What an SDK sends.
#[derive(Deserialize, ToSchema)]
pub struct Credentials {
    /// The name of an access key; without access control, any name.
    #[serde(default)]
    #[schema(example = "cli_demo")]
    app_id: String,
    /// The access key; without access control, anything.
    #[serde(default)]
    #[schema(example = "any-secret")]
    app_secret: String,
}

/// A reply, as upstream's: with status 200 whether it went well or not.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents what is answered")]
enum TokenReply {
    /// A token.
    Token(TokenAnswer),
    /// Why there is none.
    Failure(FailureBody),
}

/// A token, as upstream replies.
#[derive(Serialize, ToSchema)]
pub struct TokenAnswer {
    /// 0.
    #[schema(example = 0)]
    code: i64,
    /// `ok`.
    #[schema(example = "ok")]
    msg: &'static str,
    /// The token, for the header `Authorization: Bearer …`.
    tenant_access_token: String,
    /// Seconds that it is valid.
    #[schema(example = 7200)]
    expire: u64,
}

/// Credentials for an access token
///
/// An official SDK calls this by itself. The token is one of this service and good for it alone: neither it nor the
/// credentials go to Feishu.
#[utoipa::path(
    post, path = "/open-apis/auth/v3/tenant_access_token/internal", tag = "drop-in",
    operation_id = "tenantAccessToken",
    request_body = Credentials,
    responses(
        (status = 200, description = "A token; or, with code `10014`, the secret is wrong", body = TokenReply),
        (status = 400, description = "`10003`: the body is no JSON, or names no app", body = FailureBody),
    ),
)]
pub(in crate::api) async fn post(
    State(state): State<ApiState>,
    asker: Asker,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let body = body.map_err(|_| Failure::unknown_app("the body cannot be read"))?;
    let credentials = serde_json::from_slice(&body)
        .map_err(|_| Failure::unknown_app("the body is no JSON with app_id and app_secret"))?;
    let holder = admit(&state.gatekeeper, &credentials).inspect_err(|_| asker.note(Found::Refused(None)))?;
    if let Ok(caller) = state.gatekeeper.bearer(&holder.0) {
        asker.note(Found::Caller(caller));
    }
    let tenant_access_token = state.access_tokens.issue(&holder, state.now());
    let answer = TokenAnswer { code: 0, msg: "ok", tenant_access_token, expire: LIFETIME.as_secs() };
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(answer)).into_response())
}

/// Who may have a token: whoever shows an access key and its name. Without access control, whoever names itself.
fn admit(gatekeeper: &Gatekeeper, credentials: &Credentials) -> Result<Holder, Failure> {
    let Credentials { app_id, app_secret } = credentials;
    let name = app_id.trim();
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(Failure::unknown_app("app_id is missing or longer than 64 bytes"));
    }
    if app_secret.trim().is_empty() {
        return Err(Failure::wrong_secret());
    }
    let holder = gatekeeper.holder(name, app_secret.trim()).map_err(|_| Failure::wrong_secret())?;
    Ok(Holder(holder.into()))
}
