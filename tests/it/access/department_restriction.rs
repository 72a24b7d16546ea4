//! A key that is bound to departments: its responses contain nothing from outside them.

use std::collections::BTreeSet;

use feishu_pulse::access::Scope;
use feishu_simulator::{GroundTruthRow, SimulatorConfig, TenantGeo};
use reqwest::{Method, StatusCode};

use crate::{
    access::callers::{GuardedGateway, Key, encoded, send},
    support::{ApiResponse, Setup, captured_log::CapturedLog, day, eventually},
};

const RANGE: &str = "start_date=2026-11-10&end_date=2026-11-21";

/// Requests to every endpoint with many selections.
fn requests(inside: &str, outside: &str, insider: &str, outsider: &str) -> Vec<String> {
    let select = |by: String| [format!("{RANGE}&{by}"), format!("period=5d&{by}")];
    let selections: Vec<String> = [
        "allow_partial=false".to_owned(),
        format!("department_path={}", encoded(inside)),
        format!("department_path={}", encoded(outside)),
        "department_path=nowhere".to_owned(),
    ]
    .into_iter()
    .flat_map(select)
    .collect();
    let mut requests = Vec::new();
    for selection in &selections {
        for (path, formats) in [
            ("/v1/user-days", &["json&limit=7", "csv", "ndjson"][..]),
            ("/v1/users", &["json&limit=7&sort=-send_messenger_num", "json&inactive_for=2d", "csv", "ndjson"][..]),
            ("/v1/reports/summary", &["json", "csv"][..]),
            ("/v1/reports/activity", &["json", "json&interval=week", "json&trailing=fetch", "csv"][..]),
            ("/v1/reports/departments", &["json", "json&layout=tree", "csv"][..]),
            ("/v1/reports/retention", &["json", "csv"][..]),
            ("/v1/reports/movement", &["json", "json&interval=month", "csv"][..]),
            ("/v1/reports/clients", &["json", "csv"][..]),
        ] {
            requests.extend(formats.iter().map(|format| format!("{path}?{selection}&format={format}")));
        }
    }
    for person in [insider, outsider, "ou_nobody"] {
        requests.push(format!("/v1/users/{person}?{RANGE}"));
        requests.push(format!("/v1/user-days?{RANGE}&user_id={person}"));
        requests.push(format!("/v1/reports/summary?{RANGE}&user_id={person}"));
    }
    requests.push(format!("/v1/coverage?{RANGE}"));
    requests.push("/v1/backfills".to_owned());
    requests.push(format!("/v1/user-days?{RANGE}&department_id=od-1"));
    requests
}

fn rows(setup: &Setup) -> Vec<GroundTruthRow> {
    let days = feishu_pulse::model::DayRange::new(day("2026-10-20"), day("2026-11-21")).expect("a range");
    days.days().flat_map(|day| setup.simulator.tenant().rows_of(TenantGeo::Cn, day.date())).collect()
}

fn is_within(row: &GroundTruthRow, path: &str) -> bool {
    row.department_path == path || row.department_path.starts_with(&format!("{path}/"))
}

/// The largest department that has the same people in both tenants.
fn common(large: &[GroundTruthRow], small: &[GroundTruthRow]) -> String {
    let paths: BTreeSet<&str> = small.iter().map(|row| row.department_path.as_str()).collect();
    let inside = |rows: &[GroundTruthRow], path: &str| {
        rows.iter().filter(|row| is_within(row, path)).cloned().collect::<Vec<_>>()
    };
    let same = paths.into_iter().filter(|path| inside(large, path) == inside(small, path));
    same.max_by_key(|path| inside(small, path).len()).expect("a department that is the same in both").to_owned()
}

/// What a caller sees of a response, without request id and date.
fn visible(response: &ApiResponse) -> (StatusCode, Vec<(String, String)>, String) {
    let left_out = ["x-request-id", "date"];
    let headers = response.headers.iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned())).collect();
    headers.sort();
    let id = response.headers["x-request-id"].to_str().expect("text");
    (response.status, headers, response.text.replace(id, "the id"))
}

