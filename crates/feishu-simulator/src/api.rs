//! The HTTP API of the simulated Feishu.

mod access_token;
mod api_error;
mod call_quota;
mod fault_injection;
mod page_token;
mod reply;
mod row_json;
mod simulator_state;
mod stats;
mod stats_request;
mod token;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::Response,
    routing::{get, post},
};

use self::reply::SimulatedReply;
pub use self::stats_request::StatsRequest;
pub(crate) use self::{api_error::ApiError, reply::CloseConnection, simulator_state::SimulatorState};
use crate::call_log::Endpoint;

/// The routes. A wrong method gets the same reply as an unknown path.
pub(crate) fn router(state: Arc<SimulatorState>) -> Router {
    Router::new()
        .route("/open-apis/auth/v3/tenant_access_token/internal", post(token::token).fallback(not_found))
        .route("/open-apis/admin/v1/admin_user_stats", get(stats::stats).fallback(not_found))
        .fallback(not_found)
        .with_state(state)
}

async fn not_found(State(state): State<Arc<SimulatorState>>) -> Response {
    let call = state.log_call(Endpoint::Other, None);
    state.reply(call, async { SimulatedReply::not_found() }).await
}
