//! Routes between the replicas of a fleet, on a listener of their own. Only replicas with the same app secret are answered.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::watch;

use crate::{
    fleet::{
        FleetStatus, Leadership,
        leader_client::{DAY_PATH, DayRequest, FORECAST_PATH, ForecastRequest},
        signature::{SignatureVerifier, SignedParts},
    },
    model::Clock,
    source::{DaySource, Depth, LoadContext, LoadError, LoadedDay},
    table::parquet,
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
    /// Checks the signatures of requests.
    pub verifier: SignatureVerifier,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The router of the listener between replicas.
pub fn fleet_router(routes: FleetRoutes) -> Router {
    Router::new().route(DAY_PATH, post(load_day)).route(FORECAST_PATH, post(forecast)).with_state(routes)
}

impl FleetRoutes {
    /// The content of a signed request, if this replica leads.
    fn accept<T: DeserializeOwned>(&self, path: &str, headers: &HeaderMap, body: &Bytes) -> Result<T, Response> {
        let signature = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if let Err(error) = self.verifier.verify(SignedParts { path, body }, signature, self.clock.now()) {
            tracing::warn!(%error, "a request of another replica was refused");
            return Err((StatusCode::UNAUTHORIZED, error.to_string()).into_response());
        }
        if !self.leadership.may_call() {
            return Err(self.misdirected());
        }
        serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()).into_response())
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
            // A large day takes tens of milliseconds.
            match tokio::task::spawn_blocking(move || parquet::encode(&day, &[])).await {
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
    match routes.accept::<ForecastRequest>(FORECAST_PATH, &headers, &body) {
        Ok(ForecastRequest { keys }) => axum::Json(routes.source.forecast(&keys, Depth::Rows).await).into_response(),
        Err(refused) => refused,
    }
}