#[tokio::test]
async fn no_response_depends_on_people_outside_the_departments() {
    // Both tenants have the same departments and the first 120 people in common.
    let tenant = |users| SimulatorConfig { users, days: 40, ..SimulatorConfig::default() };
    let probes = [Setup::new(tenant(131)).await, Setup::new(tenant(120)).await];
    let [large, small] = [&probes[0], &probes[1]].map(rows);
    assert!(large.len() > small.len());
    let inside = common(&large, &small);
    let (insiders, outsiders): (Vec<&GroundTruthRow>, Vec<&GroundTruthRow>) =
        large.iter().partition(|row| is_within(row, &inside));
    let ids = |rows: &[&GroundTruthRow]| rows.iter().map(|row| row.open_id.clone()).collect::<BTreeSet<_>>();
    let (inside_ids, mut outside_ids) = (ids(&insiders), ids(&outsiders));
    outside_ids.retain(|id| !inside_ids.contains(id));
    let outside_path = &outsiders.iter().find(|row| !inside.starts_with(&row.department_path)).unwrap().department_path;
    let requests = requests(&inside, outside_path, inside_ids.first().unwrap(), outside_ids.first().unwrap());

    let key = Key::bound("bound", &[Scope::UsersRead], &[&inside]);
    let gateways = [
        GuardedGateway::new(tenant(131), std::slice::from_ref(&key)).await,
        GuardedGateway::new(tenant(120), std::slice::from_ref(&key)).await,
    ];

    for path in &requests {
        // The second response comes from the cache.
        for _ in 0..2 {
            let [one, other] = [&gateways[0], &gateways[1]].map(|gateway| gateway.get(path, &key));
            let (one, other) = (one.await, other.await);
            assert_eq!(visible(&one), visible(&other), "{path}");
            assert!(!one.status.is_server_error(), "{path}: {}", one.text);
            assert!(outside_ids.iter().all(|id| path.contains(id) || !one.text.contains(id.as_str())), "{path}");
            let shown = one.text.replace(path.as_str(), "");
            assert!(path.contains(&encoded(outside_path)) || !shown.contains(&format!("\"{outside_path}\"")), "{path}");
        }
    }
    let everything = gateways[0].get(&format!("/v1/user-days?{RANGE}&format=ndjson"), &key).await.lines();
    let expected = insiders.iter().filter(|row| row.day >= day("2026-11-10").date()).count();
    assert_eq!(everything.len(), expected);
}

#[tokio::test]
async fn a_person_outside_is_reported_like_an_unknown_person() {
    let probe = Setup::new(SimulatorConfig { users: 60, days: 20, ..SimulatorConfig::default() }).await;
    let truth = rows(&probe);
    let inside = truth[0].department_path.clone();
    let outsider = truth.iter().find(|row| !is_within(row, &inside)).unwrap();
    let key = Key::bound("bound", &[Scope::UsersRead], &[&inside]);
    let guarded = GuardedGateway::new(
        SimulatorConfig { users: 60, days: 20, ..SimulatorConfig::default() },
        std::slice::from_ref(&key),
    )
    .await;

    let response_for = async |person: &str| {
        let response = guarded.get(&format!("/v1/users/{person}?period=3d"), &key).await;
        (response.status, response.problem()["detail"].clone())
    };
    let outside = response_for(&outsider.open_id).await;
    assert_eq!(outside, response_for("ou_nobody").await);
    assert_eq!(outside.0, StatusCode::NOT_FOUND);
    let named = guarded.get("/v1/users?period=3d&department_id=od-1", &key).await;
    assert_eq!(named.problem()["errors"][0]["parameter"], "department_id");
}

