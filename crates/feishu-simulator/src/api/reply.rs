//! Replies, from what is meant down to the bytes that leave, whole or torn.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use serde_json::json;

use super::failure::Failure;
use crate::sim::ledger::Outcome;

/// A reply and what the ledger says of it.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    content_type: &'static str,
    headers: Vec<(HeaderName, String)>,
    body: Vec<u8>,
    damage: Damage,
    outcome: Outcome,
}

/// What happens to a reply on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    None,
    /// The second half of the body is lost, and the connection with it.
    Cut,
    /// All is lost.
    Lost,
}

/// Marks a response that must not be sent: the server closes the connection instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostResponse;

const JSON: &str = "application/json; charset=utf-8";

impl Answer {
    /// A JSON reply with HTTP status 200.
    pub(crate) fn json(body: &impl Serialize, outcome: Outcome) -> Self {
        // Only maps with keys other than texts cannot be written; replies have none.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self { status: 200, content_type: JSON, headers: Vec::new(), body, damage: Damage::None, outcome }
    }

    /// A business error.
    pub(crate) fn failure(failure: &Failure, log_id: &str) -> Self {
        let Failure { status, code, ref message, field } = *failure;
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
        Self { status, ..Self::json(&body, Outcome::Error { status, code }) }
    }

    /// A page that no program should be shown.
    pub(crate) fn html(status: u16) -> Self {
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
        let body = format!(
            "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1>\
             </center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        );
        Self::garbage(status, "text/html", body)
    }

    /// What stands where there is nothing.
    pub(crate) fn not_found() -> Self {
        Self::garbage(404, "text/plain; charset=utf-8", "404 page not found".to_owned())
    }

    /// No reply at all.
    pub(crate) fn lost() -> Self {
        Self { damage: Damage::Lost, ..Self::garbage(500, JSON, String::new()) }
    }

    /// The same reply with half of its body, as if it were the whole.
    pub(crate) fn truncated(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        Self { outcome: Outcome::Garbage, ..self }
    }

    /// The same reply, cut off in the middle of its body.
    pub(crate) fn cut(self) -> Self {
        Self { damage: Damage::Cut, outcome: Outcome::Garbage, ..self }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    pub(crate) const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The response as the server sends it.
    pub(crate) fn into_response(self) -> Response<Body> {
        let length = self.body.len();
        let body = match self.damage {
            Damage::None | Damage::Lost => Body::from(self.body),
            Damage::Cut => cut_body(self.body),
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
        if self.damage == Damage::Lost {
            response.extensions_mut().insert(LostResponse);
        }
        response
    }

    fn garbage(status: u16, content_type: &'static str, body: String) -> Self {
        let (headers, body, outcome) = (Vec::new(), body.into_bytes(), Outcome::Garbage);
        Self { status, content_type, headers, body, damage: Damage::None, outcome }
    }
}

/// Half of the bytes, then an error, upon which the server closes the connection.
fn cut_body(mut bytes: Vec<u8>) -> Body {
    bytes.truncate(bytes.len() / 2);
    Body::from_stream(stream::unfold(Some(Bytes::from(bytes)), |half| async {
        if let Some(half) = half {
            return Some((Ok(half), None));
        }
        // Lets the server send what it has before it learns that there is no more.
        tokio::task::yield_now().await;
        Some((Err(CutOff), None))
    }))
}

/// The rest of a body is lost.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("cut off on purpose")]
struct CutOff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_log_id_and_the_field_at_fault() {
        let answer = Answer::failure(&Failure::invalid("page_size"), "2026ABC");
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");

        assert_eq!(answer.status, 500);
        assert_eq!(body["code"], 1_051_001);
        assert_eq!(body["error"]["log_id"], "2026ABC");
        assert_eq!(body["error"]["field_violations"][0]["field"], "page_size");
    }

    #[test]
    fn a_truncated_reply_is_no_longer_json() {
        let answer = Answer::json(&json!({ "code": 0, "msg": "success" }), Outcome::Rows(0)).truncated();

        assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
        assert_eq!(answer.outcome(), Outcome::Garbage);
    }
}
