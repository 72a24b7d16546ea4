//! Parameters of `admin_user_stats`: validation, filters and defaults.

use feishu_simulator::{SchemaDrift, SimulatorConfig, TenantGeo, UserIdKind};
use rstest::rstest;
use serde_json::json;

use crate::caller::{Caller, day};

const DAY: &str = "start_date=2026-11-20&end_date=2026-11-20";

fn small() -> SimulatorConfig {
    SimulatorConfig { users: 100, geos: vec![TenantGeo::Cn, TenantGeo::Us], ..SimulatorConfig::default() }
}

#[rstest]
#[case("start_date=2026-11-20", 500, 1_051_001)]
#[case("end_date=2026-11-20", 500, 1_051_001)]
#[case("start_date=20261120&end_date=2026-11-20", 500, 1_051_001)]
#[case("start_date=2026-11-21&end_date=2026-11-20", 500, 1_051_001)]
#[case("start_date=2026-10-21&end_date=2026-11-20", 200, 0)]
#[case("start_date=2026-10-20&end_date=2026-11-20", 500, 1_051_001)]
#[case("start_date=2026-11-20&end_date=2026-11-20&page_size=60", 200, 0)]
#[case("start_date=2026-11-20&end_date=2026-11-20&page_size=61", 500, 1_051_001)]
#[case("start_date=2026-11-20&end_date=2026-11-20&page_size=0", 500, 1_051_001)]
#[case("start_date=2026-11-20&end_date=2026-11-20&user_id_type=name", 500, 1_051_001)]
#[case("start_date=2026-11-20&end_date=2026-11-20&page_token=2", 500, 1_051_001)]
#[case("start_date=2026-11-20&end_date=2026-11-20&department_id=od-none", 400, 99_992_357)]
#[case("start_date=2026-11-20&end_date=2026-11-20&user_id=ou_none", 400, 99_992_351)]
#[case("start_date=2026-11-20&end_date=2026-11-20&target_geo=us", 200, 0)]
#[case("start_date=2026-11-20&end_date=2026-11-20&target_geo=jp", 400, 1_051_002)]
#[case("start_date=2026-11-20&end_date=2026-11-20&colour=red", 200, 0)]
#[tokio::test]
async fn invalid_parameters_are_rejected(#[case] query: &str, #[case] status: u16, #[case] code: i64) {
    let caller = Caller::start(small()).await;

    let reply = caller.get_page(query).await;

    assert_eq!(reply.status_and_code(), (status, code));
    assert_eq!(reply.body.get("error").is_some(), code != 0);
    assert!(reply.header("x-tt-logid").is_some_and(|id| id.starts_with("20261122120000")));
}

#[tokio::test]
async fn a_page_has_ten_rows_by_default() {
    let caller = Caller::start(small()).await;

    let reply = caller.get_page(DAY).await;

    assert_eq!(reply.items().len(), 10);
    assert_eq!(reply.body["data"]["has_more"], json!(true));
    assert_eq!(reply.page_token().as_deref(), Some("2"));
}

#[tokio::test]
async fn the_last_page_has_no_token() {
    let caller = Caller::start(SimulatorConfig { users: 7, ..SimulatorConfig::default() }).await;

    let reply = caller.get_page(DAY).await;

    assert_eq!(reply.body["data"]["has_more"], json!(false));
    assert!(reply.body["data"].get("page_token").is_none());
}

