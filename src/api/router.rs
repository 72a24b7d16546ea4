//! The router: all routes, each registered together with its OpenAPI documentation, so that no route is undocumented.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    authenticate, authorization, docs, drop_in, layers, log_level, ops, prefer,
    problem::{Problem, ProblemCode},
    request_limits::RequestLimits,
    state::ApiState,
    v1,
};

/// The listener that serves `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsListener {
    /// The main listener.
    #[default]
    Main,
    /// The operations listener; see [`operations_router`].
    Operations,
}

/// Maximum number of concurrent requests on the operations listener.
const MAX_OPERATIONS_REQUESTS: usize = 32;

/// The router of the main listener.
pub fn router(state: ApiState, metrics_listener: MetricsListener, limits: RequestLimits) -> Router {
    let routes = match metrics_listener {
        MetricsListener::Main => documented_routes(),
        MetricsListener::Operations => documented_routes_without_metrics(),
    };
    let (routes, mut openapi) = routes.split_for_parts();
    authorization::describe(&mut openapi);
    let routes = with_fallbacks(routes.merge(docs::routes(openapi)));
    with_layers(routes.layer(from_fn_with_state(state.clone(), authenticate::authenticate)), state, limits)
}

/// The router of the operations listener: probes, metrics and the log level. It serves no data about people.
pub fn operations_router(state: ApiState) -> Router {
    let routes = OpenApiRouter::new().routes(routes!(ops::livez)).routes(routes!(ops::readyz));
    let routes = routes.routes(routes!(ops::metrics)).routes(routes!(log_level::get, log_level::put));
    with_layers(with_fallbacks(routes.into()), state, RequestLimits::new(MAX_OPERATIONS_REQUESTS, Duration::ZERO))
}

fn with_layers(routes: Router<ApiState>, state: ApiState, limits: RequestLimits) -> Router {
    let (metrics, cors) = (Arc::clone(&state.http_metrics), state.cors.clone());
    layers::apply(routes.with_state(state), metrics, limits, cors)
}

fn with_fallbacks(routes: Router<ApiState>) -> Router<ApiState> {
    routes
        .fallback(async || Problem::new(ProblemCode::NotFound, "the path does not exist; see /docs"))
        .method_not_allowed_fallback(async || {
            Problem::new(ProblemCode::MethodNotAllowed, "the path exists, but not for this method")
        })
}

/// All routes with their documentation.
pub(super) fn documented_routes() -> OpenApiRouter<ApiState> {
    documented_routes_without_metrics().routes(routes!(ops::metrics))
}

fn documented_routes_without_metrics() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(docs::base())
        .routes(routes!(v1::user_days::get))
        .routes(routes!(v1::users::get))
        .routes(routes!(v1::user::get))
        .routes(routes!(v1::summary::get))
        .routes(routes!(v1::activity::get))
        .routes(routes!(drop_in::stats::get))
        .routes(routes!(v1::departments::get))
        .routes(routes!(v1::retention::get))
        .routes(routes!(v1::clients::get))
        // Only the routes above can wait for Feishu, so only they honour `Prefer`.
        .route_layer(from_fn(prefer::apply_preference))
        .routes(routes!(v1::coverage::get))
        .routes(routes!(v1::days::delete))
        .routes(routes!(v1::backfills::post, v1::backfills::list))
        .routes(routes!(v1::backfills::get, v1::backfills::delete))
        .routes(routes!(v1::backfills::events))
        .routes(routes!(drop_in::token::post))
        .routes(routes!(ops::problem))
        .routes(routes!(ops::livez))
        .routes(routes!(ops::readyz))
}

/// The complete OpenAPI document, as served and as stored in `openapi/openapi.json`.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut document = documented_routes().into_openapi();
    authorization::describe(&mut document);
    document
}
