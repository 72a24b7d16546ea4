//! All routes. Each is registered through its documentation, so that none can exist undocumented.

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware::from_fn};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    bounds::Bounds,
    compat, docs, layers, log_level, ops, prefer,
    problem::{Problem, ProblemCode},
    state::ApiState,
    v1,
};

/// Where `/metrics` is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsPlace {
    /// Beside everything else.
    #[default]
    Here,
    /// At an address of its own, by [`operations`].
    Apart,
}

/// Requests of operators at once.
const OPERATORS: usize = 32;

/// The whole service.
pub fn router(state: ApiState, metrics: MetricsPlace, bounds: Bounds) -> Router {
    let routes = match metrics {
        MetricsPlace::Here => documented(),
        MetricsPlace::Apart => documented_without_metrics(),
    };
    let (routes, openapi) = routes.split_for_parts();
    finish(routes.merge(docs::routes(openapi)), state, bounds)
}

/// What an operator's own address serves: probes, metrics and what is logged, nothing about people.
pub fn operations(state: ApiState) -> Router {
    let routes = OpenApiRouter::new().routes(routes!(ops::livez)).routes(routes!(ops::readyz));
    let routes = routes.routes(routes!(ops::metrics)).routes(routes!(log_level::get, log_level::put));
    finish(routes.into(), state, Bounds::new(OPERATORS, Duration::ZERO))
}

fn finish(routes: Router<ApiState>, state: ApiState, bounds: Bounds) -> Router {
    let traffic = Arc::clone(&state.traffic);
    let routes = routes
        .fallback(async || Problem::new(ProblemCode::NotFound, "no such path; see /docs"))
        .method_not_allowed_fallback(async || {
            Problem::new(ProblemCode::MethodNotAllowed, "the path is there, but not for this method")
        })
        .with_state(state);
    layers::around(routes, traffic, bounds)
}

/// The routes with their documentation.
pub(super) fn documented() -> OpenApiRouter<ApiState> {
    documented_without_metrics().routes(routes!(ops::metrics))
}

fn documented_without_metrics() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(docs::base())
        .routes(routes!(v1::user_days::get))
        .routes(routes!(v1::users::get))
        .routes(routes!(v1::user::get))
        .routes(routes!(v1::summary::get))
        .routes(routes!(v1::activity::get))
        .routes(routes!(compat::stats::get))
        .routes(routes!(v1::departments::get))
        .routes(routes!(v1::retention::get))
        .routes(routes!(v1::clients::get))
        // Only those above may have to wait for Feishu.
        .route_layer(from_fn(prefer::heed))
        .routes(routes!(v1::coverage::get))
        .routes(routes!(v1::days::delete))
        .routes(routes!(v1::backfills::post, v1::backfills::list))
        .routes(routes!(v1::backfills::get, v1::backfills::delete))
        .routes(routes!(v1::backfills::events))
        .routes(routes!(compat::token::post))
        .routes(routes!(ops::problem))
        .routes(routes!(ops::livez))
        .routes(routes!(ops::readyz))
}

/// The whole document, as it is served and as it stands in `openapi/openapi.json`.
#[must_use]
pub fn openapi() -> OpenApi {
    documented().into_openapi()
}
