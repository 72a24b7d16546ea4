//! Every route, every scope: who is let in, and what the others are told.

use feishu_pulse::{access::Scope, api, sim::SimConfig};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::{
    callers::{Guarded, Key, sent},
    support::Setup,
};

fn small() -> SimConfig {
    SimConfig { users: 60, days: 10, ..SimConfig::default() }
}

/// Every documented operation: its method, its path with something in the place of parameters, and the scopes of which
/// it takes one. None where it takes nothing.
fn operations() -> Vec<(Method, String, Vec<String>)> {
    let document = serde_json::to_value(api::openapi()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("methods");
        item.iter().map(move |(method, operation)| {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let names = |requirement: &Value| {
                let schemes: Vec<&Value> = requirement.as_object().expect("schemes").values().collect();
                schemes[0][0].as_str().expect("a scope").to_owned()
            };
            let security = operation["security"].as_array().expect("a decision");
            let filled = path.replace("{user_id}", "ou_1").replace("{date}", "2026-11-18");
            let filled = filled.replace("{id}", "none").replace("{code}", "internal");
            (method, filled, security.iter().map(names).collect())
        })
    });
    operations.filter(|(_, path, _)| !path.starts_with("/open-apis/")).collect()
}

#[tokio::test]
async fn each_route_lets_in_who_has_its_scope_and_nobody_else() {
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
    let guarded = Guarded::new(small(), &keys.clone().map(|(key, _)| key)).await;
    let operations = operations();
    assert!(operations.len() > 15);

    for (method, path, scopes) in operations {
        let anonymous = sent(guarded.request(method.clone(), &path)).await;
        let stranger = sent(guarded.request(method.clone(), &path).bearer_auth("fpk_nonsense")).await;
        if scopes.is_empty() {
            assert!(anonymous.status.is_success() && stranger.status.is_success(), "{method} {path}");
            continue;
        }
        for refused in [&anonymous, &stranger] {
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert!(refused.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer "));
            assert_eq!(refused.problem()["code"], "unauthenticated");
        }
        for (key, holds) in &keys {
            let answer = sent(guarded.request(method.clone(), &path).bearer_auth(&key.secret)).await;
            let may = scopes.iter().any(|scope| holds.contains(&scope.as_str()));
            assert_eq!(answer.status != StatusCode::FORBIDDEN, may, "{method} {path} for {}", key.name);
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED);
            if !may {
                assert_eq!(answer.problem()["required_scope"], scopes[0].as_str());
                let challenge = answer.headers["www-authenticate"].to_str().unwrap();
                assert!(challenge.contains("insufficient_scope") && challenge.contains(&scopes[0]), "{challenge}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_kept_is_not_given_to_who_may_not_see_it() {
    let (users, reports) = (Key::new("users", &[Scope::UsersRead]), Key::new("reports", &[Scope::ReportsRead]));
    let guarded = Guarded::new(small(), &[users.clone(), reports.clone()]).await;
    let path = "/v1/users?period=3d";
    let first = guarded.get(path, &users).await;
    let again = guarded.get(path, &users).await;
    assert_eq!((first.status, &first.text), (again.status, &again.text));
    assert_eq!(first.status, StatusCode::OK);
    let tag = again.headers["etag"].to_str().unwrap();

    assert_eq!(guarded.get(path, &reports).await.status, StatusCode::FORBIDDEN);
    assert_eq!(sent(guarded.request(Method::GET, path)).await.status, StatusCode::UNAUTHORIZED);
    let conditional = guarded.request(Method::GET, path).header("if-none-match", tag);
    assert_eq!(sent(conditional).await.status, StatusCode::UNAUTHORIZED);
    let conditional = guarded.request(Method::GET, path).header("if-none-match", tag).bearer_auth(&users.secret);
    assert_eq!(sent(conditional).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn figures_of_one_person_are_no_figures_of_a_group() {
    let (users, reports) = (Key::new("users", &[Scope::UsersRead]), Key::new("reports", &[Scope::ReportsRead]));
    let guarded = Guarded::new(small(), &[users.clone(), reports.clone()]).await;
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
async fn jobs_are_seen_by_who_ordered_them_and_by_administrators() {
    let keys = ["one", "other"].map(|name| Key::new(name, &[Scope::ReportsRead]));
    let (bound, admin) = (Key::bound("bound", &[Scope::ReportsRead], &["x"]), Key::new("admin", &[Scope::Admin]));
    let [one, other] = &keys;
    let guarded = Guarded::new(small(), &[one.clone(), other.clone(), bound.clone(), admin.clone()]).await;
    let ask = |key: &Key| {
        let path = "/v1/reports/activity?start_date=2026-11-13&end_date=2026-11-18";
        guarded.request(Method::GET, path).bearer_auth(&key.secret).header("prefer", "respond-async, wait=0")
    };
    let accepted = sent(ask(one)).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    let place = accepted.headers["location"].to_str().unwrap().to_owned();

    let own = guarded.get(&place, one).await.json();
    assert!(own["question"].is_string() && own["calls"].is_u64());
    assert_eq!(guarded.get(&place, other).await.status, StatusCode::NOT_FOUND);
    assert_eq!(guarded.get(&format!("{place}/events"), other).await.status, StatusCode::NOT_FOUND);
    let cancelled = guarded.request(Method::DELETE, &place).bearer_auth(&other.secret);
    assert_eq!(sent(cancelled).await.status, StatusCode::NOT_FOUND);
    assert!(guarded.get("/v1/backfills", other).await.json()["data"].as_array().unwrap().is_empty());
    let seen = guarded.get("/v1/backfills", &admin).await.json();
    assert!(seen["data"][0]["question"].is_null() && seen["data"][0]["id"] == own["id"]);
}

#[tokio::test]
async fn without_access_control_only_names_of_this_machine_are_answered() {
    let setup = Setup::new(small()).await;
    let ask = |host: &str| setup.http.get(format!("{}/v1/coverage", setup.base)).header("host", host.to_owned());

    assert_eq!(sent(ask("localhost:8080")).await.status, StatusCode::OK);
    let rebound = sent(ask("pulse.example.com")).await;

    assert_eq!(rebound.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(rebound.problem()["code"], "host_not_served");
    // Nor what is kept.
    let path = format!("{}/v1/reports/summary?period=3d", setup.base);
    for _ in 0..2 {
        assert_eq!(sent(setup.http.get(&path)).await.status, StatusCode::OK);
    }
    let rebound = sent(setup.http.get(&path).header("host", "pulse.example.com")).await;
    assert_eq!(rebound.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn whoever_controls_access_elsewhere_is_answered_under_any_name() {
    let setup = Setup::with(small(), |config| config.access.allow_anonymous = true).await;
    let request = setup.http.get(format!("{}/v1/coverage", setup.base)).header("host", "pulse.example.com");
    assert_eq!(sent(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_pages_of_the_documentation_can_load_nothing_from_elsewhere() {
    let setup = Setup::new(small()).await;
    let page = setup.get("/docs/").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(
        (&page.headers["x-content-type-options"], &page.headers["referrer-policy"]),
        (&"nosniff".parse().unwrap(), &"no-referrer".parse().unwrap())
    );
    // The policy allows no script within the page.
    assert!(!page.text.contains("<script>"), "{}", page.text);
}

#[tokio::test]
async fn other_origins_read_answers_only_where_they_are_named() {
    let closed = Setup::new(small()).await;
    let open =
        Setup::with(small(), |config| config.cors_origins = vec!["https://bi.example.com".parse().unwrap()]).await;
    let preflight = |setup: &Setup, origin: &str| {
        let request = setup.http.request(Method::OPTIONS, format!("{}/v1/users", setup.base));
        let request = request.header("origin", origin.to_owned()).header("access-control-request-method", "GET");
        sent(request.header("access-control-request-headers", "authorization"))
    };

    let allowed = preflight(&open, "https://bi.example.com").await;
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://bi.example.com");
    assert!(!preflight(&open, "https://evil.example").await.headers.contains_key("access-control-allow-origin"));
    assert!(!preflight(&closed, "https://bi.example.com").await.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_page_may_read_an_answer_however_often_it_was_given_before() {
    let origin = "https://bi.example.com";
    let open = Setup::with(small(), |config| config.cors_origins = vec![origin.parse().unwrap()]).await;
    let path = format!("{}/v1/reports/summary?period=2d", open.base);
    for _ in 0..4 {
        let answer = sent(open.http.get(&path).header("origin", origin)).await;
        assert_eq!(answer.headers["access-control-allow-origin"], origin);
        let varies: Vec<_> = answer.headers.get_all("vary").iter().map(|names| names.to_str().unwrap()).collect();
        assert!(varies.join(",").contains("origin"), "{varies:?}");
        // Whoever is no page may have taught the front.
        assert_eq!(sent(open.http.get(&path)).await.status, StatusCode::OK);
    }
}
