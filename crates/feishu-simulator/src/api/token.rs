//! `POST /open-apis/auth/v3/tenant_access_token/internal`: returns an access token for an app id and a secret.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{access_token::IssuedToken, api_error::ApiError, reply::SimulatedReply, simulator_state::SimulatorState};
use crate::call_log::{CallResult, Endpoint};

#[derive(Deserialize)]
struct Credentials {
    app_id: String,
    app_secret: String,
}

/// The reply. Unlike other replies of the API, it has no `data` level.
#[derive(Serialize)]
struct Body {
    code: i64,
    msg: &'static str,
    tenant_access_token: String,
    expire: u64,
}

/// Handles a call.
pub(crate) async fn token(State(state): State<Arc<SimulatorState>>, body: Bytes) -> Response {
    let call = state.log_call(Endpoint::Token, None);
    let fault = state.faults.next_fault(Endpoint::Token, None);
    call.set_fault(fault.as_ref());
    let log_id = call.log_id.clone();
    let reply = state.inject_fault(fault, &log_id, |_| {
        issue_token(&state, &body).unwrap_or_else(|error| SimulatedReply::error(&error, &log_id))
    });
    state.reply(call, reply).await
}

fn issue_token(state: &SimulatorState, body: &[u8]) -> Result<SimulatedReply, ApiError> {
    let malformed = |_| ApiError { status: 400, ..ApiError::from_code(10003) };
    let credentials: Credentials = serde_json::from_slice(body).map_err(malformed)?;
    if credentials.app_id != state.config.app_id {
        return Err(ApiError::from_code(10003));
    }
    if credentials.app_secret != state.config.app_secret {
        return Err(ApiError::from_code(10014));
    }
    let IssuedToken { token, expire } = state.access_tokens.issue(Instant::now());
    Ok(SimulatedReply::json(&Body { code: 0, msg: "ok", tenant_access_token: token, expire }, CallResult::TokenIssued))
}
