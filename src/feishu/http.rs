//! [`HttpClient`]: sends one request to upstream and reads a reply of limited size.

use std::{error::Error as _, sync::Arc, time::Duration};

use adaptive_throttle::RateLimitHints;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, StatusCode, Url, header::HeaderMap};

use super::reachability::Reachability;
use crate::proxy;

/// Maximum size of a reply body: 8 MiB. A page of 60 rows has about 55 KB.
const MAX_REPLY_BYTES: usize = 8 << 20;

/// Maximum size that is reserved for a reply by its `Content-Length`, which can be wrong.
const MAX_RESERVED_BYTES: usize = 256 << 10;

/// HTTP client for the upstream base URL.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: Client,
    base_url: Url,
    reachability: Arc<Reachability>,
}

/// An HTTP reply that is not parsed yet.
#[derive(Debug)]
pub struct RawReply {
    /// The HTTP status. It does not determine the outcome; see `reply_class`.
    pub status: StatusCode,
    /// The log id from the headers `X-Tt-Logid` or `X-Request-Id`.
    pub log_id: Option<String>,
    /// The header `Date`: the time of upstream's clock.
    pub date: Option<Timestamp>,
    /// The rate-limit headers.
    pub hints: RateLimitHints,
    /// The body.
    pub body: Bytes,
}

/// There was no complete reply. The text names the cause and contains nothing of the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(pub Arc<str>);

impl HttpClient {
    /// Creates a client for `base_url`. `timeout` limits one call, from the connection to the end of the body.
    ///
    /// # Errors
    /// If TLS cannot be set up. The usual cause is a missing CA bundle.
    pub fn new(base_url: Url, timeout: Duration) -> Result<Self, reqwest::Error> {
        let client = proxy::client_builder(&base_url)
            .user_agent(concat!("feishu-pulse/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .timeout(timeout)
            // Redirects are off, so that credentials are sent to the configured address only.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, base_url, reachability: Arc::default() })
    }

    /// Builds a GET request for a path below the base URL.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    /// Builds a POST request for a path below the base URL.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// Sends a request and reads the whole reply.
    ///
    /// # Errors
    /// [`TransportError`] if the connection, the request or the body fails, or if the body is too large.
    pub async fn send(&self, request: RequestBuilder) -> Result<RawReply, TransportError> {
        let reply = Self::exchange(request).await;
        self.reachability.record(reply.is_ok());
        reply
    }

    /// For how long upstream has not replied.
    #[must_use]
    pub const fn reachability(&self) -> &Arc<Reachability> {
        &self.reachability
    }

    async fn exchange(request: RequestBuilder) -> Result<RawReply, TransportError> {
        let mut response = request.send().await.map_err(|error| TransportError::from(&error))?;
        let header = |name: &str| header_text(response.headers(), name);
        let reply = RawReply {
            status: response.status(),
            log_id: header("x-tt-logid").or_else(|| header("x-request-id")),
            date: header("date").and_then(|date| httpdate::parse_http_date(&date).ok()?.try_into().ok()),
            hints: RateLimitHints::parse(
                header("x-ogw-ratelimit-limit").as_deref(),
                header("x-ogw-ratelimit-reset").as_deref(),
            ),
            body: Bytes::new(),
        };
        let length = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let mut body = BytesMut::with_capacity(length.min(MAX_RESERVED_BYTES));
        while let Some(chunk) = response.chunk().await.map_err(|error| TransportError::from(&error))? {
            if body.len() + chunk.len() > MAX_REPLY_BYTES {
                return Err(TransportError("the reply is larger than 8 MiB".into()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(RawReply { body: body.freeze(), ..reply })
    }

    /// Appends `path` to the path of the base URL, which is not empty behind some proxies.
    fn url(&self, path: &str) -> Url {
        let mut url = self.base_url.clone();
        url.set_path(&format!("{}{path}", self.base_url.path().trim_end_matches('/')));
        url
    }
}

impl From<&reqwest::Error> for TransportError {
    fn from(error: &reqwest::Error) -> Self {
        let what = if error.is_timeout() {
            "no reply in time"
        } else if error.is_connect() {
            "no connection"
        } else {
            "the connection was closed early"
        };
        // The innermost cause names the failure ("connection refused") and never contains the URL.
        let mut cause = error.source();
        while let Some(inner) = cause.and_then(std::error::Error::source) {
            cause = Some(inner);
        }
        Self(cause.map_or_else(|| what.into(), |cause| format!("{what}: {cause}").into()))
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty() && text.len() <= 128).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_base_url_is_kept() {
        let http = |base: &str| HttpClient::new(base.parse().unwrap(), Duration::from_secs(1)).unwrap();
        assert_eq!(
            http("http://127.0.0.1:1/feishu/").url("/open-apis/x").as_str(),
            "http://127.0.0.1:1/feishu/open-apis/x"
        );
        assert_eq!(http("http://127.0.0.1:1").url("/open-apis/x").as_str(), "http://127.0.0.1:1/open-apis/x");
    }
}
