//! Drop-in API: an official SDK gets the same responses from the gateway as from Feishu.

use feishu_pulse::app;
use feishu_simulator::{SchemaDrift, SimulatorConfig, TenantGeo};
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::{
    drop_in::sdk::{Sdk, error_of},
    support::{Setup, day, eventually},
};

const WEEK: &str = "start_date=2026-11-14&end_date=2026-11-20&page_size=60";
const DAY_20: &str = "start_date=2026-11-20&end_date=2026-11-20";
const DAY_21: &str = "start_date=2026-11-21&end_date=2026-11-21";

/// Feishu's documented fields, each with an example of its type.
const DOCUMENTED: &str = r#"{
    "date": "2020-02-15", "user_id": "ou_7dab8a3d3cdcc9da365777c7ad535d62", "user_name": "Zhang San",
    "department_name": "testcqlbfaaasdasdasd", "department_path": "testkkk/testcqlbfaaasdasdasd",
    "create_time": "2020-09-04 11:17:55", "user_active_flag": 1, "register_time": "2020-09-04 11:18:32",
    "suite_active_flag": 1, "last_active_time": "2020-12-21 22:21:28", "im_active_flag": 1,
    "send_messenger_num": 0, "docs_active_flag": 1, "create_docs_num": 1, "cal_active_flag": 1,
    "create_cal_num": 0, "vc_active_flag": 1, "vc_duration": 0,
    "active_os": "'ios 14.2,-','ios 14.2,feishu 3.40.0-alpha'", "create_task_num": 0, "vc_num": 0,
    "app_package_type": "Feishu，Lark", "os_name": "iOS,Andorid,Windows", "email_send_count": "2",
    "email_receive_count": "3", "email_send_ext_count": "4", "email_receive_ext_count": "5",
    "email_send_in_count": "6", "email_receive_in_count": "7", "search_active_flag": 1,
    "total_search_count": "7", "quick_search_count": "7", "tab_search_count": "7"
}"#;

fn simulation() -> SimulatorConfig {
    SimulatorConfig { users: 50, days: 30, ..SimulatorConfig::default() }
}

