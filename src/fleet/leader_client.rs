//! [`LeaderClient`], which asks the leader for days, and passes on the requests of callers.

use std::{
    error::Error as _,
    io,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    forward_metrics::{ForwardMetrics, ForwardOutcome, ForwardedRequest},
    record::LeaderAddress,
    signature::{FleetKey, SENDER_HEADER, SIGNATURE_HEADER, SignedParts, TIME_HEADER},
    transport::Transport,
};
use crate::{
    model::{Clock, DayKey},
    source::{CallerId, Forecast, LoadContext, LoadError, Priority},
};

/// The path of requests for a day.
pub const DAY_PATH: &str = "/fleet/v1/day";

/// The path of requests for a forecast.
pub const FORECAST_PATH: &str = "/fleet/v1/forecast";

/// The path of requests for the times at which held days were fetched.
pub const HELD_PATH: &str = "/fleet/v1/held";

/// A forecast, and what the leader holds, are not worth a longer wait.
const SHORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum length of an unexpected answer in a message.
const MAX_REASON_CHARS: usize = 200;

const INVALID_URL: &str = "the address of the leader, or the path of the request, is not valid";

/// Headers of a caller's request that are not passed on: those of the connection, which the client sets itself, those of a
/// browser, which this replica has checked and answers, and a signature, which only this replica makes.
const DROPPED_REQUEST_HEADERS: [HeaderName; 10] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    header::ORIGIN,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static(SIGNATURE_HEADER),
    HeaderName::from_static(SENDER_HEADER),
];

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

/// The request of a follower about several days: for a forecast, or for what the leader holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaysRequest {
    /// The days.
    pub keys: Vec<DayKey>,
}

/// Sends requests to the leader.
#[derive(Clone, Debug)]
pub struct LeaderClient {
    transport: Transport,
    key: FleetKey,
    /// The id of this replica.
    replica_id: Arc<str>,
    clock: Arc<dyn Clock>,
    /// How far the clock of the leader is ahead of this one, in seconds. Known after a request was refused for its time.
    leader_ahead: Arc<AtomicI64>,
    metrics: Arc<ForwardMetrics>,
}

