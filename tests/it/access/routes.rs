//! Every route with every combination of scopes, and access from browsers.

use feishu_pulse::{access::Scope, api};
use feishu_simulator::SimulatorConfig;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::{
    access::callers::{GuardedGateway, Key, send},
    support::Setup,
};

fn small() -> SimulatorConfig {
    SimulatorConfig { users: 60, days: 10, ..SimulatorConfig::default() }
}

/// Every documented operation: its method, its path with example parameters, and the scopes of which it requires one
/// (none if it is public).
fn operations() -> Vec<(Method, String, Vec<String>)> {
    let document = api::openapi();
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("methods");
        item.iter().map(move |(method, operation)| {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let names = |requirement: &Value| {
                let schemes: Vec<&Value> = requirement.as_object().expect("schemes").values().collect();
                schemes[0][0].as_str().expect("a scope").to_owned()
            };
            let security = operation["security"].as_array().expect("a security requirement");
            let filled = path.replace("{user_id}", "ou_1").replace("{date}", "2026-11-18");
            let filled = filled.replace("{format}", "csv").replace("{id}", "none").replace("{code}", "internal");
            (method, filled, security.iter().map(names).collect())
        })
    });
    operations.filter(|(_, path, _)| !path.starts_with("/open-apis/")).collect()
}

/// The status of one of the [`operations`] for a caller with the scope.
fn expected_status(method: &Method, path: &str) -> StatusCode {
    match (method.as_str(), path) {
        ("GET", "/metrics" | "/v1/backfills" | "/v1/coverage") => StatusCode::OK,
        ("DELETE", "/v1/days/2026-11-18") => StatusCode::NO_CONTENT,
        (_, path) if path.starts_with("/v1/backfills/none") => StatusCode::NOT_FOUND,
        // The days are missing.
        _ => StatusCode::BAD_REQUEST,
    }
}

