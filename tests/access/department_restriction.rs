//! A key that is bound to departments: nothing of its answers comes from outside.

use std::collections::BTreeSet;

use feishu_pulse::{access::Scope, model::Geo, sim::SimConfig, sim::TruthRow};
use reqwest::{Method, StatusCode};

use crate::{
    callers::{Guarded, Key, encoded, sent},
    support::{Answer, Setup, day},
};

const RANGE: &str = "start_date=2026-11-10&end_date=2026-11-21";

/// Ways of asking for everything there is to ask.
fn questions(inside: &str, outside: &str, insider: &str, outsider: &str) -> Vec<String> {
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
    let mut questions = Vec::new();
    for selection in &selections {
        for (path, formats) in [
            ("/v1/user-days", &["json&limit=7", "csv", "ndjson"][..]),
            ("/v1/users", &["json&limit=7&sort=-send_messenger_num", "json&inactive_for=2d", "csv", "ndjson"][..]),
            ("/v1/reports/summary", &["json", "csv"][..]),
            ("/v1/reports/activity", &["json", "json&interval=week", "json&trailing=fetch", "csv"][..]),
            ("/v1/reports/departments", &["json", "json&layout=tree", "csv"][..]),
            ("/v1/reports/retention", &["json", "csv"][..]),
            ("/v1/reports/clients", &["json", "csv"][..]),
        ] {
            questions.extend(formats.iter().map(|format| format!("{path}?{selection}&format={format}")));
        }
    }
    for person in [insider, outsider, "ou_nobody"] {
        questions.push(format!("/v1/users/{person}?{RANGE}"));
        questions.push(format!("/v1/user-days?{RANGE}&user_id={person}"));
        questions.push(format!("/v1/reports/summary?{RANGE}&user_id={person}"));
    }
    questions.push(format!("/v1/coverage?{RANGE}"));
    questions.push("/v1/backfills".to_owned());
    questions.push(format!("/v1/user-days?{RANGE}&department_id=od-1"));
    questions
}

fn rows(setup: &Setup) -> Vec<TruthRow> {
    let days = feishu_pulse::model::DayRange::new(day("2026-10-20"), day("2026-11-21")).expect("a range");
    days.days().flat_map(|day| setup.simulator.tenant().rows_of(Geo::Cn, day)).collect()
}

fn is_within(row: &TruthRow, path: &str) -> bool {
    row.department_path == path || row.department_path.starts_with(&format!("{path}/"))
}

/// A department that is the same in both tenants, while others are not.
fn common(crowded: &[TruthRow], quiet: &[TruthRow]) -> String {
    let paths: BTreeSet<&str> = quiet.iter().map(|row| row.department_path.as_str()).collect();
    let inside =
        |rows: &[TruthRow], path: &str| rows.iter().filter(|row| is_within(row, path)).cloned().collect::<Vec<_>>();
    let same = paths.into_iter().filter(|path| inside(crowded, path) == inside(quiet, path));
    same.max_by_key(|path| inside(quiet, path).len()).expect("a department that is the same in both").to_owned()
}

/// What a caller can tell of an answer, but for the id of its request.
fn told(answer: &Answer) -> (StatusCode, Vec<(String, String)>, String) {
    let left_out = ["x-request-id", "date"];
    let headers = answer.headers.iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned())).collect();
    headers.sort();
    let id = answer.headers["x-request-id"].to_str().expect("text");
    (answer.status, headers, answer.text.replace(id, "the id"))
}

