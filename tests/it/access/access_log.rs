//! The access log: one line per authenticated or refused request.

use feishu_pulse::access::Scope;
use feishu_simulator::SimulatorConfig;
use reqwest::{Method, RequestBuilder};
use rstest::rstest;
use tracing::subscriber::DefaultGuard;

use crate::{
    access::callers::{GuardedGateway, Key, send},
    support::{Setup, captured_log::CapturedLog},
};

const USERS: &str = "/v1/users?start_date=2026-11-20&end_date=2026-11-20";

/// Captures the access log of the current thread, which also runs the gateway.
fn capture() -> (CapturedLog, DefaultGuard) {
    CapturedLog::start("audit=info")
}

/// The letters of a path, as an id of a request.
fn id_of(path: &str) -> String {
    path.chars().filter(char::is_ascii_alphabetic).collect()
}

/// The lines of the request with this id.
fn lines_of(log: &CapturedLog, id: &str) -> Vec<String> {
    log.lines(&format!("request_id=\"{id}\""))
}

async fn guarded(keys: &[Key]) -> GuardedGateway {
    GuardedGateway::new(SimulatorConfig { users: 5, days: 5, turnover: 0.0, ..SimulatorConfig::default() }, keys).await
}

#[rstest]
#[case::rows(
    Method::GET,
    USERS,
    "all",
    "caller=\"all\" http.method=\"GET\" http.route=\"/v1/users\" http.status=200 rows=5"
)]
#[case::rows_of_a_head_request(
    Method::HEAD,
    USERS,
    "all",
    "caller=\"all\" http.method=\"HEAD\" http.route=\"/v1/users\" http.status=200 rows=0"
)]
#[case::an_export(
    Method::GET,
    "/v1/users?start_date=2026-11-20&end_date=2026-11-20&format=csv",
    "all",
    "caller=\"all\" http.method=\"GET\" http.route=\"/v1/users\" http.status=200 rows=5"
)]
#[case::figures(
    Method::GET,
    "/v1/reports/summary?period=2d",
    "some",
    "caller=\"some\" http.method=\"GET\" http.route=\"/v1/reports/summary\" http.status=200 rows=0"
)]
#[case::an_unknown_user_id(
    Method::GET,
    "/v1/users/ghost?period=2d",
    "all",
    "caller=\"all\" http.method=\"GET\" http.route=\"/v1/users/{user_id}\" http.status=404 rows=0"
)]
#[case::without_the_scope(
    Method::GET,
    USERS,
    "some",
    "caller=\"some\" http.method=\"GET\" http.route=\"/v1/users\" http.status=403 rows=0"
)]
#[case::a_job(
    Method::POST,
    "/v1/backfills?period=2d",
    "root",
    "caller=\"root\" http.method=\"POST\" http.route=\"/v1/backfills\" http.status=202 rows=0"
)]
#[case::without_a_key(
    Method::GET,
    USERS,
    "",
    "refused caller=\"unknown\" http.method=\"GET\" http.route=\"/v1/users\" http.status=401"
)]
#[case::with_a_wrong_key(
    Method::GET,
    USERS,
    "fpk_wrong",
    "refused caller=\"unknown\" http.method=\"GET\" http.route=\"/v1/users\" http.status=401"
)]
#[case::with_an_invalid_token(
    Method::GET,
    "/open-apis/admin/v1/admin_user_stats",
    "t-wrong",
    "refused caller=\"unknown\" http.method=\"GET\" http.route=\"/open-apis/admin/v1/admin_user_stats\" http.status=400"
)]
#[tokio::test]
async fn a_request_is_logged_once(
    #[case] method: Method,
    #[case] path: &str,
    #[case] caller: &str,
    #[case] line: &str,
) {
    let ((log, _guard), keys) = (capture(), callers());
    let guarded = guarded(&keys).await;
    let key = keys.iter().find(|key| key.name == caller).map_or(caller, |key| &key.secret);

    // Days fetched, days cached, response cached.
    for id in ["first", "second", "third"] {
        let request = guarded.request(method.clone(), path).header("x-request-id", id);
        let request = if key.is_empty() { request } else { request.bearer_auth(key) };
        send(request).await;

        let lines = lines_of(&log, id);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(line), "{lines:?}");
        let duration = lines[0].split(" duration_ms=").nth(1).and_then(|rest| rest.split(' ').next());
        let decimals = duration.and_then(|duration| duration.split_once('.')).map(|(_, decimals)| decimals.len());
        assert_eq!(decimals, Some(1), "{lines:?}");
        assert!(
            !lines[0].contains("fpk_") && !lines[0].contains("t-wrong") && !lines[0].contains("period"),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn an_anonymous_request_is_logged_once_and_a_probe_at_debug() {
    let (log, _guard) = CapturedLog::start("debug");
    let setup = Setup::new(SimulatorConfig { users: 5, days: 5, ..SimulatorConfig::default() }).await;
    let get = async |path: &str| {
        let request = setup.http.get(format!("{}{path}", setup.base)).header("x-request-id", id_of(path));
        let body = send(request).await.text;
        let lines: Vec<String> =
            lines_of(&log, &id_of(path)).into_iter().filter(|line| line.contains("http.status=")).collect();
        (body, lines)
    };

    let (body, lines) = get("/v1/coverage?period=2d").await;
    let [line] = &lines[..] else { panic!("one line: {lines:?}") };
    assert!(line.contains("INFO") && line.contains("caller=\"anonymous\""), "{line}");
    assert!(line.contains("http.method=\"GET\" http.route=\"/v1/coverage\" http.status=200"), "{line}");
    assert!(line.contains(&format!("bytes={} ", body.len())), "{line}");

    for path in ["/livez", "/readyz", "/metrics"] {
        let (_, lines) = get(path).await;
        let [line] = &lines[..] else { panic!("one line: {lines:?}") };
        assert!(line.contains("DEBUG") && line.contains(&format!("http.route=\"{path}\"")), "{line}");
    }
}

#[tokio::test]
async fn a_304_response_is_logged_with_no_rows() {
    let ((log, _guard), keys) = (capture(), callers());
    let guarded = guarded(&keys).await;
    let etag = guarded.get(USERS, &keys[0]).await.headers["etag"].clone();
    for (id, preference) in [("router", "wait=9"), ("response-cache", "")] {
        let request = guarded.request(Method::GET, USERS).bearer_auth(&keys[0].secret);
        let request = request.header("if-none-match", etag.clone()).header("x-request-id", id);
        let request = if preference.is_empty() { request } else { request.header("prefer", preference) };
        assert_eq!(send(request).await.status, 304);
        assert!(
            matches!(&lines_of(&log, id)[..], [line] if line.contains("http.status=304 rows=0")),
            "{:?}",
            lines_of(&log, id)
        );
    }
}

#[tokio::test]
async fn an_sdk_is_logged_when_it_signs_in_and_when_it_requests_data() {
    let ((log, _guard), keys) = (capture(), callers());
    let guarded = guarded(&keys).await;
    let sign_in = |secret: &str, id: &str| -> RequestBuilder {
        let credentials = serde_json::json!({"app_id": "all", "app_secret": secret});
        let path = "/open-apis/auth/v3/tenant_access_token/internal";
        guarded.request(Method::POST, path).json(&credentials).header("x-request-id", id)
    };

    send(sign_in("fpk_wrong", "wrong")).await;
    let token = send(sign_in(&keys[0].secret, "right")).await.json()["tenant_access_token"].clone();
    let stats = "/open-apis/admin/v1/admin_user_stats?start_date=2026-11-20&end_date=2026-11-20&page_size=60";
    let request = guarded.request(Method::GET, stats).bearer_auth(token.as_str().expect("a token"));
    send(request.header("x-request-id", "data")).await;

    let line = |id: &str| lines_of(&log, id).join("\n");
    assert!(line("wrong").contains("refused caller=\"unknown\""), "{}", line("wrong"));
    assert!(line("right").contains("caller=\"all\""), "{}", line("right"));
    assert!(line("data").contains("caller=\"all\"") && line("data").contains("rows=5"), "{}", line("data"));
    assert_eq!(["wrong", "right", "data"].map(|id| lines_of(&log, id).len()), [1, 1, 1]);
}

fn callers() -> Vec<Key> {
    vec![
        Key::new("all", &[Scope::UsersRead]),
        Key::new("some", &[Scope::ReportsRead]),
        Key::new("root", &[Scope::Admin]),
    ]
}