/// A request to the leader.
struct LeaderRequest<'a> {
    method: Method,
    /// The path and the query.
    path: &'a str,
    client: Client,
    headers: HeaderMap,
    body: Bytes,
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
    /// The client of the replica with this id, which signs with `key`.
    #[must_use]
    pub fn new(transport: Transport, key: FleetKey, replica_id: Arc<str>, clock: Arc<dyn Clock>) -> Self {
        Self { transport, key, replica_id, clock, leader_ahead: Arc::default(), metrics: Arc::default() }
    }

    /// The metrics of the requests.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<ForwardMetrics> {
        &self.metrics
    }

    /// Measures a request.
    async fn measured<T>(
        &self,
        request: ForwardedRequest,
        answer: impl Future<Output = Result<T, ForwardError>>,
    ) -> Result<T, ForwardError> {
        let timer = self.metrics.begin(request);
        let answer = answer.await;
        timer.end(answer.as_ref().err().map_or(ForwardOutcome::Answered, ForwardError::outcome));
        answer
    }

    /// The rows of a day, as the archive's Parquet. There is no time limit.
    ///
    /// # Errors
    /// [`ForwardError`] if the leader does not answer, or cannot load the day.
    pub async fn day(&self, leader: &LeaderAddress, key: &DayKey, context: LoadContext) -> Result<Bytes, ForwardError> {
        let request = DayRequest { key: key.clone(), priority: context.priority, caller: context.caller };
        self.measured(
            ForwardedRequest::Day,
            self.post(leader, self.transport.connections().for_days, DAY_PATH, &request),
        )
        .await
    }

    /// The cost of loading days.
    ///
    /// # Errors
    /// [`ForwardError`] if the leader does not answer soon.
    pub async fn forecast(&self, leader: &LeaderAddress, keys: &[DayKey]) -> Result<Forecast, ForwardError> {
        self.measured(ForwardedRequest::Forecast, self.ask_about(leader, FORECAST_PATH, keys)).await
    }

    /// When the rows that the leader holds were fetched, for each key in order; `None` if it holds none. Starts no fetch.
    ///
    /// # Errors
    /// [`ForwardError`] if the leader does not answer soon.
    pub async fn held(&self, leader: &LeaderAddress, keys: &[DayKey]) -> Result<Vec<Option<Timestamp>>, ForwardError> {
        self.measured(ForwardedRequest::Held, self.ask_about(leader, HELD_PATH, keys)).await
    }

    async fn ask_about<T: DeserializeOwned>(
        &self,
        leader: &LeaderAddress,
        path: &str,
        keys: &[DayKey],
    ) -> Result<T, ForwardError> {
        let request = DaysRequest { keys: keys.to_vec() };
        let posted = self.post(leader, self.transport.connections().for_the_rest, path, &request);
        let answer = tokio::time::timeout(SHORT_TIMEOUT, posted).await;
        let answer = answer.map_err(|_| ForwardError::failed("no answer in time"))??;
        serde_json::from_slice(&answer).map_err(|error| ForwardError::failed(&error.to_string()))
    }

    /// Passes on the request of a caller, with the caller's credentials. `path` contains the query. Returns the answer of the
    /// leader, whose body has no time limit.
    ///
    /// # Errors
    /// [`ForwardError`] if the leader does not answer.
    pub async fn pass_on(
        &self,
        leader: &LeaderAddress,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, ForwardError> {
        for name in DROPPED_REQUEST_HEADERS {
            headers.remove(name);
        }
        let request = LeaderRequest { method, path, client: self.transport.connections().for_the_rest, headers, body };
        self.measured(ForwardedRequest::Request, self.send(leader, request)).await
    }

    async fn post(
        &self,
        leader: &LeaderAddress,
        client: Client,
        path: &str,
        request: &impl Serialize,
    ) -> Result<Bytes, ForwardError> {
        let body = serde_json::to_vec(request).map_err(|error| ForwardError::failed(&error.to_string()))?;
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let request = LeaderRequest { method: Method::POST, path, client, headers, body: body.into() };
        let response = self.send(leader, request).await?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| ForwardError::from(&error))?;
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::BAD_GATEWAY => match serde_json::from_slice(&body) {
                Ok(error) => Err(ForwardError::Load(error)),
                Err(error) => Err(ForwardError::failed(&error.to_string())),
            },
            _ => {
                let text: String = String::from_utf8_lossy(&body).chars().take(MAX_REASON_CHARS).collect();
                Err(ForwardError::failed(&format!("{status}: {text}")))
            }
        }
    }

    /// Sends a signed request. If the leader's clock differs, it is sent again with the leader's time.
    async fn send(&self, leader: &LeaderAddress, request: LeaderRequest<'_>) -> Result<Response, ForwardError> {
        if !self.key.is_proven(leader) {
            return Err(ForwardError::failed(
                "the leader in the record has another app secret, or is not of this fleet",
            ));
        }
        let response = self.send_once(leader, &request).await?;
        let Some(leader_time) = refusal_time(&response) else { return Ok(response) };
        self.leader_ahead.store(leader_time.saturating_sub(self.clock.now().as_second()), Ordering::Relaxed);
        let response = self.send_once(leader, &request).await?;
        if refusal_time(&response).is_none() {
            return Ok(response);
        }
        // The text of a refused signature names the remedy.
        let status = response.status();
        let text = response.text().await.map_err(|error| ForwardError::from(&error))?;
        Err(ForwardError::failed(&format!("{status}: {text}")))
    }

    /// Sends a request, signed with the time of the leader as far as it is known.
    async fn send_once(&self, leader: &LeaderAddress, request: &LeaderRequest<'_>) -> Result<Response, ForwardError> {
        let LeaderRequest { method, path, client, headers, body } = request;
        let base =
            self.transport.base_url(&leader.address).map_err(|error| ForwardError::failed(&error.to_string()))?;
        // Parsing can change the path and the query, for example `'` into `%27`.
        let url: Url = format!("{base}{path}").parse().map_err(|_| ForwardError::failed(INVALID_URL))?;
        let path = &url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let (sender, receiver) = (&*self.replica_id, &*leader.id);
        let signed = SignedParts { sender, receiver, method: method.as_str(), path, body };
        let signature = self.key.sign(signed, self.leader_time());
        let http_request = client
            .request(method.clone(), url.clone())
            .headers(headers.clone())
            .header(SIGNATURE_HEADER, signature)
            .header(SENDER_HEADER, sender)
            .body(body.clone());
        let response = http_request.send().await.map_err(|error| ForwardError::from(&error))?;
        if response.status() == StatusCode::MISDIRECTED_REQUEST { Err(ForwardError::NotLeader) } else { Ok(response) }
    }

    fn leader_time(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.leader_ahead.load(Ordering::Relaxed));
        self.clock.now().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }
}

/// The time of the leader in seconds since the Unix epoch, if it refused the signature.
fn refusal_time(response: &Response) -> Option<i64> {
    let is_refused = response.status() == StatusCode::UNAUTHORIZED;
    response.headers().get(TIME_HEADER).filter(|_| is_refused)?.to_str().ok()?.parse().ok()
}

impl ForwardError {
    fn failed(reason: &str) -> Self {
        Self::Failed(reason.into())
    }

    const fn outcome(&self) -> ForwardOutcome {
        match self {
            Self::NotLeader => ForwardOutcome::NotLeader,
            Self::Refused => ForwardOutcome::Refused,
            Self::Failed(_) => ForwardOutcome::Failed,
            Self::Load(_) => ForwardOutcome::LoadError,
        }
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
