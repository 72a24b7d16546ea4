//! `POST /open-apis/auth/v3/tenant_access_token/internal`: app id and secret for an access token.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{access_token::Grant, answer::Answer, failure::Failure, world::World};
use crate::sim::ledger::{Outcome, PathKind};

#[derive(Deserialize)]
struct Credentials {
    app_id: String,
    app_secret: String,
}

/// There is no `data` level in this one.
#[derive(Serialize)]
struct Body {
    code: i64,
    msg: &'static str,
    tenant_access_token: String,
    expire: u64,
}

/// Answers a call to the token path.
pub(crate) async fn token(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let visit = world.receive(PathKind::Token, None);
    let mishap = world.faults.take(PathKind::Token, None);
    visit.note(mishap.as_ref());
    let log_id = visit.log_id.clone();
    let answer = world
        .spoil(mishap, &log_id, |_| grant(&world, &body).unwrap_or_else(|failure| Answer::failure(&failure, &log_id)));
    world.reply(visit, answer).await
}

fn grant(world: &World, body: &[u8]) -> Result<Answer, Failure> {
    let malformed = |_| Failure { status: 400, ..Failure::of(10003) };
    let sent: Credentials = serde_json::from_slice(body).map_err(malformed)?;
    if sent.app_id != world.config.app_id {
        return Err(Failure::of(10003));
    }
    if sent.app_secret != world.config.app_secret {
        return Err(Failure::of(10014));
    }
    let Grant { token, expire } = world.access.grant(Instant::now());
    Ok(Answer::json(&Body { code: 0, msg: "ok", tenant_access_token: token, expire }, Outcome::Granted))
}
