//! HTTP caching: validators, freshness, encodings, and responses from the response cache.

use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, SimulatorConfig};
use reqwest::{Method, StatusCode, header};

use crate::support::{ApiResponse, Setup, day, eventually};

/// A week whose days are final at the time of the tests.
const WEEK: &str = "/v1/reports/activity?trailing=held&start_date=2026-10-05&end_date=2026-10-11";

/// The latest day. It stays provisional until it is fetched at least 6 h after it was produced.
const LATEST: &str = "/v1/user-days?start_date=2026-11-21&end_date=2026-11-21";

async fn small() -> Setup {
    Setup::new(SimulatorConfig { users: 30, ..SimulatorConfig::default() }).await
}

async fn get(setup: &Setup, path: &str, headers: &[(&str, &str)]) -> ApiResponse {
    send(setup, Method::GET, path, headers).await
}

async fn send(setup: &Setup, method: Method, path: &str, headers: &[(&str, &str)]) -> ApiResponse {
    // Does not decode responses, so the body is what was sent.
    let client = reqwest::Client::builder().no_gzip().build().expect("a client");
    let request =
        headers.iter().fold(client.request(method, format!("{}{path}", setup.base)), |request, (name, value)| {
            request.header(*name, *value)
        });
    let response = request.send().await.expect("a response");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.expect("a complete body");
    ApiResponse { status, headers, text: String::from_utf8_lossy(&body).into_owned() }
}

fn field<'a>(response: &'a ApiResponse, name: &str) -> &'a str {
    response.headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

#[tokio::test]
async fn a_caller_with_a_current_copy_gets_304() {
    let setup = small().await;
    let first = get(&setup, LATEST, &[]).await;
    let (etag, modified) = (field(&first, "etag").to_owned(), field(&first, "last-modified").to_owned());
    assert!(etag.starts_with('"'), "a strong etag: {etag}");
    assert_eq!(field(&first, "cache-status"), "feishu-pulse; fwd=miss");

    for condition in [("if-none-match", &*etag), ("if-modified-since", &*modified)] {
        // Served by the response cache and, because of the preference, by the router.
        for prefer in [("x", "y"), ("prefer", "wait=9")] {
            let again = get(&setup, LATEST, &[condition, prefer]).await;
            assert_eq!((again.status, &*again.text), (StatusCode::NOT_MODIFIED, ""), "{condition:?} {prefer:?}");
            assert_eq!(field(&again, "etag"), etag);
            for name in ["cache-control", "vary", "last-modified"] {
                assert_eq!(field(&again, name), field(&first, name), "{name}");
            }
            assert!(field(&again, "cache-status").starts_with("feishu-pulse; hit"), "{again:?}");
            assert_eq!(again.headers.get_all("cache-status").iter().count(), 1, "{again:?}");
        }
    }
    let other = get(&setup, LATEST, &[("if-none-match", "\"other\"")]).await;
    assert_eq!((other.status, &other.text), (StatusCode::OK, &first.text));
}

#[tokio::test]
async fn final_days_are_cacheable_for_a_year() {
    let setup = small().await;
    let days = "/v1/user-days?start_date=2026-10-05&end_date=2026-10-11";

    let response = get(&setup, days, &[]).await;

    assert_eq!(field(&response, "cache-control"), "private, max-age=3600");
    assert_eq!(field(&response, "vary"), "accept, accept-encoding, authorization");
}

#[tokio::test]
async fn trailing_figures_must_be_revalidated_until_the_days_before_are_cached() {
    let setup = small().await;
    assert_eq!(field(&get(&setup, WEEK, &[]).await, "cache-control"), "private, no-cache");

    setup.get("/v1/reports/activity?trailing=held&start_date=2026-09-01&end_date=2026-10-11").await.json();
    let response = get(&setup, WEEK, &[]).await;

    assert_eq!(field(&response, "cache-control"), "private, max-age=3600");
    assert!(response.json()["data"][0]["mau"].is_number());
}

#[tokio::test]
async fn provisional_days_are_cacheable_until_they_can_change() {
    let setup = small().await;
    // It is noon in China; the latest day is due to be fetched again in 30 minutes.
    // The first request fetches the day, the second finds it cached.
    for _ in 0..2 {
        assert_eq!(field(&get(&setup, LATEST, &[]).await, "cache-control"), "private, max-age=1800");
    }
    setup.set_time("2026-11-22T04:10:00Z");

    let later = get(&setup, LATEST, &[]).await;

    // From the response cache: the original lifetime, of which ten minutes have passed.
    assert_eq!((field(&later, "cache-control"), field(&later, "age")), ("private, max-age=1800", "600"));
    let period = get(&setup, "/v1/user-days?period=2026-10", &[]).await;
    assert_eq!(field(&period, "cache-control"), "private, max-age=3600", "at most an hour");
}

