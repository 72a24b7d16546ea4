//! The routers: all routes, each registered together with its policy and its OpenAPI documentation, so that no route is
//! undocumented.

use std::time::Duration;

use axum::{Extension, Router};
use serde_json::Value;
use utoipa::openapi::Server;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    at_leader::AtLeader,
    authorization::endpoints,
    body_budget::BodyBudget,
    dashboard, docs, drop_in,
    layers::{self, RequestBody},
    log_level,
    middleware::HttpService,
    openapi_document, ops,
    problem::{Problem, ProblemCode},
    request_limits::RequestLimits,
    route_policy::RoutePolicy,
    state::{ApiState, MetricsListener},
    v1,
};

/// Maximum number of concurrent requests on the operations listener.
const MAX_OPERATIONS_REQUESTS: usize = 32;

/// Maximum size of the response bodies of the operations listener that clients have not read, in bytes.
const MAX_OPERATIONS_BODY_BYTES: u64 = 8 << 20;

/// The service of the main listener.
#[must_use]
pub fn service<B: RequestBody>(state: &ApiState) -> impl HttpService<B> + use<B> {
    let (routes, mut openapi) = native_routes(state.operations.metrics_listener).split_for_parts();
    let (drop_in, drop_in_openapi) = drop_in::routes().split_for_parts();
    openapi.merge(drop_in_openapi);
    if let Some(url) = &state.operations.public_url {
        openapi.servers = Some(vec![Server::new(url.as_str().trim_end_matches('/'))]);
    }
    // The dashboard and the documentation contain no data, so they are public and have no policy.
    let native = routes
        .merge(docs::routes(openapi_document::complete(&openapi)))
        .merge(dashboard::routes(&state.operations.dashboard, &state.data.geos));
    let limits = RequestLimits::new(
        state.operations.max_requests.get(),
        state.data.body_budget.clone(),
        state.data.request_timeout,
    );
    layers::main_pipeline(state, router(state, native), router(state, drop_in), limits)
}

/// The service of the operations listener: probes, metrics and the log level. It serves no data about people, and its
/// routes are public.
pub fn operations_service<B: RequestBody>(state: &ApiState) -> impl HttpService<B> + use<B> {
    let routes = OpenApiRouter::new().routes(routes!(ops::livez)).routes(routes!(ops::readyz));
    let routes = routes.routes(routes!(ops::metrics)).routes(routes!(log_level::get, log_level::put));
    let limits =
        RequestLimits::new(MAX_OPERATIONS_REQUESTS, BodyBudget::new(MAX_OPERATIONS_BODY_BYTES), Duration::ZERO);
    layers::operations_pipeline(state, router(state, routes.into()), limits)
}

fn router(state: &ApiState, routes: Router<ApiState>) -> Router {
    let routes = routes
        .fallback(async || Problem::new(ProblemCode::NotFound, "the path does not exist; see /docs"))
        .method_not_allowed_fallback(async || {
            Problem::new(ProblemCode::MethodNotAllowed, "the path exists, but not for this method")
        });
    let routes = match &state.data.fleet {
        Some(fleet) => {
            routes.layer(Extension(AtLeader { fleet: fleet.clone(), draining: state.operations.draining.clone() }))
        }
        None => routes,
    };
    layers::around_router(routes.with_state(state.clone()))
}

/// The routes of the native API, probes and metrics.
fn native_routes(metrics_listener: MetricsListener) -> OpenApiRouter<ApiState> {
    let operations = [routes!(ops::problem), routes!(ops::livez), routes!(ops::readyz)]
        .map(|routes| endpoints(RoutePolicy::Public, routes));
    let metrics = match metrics_listener {
        MetricsListener::Main => Some(endpoints(RoutePolicy::ADMIN, routes!(ops::metrics))),
        MetricsListener::Operations => None,
    };
    let all = v1::routes().chain(operations).chain(metrics);
    all.fold(OpenApiRouter::with_openapi(docs::base()), OpenApiRouter::routes)
}

/// The complete OpenAPI document, as served and as stored in `openapi/openapi.json`.
#[must_use]
pub fn openapi() -> Value {
    openapi_document::complete(&native_routes(MetricsListener::Main).merge(drop_in::routes()).into_openapi())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_routes_without_personal_data_are_public() {
        let document = openapi();
        let paths = document["paths"].as_object().expect("paths");
        let mut public = Vec::new();
        for (path, methods) in paths {
            for operation in methods.as_object().expect("methods").values() {
                let security = operation["security"].as_array().expect("a policy");
                public.extend(security.is_empty().then_some(path.as_str()));
            }
        }
        let expected = ["/livez", "/open-apis/auth/v3/tenant_access_token/internal", "/problems/{code}", "/readyz"];
        assert_eq!(public, expected);
    }
}
