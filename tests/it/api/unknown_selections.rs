//! Departments and people that no row of the selected days has.

use feishu_simulator::SimulatorConfig;
use reqwest::StatusCode;
use rstest::rstest;

use crate::support::Setup;

const RANGE: &str = "start_date=2026-11-16&end_date=2026-11-20";

/// The 22nd is not produced yet.
const WITH_PENDING_DAY: &str = "start_date=2026-11-16&end_date=2026-11-22";

const ENDPOINTS: [&str; 9] = [
    "/v1/user-days",
    "/v1/users",
    "/v1/reports/summary",
    "/v1/reports/activity",
    "/v1/reports/activity?trailing=fetch",
    "/v1/reports/departments",
    "/v1/reports/retention",
    "/v1/reports/movement",
    "/v1/reports/clients",
];

async fn setup() -> Setup {
    Setup::new(SimulatorConfig { users: 150, days: 40, ..SimulatorConfig::default() }).await
}

fn url(endpoint: &str, query: &str) -> String {
    format!("{endpoint}{}{query}", if endpoint.contains('?') { '&' } else { '?' })
}

#[rstest]
#[tokio::test]
async fn a_department_without_rows_is_not_found_and_similar_ones_are_suggested(
    #[values("json", "csv", "ndjson", "parquet")] format: &str,
) {
    let setup = setup().await;
    let departments = setup.get(&format!("/v1/reports/departments?{RANGE}")).await.json();
    let existing = departments["data"][1]["department_path"].as_str().expect("a path").to_owned();

    for endpoint in ENDPOINTS {
        let answer = setup.get(&url(endpoint, &format!("{RANGE}&format={format}&department_path={existing}x"))).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{endpoint}: {}", answer.text);
        let problem = answer.problem();
        assert_eq!(problem["code"], "not_found");
        let suggestions = problem["suggestions"].as_array().expect("suggestions");
        assert_eq!(suggestions[0], *existing, "{endpoint}");
        assert!(suggestions.len() <= 5);
    }
}

#[tokio::test]
async fn a_person_without_rows_is_not_found() {
    let setup = setup().await;
    // With all days in memory, Feishu is not asked for the person.
    setup.get("/v1/user-days?start_date=2026-11-01&end_date=2026-11-21").await.json();

    for endpoint in ["/v1/user-days", "/v1/users", "/v1/reports/summary", "/v1/reports/activity", "/v1/reports/clients"]
    {
        let answer = setup.get(&url(endpoint, &format!("{RANGE}&user_id=ou_nobody"))).await;
        assert_eq!(
            (answer.status, answer.problem()["code"].as_str()),
            (StatusCode::NOT_FOUND, Some("not_found")),
            "{endpoint}"
        );
        assert!(answer.problem()["suggestions"].is_null());
        let later = setup.get(&url(endpoint, &format!("{WITH_PENDING_DAY}&user_id=ou_nobody"))).await.json();
        assert!(has_note(&later, "not there"), "{endpoint}: {later}");
    }
    let answer = setup.get(&format!("/v1/users/ou_nobody?{RANGE}")).await;
    assert_eq!(answer.problem()["code"], "not_found");
    let later = setup.get(&format!("/v1/users/ou_nobody?{WITH_PENDING_DAY}")).await.json();
    assert!(later["data"]["total"].is_null() && later["data"]["days"].as_array().is_some_and(Vec::is_empty), "{later}");
    assert_eq!(later["meta"]["notes"].as_array().map(Vec::len), Some(1));
}

fn has_note(answer: &serde_json::Value, part: &str) -> bool {
    let notes = answer["meta"]["notes"].as_array().expect("notes");
    notes.iter().any(|note| note.as_str().is_some_and(|note| note.contains(part)))
}

#[tokio::test]
async fn while_selected_days_are_not_there_a_department_without_rows_is_a_note() {
    let setup = setup().await;

    for endpoint in ENDPOINTS {
        let answer = setup.get(&url(endpoint, &format!("{WITH_PENDING_DAY}&department_path=nowhere"))).await.json();
        assert!(has_note(&answer, "not there"), "{endpoint}: {answer}");
        let all = setup.get(&url(endpoint, WITH_PENDING_DAY)).await.json();
        assert!(!has_note(&all, "not there"), "{endpoint}: {all}");
    }
}

#[tokio::test]
async fn a_department_id_that_matches_nobody_is_not_found() {
    let setup = setup().await;
    let id = setup.simulator.tenant().departments()[0].open_department_id.clone();

    // Movement does not take the parameter.
    for endpoint in ENDPOINTS.into_iter().filter(|endpoint| !endpoint.ends_with("movement")) {
        // Before the first day of the tenant.
        let range = "start_date=2026-08-03&end_date=2026-08-04";
        let answer = setup.get(&url(endpoint, &format!("{range}&department_id={id}"))).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{endpoint}: {}", answer.text);
        assert_eq!(answer.problem()["code"], "not_found");
    }
}

#[tokio::test]
async fn a_condition_on_activity_is_no_selection_of_people() {
    let setup = setup().await;
    let person = setup.get(&format!("/v1/user-days?{RANGE}&active=false&limit=1")).await.json();
    let (date, person) = (&person["data"][0]["date"], &person["data"][0]["user_id"]);
    let (date, person) = (date.as_str().expect("a date"), person.as_str().expect("an id"));

    let path = format!("/v1/user-days?start_date={date}&end_date={date}&user_id={person}&active=true");
    let answer = setup.get(&path).await.json();

    assert_eq!(answer["data"].as_array().map(Vec::len), Some(0));
}
