//! All routes. Each is registered through its documentation, so that none can exist undocumented.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, middleware::from_fn};
use tokio::time::Instant;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    compat::{self, AccessTokens},
    docs, layers, ops,
    prefer::{self, Wait},
    problem::{Problem, ProblemCode},
    traffic::Traffic,
    v1,
    work::Desks,
};
use crate::{
    feishu::quota::Quota,
    meter::Meters,
    model::Geo,
    query::{Asking, Backfills, Engine},
    store::Archive,
};

/// What handlers need.
#[derive(Clone)]
pub struct ApiState {
    /// Answers questions.
    pub engine: Engine,
    /// Jobs that fill the archive.
    pub backfills: Backfills,
    /// Days that outlive the process, where they shall.
    pub archive: Option<Arc<Archive>>,
    /// The month's calls of upstream.
    pub quota: Arc<Quota>,
    /// The geos that are served; the first is the tenant's own.
    pub geos: Arc<[Geo]>,
    /// The access tokens of callers with an official SDK.
    pub access_tokens: AccessTokens,
    /// How long a request may wait for days.
    pub request_timeout: Duration,
    /// Everything that `/metrics` tells.
    pub meters: Meters,
    /// The part of it that is about requests.
    pub traffic: Arc<Traffic>,
    /// Where exports are written.
    pub desks: Desks,
    /// Set when the process is about to end.
    pub draining: Arc<AtomicBool>,
}

impl ApiState {
    /// A caller who asks now and has the usual time, or less if they want to wait less.
    #[must_use]
    pub fn asking(&self, Wait(wait): Wait, allow_partial: bool) -> Asking {
        let wait = wait.map_or(self.request_timeout, |wait| wait.min(self.request_timeout));
        Asking { deadline: Instant::now() + wait, allow_partial }
    }

    /// Whether the process is about to end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Where `/metrics` is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsPlace {
    /// Beside everything else.
    #[default]
    Here,
    /// At an address of its own, by [`operations`].
    Apart,
}

/// The whole service.
pub fn router(state: ApiState, metrics: MetricsPlace) -> Router {
    let routes = match metrics {
        MetricsPlace::Here => documented(),
        MetricsPlace::Apart => documented_without_metrics(),
    };
    let (routes, openapi) = routes.split_for_parts();
    finish(routes.merge(docs::routes(openapi)), state)
}

/// What an operator's own address serves: probes and metrics, nothing about people.
pub fn operations(state: ApiState) -> Router {
    let routes = OpenApiRouter::new().routes(routes!(ops::livez)).routes(routes!(ops::readyz));
    finish(routes.routes(routes!(ops::metrics)).into(), state)
}

fn finish(routes: Router<ApiState>, state: ApiState) -> Router {
    let traffic = Arc::clone(&state.traffic);
    let routes = routes
        .fallback(async || Problem::new(ProblemCode::NotFound, "no such path; see /docs"))
        .method_not_allowed_fallback(async || {
            Problem::new(ProblemCode::MethodNotAllowed, "the path is there, but not for this method")
        })
        .with_state(state);
    layers::around(routes, traffic)
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
