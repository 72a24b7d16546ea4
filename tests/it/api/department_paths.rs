//! Every department that is listed can be selected as it is listed, whatever characters its path has.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::Query,
    routing::{get, post},
};
use feishu_pulse::model::{Day, DayRange};
use feishu_simulator::SimulatorConfig;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    access::callers::encoded,
    support::{Setup, day},
};

/// Parts of paths that are easily lost: slashes, spaces, characters with a meaning in URLs, control characters.
const PARTS: [&str; 16] = ["/", "/", "/", "a", "b", "总部", " ", "\t", "+", "%", "%2F", "#", "&", "=", "\u{feff}", "é"];

/// Random paths of a day. Some are empty.
fn paths(day: Day) -> Vec<String> {
    let mut rng = fastrand::Rng::with_seed(day.days_since_year_zero().unsigned_abs().into());
    let mut path = || (0..rng.usize(0..7)).map(|_| PARTS[rng.usize(..PARTS.len())]).collect::<String>();
    (0..12).map(|_| path()).collect()
}

/// An upstream whose rows are in random departments. Every day is one page.
async fn upstream() -> String {
    let token = post(async || Json(json!({ "code": 0, "msg": "ok", "tenant_access_token": "t", "expire": 7200 })));
    let rows = get(async |Query(query): Query<BTreeMap<String, String>>| {
        let range = DayRange::new(day(&query["start_date"]), day(&query["end_date"])).expect("a range");
        let rows = range.days().flat_map(|day| {
            paths(day).into_iter().enumerate().map(move |(person, path)| {
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                json!({
                    "date": day.to_string(), "user_id": format!("ou_{person}"), "user_name": "x",
                    "department_name": name, "department_path": path,
                    "user_active_flag": 1, "suite_active_flag": person % 2, "send_messenger_num": person,
                })
            })
        });
        Json(json!({ "code": 0, "msg": "ok", "data": { "items": rows.collect::<Vec<Value>>(), "has_more": false } }))
    });
    let routes = Router::new()
        .route("/open-apis/auth/v3/tenant_access_token/internal", token)
        .route("/open-apis/admin/v1/admin_user_stats", rows);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    base
}

#[tokio::test]
async fn every_listed_department_can_be_selected_as_it_is_listed() {
    let upstream = upstream().await;
    let setup = Setup::with(SimulatorConfig { users: 1, days: 1, ..SimulatorConfig::default() }, |config| {
        config.feishu.base_url = upstream.parse().expect("a URL");
    });
    let setup = Arc::new(setup.await);
    let range = DayRange::new(day("2026-10-20"), day("2026-11-20")).expect("a range");
    let whole = format!("start_date={}&end_date={}", range.first(), range.last());
    setup.get(&format!("/v1/user-days?{whole}&limit=1")).await.json();

    let (mut selected, mut without_path) = (0, 0);
    for date in range.days() {
        let days = format!("start_date={date}&end_date={date}");
        let departments = setup.get(&format!("/v1/reports/departments?{days}")).await.json();
        for item in departments["data"].as_array().expect("items") {
            let path = item["department_path"].as_str().expect("a path");
            let select = format!("{days}&department_path={}", encoded(path));
            let activity = setup.get(&format!("/v1/reports/activity?{select}")).await.json();
            for figure in ["users", "activated", "active", "counters"] {
                assert_eq!(activity["data"][0][figure], item[figure], "{date} {path:?} {figure}");
            }
            let rows = setup.get(&format!("/v1/user-days?{select}&format=ndjson")).await.lines();
            assert_eq!(item["users"], rows.len(), "{date} {path:?}");
            selected += 1;
            without_path += usize::from(path.is_empty());
        }
    }
    assert!(selected > 300 && without_path > 10, "{selected} departments, {without_path} without a path");
}