#[tokio::test]
async fn a_row_is_encoded_as_documented() {
    let caller = Caller::start(SimulatorConfig { schema_drift: SchemaDrift::Off, ..small() }).await;
    let truth = caller.truth(&["2026-11-20"]);
    let active = truth.iter().position(|row| row.suite_active).expect("person active");

    let row = caller.rows(DAY).await.swap_remove(active);

    let (truth, n) = (&truth[active], &truth[active].counters);
    let time = |time: jiff::civil::DateTime| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let expected = json!({
        "date": "2026-11-20",
        "user_id": truth.open_id,
        "user_name": truth.user_name,
        "department_name": truth.department_name,
        "department_path": truth.department_path,
        "create_time": time(truth.create_time),
        "user_active_flag": 1,
        "register_time": truth.register_time.map(time),
        "suite_active_flag": 1,
        "last_active_time": truth.last_active_time.map(time),
        "im_active_flag": u8::from(truth.im_active),
        "send_messenger_num": n.send_messenger_num,
        "docs_active_flag": u8::from(truth.docs_active),
        "create_docs_num": n.create_docs_num,
        "cal_active_flag": u8::from(truth.cal_active),
        "create_cal_num": n.create_cal_num,
        "vc_active_flag": u8::from(truth.vc_active),
        "vc_duration": n.vc_duration,
        "active_os": truth.active_os,
        "create_task_num": n.create_task_num,
        "vc_num": n.vc_num,
        "app_package_type": truth.app_package_type,
        "os_name": truth.os_name,
        "email_send_count": n.email_send_count.to_string(),
        "email_receive_count": n.email_receive_count.to_string(),
        "email_send_ext_count": n.email_send_ext_count.to_string(),
        "email_receive_ext_count": n.email_receive_ext_count.to_string(),
        "email_send_in_count": n.email_send_in_count.to_string(),
        "email_receive_in_count": n.email_receive_in_count.to_string(),
        "search_active_flag": u8::from(truth.search_active),
        "total_search_count": n.total_search_count.to_string(),
        "quick_search_count": n.quick_search_count.to_string(),
        "tab_search_count": n.tab_search_count.to_string(),
    });
    assert_eq!(row, expected);
}

#[rstest]
#[case(UserIdKind::OpenId)]
#[case(UserIdKind::UnionId)]
#[case(UserIdKind::UserId)]
#[tokio::test]
async fn one_person_is_found_by_each_of_their_ids(#[case] kind: UserIdKind) {
    let caller = Caller::start(small()).await;
    let person = &caller.truth(&["2026-11-20"])[42];
    let id = person.id(kind);

    let rows = caller.rows(&format!("{DAY}&user_id_type={}&user_id={id}", kind.name())).await;

    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["user_id"], id);
    assert_eq!(rows[0]["user_name"], person.user_name);
}

#[rstest]
#[case("open_department_id")]
#[case("department_id")]
#[tokio::test]
async fn a_department_includes_those_below_it(#[case] kind: &str) {
    let caller = Caller::start(SimulatorConfig { users: 500, ..SimulatorConfig::default() }).await;
    let departments = caller.simulator.tenant().departments();
    let top = departments.iter().find_map(|one| one.parent).map(|place| departments[place].clone()).expect("a parent");
    let id = if kind == "department_id" { top.department_id } else { top.open_department_id };

    let rows = caller.rows(&format!("{DAY}&department_id_type={kind}&department_id={id}")).await;

    let below = format!("{}/", top.path);
    let is_within = |path: &str| path == top.path || path.starts_with(&below);
    let expected = caller.truth(&["2026-11-20"]).iter().filter(|row| is_within(&row.department_path)).count();
    assert_eq!(rows.len(), expected);
    assert!(rows.iter().any(|row| row["department_path"] != top.path));
}

#[tokio::test]
async fn the_root_department_contains_all_people() {
    let caller = Caller::start(small()).await;

    let rows = caller.rows(&format!("{DAY}&department_id=0")).await;

    assert_eq!(rows.len(), caller.truth(&["2026-11-20"]).len());
}

#[tokio::test]
async fn each_geo_has_its_own_people() {
    let caller = Caller::start(small()).await;
    let us_rows = caller.simulator.tenant().rows_of(TenantGeo::Us, day("2026-11-20"));

    let rows = caller.rows(&format!("{DAY}&target_geo=us")).await;
    let person_abroad = caller.rows(&format!("{DAY}&user_id={}", us_rows[0].open_id)).await;

    assert_eq!(rows.len(), us_rows.len());
    assert!(rows.iter().zip(&us_rows).all(|(row, truth)| row["user_id"] == truth.open_id));
    assert!(person_abroad.is_empty());
}

#[tokio::test]
async fn without_the_scope_user_ids_are_withheld() {
    let caller = Caller::start(SimulatorConfig { employee_ids: false, ..small() }).await;

    let user_ids = caller.rows(&format!("{DAY}&user_id_type=user_id")).await;
    let open_ids = caller.rows(DAY).await;

    assert!(user_ids.iter().all(|row| row.get("user_id").is_none()));
    assert!(open_ids.iter().all(|row| row["user_id"].is_string()));
}

#[tokio::test]
async fn a_wrong_path_is_plain_text() {
    let caller = Caller::start(small()).await;

    let response = caller.get("/open-apis/admin/v1/admin_user_stat").await;

    assert_eq!(response.status(), 404);
    assert!(response.headers()["content-type"].to_str().is_ok_and(|kind| kind.starts_with("text/plain")));
}
