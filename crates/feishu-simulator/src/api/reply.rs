//! Replies of the API, and how they are sent: completely, partly or not at all.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::api_error::ApiError;
use crate::call_log::CallResult;

/// A reply, with the result that is logged for the call.
#[derive(Debug)]
pub(crate) struct SimulatedReply {
    status: u16,
    content_type: &'static str,
    headers: Vec<(HeaderName, String)>,
    body: Vec<u8>,
    transmission: Transmission,
    result: CallResult,
}

/// How much of a reply is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transmission {
    Complete,
    /// Half of the body, then the connection is closed.
    Aborted,
    /// Nothing; the connection is closed.
    NotSent,
}

/// Marks a response that must not be sent: the server closes the connection instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CloseConnection;

const JSON: &str = "application/json; charset=utf-8";

impl SimulatedReply {
    /// A JSON reply with HTTP status 200.
    pub(crate) fn json(body: &impl Serialize, result: CallResult) -> Self {
        // Serialization fails only for maps with keys that are not strings. Replies have no such maps.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self {
            status: 200,
            content_type: JSON,
            headers: Vec::new(),
            body,
            transmission: Transmission::Complete,
            result,
        }
    }

    /// An error as Feishu sends it.
    pub(crate) fn error(cause: &ApiError, log_id: &str) -> Self {
        let ApiError { status, code, ref message, field } = *cause;
        let troubleshooter = format!(
            "排查建议查看(Troubleshooting suggestions): https://open.feishu.cn/search?log_id={log_id}&code={code}"
        );
        let mut error = json!({ "log_id": log_id, "troubleshooter": troubleshooter });
        if let Some(field) = field {
            error["field_violations"] = json!([{ "field": field, "description": "the value is not valid" }]);
        }
        if code == 99_991_672 {
            let scope = json!({ "type": "action_privilege_required", "subject": "admin:admin_user_stat:readonly" });
            error["permission_violations"] = json!([scope]);
        }
        let body = json!({ "code": code, "msg": message, "error": error });
        Self { status, ..Self::json(&body, CallResult::Error { status, code }) }
    }

    /// An HTML error page as nginx sends it.
    pub(crate) fn html(status: u16) -> Self {
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
        let body = format!(
            "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1>\
             </center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        );
        Self::invalid(status, "text/html", body)
    }

    /// The reply for an unknown path.
    pub(crate) fn not_found() -> Self {
        Self::invalid(404, "text/plain; charset=utf-8", "404 page not found".to_owned())
    }

    /// No reply: the connection is closed.
    pub(crate) fn not_sent() -> Self {
        Self { transmission: Transmission::NotSent, ..Self::invalid(500, JSON, String::new()) }
    }

    /// The same reply with the second half of its body removed; the `content-length` matches.
    pub(crate) fn truncated(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        Self { result: CallResult::InvalidReply, ..self }
    }

    /// The same reply; the connection is closed in the middle of the body.
    pub(crate) fn aborted(self) -> Self {
        Self { transmission: Transmission::Aborted, result: CallResult::InvalidReply, ..self }
    }

    /// The same reply with the first occurrence of `from` in its body replaced.
    pub(crate) fn with_text_replaced(mut self, from: &str, to: &[u8]) -> Self {
        let start = self.body.windows(from.len().max(1)).position(|part| part == from.as_bytes());
        if let Some(start) = start {
            self.body.splice(start..start + from.len(), to.iter().copied());
        }
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    /// The same reply with this time in the header `Date`, unless it has that header.
    pub(crate) fn with_default_date(self, now: Timestamp) -> Self {
        let has_date = self.headers.iter().any(|(name, _)| name == header::DATE);
        if has_date { self } else { self.with_header("date", now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()) }
    }

    pub(crate) const fn result(&self) -> CallResult {
        self.result
    }

    /// The HTTP response.
    pub(crate) fn into_response(self) -> Response<Body> {
        let length = self.body.len();
        let body = match self.transmission {
            Transmission::Complete | Transmission::NotSent => Body::from(self.body),
            Transmission::Aborted => aborted_body(self.body),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        if self.transmission == Transmission::NotSent {
            response.extensions_mut().insert(CloseConnection);
        }
        response
    }

    fn invalid(status: u16, content_type: &'static str, body: String) -> Self {
        let (headers, body, result) = (Vec::new(), body.into_bytes(), CallResult::InvalidReply);
        Self { status, content_type, headers, body, transmission: Transmission::Complete, result }
    }
}

/// A body that yields half of the bytes, then an error, which makes the server close the connection.
fn aborted_body(mut bytes: Vec<u8>) -> Body {
    bytes.truncate(bytes.len() / 2);
    Body::from_stream(stream::unfold(Some(Bytes::from(bytes)), |half| async {
        if let Some(half) = half {
            return Some((Ok(half), None));
        }
        // Lets the server send the first half before the error ends the stream.
        tokio::task::yield_now().await;
        Some((Err(BodyAborted), None))
    }))
}

/// The error that ends an aborted body.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("aborted by an injected fault")]
struct BodyAborted;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_contains_its_log_id_and_the_invalid_field() {
        let reply = SimulatedReply::error(&ApiError::invalid_parameter("page_size"), "2026ABC");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");

        assert_eq!(reply.status, 500);
        assert_eq!(body["code"], 1_051_001);
        assert_eq!(body["error"]["log_id"], "2026ABC");
        assert_eq!(body["error"]["field_violations"][0]["field"], "page_size");
    }

    #[test]
    fn a_truncated_reply_is_no_longer_json() {
        let reply = SimulatedReply::json(&json!({ "code": 0, "msg": "success" }), CallResult::Rows(0)).truncated();

        assert!(serde_json::from_slice::<serde_json::Value>(&reply.body).is_err());
        assert_eq!(reply.result(), CallResult::InvalidReply);
    }
}
