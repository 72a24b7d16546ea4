//! The header fields that tell callers what they may keep, and operators where an answer came from.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;

use super::conditions::http_date;
use crate::query::Evidence;

/// RFC 9211.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What an answer depends on besides the path and the query.
const VARY: HeaderValue = HeaderValue::from_static("accept, accept-encoding, authorization");

/// What can never change is kept for a year, as long as HTTP caches keep anything.
const FOR_EVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// What may change at any moment is kept, and asked about each time.
const ASK_EACH_TIME: HeaderValue = HeaderValue::from_static("private, no-cache");

/// The fields of an answer that rests on `evidence` and is sent at `now`. Rows are personal data: no shared cache may
/// keep an answer.
#[must_use]
pub fn of(evidence: &Evidence, now: Timestamp) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(header::CACHE_CONTROL, cache_control(evidence, now));
    fields.insert(header::VARY, VARY);
    fields.extend(cache_status(evidence, now));
    fields.extend(evidence.fetched_at.and_then(|at| text(header::LAST_MODIFIED, &http_date(at))));
    fields
}

fn cache_control(evidence: &Evidence, now: Timestamp) -> HeaderValue {
    // Figures that look back are there once the days they look back over are held, which can be at any moment.
    if evidence.supply.without_lead {
        return ASK_EACH_TIME;
    }
    let Some(until) = evidence.lasts_until else { return FOR_EVER };
    match until.duration_since(now).as_secs() {
        ..=0 => ASK_EACH_TIME,
        seconds => HeaderValue::from_str(&format!("private, max-age={seconds}")).unwrap_or(ASK_EACH_TIME),
    }
}

/// Where the answer comes from, and for how long it would still come from there.
#[must_use]
pub fn cache_status(evidence: &Evidence, now: Timestamp) -> Option<(HeaderName, HeaderValue)> {
    let supply = evidence.supply;
    if !supply.held {
        let collapsed = if supply.collapsed { "; collapsed" } else { "" };
        return text(CACHE_STATUS, &format!("feishu-pulse; fwd=miss{collapsed}"));
    }
    // A time to live below zero says that the answer is older than it should be (RFC 9211, section 2.3).
    let seconds = evidence.lasts_until.map(|until| until.duration_since(now).as_secs());
    let ttl = if supply.stale > 0 { Some(-1) } else { seconds };
    let ttl = ttl.map_or_else(String::new, |seconds| format!("; ttl={seconds}"));
    let detail = if supply.failing > 0 { "; detail=refresh-failed" } else { "" };
    text(CACHE_STATUS, &format!("feishu-pulse; hit{ttl}{detail}"))
}

/// A field, where the text can stand in one.
#[must_use]
pub fn text(name: HeaderName, text: &str) -> Option<(HeaderName, HeaderValue)> {
    HeaderValue::from_str(text).ok().map(|value| (name, value))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::query::Supply;

    const NOW: &str = "2026-11-22T04:00:00Z";

    fn field(name: HeaderName, lasts_until: Option<&str>, supply: Supply) -> String {
        let lasts_until = lasts_until.map(|at| at.parse().unwrap());
        let evidence = Evidence { version: [0; 32], fetched_at: NOW.parse().ok(), lasts_until, supply };
        of(&evidence, NOW.parse().unwrap())[name].to_str().unwrap().to_owned()
    }

    #[rstest]
    #[case(None, Supply::HELD, "private, max-age=31536000, immutable")]
    #[case(Some("2026-11-22T04:10:00Z"), Supply::HELD, "private, max-age=600")]
    #[case(Some(NOW), Supply::HELD, "private, no-cache")]
    #[case(None, Supply { without_lead: true, ..Supply::HELD }, "private, no-cache")]
    fn an_answer_may_be_kept_until_it_can_change(
        #[case] until: Option<&str>,
        #[case] supply: Supply,
        #[case] expected: &str,
    ) {
        assert_eq!(field(header::CACHE_CONTROL, until, supply), expected);
    }

    #[rstest]
    #[case(None, Supply::HELD, "feishu-pulse; hit")]
    #[case(Some("2026-11-22T04:10:00Z"), Supply::HELD, "feishu-pulse; hit; ttl=600")]
    #[case(Some(NOW), Supply { stale: 1, ..Supply::HELD }, "feishu-pulse; hit; ttl=-1")]
    #[case(Some(NOW), Supply { stale: 1, failing: 1, ..Supply::HELD }, "feishu-pulse; hit; ttl=-1; detail=refresh-failed")]
    #[case(None, Supply { held: false, ..Supply::HELD }, "feishu-pulse; fwd=miss")]
    #[case(None, Supply { held: false, collapsed: true, ..Supply::HELD }, "feishu-pulse; fwd=miss; collapsed")]
    fn where_an_answer_came_from_is_told(#[case] until: Option<&str>, #[case] supply: Supply, #[case] expected: &str) {
        assert_eq!(field(CACHE_STATUS, until, supply), expected);
    }
}
