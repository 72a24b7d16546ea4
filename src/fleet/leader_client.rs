//! [`LeaderClient`], which asks the leader for days.

use std::{error::Error as _, io, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{Client, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::{
    record::LeaderAddress,
    signature::{FleetKey, SignedParts},
};
use crate::{
    model::{Clock, DayKey},
    source::{CallerId, Forecast, LoadContext, LoadError, Priority},
};

/// The path of requests for a day.
pub const DAY_PATH: &str = "/fleet/v1/day";

/// The path of requests for a forecast.
pub const FORECAST_PATH: &str = "/fleet/v1/forecast";

/// Time limit of a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A leader that answers no ping for this long is unreachable. A day can take hours, so an answer has no time limit.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// A forecast is not worth a longer wait.
const FORECAST_TIMEOUT: Duration = Duration::from_secs(2);

/// The request of a follower for the rows of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRequest {
    /// The day.
    pub key: DayKey,
    /// The priority of the upstream calls.
    pub priority: Priority,
    /// The caller, for fair sharing.
    pub caller: CallerId,
}

/// The request of a follower for a forecast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastRequest {
    /// The days.
    pub keys: Vec<DayKey>,
}

/// Sends requests to the leader.
#[derive(Clone, Debug)]
pub struct LeaderClient {
    http: Client,
    key: FleetKey,
    clock: Arc<dyn Clock>,
}

/// Why the leader did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// The replica does not lead.
    #[error("the replica does not lead")]
    NotLeader,
    /// Nobody listens at the address: the process has ended.
    #[error("the connection is refused")]
    Refused,
    /// The replica cannot be reached, the connection ended early, or the answer is not understood.
    #[error("{0}")]
    Failed(Arc<str>),
    /// The load failed at the leader.
    #[error(transparent)]
    Load(LoadError),
}

impl LeaderClient {
    /// A client that signs with `key`.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(key: FleetKey, clock: Arc<dyn Clock>) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            // Replicas reach each other directly.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            // One connection for all requests, whose end shows in time even if the machine is gone.
            .http2_prior_knowledge()
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_adaptive_window(true)
            .build()?;
        Ok(Self { http, key, clock })
    }

    /// The rows of a day, as the archive's Parquet. There is no time limit.
    ///
    /// # Errors
    /// [`ForwardError`] if the leader does not answer, or cannot load the day.
    pub async fn day(&self, leader: &LeaderAddress, key: &DayKey, context: LoadContext) -> Result<Bytes, ForwardError> {
        let request = DayRequest { key: key.clone(), priority: context.priority, caller: context.caller };
        self.post(leader, DAY_PATH, &request).await
    }

    /// The cost of loading days.
    ///
    /// # Errors
    /// [`ForwardError`] if the leader does not answer soon.
    pub async fn forecast(&self, leader: &LeaderAddress, keys: &[DayKey]) -> Result<Forecast, ForwardError> {
        let request = ForecastRequest { keys: keys.to_vec() };
        let answer = tokio::time::timeout(FORECAST_TIMEOUT, self.post(leader, FORECAST_PATH, &request)).await;
        let answer = answer.map_err(|_| ForwardError::failed("no answer in time"))??;
        serde_json::from_slice(&answer).map_err(|error| ForwardError::failed(&error.to_string()))
    }

    async fn post(&self, leader: &LeaderAddress, path: &str, request: &impl Serialize) -> Result<Bytes, ForwardError> {
        let body = serde_json::to_vec(request).map_err(|error| ForwardError::failed(&error.to_string()))?;
        let signature = self.key.sign(SignedParts { path, body: &body }, self.clock.now());
        let http_request = self
            .http
            .post(format!("http://{}{path}", leader.address))
            .header(header::AUTHORIZATION, signature)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        let response = http_request.send().await.map_err(|error| ForwardError::from(&error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| ForwardError::from(&error))?;
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::MISDIRECTED_REQUEST => Err(ForwardError::NotLeader),
            StatusCode::BAD_GATEWAY => match serde_json::from_slice(&body) {
                Ok(error) => Err(ForwardError::Load(error)),
                Err(error) => Err(ForwardError::failed(&error.to_string())),
            },
            // The text of a refused signature names the remedy.
            _ => Err(ForwardError::failed(&format!("{status}: {}", String::from_utf8_lossy(&body)))),
        }
    }
}

impl ForwardError {
    fn failed(reason: &str) -> Self {
        Self::Failed(reason.into())
    }
}

impl From<&reqwest::Error> for ForwardError {
    fn from(error: &reqwest::Error) -> Self {
        // The innermost cause names the failure and contains no URL.
        let mut cause = error.source();
        while let Some(inner) = cause.and_then(std::error::Error::source) {
            cause = Some(inner);
        }
        let is_refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        match cause {
            Some(cause) if error.is_connect() && cause.downcast_ref().is_some_and(is_refused) => Self::Refused,
            Some(cause) => Self::failed(&cause.to_string()),
            None => Self::failed("the connection was closed early"),
        }
    }
}
