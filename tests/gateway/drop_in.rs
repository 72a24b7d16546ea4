//! Drop-in: what an official SDK sees of the gateway is what it would see of Feishu, but for the calls it costs.

use feishu_pulse::{
    app,
    model::Geo,
    sim::{Drift, SimConfig},
};
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::{
    sdk::{Sdk, failure},
    support::{Setup, day, eventually},
};

const WEEK: &str = "start_date=2026-11-14&end_date=2026-11-20&page_size=60";
const DAY_20: &str = "start_date=2026-11-20&end_date=2026-11-20";
const DAY_21: &str = "start_date=2026-11-21&end_date=2026-11-21";

/// Upstream's fields as documented, each with an example of its type.
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

fn simulation() -> SimConfig {
    SimConfig { users: 50, days: 30, ..SimConfig::default() }
}

/// An item of the simulator as documented, whatever its types have drifted to: what is null or absent is empty.
fn as_documented(item: &Value) -> Value {
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

/// Sorted by day and person, since upstream promises no order.
fn sorted(mut items: Vec<Value>) -> Vec<Value> {
    let whose = |item: &Value| (item["date"].to_string(), item["user_id"].to_string());
    items.sort_by_key(whose);
    items
}

async fn truth(setup: &Setup, query: &str) -> Vec<Value> {
    sorted(Sdk::of_simulator(setup).await.all(query).await.iter().map(as_documented).collect())
}

#[rstest]
#[tokio::test]
async fn all_pages_hold_what_upstreams_own_hold_and_cost_no_call_the_second_time(
    #[values(Drift::Off, Drift::Usual, Drift::Wild)] drift: Drift,
    #[values(10, 60)] page_size: usize,
) {
    let setup = Setup::new(SimConfig { drift, turnover: 0.5, ..simulation() }).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let query = format!("start_date=2026-10-24&end_date=2026-11-21&page_size={page_size}");

    let first = sdk.all(&query).await;
    let calls = setup.upstream_calls();
    let second = sdk.all(&query).await;

    assert_eq!(setup.upstream_calls(), calls);
    assert_eq!(first, truth(&setup, &query).await);
    assert_eq!(second, first);
}

#[rstest]
#[case::a_person("user_id", |item: &Value| item["user_id"].clone())]
#[case::another_kind_of_id("user_id_type", |_: &Value| json!("union_id"))]
#[case::a_geo("target_geo", |_: &Value| json!("us"))]
#[tokio::test]
async fn a_narrower_question_is_answered_as_upstream_answers_it(
    #[case] name: &str,
    #[case] value: impl Fn(&Value) -> Value,
) {
    let setup = Setup::new(SimConfig { geos: vec![Geo::Cn, Geo::Us], ..simulation() }).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let somebody = sdk.page(WEEK).await["items"][0].clone();
    let query = format!("{WEEK}&{name}={}", value(&somebody).as_str().unwrap());

    let told = sdk.all(&query).await;

    assert_eq!(told, truth(&setup, &query).await);
    assert!(!told.is_empty());
}

#[tokio::test]
async fn a_department_and_all_below_it_are_resolved_by_upstream() {
    let setup = Setup::new(simulation()).await;
    let department = &setup.simulator.tenant().departments()[1];
    let query = format!("{WEEK}&department_id={}", department.open_department_id);

    let told = Sdk::of_gateway(&setup).await.all(&query).await;

    assert_eq!(told, truth(&setup, &query).await);
}

#[tokio::test]
async fn an_id_that_upstream_withholds_is_left_out() {
    let setup = Setup::new(SimConfig { employee_ids: false, ..simulation() }).await;

    let page = Sdk::of_gateway(&setup).await.page(&format!("{WEEK}&user_id_type=user_id")).await;

    assert_eq!(page["items"][0].get("user_id"), None);
    assert!(page["items"][0]["user_name"].is_string());
}

#[tokio::test]
async fn an_item_has_upstreams_fields_in_its_order() {
    let setup = Setup::new(simulation()).await;

    let answer = Sdk::of_gateway(&setup).await.ask(&format!("{DAY_20}&page_size=1"), &[]).await;

    let named = |text: &str| -> Vec<String> {
        let names = text.split('"').skip(1).step_by(2).filter(|word| word.contains('_') || *word == "date");
        names.map(str::to_owned).filter(|word| DOCUMENTED.contains(&format!("\"{word}\":"))).collect()
    };
    assert_eq!(named(&answer.text), named(DOCUMENTED));
}

#[tokio::test]
async fn what_is_left_out_has_upstreams_defaults_and_what_is_unknown_is_ignored() {
    let setup = Setup::new(simulation()).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let plain = sdk.page(DAY_20).await;

    let odd = sdk.page(&format!("page_size=99&{DAY_20}&colour=red&page_size=&page_size=10&user_id=&page_token=")).await;

    assert_eq!(plain["items"].as_array().map(Vec::len), Some(10));
    assert_eq!(odd, plain);
}

#[tokio::test]
async fn days_that_are_not_produced_yet_have_no_rows_and_cost_no_call() {
    let setup = Setup::new(simulation()).await;

    let page = Sdk::of_gateway(&setup).await.page("start_date=2026-11-22&end_date=2026-11-24").await;

    assert_eq!(page, json!({ "has_more": false, "items": [] }));
    assert_eq!(setup.upstream_calls(), 0);
}

#[tokio::test]
async fn a_body_on_get_is_accepted_as_the_node_sdk_sends_one() {
    let setup = Setup::new(simulation()).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let request = setup.http.get(format!("{}{}?{DAY_20}", setup.base, crate::sdk::STATS_PATH));

    let reply = request.bearer_auth(&sdk.token).json(&json!({})).send().await.expect("an answer");

    assert_eq!(reply.status(), StatusCode::OK);
    assert!(reply.headers().contains_key("x-tt-logid"));
}

#[tokio::test]
async fn tokens_and_page_tokens_survive_a_restart() {
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

    assert_eq!(sdk.moved_to(base).page(&next).await, second);
}

#[rstest]
#[case::other_days("start_date=2026-11-13&end_date=2026-11-20")]
#[case::another_kind_of_id("start_date=2026-11-14&end_date=2026-11-20&user_id_type=union_id")]
#[tokio::test]
async fn a_page_token_of_another_question_is_refused(#[case] other: &str) {
    let setup = Setup::new(simulation()).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let token = sdk.page(WEEK).await["page_token"].as_str().unwrap().to_owned();

    let answer = sdk.ask(&format!("{other}&page_token={token}"), &[]).await;

    let refused = (StatusCode::INTERNAL_SERVER_ERROR, 1_051_001, Some("page_token".to_owned()));
    assert_eq!(failure(&answer), refused);
}

#[tokio::test]
async fn a_page_token_of_a_day_that_has_changed_is_refused_and_the_caller_begins_again() {
    let setup = Setup::new(simulation()).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let token = sdk.page(DAY_21).await["page_token"].as_str().unwrap().to_owned();
    let next = format!("{DAY_21}&page_token={token}");
    setup.simulator.production().revise(setup.home(), day("2026-11-21"));

    // Still the frozen version; the day is fetched anew behind this answer.
    setup.set_time("2026-11-22T04:31:00Z");
    assert_eq!(sdk.page(&next).await["has_more"], true);
    eventually(async || !sdk.ask(&next, &[]).await.status.is_success()).await;
    let answer = sdk.ask(&next, &[]).await;

    assert_eq!(failure(&answer).2.as_deref(), Some("page_token"));
    assert_eq!(sdk.all(DAY_21).await, truth(&setup, DAY_21).await);
}

#[tokio::test]
async fn with_the_header_spans_are_longer_and_pages_larger_than_upstreams() {
    let setup = Setup::new(SimConfig { days: 60, ..simulation() }).await;
    let sdk = Sdk::of_gateway(&setup).await;
    let extended = [("X-Pulse-Extended", "1")];
    let long = "start_date=2026-10-01&end_date=2026-11-20&page_size=10000";

    let answer = sdk.ask(long, &extended).await.json();
    let too_large = sdk.ask("start_date=2026-10-01&end_date=2026-11-20&page_size=10001", &extended).await;

    let halves = ["start_date=2026-10-01&end_date=2026-10-31", "start_date=2026-11-01&end_date=2026-11-20"];
    let mut rows = truth(&setup, halves[0]).await;
    rows.extend(truth(&setup, halves[1]).await);
    assert_eq!((&answer["data"]["items"], &answer["data"]["has_more"]), (&json!(rows), &json!(false)));
    assert_eq!(failure(&too_large).2.as_deref(), Some("page_size"));
}