#[tokio::test]
async fn a_department_outside_the_binding_is_forbidden_whether_or_not_it_exists() {
    let simulation = SimulatorConfig { users: 60, days: 20, ..SimulatorConfig::default() };
    let truth = rows(&Setup::new(simulation.clone()).await);
    let (inside, others): (Vec<_>, Vec<_>) = truth.iter().partition(|row| is_within(row, &truth[0].department_path));
    let inside = &inside[0].department_path;
    let outside = others.iter().map(|row| &row.department_path).find(|path| !inside.starts_with(path.as_str()));
    let outside = outside.expect("a department outside").as_str();
    let key = Key::bound("bound", &[Scope::UsersRead], &[inside]);
    let guarded = GuardedGateway::new(simulation, std::slice::from_ref(&key)).await;

    for endpoint in ["user-days", "users", "reports/summary", "reports/activity", "reports/departments"] {
        let answer = async |path: &str| {
            let url = format!("/v1/{endpoint}?{RANGE}&department_path={}&format=csv", encoded(path));
            guarded.get(&url, &key).await
        };
        let (existing, missing) = (answer(outside).await, answer("nowhere").await);
        assert_eq!(existing.status, StatusCode::FORBIDDEN, "{endpoint}");
        for response in [&existing, &missing] {
            assert_eq!(response.problem()["code"], "department_not_allowed");
            assert!(response.problem()["detail"].as_str().is_some_and(|detail| detail.contains(inside)));
        }
        assert_eq!(existing.problem()["detail"], missing.problem()["detail"]);
    }
    assert_eq!(guarded.setup.upstream_calls(), 0, "a refused request costs no call");
    let below = format!("/v1/users?{RANGE}&department_path={}", encoded(&format!("{inside}/x")));
    let below = guarded.get(&below, &key).await.problem();
    assert_eq!(below["code"], "not_found");
    let suggestions = below["suggestions"].as_array().expect("suggestions");
    assert!(suggestions.iter().all(|path| path.as_str().is_some_and(|path| path.starts_with(inside.as_str()))));
    // The departments above the binding are in the report of the caller, so they can be selected.
    for item in guarded.get(&format!("/v1/reports/departments?{RANGE}"), &key).await.json()["data"].as_array().unwrap()
    {
        let path = encoded(item["department_path"].as_str().unwrap());
        assert!(
            guarded
                .get(&format!("/v1/reports/activity?{RANGE}&department_path={path}"), &key)
                .await
                .status
                .is_success()
        );
    }
}

#[tokio::test]
async fn a_key_for_a_department_that_no_row_has_is_logged_once_days_are_there() {
    let (log, _guard) = CapturedLog::start("feishu_pulse=warn");
    let simulation = SimulatorConfig { users: 60, days: 20, ..SimulatorConfig::default() };
    let inside = rows(&Setup::new(simulation.clone()).await)[0].department_path.clone();
    let keys = [
        Key::new("all", &[Scope::UsersRead]),
        Key::bound("good", &[Scope::UsersRead], &[&inside]),
        Key::bound("misspelt", &[Scope::UsersRead], &[&inside, "Reserch"]),
    ];
    let guarded = GuardedGateway::new(simulation, &keys).await;
    let warnings = || log.lines("restricted to a department that no row has");

    guarded.get("/v1/reports/activity?period=1d", &keys[1]).await;
    let calls = guarded.setup.upstream_calls();
    eventually(async || !warnings().is_empty()).await;

    let warnings = warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("misspelt") && warnings[0].contains("Reserch"), "{warnings:?}");
    assert_eq!(guarded.setup.upstream_calls(), calls);
}

#[tokio::test]
async fn deleting_a_day_also_deletes_the_cached_view_of_a_bound_key() {
    let probe = Setup::new(SimulatorConfig { users: 60, days: 20, ..SimulatorConfig::default() }).await;
    let inside = rows(&probe)[0].department_path.clone();
    let (key, admin) = (Key::bound("bound", &[Scope::UsersRead], &[&inside]), Key::new("admin", &[Scope::Admin]));
    let simulation = SimulatorConfig { users: 60, days: 20, ..SimulatorConfig::default() };
    let guarded = GuardedGateway::new(simulation, &[key.clone(), admin.clone()]).await;
    let path = "/v1/user-days?start_date=2026-11-18&end_date=2026-11-18";
    guarded.get(path, &key).await.json();
    let calls = guarded.setup.upstream_calls();
    guarded.get(path, &key).await.json();
    assert_eq!(guarded.setup.upstream_calls(), calls);

    let deletion = guarded.request(Method::DELETE, "/v1/days/2026-11-18").bearer_auth(&admin.secret);
    assert_eq!(send(deletion).await.status, StatusCode::NO_CONTENT);

    guarded.get(path, &key).await.json();
    assert!(guarded.setup.upstream_calls() > calls);
}