#[tokio::test]
async fn a_changed_day_has_another_etag() {
    let setup = small().await;
    let first = get(&setup, LATEST, &[]).await;
    setup.simulator.tenant().production().revise(setup.home(), day("2026-11-21").date());
    setup.set_time("2026-11-22T05:00:00Z");

    let stale = get(&setup, LATEST, &[]).await;
    assert_eq!(
        field(&stale, "cache-status"),
        "feishu-pulse; hit; ttl=-1",
        "the stale day is served while it is refreshed in the background"
    );
    assert_eq!(stale.json()["meta"]["days"]["stale"], 1);
    eventually(async || get(&setup, LATEST, &[]).await.json()["meta"]["days"]["stale"] == 0).await;

    let fresh = get(&setup, LATEST, &[("if-none-match", field(&first, "etag"))]).await;
    assert_eq!(fresh.status, StatusCode::OK);
    assert_ne!(field(&fresh, "etag"), field(&first, "etag"));
}

#[tokio::test]
async fn cached_days_are_served_while_feishu_fails() {
    let setup = small().await;
    let first = get(&setup, LATEST, &[]).await;
    setup
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::error_code_with_status(2200, 500)).on(FaultTarget::Stats).times(u32::MAX));
    setup.set_time("2026-11-22T05:00:00Z");

    get(&setup, LATEST, &[]).await.json();
    eventually(async || {
        let response = get(&setup, LATEST, &[]).await;
        field(&response, "cache-status") == "feishu-pulse; hit; ttl=-1; detail=refresh-failed"
    })
    .await;

    let response = get(&setup, LATEST, &[]).await.json();
    assert_eq!(response["data"], first.json()["data"]);
    assert!(response["meta"]["notes"][0].as_str().is_some_and(|note| note.contains("could not be refreshed")));
}

#[tokio::test]
async fn each_encoding_has_its_own_etag() {
    let setup = small().await;
    let plain = get(&setup, WEEK, &[]).await;
    let mut etags = vec![field(&plain, "etag").to_owned()];
    for encoding in ["gzip", "br", "zstd"] {
        // First the computed response, then the stored one.
        for _ in 0..2 {
            let response = get(&setup, WEEK, &[("accept-encoding", encoding)]).await;
            assert_eq!(field(&response, "content-encoding"), encoding);
            let (sent, whole): (usize, usize) =
                (field(&response, "content-length").parse().expect("a length"), plain.text.len());
            assert!(sent < whole / 2, "{sent} of {whole}");
            etags.push(field(&response, "etag").to_owned());
        }
    }
    etags.dedup();
    assert_eq!(etags.len(), 4);
}

#[tokio::test]
async fn an_export_is_compressed_while_it_is_written() {
    let setup = small().await;
    let export = "/v1/user-days?start_date=2026-10-05&end_date=2026-10-11&format=csv";

    let client = reqwest::Client::builder().no_gzip().build().expect("a client");
    let response = client.get(format!("{}{export}", setup.base)).header("accept-encoding", "gzip").send().await;
    let response = response.expect("a response");
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(response.headers().contains_key(header::ETAG));
    let bytes = response.bytes().await.expect("a complete body");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text).expect("gzip");

    assert_eq!(text, get(&setup, export, &[]).await.text);
}

#[tokio::test]
async fn head_returns_the_headers_of_get_without_a_body() {
    let setup = small().await;
    // Days fetched, days cached, response cached.
    for _ in 0..3 {
        let head = send(&setup, Method::HEAD, LATEST, &[]).await;
        let get = get(&setup, LATEST, &[]).await;
        assert_eq!((head.status, &*head.text), (StatusCode::OK, ""));
        for name in ["content-type", "content-length", "etag", "cache-control", "vary", "last-modified"] {
            assert_eq!(field(&head, name), field(&get, name), "{name}");
        }
    }
}

#[tokio::test]
async fn a_deleted_day_is_not_served_from_the_response_cache() {
    let setup = small().await;
    let day = "/v1/user-days?start_date=2026-10-05&end_date=2026-10-05";
    get(&setup, day, &[]).await.json();
    let cached = get(&setup, day, &[]).await;
    assert_eq!(field(&cached, "cache-status"), "feishu-pulse; hit");
    let calls = setup.upstream_calls();

    send(&setup, Method::DELETE, "/v1/days/2026-10-05", &[]).await;
    let refetched = get(&setup, day, &[]).await;

    assert_eq!(field(&refetched, "cache-status"), "feishu-pulse; fwd=miss");
    assert!(setup.upstream_calls() > calls);
}

