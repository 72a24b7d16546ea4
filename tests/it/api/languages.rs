//! Problems in the language that the client prefers: title, detail, faults, and the explanations of codes.

use feishu_simulator::SimulatorConfig;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{ApiResponse, Setup};

async fn setup() -> Setup {
    Setup::new(SimulatorConfig { users: 5, days: 10, ..SimulatorConfig::default() }).await
}

async fn get(setup: &Setup, path: &str, language: &str) -> ApiResponse {
    let request = setup.http.get(format!("{}{path}", setup.base)).header("accept-language", language);
    ApiResponse::read(request.send().await.expect("an answer")).await
}

fn is_chinese(text: &Value) -> bool {
    text.as_str().expect("a text").chars().any(|character| ('\u{4e00}'..='\u{9fff}').contains(&character))
}

fn varies_by_language(response: &ApiResponse) -> bool {
    let lines = response.headers.get_all("vary").iter();
    lines.into_iter().any(|line| line.to_str().is_ok_and(|line| line.contains("accept-language")))
}

/// Requests with every kind of fault, each with the number of faults.
const FAULTY: [(&str, usize); 28] = [
    ("/v1/reports/activity", 2),
    ("/v1/reports/activity?start_date=2026-11-1&end_date=2026-02-30", 2),
    ("/v1/reports/activity?start_date=2026-11-02&end_date=2026-11-01", 1),
    ("/v1/reports/activity?start_date=2010-01-01&end_date=2026-11-01", 1),
    ("/v1/reports/activity?period=fortnight&colour=red", 2),
    ("/v1/reports/activity?period=7d&start_date=2026-11-01&geo=mars", 2),
    ("/v1/reports/activity?period=7d&period=30d&geo=us", 2),
    ("/v1/reports/activity?period=7d&geo=cn,cn&user_id_type=email", 2),
    ("/v1/reports/activity?period=&geo=cn%00", 2),
    ("/v1/reports/activity?period=7d&geo=%FF&interval=hour", 2),
    ("/v1/reports/retention?period=90d&user_id=ou_1&department_id_type=department_id", 2),
    ("/v1/reports/activity?period=7d&bom=true&regular_days=50", 2),
    ("/v1/reports/activity?period=7d&layout=tree&trailing=maybe", 2),
    ("/v1/reports/activity?period=7d&allow_partial=1&format=pdf", 2),
    ("/v1/reports/departments?period=7d&layout=tree&format=csv&depth=0", 2),
    ("/v1/reports/movement?period=30d&department_id=od-1", 1),
    ("/v1/reports/licences?period=30d&dormant_after=soon", 1),
    ("/v1/users?period=7d&sort=shoe_size&status=asleep", 2),
    ("/v1/users?period=7d&limit=0&inactive_for=soon&cursor=x", 3),
    ("/v1/users.csv?period=7d&cursor=x", 1),
    ("/v1/user-days?period=7d&fields=shoe_size&sort=shoe_size", 2),
    ("/v1/user-days?period=7d&limit=many&cursor=x", 2),
    ("/v1/user-days.csv?period=7d&limit=5&cursor=x", 2),
    ("/v1/users/%00?period=7d", 1),
    ("/v1/coverage?period=7d&geo=cn,", 1),
    ("/v1/user-days?period=7d&department_id=%01", 1),
    ("/v1/backfills?state=running", 1),
    ("/v1/reports/activity.svg?period=7d&theme=pink", 1),
];

#[tokio::test]
async fn each_fault_is_explained_once_and_in_chinese() {
    let setup = setup().await;
    for (path, count) in FAULTY {
        let (chinese, english) = (get(&setup, path, "zh-CN").await, get(&setup, path, "en").await);

        assert_eq!(chinese.status, StatusCode::BAD_REQUEST, "{path}: {}", chinese.text);
        let (chinese, english) = (chinese.problem(), english.problem());
        let faults = |problem: &Value| problem["errors"].as_array().expect("faults").clone();
        let (chinese_faults, english_faults) = (faults(&chinese), faults(&english));
        assert_eq!((chinese_faults.len(), english_faults.len()), (count, count), "{path}: {english}");
        for (fault, english_fault) in chinese_faults.iter().zip(&english_faults) {
            assert!(is_chinese(&fault["detail"]) && !is_chinese(&english_fault["detail"]), "{path}: {fault}");
            assert_eq!(fault["parameter"], english_fault["parameter"], "{path}");
            let detail = chinese["detail"].as_str().expect("a detail");
            assert!(detail.contains(fault["parameter"].as_str().expect("a name")), "{path}: {detail}");
        }
    }
}

#[tokio::test]
async fn what_is_not_found_is_said_in_chinese() {
    let setup = setup().await;
    let range = "start_date=2026-11-16&end_date=2026-11-20";
    // With all days in memory, Feishu is not asked for the person.
    setup.get(&format!("/v1/user-days?{range}")).await.json();

    for (path, missing) in [
        ("/v1/nothing".to_owned(), "路径不存在"),
        ("/v1/backfills/20261122T040000Z-5f3a9c".to_owned(), "没有这个任务"),
        ("/problems/unknown".to_owned(), "没有这个错误码"),
        (format!("/v1/users.pdf?{range}"), "可用的后缀：parquet, xlsx, csv, ndjson"),
        (format!("/v1/user-days?{range}&department_path=x"), "department_path 所指的部门"),
        (format!("/v1/user-days?{range}&user_id=ou_none"), "没有这个人员"),
        ("/dashboard/1/none.js".to_owned(), "请重新加载页面"),
    ] {
        let response = get(&setup, &path, "zh-CN").await;
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{path}: {}", response.text);
        let problem = response.problem();
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(missing) && !detail.contains("the "), "{path}: {detail}");
    }
}

#[tokio::test]
async fn a_message_without_a_chinese_text_follows_the_explanation() {
    let setup = setup().await;
    let request = setup.http.get(format!("{}/v1/reports/activity?period=7d", setup.base));
    let response = request.header("accept-language", "zh-CN").header("accept", "image/gif").send().await.unwrap();

    let response = ApiResponse::read(response).await;
    let problem = response.problem();
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(
        detail.starts_with("本接口的格式均不在请求头 Accept 之列") && detail.contains("application/json"),
        "{detail}"
    );
    assert_eq!(response.headers["content-language"], "zh-CN");
    assert!(varies_by_language(&response));
}

#[tokio::test]
async fn a_problem_is_explained_in_the_language_that_the_client_prefers() {
    let setup = setup().await;
    for code in ["invalid_parameters", "precondition_failed", "upstream_quota_exhausted"] {
        let path = format!("/problems/{code}");
        let (chinese, english) = (get(&setup, &path, "zh").await, get(&setup, &path, "de, en;q=0.5").await);

        let tags = [&chinese, &english].map(|response| response.headers["content-language"].clone());
        assert_eq!(tags, ["zh-CN", "en"]);
        assert!(varies_by_language(&chinese) && varies_by_language(&english));
        let (chinese, english) = (chinese.json(), english.json());
        for text in ["title", "cause", "cure"] {
            assert!(is_chinese(&chinese[text]) && !is_chinese(&english[text]), "{chinese}");
        }
        assert_eq!((&chinese["code"], &chinese["status"]), (&english["code"], &english["status"]));
    }
}
