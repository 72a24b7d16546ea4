//! The HTTP side of the simulated Feishu: its two paths, and all that is said there.

mod access_token;
mod answer;
mod failure;
mod page_token;
mod query;
mod quota;
mod row;
mod spoil;
mod stats;
mod token;
mod world;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::Response,
    routing::{get, post},
};

use self::answer::Answer;
pub use self::query::StatsQuery;
pub(crate) use self::{answer::LostResponse, failure::Failure, world::World};
use super::ledger::PathKind;

/// All paths there are. A wrong method is as unknown here as a wrong path.
pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/open-apis/auth/v3/tenant_access_token/internal", post(token::token).fallback(nowhere))
        .route("/open-apis/admin/v1/admin_user_stats", get(stats::stats).fallback(nowhere))
        .fallback(nowhere)
        .with_state(world)
}

async fn nowhere(State(world): State<Arc<World>>) -> Response {
    let visit = world.receive(PathKind::Other, None);
    world.reply(visit, async { Answer::not_found() }).await
}
