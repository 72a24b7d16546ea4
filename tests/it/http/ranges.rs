//! Range requests: parts of an export, as readers of Parquet and download managers ask for them.

use feishu_simulator::SimulatorConfig;
use reqwest::{Method, StatusCode};

use crate::support::{FileResponse, Setup};

const RANGE: &str = "start_date=2026-11-11&end_date=2026-11-15";

async fn small_setup() -> Setup {
    Setup::new(SimulatorConfig { users: 60, days: 20, ..SimulatorConfig::default() }).await
}

async fn request(setup: &Setup, method: Method, path: &str, headers: &[(&str, &str)]) -> FileResponse {
    // Does not accept compressed responses, whose length would be another one.
    let client = reqwest::Client::builder().no_gzip().build().expect("a client");
    let request = client.request(method, format!("{}{path}", setup.base));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    FileResponse::read(request.send().await.expect("an answer")).await
}

/// Paths of stored responses: an export that is written in chunks, and one that is computed as a whole.
fn paths() -> [String; 4] {
    [
        format!("/v1/user-days.parquet?{RANGE}"),
        format!("/v1/users.csv?{RANGE}"),
        format!("/v1/reports/activity.xlsx?{RANGE}"),
        format!("/v1/reports/activity?{RANGE}"),
    ]
}

#[tokio::test]
async fn a_head_request_tells_the_length_that_get_sends() {
    let setup = small_setup().await;
    for path in paths() {
        // The first response is computed, the others are stored.
        let first = request(&setup, Method::HEAD, &path, &[]).await;
        let get = request(&setup, Method::GET, &path, &[]).await;
        let again = request(&setup, Method::HEAD, &path, &[("range", "bytes=0-3")]).await;

        let length = get.bytes.len().to_string();
        for response in [&first, &get, &again] {
            assert_eq!(response.status, StatusCode::OK, "{path}");
            assert_eq!(response.headers["content-length"], length.as_str(), "{path}");
            assert_eq!(response.headers["accept-ranges"], "bytes", "{path}");
            assert_eq!(response.headers["etag"], get.headers["etag"], "{path}");
        }
        assert!(first.bytes.is_empty() && again.bytes.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn the_parts_of_a_response_make_up_the_whole() {
    let setup = small_setup().await;
    for path in paths() {
        // The first request asks for a part: nothing is stored yet.
        let start = request(&setup, Method::GET, &path, &[("range", "bytes=0-99")]).await;
        let rest = request(&setup, Method::GET, &path, &[("range", "bytes=100-")]).await;
        let end = request(&setup, Method::GET, &path, &[("range", "bytes=-8")]).await;
        let whole = request(&setup, Method::GET, &path, &[]).await;

        let length = whole.bytes.len();
        for (part, range) in [(&start, 0..100), (&rest, 100..length), (&end, length - 8..length)] {
            assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{path}");
            let content_range = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            assert_eq!(part.headers["content-range"], content_range.as_str(), "{path}");
            assert_eq!(part.headers["content-length"], range.len().to_string().as_str(), "{path}");
            assert_eq!(part.headers["content-type"], whole.headers["content-type"], "{path}");
            assert!(part.bytes == whole.bytes[range], "{path}");
        }
    }
}

#[tokio::test]
async fn a_representation_that_the_client_does_not_require_is_not_sent() {
    let setup = small_setup().await;
    for path in paths() {
        let other = [("if-match", "\"other\""), ("range", "bytes=0-3")];
        // The first response is computed, the second one is stored.
        let computed = request(&setup, Method::GET, &path, &other).await;
        let whole = request(&setup, Method::GET, &path, &[]).await;
        let stored = request(&setup, Method::GET, &path, &other).await;
        let etag = whole.headers["etag"].to_str().unwrap();
        let same = request(&setup, Method::GET, &path, &[("if-match", etag), ("range", "bytes=0-3")]).await;
        let any = request(&setup, Method::GET, &path, &[("if-match", "*")]).await;
        let old = [("if-unmodified-since", "Sun, 01 Nov 2026 00:00:00 GMT")];
        let old = request(&setup, Method::HEAD, &path, &old).await;

        for response in [&computed, &stored] {
            assert_eq!(response.status, StatusCode::PRECONDITION_FAILED, "{path}");
            let problem: serde_json::Value = serde_json::from_slice(&response.bytes).expect("a problem");
            assert_eq!(problem["code"], "precondition_failed", "{path}");
        }
        assert_eq!((same.status, same.bytes.len()), (StatusCode::PARTIAL_CONTENT, 4), "{path}");
        assert_eq!((any.status, any.bytes.len()), (StatusCode::OK, whole.bytes.len()), "{path}");
        assert_eq!((old.status, old.bytes.len()), (StatusCode::PRECONDITION_FAILED, 0), "{path}");
    }
    let missing = format!("/v1/user-days?{RANGE}&department_path=none");
    let missing = request(&setup, Method::GET, &missing, &[("if-match", "\"other\"")]).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND, "a precondition says nothing about an error");
}

#[tokio::test]
async fn a_range_of_another_representation_is_answered_with_the_whole() {
    let setup = small_setup().await;
    let path = format!("/v1/user-days.parquet?{RANGE}");
    let whole = request(&setup, Method::GET, &path, &[]).await;
    let etag = whole.headers["etag"].to_str().unwrap();

    let same = request(&setup, Method::GET, &path, &[("range", "bytes=0-3"), ("if-range", etag)]).await;
    let other = request(&setup, Method::GET, &path, &[("range", "bytes=0-3"), ("if-range", "\"other\"")]).await;
    let several = request(&setup, Method::GET, &path, &[("range", "bytes=0-3,8-9")]).await;
    let current = request(&setup, Method::GET, &path, &[("range", "bytes=0-3"), ("if-none-match", etag)]).await;

    assert_eq!((same.status, &*same.bytes), (StatusCode::PARTIAL_CONTENT, &b"PAR1"[..]));
    for response in [other, several] {
        assert_eq!(response.status, StatusCode::OK);
        assert!(response.bytes == whole.bytes);
    }
    // A precondition is evaluated before the range (RFC 9110, section 13.2.2).
    assert_eq!(current.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_range_after_the_end_is_not_satisfiable() {
    let setup = small_setup().await;
    let path = format!("/v1/user-days.csv?{RANGE}");
    let length = request(&setup, Method::GET, &path, &[]).await.bytes.len();

    let refused = request(&setup, Method::GET, &path, &[("range", &format!("bytes={length}-"))]).await;

    assert_eq!(refused.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(refused.headers["content-range"], format!("bytes */{length}").as_str());
    assert_eq!(refused.headers["content-type"], "application/problem+json");
}

#[tokio::test]
async fn an_export_that_is_too_long_to_be_stored_is_streamed_whole() {
    // Stored exports get an eighth of the memory for days.
    let simulation = SimulatorConfig { users: 60, days: 20, ..SimulatorConfig::default() };
    let streaming = Setup::with(simulation.clone(), |config| config.cache_bytes = 8 << 10).await;
    let path = format!("/v1/user-days.csv?{RANGE}");

    let streamed = request(&streaming, Method::GET, &path, &[("range", "bytes=0-3")]).await;
    let stored = request(&Setup::new(simulation).await, Method::GET, &path, &[]).await;

    assert_eq!(streamed.status, StatusCode::OK);
    assert!(!streamed.headers.contains_key("content-length") && !streamed.headers.contains_key("accept-ranges"));
    assert!(streamed.bytes.len() > 1024 && streamed.bytes == stored.bytes);
}
