//! One exchange with upstream over the wire: a request out, a bounded reply in.

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{Client, RequestBuilder, StatusCode, Url, header::HeaderMap};

use super::throttle::Hints;

/// A page of 60 rows is 55 KB; whatever is a hundred times that is not a page.
const LARGEST_REPLY: usize = 8 << 20;

/// Speaks HTTP with upstream.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    base: Url,
}

/// A reply as it came.
#[derive(Debug)]
pub struct RawReply {
    /// The HTTP status, which says little.
    pub status: StatusCode,
    /// The log id of the headers.
    pub log_id: Option<String>,
    /// What the headers say of the rate limit.
    pub hints: Hints,
    /// The body.
    pub body: Bytes,
}

/// No reply came, or only part of one. Says why without saying what was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoReply(pub Arc<str>);

impl Http {
    /// A client for the upstream at `base`. `timeout` bounds one whole exchange.
    ///
    /// # Errors
    /// Where TLS cannot be set up, which is nearly always a missing CA bundle.
    pub fn new(base: Url, timeout: Duration) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .user_agent(concat!("feishu-pulse/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .timeout(timeout)
            // Credentials go to the configured address and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, base })
    }

    /// Begins a GET of a path of upstream.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    /// Begins a POST to a path of upstream.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// Sends a request and reads the reply to its end.
    ///
    /// # Errors
    /// [`NoReply`] where the exchange failed at any point.
    pub async fn send(&self, request: RequestBuilder) -> Result<RawReply, NoReply> {
        let mut response = request.send().await.map_err(|error| NoReply::from(&error))?;
        let header = |name: &str| text(response.headers(), name);
        let reply = RawReply {
            status: response.status(),
            log_id: header("x-tt-logid").or_else(|| header("x-request-id")),
            hints: Hints::parse(header("x-ogw-ratelimit-limit").as_deref(), header("x-ogw-ratelimit-reset").as_deref()),
            body: Bytes::new(),
        };
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| NoReply::from(&error))? {
            if body.len() + chunk.len() > LARGEST_REPLY {
                return Err(NoReply("the reply is far too large for a page".into()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(RawReply { body: body.freeze(), ..reply })
    }

    /// A base may have a path of its own, behind a proxy.
    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }
}

impl From<&reqwest::Error> for NoReply {
    fn from(error: &reqwest::Error) -> Self {
        let what = if error.is_timeout() {
            "no reply in time"
        } else if error.is_connect() {
            "no connection"
        } else {
            "the connection broke"
        };
        // The innermost cause names the fault ("connection refused") and never the URL.
        let mut cause = error.source();
        while let Some(deeper) = cause.and_then(std::error::Error::source) {
            cause = Some(deeper);
        }
        Self(cause.map_or_else(|| what.into(), |cause| format!("{what}: {cause}").into()))
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty() && text.len() <= 128).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_keeps_its_own_path() {
        let http = |base: &str| Http::new(base.parse().unwrap(), Duration::from_secs(1)).unwrap();
        assert_eq!(
            http("http://127.0.0.1:1/feishu/").url("/open-apis/x").as_str(),
            "http://127.0.0.1:1/feishu/open-apis/x"
        );
        assert_eq!(http("http://127.0.0.1:1").url("/open-apis/x").as_str(), "http://127.0.0.1:1/open-apis/x");
    }
}