/// An item of the simulator with the documented types. Null and missing values become empty.
fn documented_row(item: &Value) -> Value {
    let documented: Map<String, Value> = serde_json::from_str(DOCUMENTED).unwrap();
    let fields = documented.into_iter().map(|(name, example)| {
        let sent = match &item[&name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let is_count = example.as_str().is_none_or(|example| example.parse::<u64>().is_ok());
        let text = if sent.is_empty() && is_count { "0".to_owned() } else { sent };
        let value = if example.is_string() { json!(text) } else { json!(text.parse::<u64>().unwrap()) };
        (name, value)
    });
    fields.collect()
}

/// Sorted by day and person, because Feishu does not specify an order.
fn sorted(mut items: Vec<Value>) -> Vec<Value> {
    let day_and_person = |item: &Value| (item["date"].to_string(), item["user_id"].to_string());
    items.sort_by_key(day_and_person);
    items
}

async fn rows_of_simulator(setup: &Setup, query: &str) -> Vec<Value> {
    sorted(Sdk::of_simulator(setup).await.all_items(query).await.iter().map(documented_row).collect())
}

#[rstest]
#[tokio::test]
async fn all_pages_equal_feishus_and_a_second_read_makes_no_call(
    #[values(SchemaDrift::Off, SchemaDrift::Usual, SchemaDrift::Wild)] schema_drift: SchemaDrift,
    #[values(10, 60)] page_size: usize,
) {
    let setup = Setup::new(SimulatorConfig { schema_drift, turnover: 0.5, ..simulation() }).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let query = format!("start_date=2026-10-24&end_date=2026-11-21&page_size={page_size}");

    let first = sdk.all_items(&query).await;
    let calls = setup.upstream_calls();
    let second = sdk.all_items(&query).await;

    assert_eq!(setup.upstream_calls(), calls);
    assert_eq!(first, rows_of_simulator(&setup, &query).await);
    assert_eq!(second, first);
}

#[rstest]
#[case::a_person("user_id", |item: &Value| item["user_id"].clone())]
#[case::another_id_type("user_id_type", |_: &Value| json!("union_id"))]
#[case::a_geo("target_geo", |_: &Value| json!("us"))]
#[tokio::test]
async fn a_filtered_query_returns_the_same_rows_as_feishu(#[case] name: &str, #[case] value: impl Fn(&Value) -> Value) {
    let setup = Setup::new(SimulatorConfig { geos: vec![TenantGeo::Cn, TenantGeo::Us], ..simulation() }).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let somebody = sdk.page(WEEK).await["items"][0].clone();
    let query = format!("{WEEK}&{name}={}", value(&somebody).as_str().unwrap());

    let rows = sdk.all_items(&query).await;

    assert_eq!(rows, rows_of_simulator(&setup, &query).await);
    assert!(!rows.is_empty());
}

#[tokio::test]
async fn a_department_id_selects_its_sub_departments_too() {
    let setup = Setup::new(simulation()).await;
    let department = &setup.simulator.tenant().departments()[1];
    let query = format!("{WEEK}&department_id={}", department.open_department_id);

    let rows = Sdk::of_gateway(&setup).await.all_items(&query).await;

    assert_eq!(rows, rows_of_simulator(&setup, &query).await);
}

#[tokio::test]
async fn an_id_that_feishu_withholds_is_omitted() {
    let setup = Setup::new(SimulatorConfig { employee_ids: false, ..simulation() }).await;

    let page = Sdk::of_gateway(&setup).await.page(&format!("{WEEK}&user_id_type=user_id")).await;

    assert_eq!(page["items"][0].get("user_id"), None);
    assert!(page["items"][0]["user_name"].is_string());
}

#[tokio::test]
async fn a_row_has_feishus_fields_in_feishus_order() {
    let setup = Setup::new(simulation()).await;

    let answer = Sdk::of_gateway(&setup).await.get_stats(&format!("{DAY_20}&page_size=1"), &[]).await;

    let named = |text: &str| -> Vec<String> {
        let names = text.split('"').skip(1).step_by(2).filter(|word| word.contains('_') || *word == "date");
        names.map(str::to_owned).filter(|word| DOCUMENTED.contains(&format!("\"{word}\":"))).collect()
    };
    assert_eq!(named(&answer.text), named(DOCUMENTED));
}

#[tokio::test]
async fn missing_parameters_have_feishus_defaults_and_unknown_ones_are_ignored() {
    let setup = Setup::new(simulation()).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let plain = sdk.page(DAY_20).await;

    let odd = sdk.page(&format!("page_size=99&{DAY_20}&colour=red&page_size=&page_size=10&user_id=&page_token=")).await;

    assert_eq!(plain["items"].as_array().map(Vec::len), Some(10));
    assert_eq!(odd, plain);
}

#[tokio::test]
async fn days_that_are_not_produced_yet_have_no_rows_and_make_no_call() {
    let setup = Setup::new(simulation()).await;

    let page = Sdk::of_gateway(&setup).await.page("start_date=2026-11-22&end_date=2026-11-24").await;

    assert_eq!(page, json!({ "has_more": false, "items": [] }));
    assert_eq!(setup.upstream_calls(), 0);
}

#[tokio::test]
async fn a_get_request_with_a_body_is_accepted() {
    let setup = Setup::new(simulation()).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let request = setup.http.get(format!("{}{}?{DAY_20}", setup.base, crate::drop_in::sdk::STATS_PATH));

    let reply = request.bearer_auth(&sdk.token).json(&json!({})).send().await.expect("an answer");

    assert_eq!(reply.status(), StatusCode::OK);
    assert!(reply.headers().contains_key("x-tt-logid"));
}

#[tokio::test]
async fn tokens_and_page_tokens_stay_valid_after_a_restart() {
    let mut settings = None;
    let setup = Setup::with(simulation(), |config| settings = Some(config.clone())).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let first = sdk.page(WEEK).await;
    let next = format!("{WEEK}&page_token={}", first["page_token"].as_str().unwrap());
    let second = sdk.page(&next).await;

    let restarted = app::build(settings.unwrap(), setup.clock.clone()).expect("a gateway");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(app::serve(restarted, listener, std::future::pending()));

    assert_eq!(sdk.with_base_url(base).page(&next).await, second);
}

#[rstest]
#[case::other_days("start_date=2026-11-13&end_date=2026-11-20")]
#[case::another_id_type("start_date=2026-11-14&end_date=2026-11-20&user_id_type=union_id")]
#[tokio::test]
async fn a_page_token_of_another_query_is_rejected(#[case] other: &str) {
    let setup = Setup::new(simulation()).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let token = sdk.page(WEEK).await["page_token"].as_str().unwrap().to_owned();

    let answer = sdk.get_stats(&format!("{other}&page_token={token}"), &[]).await;

    let refused = (StatusCode::INTERNAL_SERVER_ERROR, 1_051_001, Some("page_token".to_owned()));
    assert_eq!(error_of(&answer), refused);
}

#[tokio::test]
async fn a_page_token_is_rejected_after_its_day_has_changed() {
    let setup = Setup::new(simulation()).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let token = sdk.page(DAY_21).await["page_token"].as_str().unwrap().to_owned();
    let next = format!("{DAY_21}&page_token={token}");
    setup.simulator.production().revise(setup.home(), day("2026-11-21").date());

    // This request still gets the previous version and starts a refresh of the day in the background.
    setup.set_time("2026-11-22T04:31:00Z");
    assert_eq!(sdk.page(&next).await["has_more"], true);
    eventually(async || !sdk.get_stats(&next, &[]).await.status.is_success()).await;
    let answer = sdk.get_stats(&next, &[]).await;

    assert_eq!(error_of(&answer).2.as_deref(), Some("page_token"));
    assert_eq!(sdk.all_items(DAY_21).await, rows_of_simulator(&setup, DAY_21).await);
}

#[tokio::test]
async fn the_extended_header_allows_longer_ranges_and_larger_pages() {
    let setup = Setup::new(SimulatorConfig { days: 60, ..simulation() }).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let extended = [("X-Pulse-Extended", "1")];
    let long = "start_date=2026-10-01&end_date=2026-11-20&page_size=10000";

    let answer = sdk.get_stats(long, &extended).await.json();
    let too_large = sdk.get_stats("start_date=2026-10-01&end_date=2026-11-20&page_size=10001", &extended).await;

    let halves = ["start_date=2026-10-01&end_date=2026-10-31", "start_date=2026-11-01&end_date=2026-11-20"];
    let mut rows = rows_of_simulator(&setup, halves[0]).await;
    rows.extend(rows_of_simulator(&setup, halves[1]).await);
    assert_eq!((&answer["data"]["items"], &answer["data"]["has_more"]), (&json!(rows), &json!(false)));
    assert_eq!(error_of(&too_large).2.as_deref(), Some("page_size"));
}
