//! Response headers about caching: `Cache-Control`, `Cache-Status`, `Vary`, `Last-Modified`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;

use super::preconditions::http_date;
use crate::api::problem::retry_after_seconds;
use crate::query::Provenance;

/// The header `Cache-Status` (RFC 9211).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Request headers that a response depends on.
const VARY: HeaderValue = HeaderValue::from_static("accept, accept-encoding, authorization");

/// For responses that cannot change: one year, the usual maximum in HTTP caches.
const SETTLED: HeaderValue = HeaderValue::from_static("private, max-age=3600");

/// Maximum of `max-age` in seconds. A day can be deleted, and a final day can turn out to be small, so no response is
/// `immutable`.
const MAX_AGE: i64 = 3600;

/// For responses that can change at any moment: caches must revalidate them.
const NO_CACHE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// The caching headers of a response with this provenance, sent at `now`, and `Retry-After` while days are missing that are
/// being fetched. They are always `private`, because rows are
/// personal data that shared caches must not store.
#[must_use]
pub fn cache_headers(provenance: &Provenance, now: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, cache_control(provenance, now));
    headers.insert(header::VARY, VARY);
    headers.extend(cache_status(provenance, now));
    headers.extend(provenance.retry_after.map(|wait| (header::RETRY_AFTER, retry_after_seconds(wait).into())));
    headers.extend(provenance.fetched_at.and_then(|at| header_field(header::LAST_MODIFIED, &http_date(at))));
    headers
}

fn cache_control(provenance: &Provenance, now: Timestamp) -> HeaderValue {
    // Figures with a trailing window are omitted until the days before the range are cached, which can happen at any
    // moment.
    if provenance.cache_status.lacks_lead_days {
        return NO_CACHE;
    }
    let Some(until) = provenance.valid_until else { return SETTLED };
    match until.duration_since(now).as_secs() {
        ..=0 => NO_CACHE,
        seconds => HeaderValue::from_str(&format!("private, max-age={}", seconds.min(MAX_AGE))).unwrap_or(NO_CACHE),
    }
}

/// `Cache-Status`: whether the days were cached, and for how long they remain fresh.
#[must_use]
pub fn cache_status(provenance: &Provenance, now: Timestamp) -> Option<(HeaderName, HeaderValue)> {
    let status = provenance.cache_status;
    if !status.hit {
        let collapsed = if status.collapsed { "; collapsed" } else { "" };
        return header_field(CACHE_STATUS, &format!("feishu-pulse; fwd=miss{collapsed}"));
    }
    // RFC 9211, section 2.3: a negative `ttl` means that the response is stale.
    let seconds = provenance.valid_until.map(|until| until.duration_since(now).as_secs());
    let ttl = if status.stale_days > 0 { Some(-1) } else { seconds };
    let ttl = ttl.map_or_else(String::new, |seconds| format!("; ttl={seconds}"));
    let detail = if status.failed_refreshes > 0 { "; detail=refresh-failed" } else { "" };
    header_field(CACHE_STATUS, &format!("feishu-pulse; hit{ttl}{detail}"))
}

/// A header field; `None` if the text is not a valid value.
#[must_use]
pub fn header_field(name: HeaderName, text: &str) -> Option<(HeaderName, HeaderValue)> {
    HeaderValue::from_str(text).ok().map(|value| (name, value))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::query::CacheStatus;

    const NOW: &str = "2026-11-22T04:00:00Z";

    fn field(name: HeaderName, lasts_until: Option<&str>, status: CacheStatus) -> String {
        let lasts_until = lasts_until.map(|at| at.parse().unwrap());
        let provenance = Provenance {
            version: [0; 32],
            fetched_at: NOW.parse().ok(),
            valid_until: lasts_until,
            retry_after: None,
            cache_status: status,
        };
        cache_headers(&provenance, NOW.parse().unwrap())[name].to_str().unwrap().to_owned()
    }

    #[rstest]
    #[case(None, CacheStatus::HIT, "private, max-age=3600")]
    #[case(Some("2026-11-22T04:10:00Z"), CacheStatus::HIT, "private, max-age=600")]
    #[case(Some(NOW), CacheStatus::HIT, "private, no-cache")]
    #[case(None, CacheStatus { lacks_lead_days: true, ..CacheStatus::HIT }, "private, no-cache")]
    fn a_response_may_be_cached_until_it_can_change(
        #[case] until: Option<&str>,
        #[case] status: CacheStatus,
        #[case] expected: &str,
    ) {
        assert_eq!(field(header::CACHE_CONTROL, until, status), expected);
    }

    #[rstest]
    #[case(None, CacheStatus::HIT, "feishu-pulse; hit")]
    #[case(Some("2026-11-22T04:10:00Z"), CacheStatus::HIT, "feishu-pulse; hit; ttl=600")]
    #[case(Some(NOW), CacheStatus { stale_days: 1, ..CacheStatus::HIT }, "feishu-pulse; hit; ttl=-1")]
    #[case(Some(NOW), CacheStatus { stale_days: 1, failed_refreshes: 1, ..CacheStatus::HIT }, "feishu-pulse; hit; ttl=-1; detail=refresh-failed")]
    #[case(None, CacheStatus { hit: false, ..CacheStatus::HIT }, "feishu-pulse; fwd=miss")]
    #[case(None, CacheStatus { hit: false, collapsed: true, ..CacheStatus::HIT }, "feishu-pulse; fwd=miss; collapsed")]
    fn cache_status_reports_where_the_days_came_from(
        #[case] until: Option<&str>,
        #[case] status: CacheStatus,
        #[case] expected: &str,
    ) {
        assert_eq!(field(CACHE_STATUS, until, status), expected);
    }
}
