//! The selection parameters: exactly the requested rows, with as few calls to Feishu as possible.

use feishu_pulse::model::{DepartmentIdType, UserIdType};
use feishu_simulator::{SimulatorConfig, TenantDepartment, TenantGeo};
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    Setup, day, eventually,
    truth::{served_rows, true_rows},
};

const RANGE: &str = "start_date=2026-11-16&end_date=2026-11-20";

async fn setup_of(config: SimulatorConfig) -> Setup {
    Setup::new(SimulatorConfig { users: 150, days: 40, ..config }).await
}

async fn setup() -> Setup {
    setup_of(SimulatorConfig::default()).await
}

fn all_rows(setup: &Setup) -> Vec<Value> {
    true_rows(setup, setup.home(), "2026-11-16", "2026-11-20", UserIdType::OpenId)
}

/// A department with sub-departments that have people.
fn department(setup: &Setup) -> TenantDepartment {
    let departments = setup.simulator.tenant().departments();
    let has_rows = |path: &str| {
        all_rows(setup)
            .iter()
            .filter(|row| row["department_path"].as_str() != Some(path))
            .any(|row| is_within(row, path))
    };
    departments.iter().find(|one| has_rows(&one.path)).expect("a department with people below it").clone()
}

fn is_within(row: &Value, path: &str) -> bool {
    let own = row["department_path"].as_str().unwrap();
    own == path || own.starts_with(&format!("{path}/"))
}

fn rows_within(setup: &Setup, path: &str) -> Vec<Value> {
    all_rows(setup).into_iter().filter(|row| is_within(row, path)).collect()
}

/// The person of the first row, with all rows of that person.
fn first_person(setup: &Setup) -> (String, Vec<Value>) {
    let person = all_rows(setup)[0]["user_id"].as_str().unwrap().to_owned();
    let own = all_rows(setup).into_iter().filter(|row| row["user_id"] == *person).collect();
    (person, own)
}

#[tokio::test]
async fn a_department_path_selects_rows_of_cached_days() {
    let setup = setup().await;
    let path = department(&setup).path;
    let encoded: String = path.bytes().flat_map(|byte| format!("%{byte:02X}").into_bytes()).map(char::from).collect();
    let answer_for = async |path: &str| setup.get(&format!("/v1/user-days?{RANGE}&department_path={path}")).await;

    let one = served_rows(&setup, &format!("{RANGE}&department_path={path}")).await;
    let calls = setup.upstream_calls();
    let same = served_rows(&setup, &format!("{RANGE}&department_path={encoded}")).await;
    let (with_slashes, half_a_name) =
        (answer_for(&format!("/{encoded}/")).await, answer_for(&path[..path.len() - 3]).await);

    assert_eq!(one, rows_within(&setup, &path));
    assert!(one.len() < all_rows(&setup).len());
    assert_eq!(same, one);
    assert_eq!(with_slashes.problem()["suggestions"][0], *path);
    assert_eq!(half_a_name.status, StatusCode::NOT_FOUND);
    assert_eq!(setup.upstream_calls(), calls);
}

#[rstest]
#[tokio::test]
async fn feishu_resolves_a_department_id(
    #[values(DepartmentIdType::OpenDepartmentId, DepartmentIdType::DepartmentId)] kind: DepartmentIdType,
) {
    let setup = setup().await;
    let TenantDepartment { open_department_id, department_id, path, .. } = department(&setup);
    let id = if kind == DepartmentIdType::OpenDepartmentId { open_department_id } else { department_id };

    let served = served_rows(&setup, &format!("{RANGE}&department_id={id}&department_id_type={}", kind.name())).await;

    assert_eq!(served, rows_within(&setup, &path));
    let queries: Vec<_> = setup.simulator.call_log().stats_calls().into_iter().filter_map(|call| call.query).collect();
    assert!(
        queries
            .iter()
            .all(|query| query.department_id.as_ref() == Some(&id) && query.department_id_type.name() == kind.name())
    );
}