#[tokio::test]
async fn no_answer_depends_on_who_else_there_is() {
    // Both have the same departments, and the first 120 people in common.
    let tenant = |users| SimConfig { users, days: 40, ..SimConfig::default() };
    let probes = [Setup::new(tenant(131)).await, Setup::new(tenant(120)).await];
    let [crowded, quiet] = [&probes[0], &probes[1]].map(rows);
    assert!(crowded.len() > quiet.len());
    let inside = common(&crowded, &quiet);
    let (insiders, outsiders): (Vec<&TruthRow>, Vec<&TruthRow>) =
        crowded.iter().partition(|row| is_within(row, &inside));
    let ids = |rows: &[&TruthRow]| rows.iter().map(|row| row.open_id.clone()).collect::<BTreeSet<_>>();
    let (inside_ids, mut outside_ids) = (ids(&insiders), ids(&outsiders));
    outside_ids.retain(|id| !inside_ids.contains(id));
    let outside_path = &outsiders.iter().find(|row| !inside.starts_with(&row.department_path)).unwrap().department_path;
    let questions = questions(&inside, outside_path, inside_ids.first().unwrap(), outside_ids.first().unwrap());

    let key = Key::bound("bound", &[Scope::UsersRead], &[&inside]);
    let gateways = [
        Guarded::new(tenant(131), std::slice::from_ref(&key)).await,
        Guarded::new(tenant(120), std::slice::from_ref(&key)).await,
    ];

    for question in &questions {
        // The second time it comes from what is held.
        for _ in 0..2 {
            let [one, other] = [&gateways[0], &gateways[1]].map(|gateway| gateway.get(question, &key));
            let (one, other) = (one.await, other.await);
            assert_eq!(told(&one), told(&other), "{question}");
            assert!(
                outside_ids.iter().all(|id| question.contains(id) || !one.text.contains(id.as_str())),
                "{question}"
            );
            let shown = one.text.replace(question.as_str(), "");
            assert!(
                question.contains(&encoded(outside_path)) || !shown.contains(&format!("\"{outside_path}\"")),
                "{question}"
            );
        }
    }
    let everything = gateways[0].get(&format!("/v1/user-days?{RANGE}&format=ndjson"), &key).await.lines();
    let expected = insiders.iter().filter(|row| row.day >= day("2026-11-10")).count();
    assert_eq!(everything.len(), expected);
}

#[tokio::test]
async fn who_is_outside_is_told_apart_from_nobody_by_nothing() {
    let probe = Setup::new(SimConfig { users: 60, days: 20, ..SimConfig::default() }).await;
    let truth = rows(&probe);
    let inside = truth[0].department_path.clone();
    let outsider = truth.iter().find(|row| !is_within(row, &inside)).unwrap();
    let key = Key::bound("bound", &[Scope::UsersRead], &[&inside]);
    let guarded =
        Guarded::new(SimConfig { users: 60, days: 20, ..SimConfig::default() }, std::slice::from_ref(&key)).await;

    let of = async |person: &str| {
        let answer = guarded.get(&format!("/v1/users/{person}?period=3d"), &key).await;
        (answer.status, answer.problem()["detail"].clone())
    };
    assert_eq!(of(&outsider.open_id).await, of("ou_nobody").await);
    let named = guarded.get("/v1/users?period=3d&department_id=od-1", &key).await;
    assert_eq!(named.problem()["errors"][0]["parameter"], "department_id");
}

#[tokio::test]
async fn what_is_held_for_a_bound_key_is_forgotten_with_the_day() {
    let probe = Setup::new(SimConfig { users: 60, days: 20, ..SimConfig::default() }).await;
    let inside = rows(&probe)[0].department_path.clone();
    let (key, admin) = (Key::bound("bound", &[Scope::UsersRead], &[&inside]), Key::new("admin", &[Scope::Admin]));
    let simulation = SimConfig { users: 60, days: 20, ..SimConfig::default() };
    let guarded = Guarded::new(simulation, &[key.clone(), admin.clone()]).await;
    let path = "/v1/user-days?start_date=2026-11-18&end_date=2026-11-18";
    guarded.get(path, &key).await.json();
    let calls = guarded.setup.upstream_calls();
    guarded.get(path, &key).await.json();
    assert_eq!(guarded.setup.upstream_calls(), calls);

    let forgotten = guarded.request(Method::DELETE, "/v1/days/2026-11-18").bearer_auth(&admin.secret);
    assert_eq!(sent(forgotten).await.status, StatusCode::NO_CONTENT);

    guarded.get(path, &key).await.json();
    assert!(guarded.setup.upstream_calls() > calls);
}