#[tokio::test]
async fn responses_from_the_response_cache_have_a_request_id_and_are_counted() {
    let setup = small().await;
    get(&setup, WEEK, &[]).await;
    get(&setup, WEEK, &[]).await;

    let response = get(&setup, WEEK, &[("x-request-id", "mine")]).await;

    assert_eq!(field(&response, "x-request-id"), "mine");
    let metrics = setup.get("/metrics").await.text;
    for counted in [r#"cache="miss"} 1"#, r#"cache="hit"} 2"#] {
        let activity = r#"feishu_pulse_http_request_duration_seconds_count{route="/v1/reports/activity",method="GET",status="2xx""#;
        assert!(metrics.contains(&format!("{activity},{counted}")), "{metrics}");
    }
    assert!(metrics.contains("feishu_pulse_response_cache_hits_total 1"), "{metrics}");
}

#[tokio::test]
async fn conditional_requests_are_answered_by_the_response_cache() {
    let setup = small().await;
    let etag = field(&get(&setup, LATEST, &[]).await, "etag").to_owned();

    // With another Accept than the request that fetched the day: the first request passes through, the next two hit the
    // response cache.
    for _ in 0..3 {
        let response = get(&setup, LATEST, &[("accept", "application/json"), ("if-none-match", &etag)]).await;
        assert_eq!(response.status, StatusCode::NOT_MODIFIED);
    }

    let metrics = setup.get("/metrics").await.text;
    assert!(metrics.contains("feishu_pulse_response_cache_hits_total 2"), "{metrics}");
}

#[tokio::test]
async fn a_precondition_does_not_turn_a_problem_into_304() {
    let setup = small().await;
    let ghost = "/v1/users/ou_nobody?start_date=2026-11-20&end_date=2026-11-20";
    let someone = setup.get("/v1/users?start_date=2026-11-20&end_date=2026-11-20&limit=1").await.json();
    let someone = someone["data"][0]["user_id"].as_str().expect("an id").to_owned();
    for condition in [("if-none-match", "*"), ("if-modified-since", "Mon, 23 Nov 2026 04:00:00 GMT")] {
        assert_eq!(get(&setup, ghost, &[condition]).await.status, StatusCode::NOT_FOUND, "{condition:?}");
        let known = format!("/v1/users/{someone}?start_date=2026-11-20&end_date=2026-11-20");
        for _ in 0..3 {
            let response = get(&setup, &known, &[condition]).await;
            assert_eq!((response.status, &*response.text), (StatusCode::NOT_MODIFIED, ""), "{condition:?}");
        }
        let export = "/v1/user-days?start_date=2026-11-20&end_date=2026-11-20&format=csv";
        assert_eq!(get(&setup, export, &[condition]).await.status, StatusCode::NOT_MODIFIED, "{condition:?}");
    }
}

#[tokio::test]
async fn a_response_that_lacks_days_has_no_last_modified() {
    let setup = small().await;
    // The days before the week are not cached, so some figures are omitted.
    let first = get(&setup, WEEK, &[]).await;
    assert_eq!(field(&first, "last-modified"), "");
    let again = get(&setup, WEEK, &[("if-modified-since", "Mon, 23 Nov 2026 04:00:00 GMT")]).await;
    assert_eq!(again.status, StatusCode::OK);
}

#[tokio::test]
async fn a_short_body_is_compressed_only_if_identity_is_refused() {
    let setup = small().await;
    let short = "/v1/user-days?start_date=2026-11-20&end_date=2026-11-20&limit=1&fields=date";
    let without_identity = get(&setup, short, &[("accept-encoding", "gzip, identity;q=0")]).await;
    let others = get(&setup, short, &[("accept-encoding", "gzip")]).await;
    assert_eq!((field(&without_identity, "content-encoding"), field(&others, "content-encoding")), ("gzip", ""));
}

#[tokio::test]
async fn all_lines_of_a_header_are_part_of_the_cache_key() {
    let setup = small().await;
    let week = "/v1/user-days?start_date=2026-11-20&end_date=2026-11-20";
    let several = [("accept-encoding", "identity;q=0.1"), ("accept-encoding", "br")];
    // Days fetched, days cached, response cached.
    for _ in 0..3 {
        assert_eq!(field(&get(&setup, week, &several).await, "content-encoding"), "br");
    }
    for _ in 0..3 {
        assert_eq!(field(&get(&setup, week, &several[..1]).await, "content-encoding"), "");
        assert_eq!(field(&get(&setup, week, &several).await, "content-encoding"), "br");
    }
}

#[tokio::test]
async fn a_request_with_very_long_headers_is_not_cached() {
    let setup = small().await;
    let day = "/v1/user-days?start_date=2026-11-20&end_date=2026-11-20";
    for (accept, is_cached) in [("*/*".to_owned(), true), (format!("*/*;x={}", "x".repeat(8_000)), false)] {
        for _ in 0..2 {
            get(&setup, day, &[("accept", &accept)]).await;
        }
        let response = get(&setup, day, &[("accept", &accept)]).await;
        // Only responses from the response cache have an age.
        assert_eq!((response.status, response.headers.contains_key("age")), (StatusCode::OK, is_cached));
    }
}
