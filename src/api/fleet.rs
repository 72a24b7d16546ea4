//! Routes between the replicas of a fleet, on a listener of their own. Only replicas with the same app secret are answered.
//!
//! `/fleet/v1/…` are the routes for days. Any other path is a request of a caller that another replica passes on, with the
//! credentials of the caller; the API of this replica answers it.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

use super::{at_leader::PassedOn, middleware::HttpService, request_limits::MAX_BODY_BYTES, router, state::ApiState};
use crate::{
    fleet::{
        FleetStatus, Leadership,
        followers::Followers,
        leader_client::{DAY_PATH, DayRequest, DaysRequest, FORECAST_PATH, HELD_PATH},
        signature::{SENDER_HEADER, SIGNATURE_HEADER, SignatureVerifier, SignedParts, TIME_HEADER},
    },
    model::Clock,
    source::{DaySource, Depth, LoadContext, LoadError, LoadedDay},
    table::{DayMetadata, parquet},
};

/// What the routes need.
#[derive(Clone)]
pub struct FleetRoutes {
    /// The whole read path of this replica, so that requests of all replicas share one fetch.
    pub source: Arc<dyn DaySource>,
    /// The right of this replica to call upstream.
    pub leadership: Leadership,
    /// What this replica knows about the fleet.
    pub status: watch::Receiver<FleetStatus>,
    /// The id of this replica.
    pub replica_id: Arc<str>,
    /// The replicas that send requests.
    pub followers: Arc<Followers>,
    /// Permits to encode a day.
    pub encoding: Arc<Semaphore>,
    /// Checks the signatures of requests.
    pub verifier: SignatureVerifier,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The router of the listener between replicas.
pub fn fleet_router(routes: FleetRoutes) -> Router {
    Router::new()
        .route(DAY_PATH, post(load_day))
        .route(FORECAST_PATH, post(forecast))
        .route(HELD_PATH, post(held))
        .with_state(routes)
}

/// The service of the listener between replicas, with the API for the requests that other replicas pass on.
#[must_use]
pub fn fleet_service(routes: FleetRoutes, state: &ApiState) -> impl HttpService<hyper::body::Incoming> + use<> {
    let api = router::service::<Body>(state);
    let passed_on = routes.clone();
    let with_api =
        fleet_router(routes).fallback(async move |request: Request| match passed_on.accept_passed_on(request).await {
            Ok(request) => {
                let Ok(response) = api.clone().oneshot(request).await;
                response
            }
            Err(refused) => refused,
        });
    tower::service_fn(move |request: axum::http::Request<hyper::body::Incoming>| {
        with_api.clone().oneshot(request.map(Body::new))
    })
}

impl FleetRoutes {
    /// The content of a signed request, if this replica leads.
    fn accept<T: DeserializeOwned>(&self, path: &str, headers: &HeaderMap, body: &Bytes) -> Result<T, Response> {
        self.verify(&Method::POST, path, headers, body)?;
        serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()).into_response())
    }

    /// A request of a caller that another replica has passed on, if this replica leads.
    async fn accept_passed_on(&self, request: Request) -> Result<Request, Response> {
        let (mut parts, body) = request.into_parts();
        let body = to_bytes(body, MAX_BODY_BYTES).await;
        let body = body.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()).into_response())?;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        self.verify(&parts.method, path, &parts.headers, &body)?;
        parts.extensions.insert(PassedOn);
        Ok(Request::from_parts(parts, Body::from(body)))
    }

    /// Checks that a request was signed, and that this replica leads.
    fn verify(&self, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Response> {
        let text = |header| headers.get(header).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (signature, sender, now) = (text(SIGNATURE_HEADER), text(SENDER_HEADER), self.clock.now());
        let signed = SignedParts { sender, receiver: &self.replica_id, method: method.as_str(), path, body };
        if let Err(error) = self.verifier.verify(signed, signature, now) {
            tracing::debug!(%error, "a request of another replica was refused");
            let time = [(TIME_HEADER, now.as_second().to_string())];
            return Err((StatusCode::UNAUTHORIZED, time, error.to_string()).into_response());
        }
        self.followers.record(sender);
        if self.leadership.may_call() { Ok(()) } else { Err(self.misdirected()) }
    }

    /// The answer of a replica that does not lead: who does, as far as it knows.
    fn misdirected(&self) -> Response {
        let FleetStatus { term, leader, .. } = self.status.borrow().clone();
        (StatusCode::MISDIRECTED_REQUEST, axum::Json(json!({"term": term, "leader": leader}))).into_response()
    }
}

/// Answers with the rows of a day as the archive's Parquet, 502 with a load error, or 421 if this replica does not lead (any
/// more).
async fn load_day(State(routes): State<FleetRoutes>, headers: HeaderMap, body: Bytes) -> Response {
    let DayRequest { key, priority, caller } = match routes.accept(DAY_PATH, &headers, &body) {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    let context = LoadContext { priority, caller };
    // The load must not outlive the lease: it would be forwarded to the next leader.
    let loaded = tokio::select! {
        biased;
        loaded = routes.source.load(&key, Depth::Rows, context) => loaded,
        () = routes.leadership.lost() => return routes.misdirected(),
    };
    let error = match loaded {
        Ok(LoadedDay::Rows(day)) => {
            let permit = Arc::clone(&routes.encoding).acquire_owned().await;
            // A large day takes tens of milliseconds. The thread goes on if the request ends, so it holds the permit.
            let encode = move || {
                let _permit = permit;
                parquet::encode(&day, &[])
            };
            match tokio::task::spawn_blocking(encode).await {
                Ok(Ok(file)) => return file.into_response(),
                _ => LoadError::Abandoned,
            }
        }
        Ok(LoadedDay::Digest(_)) => LoadError::Abandoned,
        Err(error) => error,
    };
    (StatusCode::BAD_GATEWAY, axum::Json(error)).into_response()
}

/// Answers with the cost of loading days.
async fn forecast(State(routes): State<FleetRoutes>, headers: HeaderMap, body: Bytes) -> Response {
    match routes.accept(FORECAST_PATH, &headers, &body) {
        Ok(DaysRequest { keys }) => axum::Json(routes.source.forecast(&keys, Depth::Rows).await).into_response(),
        Err(refused) => refused,
    }
}

/// Answers with the times at which the held rows of days were fetched. Starts no fetch.
async fn held(State(routes): State<FleetRoutes>, headers: HeaderMap, body: Bytes) -> Response {
    let DaysRequest { keys } = match routes.accept(HELD_PATH, &headers, &body) {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    let days = routes.source.stored(&keys, Depth::Rows).await;
    let fetched_at: Vec<_> = days.iter().map(|day| day.as_ref().map(DayMetadata::fetched_at)).collect();
    axum::Json(fetched_at).into_response()
}