#[tokio::test]
async fn each_route_accepts_exactly_the_callers_with_its_scope() {
    let department = "x";
    let keys = [
        (Key::new("reports", &[Scope::ReportsRead]), vec!["reports:read"]),
        (Key::new("users", &[Scope::UsersRead]), vec!["reports:read", "users:read"]),
        (Key::new("admin", &[Scope::Admin]), vec!["admin"]),
        (Key::bound("bound-reports", &[Scope::ReportsRead], &[department]), vec!["reports:read"]),
        (Key::bound("bound-users", &[Scope::UsersRead], &[department]), vec!["reports:read", "users:read"]),
        (Key::pseudonymous("pseudonymous", &[Scope::UsersRead], &[]), vec!["reports:read", "users:read"]),
        (Key::new("all", &[Scope::UsersRead, Scope::Admin]), vec!["reports:read", "users:read", "admin"]),
    ];
    let guarded = GuardedGateway::new(small(), &keys.clone().map(|(key, _)| key)).await;
    let operations = operations();
    assert!(operations.len() > 15);

    for (method, path, scopes) in operations {
        let anonymous = send(guarded.request(method.clone(), &path)).await;
        let stranger = send(guarded.request(method.clone(), &path).bearer_auth("fpk_nonsense")).await;
        if scopes.is_empty() {
            assert!(anonymous.status.is_success() && stranger.status.is_success(), "{method} {path}");
            continue;
        }
        for refused in [&anonymous, &stranger] {
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert!(refused.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer "));
            assert_eq!(refused.problem()["code"], "unauthenticated");
        }
        for (key, scopes_of_key) in &keys {
            let response = send(guarded.request(method.clone(), &path).bearer_auth(&key.secret)).await;
            let may = scopes.iter().any(|scope| scopes_of_key.contains(&scope.as_str()));
            let expected = if may { expected_status(&method, &path) } else { StatusCode::FORBIDDEN };
            assert_eq!(response.status, expected, "{method} {path} for {}: {}", key.name, response.text);
            if !may {
                assert_eq!(response.problem()["required_scope"], scopes[0].as_str());
                let challenge = response.headers["www-authenticate"].to_str().unwrap();
                assert!(challenge.contains("insufficient_scope") && challenge.contains(&scopes[0]), "{challenge}");
            }
        }
    }
}

#[tokio::test]
async fn a_cached_response_is_not_sent_to_a_caller_without_the_scope() {
    let (users, reports) = (Key::new("users", &[Scope::UsersRead]), Key::new("reports", &[Scope::ReportsRead]));
    let guarded = GuardedGateway::new(small(), &[users.clone(), reports.clone()]).await;
    let path = "/v1/users?period=3d";
    let first = guarded.get(path, &users).await;
    let again = guarded.get(path, &users).await;
    assert_eq!((first.status, &first.text), (again.status, &again.text));
    assert_eq!(first.status, StatusCode::OK);
    let etag = again.headers["etag"].to_str().unwrap();

    assert_eq!(guarded.get(path, &reports).await.status, StatusCode::FORBIDDEN);
    assert_eq!(send(guarded.request(Method::GET, path)).await.status, StatusCode::UNAUTHORIZED);
    let conditional = guarded.request(Method::GET, path).header("if-none-match", etag);
    assert_eq!(send(conditional).await.status, StatusCode::UNAUTHORIZED);
    let conditional = guarded.request(Method::GET, path).header("if-none-match", etag).bearer_auth(&users.secret);
    assert_eq!(send(conditional).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn figures_of_one_person_require_users_read() {
    let (users, reports) = (Key::new("users", &[Scope::UsersRead]), Key::new("reports", &[Scope::ReportsRead]));
    let guarded = GuardedGateway::new(small(), &[users.clone(), reports.clone()]).await;
    let everyone = guarded.get("/v1/users?period=3d", &users).await.json();
    let person = everyone["data"][0]["user_id"].as_str().unwrap();
    for report in ["summary", "activity", "clients"] {
        let path = format!("/v1/reports/{report}?period=3d&user_id={person}");
        assert_eq!(guarded.get(&path, &users).await.status, StatusCode::OK);
        let refused = guarded.get(&path, &reports).await;
        assert_eq!(
            (refused.status, &refused.problem()["required_scope"]),
            (StatusCode::FORBIDDEN, &"users:read".into())
        );
    }
}

#[tokio::test]
async fn a_job_is_visible_to_its_owner_and_to_administrators() {
    let keys = ["one", "other"].map(|name| Key::new(name, &[Scope::ReportsRead]));
    let (bound, admin) = (Key::bound("bound", &[Scope::ReportsRead], &["x"]), Key::new("admin", &[Scope::Admin]));
    let [one, other] = &keys;
    let guarded = GuardedGateway::new(small(), &[one.clone(), other.clone(), bound.clone(), admin.clone()]).await;
    let request_async = |key: &Key| {
        let path = "/v1/reports/activity?start_date=2026-11-13&end_date=2026-11-18";
        guarded.request(Method::GET, path).bearer_auth(&key.secret).header("prefer", "respond-async, wait=0")
    };
    let accepted = send(request_async(one)).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    let location = accepted.headers["location"].to_str().unwrap().to_owned();

    let own = guarded.get(&location, one).await.json();
    assert!(own["question"].is_string() && own["calls"].is_u64());
    assert_eq!(guarded.get(&location, other).await.status, StatusCode::NOT_FOUND);
    assert_eq!(guarded.get(&format!("{location}/events"), other).await.status, StatusCode::NOT_FOUND);
    let cancelled = guarded.request(Method::DELETE, &location).bearer_auth(&other.secret);
    assert_eq!(send(cancelled).await.status, StatusCode::NOT_FOUND);
    assert!(guarded.get("/v1/backfills", other).await.json()["data"].as_array().unwrap().is_empty());
    let seen = guarded.get("/v1/backfills", &admin).await.json();
    assert!(seen["data"][0]["question"].is_null() && seen["data"][0]["id"] == own["id"]);
}

#[tokio::test]
async fn without_access_control_only_loopback_host_names_are_served() {
    let setup = Setup::new(small()).await;
    let request_to = |host: &str| setup.http.get(format!("{}/v1/coverage", setup.base)).header("host", host.to_owned());

    assert_eq!(send(request_to("localhost:8080")).await.status, StatusCode::OK);
    let rebound = send(request_to("pulse.example.com")).await;

    assert_eq!(rebound.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(rebound.problem()["code"], "host_not_served");
    // Cached responses neither.
    let path = format!("{}/v1/reports/summary?period=3d", setup.base);
    for _ in 0..2 {
        assert_eq!(send(setup.http.get(&path)).await.status, StatusCode::OK);
    }
    let rebound = send(setup.http.get(&path).header("host", "pulse.example.com")).await;
    assert_eq!(rebound.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn with_anonymous_access_allowed_every_host_name_is_served() {
    let setup = Setup::with(small(), |config| config.access.allow_anonymous = true).await;
    let request = setup.http.get(format!("{}/v1/coverage", setup.base)).header("host", "pulse.example.com");
    assert_eq!(send(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_documentation_pages_load_nothing_from_other_origins() {
    let setup = Setup::new(small()).await;
    let page = setup.get("/docs/").await;
    assert_eq!(page.status, StatusCode::OK);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(
        (&page.headers["x-content-type-options"], &page.headers["referrer-policy"]),
        (&"nosniff".parse().unwrap(), &"no-referrer".parse().unwrap())
    );
    // The policy forbids inline scripts.
    assert!(!page.text.contains("<script>"), "{}", page.text);
}

#[tokio::test]
async fn only_configured_origins_may_read_responses() {
    let closed = Setup::new(small()).await;
    let open =
        Setup::with(small(), |config| config.cors_origins = vec!["https://bi.example.com".parse().unwrap()]).await;
    let preflight = async |setup: &Setup, origin: &str| {
        let request = setup.http.request(Method::OPTIONS, format!("{}/v1/users", setup.base));
        let request = request.header("origin", origin).header("access-control-request-method", "GET");
        let response = send(request.header("access-control-request-headers", "authorization")).await;
        (response.status, response.headers.get("access-control-allow-origin").cloned())
    };

    let origin = Some("https://bi.example.com".parse().unwrap());
    assert_eq!(preflight(&open, "https://bi.example.com").await, (StatusCode::OK, origin));
    assert_eq!(preflight(&open, "https://evil.example").await, (StatusCode::OK, None));
    assert_eq!(preflight(&closed, "https://bi.example.com").await, (StatusCode::METHOD_NOT_ALLOWED, None));
}

#[tokio::test]
async fn pages_of_allowed_origins_may_send_trace_contexts() {
    let origin = "https://bi.example.com";
    let setup = Setup::with(small(), |config| config.cors_origins = vec![origin.parse().unwrap()]).await;
    let preflight = setup.http.request(Method::OPTIONS, format!("{}/v1/users", setup.base)).header("origin", origin);
    let preflight = preflight.header("access-control-request-method", "GET");
    let preflight = preflight.header("access-control-request-headers", "authorization,traceparent,tracestate");

    let response = send(preflight).await;

    let allowed = response.headers["access-control-allow-headers"].to_str().unwrap();
    let is_allowed = |name: &str| allowed.split(',').any(|allowed| allowed.trim() == name);
    assert!(is_allowed("authorization") && is_allowed("traceparent") && is_allowed("tracestate"), "{allowed}");
}

#[tokio::test]
async fn a_cached_response_still_has_cors_headers() {
    let origin = "https://bi.example.com";
    let open = Setup::with(small(), |config| config.cors_origins = vec![origin.parse().unwrap()]).await;
    let path = format!("{}/v1/reports/summary?period=2d", open.base);
    for _ in 0..4 {
        let response = send(open.http.get(&path).header("origin", origin)).await;
        assert_eq!(response.headers["access-control-allow-origin"], origin);
        let varies: Vec<_> = response.headers.get_all("vary").iter().map(|names| names.to_str().unwrap()).collect();
        assert!(varies.join(",").contains("origin"), "{varies:?}");
        // A request without an origin may fill the response cache.
        assert_eq!(send(open.http.get(&path)).await.status, StatusCode::OK);
    }
}