#[rstest]
#[case("user_id=ou_nobody", 99_992_351)]
#[case("department_id=od-nothing", 99_992_357)]
#[tokio::test]
async fn an_id_unknown_to_feishu_is_not_found(#[case] id: &str, #[case] code: i64) {
    let setup = setup().await;

    let answer = setup.get(&format!("/v1/user-days?{RANGE}&{id}")).await;

    assert_eq!((answer.status, answer.problem()["code"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
    assert_eq!(answer.problem()["upstream_code"], code);
    assert_eq!(setup.upstream_calls(), 1);
}

#[tokio::test]
async fn one_persons_rows_are_fetched_alone_if_the_days_are_not_cached() {
    let setup = setup().await;
    let (person, own) = first_person(&setup);

    let served = served_rows(&setup, &format!("{RANGE}&user_id={person}")).await;

    let calls = setup.simulator.call_log().stats_calls();
    assert_eq!(served, own);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].query.as_ref().unwrap().user_id.as_ref(), Some(&person));
}

#[tokio::test]
async fn one_persons_rows_come_from_cached_days_without_a_call() {
    let setup = setup().await;
    let (person, own) = first_person(&setup);
    setup.get(&format!("/v1/reports/activity?{RANGE}")).await.json();
    let calls = setup.upstream_calls();

    let served = served_rows(&setup, &format!("{RANGE}&user_id={person}")).await;

    assert_eq!(served, own);
    assert_eq!(setup.upstream_calls(), calls);
}

#[tokio::test]
async fn one_persons_trailing_figures_use_cached_days() {
    let setup = setup().await;
    let (person, _) = first_person(&setup);
    setup.get("/v1/reports/activity?start_date=2026-10-20&end_date=2026-11-20").await.json();

    let report =
        setup.get(&format!("/v1/reports/activity?start_date=2026-11-20&end_date=2026-11-20&user_id={person}")).await;

    let bucket = &report.json()["data"][0];
    assert_eq!(bucket["users"], 1);
    assert!(bucket["wau"].is_u64() && bucket["mau"].is_u64(), "{bucket}");
}

#[rstest]
#[tokio::test]
async fn ids_have_the_requested_type(
    #[values(UserIdType::OpenId, UserIdType::UnionId, UserIdType::UserId)] kind: UserIdType,
) {
    let setup = setup().await;

    let served = served_rows(&setup, &format!("{RANGE}&user_id_type={}", kind.name())).await;
    let person = served[0]["user_id"].as_str().unwrap();
    let own = served_rows(&setup, &format!("{RANGE}&user_id_type={}&user_id={person}", kind.name())).await;

    assert_eq!(served, true_rows(&setup, setup.home(), "2026-11-16", "2026-11-20", kind));
    assert_eq!(own, served.iter().filter(|row| row["user_id"] == person).cloned().collect::<Vec<_>>());
}

#[tokio::test]
async fn without_ids_distinct_counts_over_several_days_are_null() {
    let setup = setup_of(SimulatorConfig { employee_ids: false, ..SimulatorConfig::default() }).await;

    let served = served_rows(&setup, &format!("{RANGE}&user_id_type=user_id")).await;
    let daily = setup.get(&format!("/v1/reports/activity?{RANGE}&user_id_type=user_id")).await.json();
    let weekly = setup.get(&format!("/v1/reports/activity?{RANGE}&user_id_type=user_id&interval=week")).await.json();

    let active = all_rows(&setup).iter().filter(|row| row["date"] == "2026-11-16" && row["active"] == true).count();
    assert_eq!(served.len(), all_rows(&setup).len());
    assert!(served.iter().all(|row| row["user_id"].is_null()));
    assert_eq!(daily["data"][0]["active"], active);
    assert_eq!(
        (&weekly["data"][0]["active"], &weekly["data"][0]["features"]["im"]["active"]),
        (&Value::Null, &Value::Null)
    );
    assert!(weekly["meta"]["notes"][0].as_str().is_some_and(|note| note.contains("withholds")));
}

#[rstest]
#[tokio::test]
async fn one_person_is_found_even_if_feishu_withholds_ids(#[values(false, true)] days_are_cached: bool) {
    let setup = setup_of(SimulatorConfig { employee_ids: false, ..SimulatorConfig::default() }).await;
    let truth = true_rows(&setup, setup.home(), "2026-11-16", "2026-11-20", UserIdType::UserId);
    let person = truth[0]["user_id"].as_str().unwrap();
    if days_are_cached {
        setup.get(&format!("/v1/reports/activity?{RANGE}&user_id_type=user_id")).await.json();
    }

    let served = served_rows(&setup, &format!("{RANGE}&user_id_type=user_id&user_id={person}")).await;

    let nameless = |row: &Value| {
        let mut row = row.clone();
        row["user_id"] = Value::Null;
        row
    };
    let own: Vec<_> = truth.iter().filter(|row| row["user_id"] == person).map(nameless).collect();
    assert!(!own.is_empty());
    assert_eq!(served, own);
}

#[tokio::test]
async fn several_geos_are_merged() {
    let setup =
        setup_of(SimulatorConfig { geos: vec![TenantGeo::Cn, TenantGeo::Us], ..SimulatorConfig::default() }).await;
    let of = |geo| true_rows(&setup, geo, "2026-11-16", "2026-11-16", UserIdType::OpenId);

    let served = served_rows(&setup, "start_date=2026-11-16&end_date=2026-11-16&geo=cn,us").await;
    let report = setup.get("/v1/reports/activity?start_date=2026-11-16&end_date=2026-11-16&geo=us,cn").await.json();
    let home = served_rows(&setup, "start_date=2026-11-16&end_date=2026-11-16").await;

    assert_eq!(served, [of(TenantGeo::Cn), of(TenantGeo::Us)].concat());
    assert_eq!(home, of(TenantGeo::Cn));
    assert_eq!(report["data"][0]["users"], served.len());
    assert_eq!(report["meta"]["geos"], json!(["us", "cn"]));
    let requested_geos: Vec<_> =
        setup.simulator.call_log().stats_calls().into_iter().filter_map(|call| call.query?.target_geo).collect();
    assert!(
        !requested_geos.is_empty() && requested_geos.iter().all(|geo| *geo == TenantGeo::Us),
        "calls for the home geo have no parameter target_geo"
    );
}

#[tokio::test]
async fn a_date_that_is_pending_in_one_geo_has_no_merged_figures() {
    let geos = vec![TenantGeo::Cn, TenantGeo::Us];
    let setup = setup_of(SimulatorConfig { geos, employee_ids: false, ..SimulatorConfig::default() }).await;
    let activity = async |query: &str| setup.get(&format!("/v1/reports/activity?{query}")).await.json();
    activity("start_date=2026-10-20&end_date=2026-11-20&geo=cn").await;

    // At this time, Feishu has not produced that day for the geo `us` yet.
    let last_day = "start_date=2026-11-21&end_date=2026-11-21";
    let both = activity(&format!("{last_day}&geo=cn,us&user_id_type=user_id")).await;
    let both_by_open_id = activity(&format!("{last_day}&geo=cn,us")).await;
    let home = activity(&format!("{last_day}&geo=cn")).await;

    for answer in [&both, &both_by_open_id] {
        let bucket = &answer["data"][0];
        assert_eq!(
            (&bucket["days_counted"], &bucket["users"], &bucket["counters"]),
            (&json!(0), &Value::Null, &Value::Null)
        );
    }
    assert_eq!(both["meta"]["days"]["pending"], json!([{ "geo": "us", "date": "2026-11-21" }]));
    let notes = both["meta"]["notes"].as_array().unwrap();
    assert!(notes[0].as_str().unwrap().contains("every selected geo"), "{notes:?}");
    assert!(home["data"][0]["wau"].is_u64() && home["data"][0]["mau"].is_u64(), "{home}");
}

#[tokio::test]
async fn all_endpoints_leave_out_a_date_that_is_pending_in_one_geo() {
    let setup =
        setup_of(SimulatorConfig { geos: vec![TenantGeo::Cn, TenantGeo::Us], ..SimulatorConfig::default() }).await;
    let days = |first: &str, last: &str| format!("start_date={first}&end_date={last}&geo=cn,us");
    let with_pending = days("2026-11-20", "2026-11-21");
    let counted = days("2026-11-20", "2026-11-20");

    for path in ["/v1/users?", "/v1/user-days?", "/v1/reports/departments?trailing=none&", "/v1/reports/clients?"] {
        let both = setup.get(&format!("{path}{with_pending}")).await.json();
        let one = setup.get(&format!("{path}{counted}")).await.json();
        assert!(one["data"].as_array().is_none_or(|items| !items.is_empty()), "{path}");
        assert_eq!(both["data"], one["data"], "{path}");
    }
    let inactive = setup.get(&format!("/v1/users?{with_pending}&inactive_for=1d&limit=1000")).await.json();
    let users = setup.get(&format!("/v1/users?{counted}&active=false&limit=1000")).await.json();
    assert_eq!(inactive["data"], users["data"]);
}

#[rstest]
#[case("7d", "2026-11-15", "2026-11-21")]
#[case("yesterday", "2026-11-21", "2026-11-21")]
#[case("2026-10", "2026-10-01", "2026-10-31")]
#[case("2026-11", "2026-11-01", "2026-11-21")]
#[tokio::test]
async fn a_period_is_equivalent_to_two_dates(#[case] period: &str, #[case] first: &str, #[case] last: &str) {
    let setup = setup().await;

    let by_period = setup.get(&format!("/v1/reports/activity?period={period}")).await.json();
    let by_dates = setup.get(&format!("/v1/reports/activity?start_date={first}&end_date={last}")).await.json();

    assert_eq!((&by_period["meta"]["start_date"], &by_period["meta"]["end_date"]), (&json!(first), &json!(last)));
    assert_eq!(by_period, by_dates);
}

#[tokio::test]
async fn the_first_and_the_last_day_of_the_calendar_are_accepted() {
    let setup = setup().await;

    let report = setup.get("/v1/reports/activity?start_date=9999-12-30&end_date=9999-12-31").await.json();
    let beginning = setup.get("/v1/coverage?start_date=0000-01-01&end_date=0000-01-02").await.json();

    let users: Vec<&Value> = report["data"].as_array().unwrap().iter().map(|bucket| &bucket["users"]).collect();
    assert_eq!(users, [&Value::Null; 2]);
    assert_eq!(report["meta"]["days"]["pending"].as_array().map(Vec::len), Some(2));
    assert_eq!(beginning["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(setup.upstream_calls(), 0);
}

#[tokio::test]
async fn rows_have_the_requested_fields_in_the_requested_order() {
    let setup = setup().await;

    let answer =
        setup.get(&format!("/v1/user-days?{RANGE}&format=ndjson&fields=active,date,clients&active=true")).await;

    assert!(answer.lines().iter().all(|row| row["active"] == true && row["clients"].is_array()));
    assert!(answer.text.lines().all(|line| line.starts_with(r#"{"active":true,"date":"2026-11-"#)), "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
}

#[tokio::test]
async fn pages_and_the_stream_have_the_same_rows() {
    let setup = setup().await;
    let streamed = setup.get(&format!("/v1/user-days?{RANGE}&active=false&format=ndjson")).await.lines();
    let calls = setup.upstream_calls();

    let (mut rows, mut pages) = (Vec::new(), 0);
    let mut next = Some(format!("/v1/user-days?{RANGE}&active=false&limit=37"));
    while let Some(path) = next {
        let answer = setup.get(&path).await;
        let body = answer.json();
        rows.extend(body["data"].as_array().unwrap().iter().cloned());
        pages += 1;
        assert!(pages <= streamed.len(), "a cursor leads to itself");
        let link = answer.headers.get("link").map(|link| link.to_str().unwrap());
        next = link.map(|link| link.strip_prefix('<').unwrap().split_once(">; rel=\"next\"").unwrap().0.to_owned());
        assert_eq!(body["meta"]["next_cursor"].as_str().is_some(), next.is_some());
    }

    assert_eq!(rows, streamed);
    assert_eq!(pages, streamed.len().div_ceil(37));
    assert_eq!(setup.upstream_calls(), calls);
}

#[tokio::test]
async fn a_cursor_is_stale_after_its_day_has_changed() {
    let setup = setup().await;
    let path = "/v1/user-days?period=yesterday&limit=40";
    let cursor = setup.get(path).await.json()["meta"]["next_cursor"].as_str().unwrap().to_owned();
    let next = format!("{path}&cursor={cursor}");
    let before = setup.get(&next).await;

    setup.simulator.production().revise(setup.home(), day("2026-11-21").date());
    setup.set_time("2026-11-22T05:31:00Z");
    eventually(async || setup.get(&next).await.status == StatusCode::CONFLICT).await;
    let after = setup.get(&next).await;

    assert_eq!(before.json()["data"].as_array().map(Vec::len), Some(40));
    assert_eq!(after.problem()["code"], "stale_cursor");
    assert_eq!(setup.get(path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_cursor_of_another_query_is_rejected() {
    let setup = setup().await;
    let body = setup.get(&format!("/v1/user-days?{RANGE}&limit=5")).await.json();
    let cursor = body["meta"]["next_cursor"].as_str().unwrap();

    let answer = setup.get(&format!("/v1/user-days?{RANGE}&limit=5&active=true&cursor={cursor}")).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.problem()["errors"][0]["parameter"], "cursor");
}
