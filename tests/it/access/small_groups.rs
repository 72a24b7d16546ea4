//! Suppression of small groups: callers without `users:read` see no figures of groups below the minimum size.

use std::{collections::BTreeMap, num::NonZeroU64};

use feishu_pulse::access::Scope;
use feishu_simulator::SimulatorConfig;
use reqwest::StatusCode;
use serde_json::Value;

use crate::access::callers::{GuardedGateway, Key, encoded};

const MIN_GROUP: u64 = 12;

/// A minimum that some clients do not reach.
const LARGE_MIN_GROUP: u64 = 60;

const RANGE: &str = "start_date=2026-11-18&end_date=2026-11-20";

async fn guarded(keys: &[Key], min_group: u64) -> GuardedGateway {
    let simulation = SimulatorConfig { users: 150, days: 20, turnover: 0.0, ..SimulatorConfig::default() };
    GuardedGateway::with(simulation, keys, |config| config.min_group_size = NonZeroU64::new(min_group)).await
}

#[tokio::test]
async fn suppressed_departments_are_not_suggested() {
    let keys = [Key::new("reports", &[Scope::ReportsRead])];
    let guarded = guarded(&keys, MIN_GROUP).await;
    let departments = guarded.get(&format!("/v1/reports/departments?{RANGE}"), &keys[0]).await.json();
    let items = departments["data"].as_array().unwrap();
    let suppressed: Vec<&str> = items
        .iter()
        .filter(|item| item["users"].is_null())
        .map(|item| item["department_path"].as_str().unwrap())
        .collect();

    assert!(!suppressed.is_empty());
    for path in &suppressed {
        let url = format!("/v1/reports/activity?{RANGE}&department_path={}x", encoded(path));
        let problem = guarded.get(&url, &keys[0]).await.problem();
        let suggestions = problem["suggestions"].as_array().expect("suggestions");
        assert!((1..=5).contains(&suggestions.len()), "{problem}");
        assert!(!suggestions.iter().any(|other| suppressed.contains(&other.as_str().unwrap())), "{problem}");
    }
}

#[tokio::test]
async fn small_departments_are_listed_without_figures_and_cannot_be_derived_by_subtraction() {
    let keys = [Key::new("reports", &[Scope::ReportsRead]), Key::new("users", &[Scope::UsersRead])];
    let [reports, users] = &keys;
    let guarded = guarded(&keys, MIN_GROUP).await;
    let departments = async |key: &Key| -> BTreeMap<String, Value> {
        let response = guarded.get(&format!("/v1/reports/departments?{RANGE}"), key).await.json();
        let items = response["data"].as_array().unwrap().clone();
        items.into_iter().map(|item| (item["department_path"].as_str().unwrap().to_owned(), item)).collect()
    };
    let (shown, known) = (departments(reports).await, departments(users).await);
    assert!(known.values().all(|item| item["withheld"] == false && item["users"].is_u64()));
    let hidden: Vec<&String> = shown.iter().filter(|(_, item)| item["users"].is_null()).map(|(path, _)| path).collect();
    assert!(!hidden.is_empty() && hidden.len() < shown.len(), "{} of {}", hidden.len(), shown.len());

    let size = |path: &str| known[path]["users"].as_u64().unwrap();
    for (path, item) in &shown {
        if item["users"].is_null() {
            assert_eq!(item["withheld"], true);
            let figures = ["users", "activated", "active", "counters"].map(|figure| &item[figure]);
            assert!(figures.iter().all(|figure| figure.is_null()) && item["features"]["im"]["active"].is_null());
            continue;
        }
        assert!(size(path) >= MIN_GROUP, "{path}");
        let below = |other: &&String| other.rsplit_once('/').is_some_and(|(above, _)| above == path);
        let published: u64 =
            shown.keys().filter(below).filter(|part| !shown[*part]["users"].is_null()).map(|part| size(part)).sum();
        let rest = size(path) - published;
        assert!(rest == 0 || rest >= MIN_GROUP, "{path} less its parts is {rest} people");
    }
    // All reports withhold the same departments.
    for path in hidden.into_iter().map(|path| encoded(path)) {
        let summary = guarded.get(&format!("/v1/reports/summary?{RANGE}&department_path={path}"), reports).await.json();
        assert!(summary["data"]["current"].is_null() && summary["data"]["previous"].is_null());
        assert!(summary["data"]["figures"].as_array().unwrap().iter().all(|figure| figure["current"].is_null()));
        assert!(summary["meta"]["notes"][0].as_str().unwrap().contains("withheld"));
        assert_eq!(summary["meta"]["withheld_below"], MIN_GROUP);
        let activity =
            guarded.get(&format!("/v1/reports/activity?{RANGE}&department_path={path}"), reports).await.json();
        assert!(activity["data"].as_array().unwrap().is_empty());
        let seen = guarded.get(&format!("/v1/reports/summary?{RANGE}&department_path={path}"), users).await.json();
        assert!(seen["data"]["current"]["users"].is_u64() && seen["meta"]["withheld_below"].is_null());
    }
}

#[tokio::test]
async fn small_cohorts_and_rare_clients_are_omitted() {
    let keys = [Key::new("reports", &[Scope::ReportsRead]), Key::new("users", &[Scope::UsersRead])];
    let [reports, users] = &keys;
    let guarded = guarded(&keys, LARGE_MIN_GROUP).await;

    let clients = async |key: &Key| guarded.get(&format!("/v1/reports/clients?{RANGE}"), key).await.json();
    let sizes = |response: &Value| -> Vec<u64> {
        let kinds = ["os_names", "operating_systems", "clients", "app_packages", "client_versions"];
        let used = kinds.iter().flat_map(|kind| response["data"][kind].as_array().unwrap());
        used.map(|used| used["users"].as_u64().unwrap()).collect()
    };
    let (shown, known) = (sizes(&clients(reports).await), sizes(&clients(users).await));
    assert!(known.iter().any(|users| *users < LARGE_MIN_GROUP));
    assert_eq!(shown, known.into_iter().filter(|users| *users >= LARGE_MIN_GROUP).collect::<Vec<_>>());

    for report in ["retention", "movement", "clients"] {
        let path = format!("/v1/reports/{report}?{RANGE}&department_path=x");
        assert_eq!(guarded.get(&path, reports).await.status, StatusCode::FORBIDDEN);
        assert_eq!(guarded.get(&path, users).await.status, StatusCode::NOT_FOUND);
    }
    let named = guarded.get(&format!("/v1/reports/summary?{RANGE}&department_id=od-1"), reports).await;
    assert_eq!(named.status, StatusCode::FORBIDDEN);
}

/// The numbers of people of an item, with the names of the figures.
fn people_counts(item: &Value) -> BTreeMap<String, Option<u64>> {
    let features = item["features"].as_object().unwrap().iter();
    let features = features
        .flat_map(|(name, of)| ["active", "regular"].map(|figure| (format!("{name}_{figure}"), of[figure].as_u64())));
    let own = ["users", "people", "activated", "active", "regular", "wau", "mau"];
    own.map(|figure| (figure.to_owned(), item[figure].as_u64())).into_iter().chain(features).collect()
}

#[tokio::test]
async fn small_numbers_of_people_are_withheld_with_the_next_smallest() {
    let keys = [Key::new("reports", &[Scope::ReportsRead]), Key::new("users", &[Scope::UsersRead])];
    let [reports, users] = &keys;
    let guarded = guarded(&keys, MIN_GROUP).await;
    let mut withheld = 0;
    for report in ["activity", "activity?interval=week", "departments", "summary"] {
        let joint = if report.contains('?') { '&' } else { '?' };
        let path = format!("/v1/reports/{report}{joint}{RANGE}");
        let items = async |key: &Key| -> Vec<Value> {
            let data = guarded.get(&path, key).await.json()["data"].clone();
            data.as_array().cloned().unwrap_or_else(|| vec![data["current"].clone(), data["previous"].clone()])
        };
        for (shown, known) in items(reports).await.iter().zip(&items(users).await) {
            if shown["users"].is_null() {
                continue;
            }
            let (shown_counts, known_counts) = (people_counts(shown), people_counts(known));
            assert!(shown_counts.values().flatten().all(|count| *count == 0 || *count >= MIN_GROUP), "{shown}");
            let hidden: Vec<u64> = shown_counts
                .keys()
                .filter(|name| shown_counts[*name].is_none())
                .filter_map(|name| known_counts[name])
                .collect();
            assert!(hidden.is_empty() || hidden.len() > 1, "one alone could be derived: {shown}");
            withheld += hidden.len();
            // A share reveals the number that it is computed from.
            for (_, of) in shown["features"].as_object().unwrap().iter().filter(|(_, of)| of["active"].is_null()) {
                assert!(of["adoption"].is_null() && of["active_per_day"].is_null(), "{of}");
            }
        }
    }
    assert!(withheld > 0);
}

#[tokio::test]
async fn the_number_of_days_of_regular_use_is_fixed_while_small_groups_are_withheld() {
    let keys = [Key::new("reports", &[Scope::ReportsRead]), Key::new("users", &[Scope::UsersRead])];
    let [reports, users] = &keys;
    let guarded = guarded(&keys, MIN_GROUP).await;
    for report in [
        "activity?interval=week&regular_days=2",
        "departments?regular_days=2",
        "summary?regular_days=2",
        "licences?dormant_after=2d",
    ] {
        let path = format!("/v1/reports/{report}&{RANGE}");
        assert_eq!(guarded.get(&path, reports).await.status, StatusCode::FORBIDDEN, "{report}");
        assert_eq!(guarded.get(&path, users).await.status, StatusCode::OK, "{report}");
    }
}

#[tokio::test]
async fn movements_of_few_people_are_withheld_with_the_figures_that_reveal_them() {
    let keys = [Key::new("reports", &[Scope::ReportsRead]), Key::new("users", &[Scope::UsersRead])];
    let [reports, users] = &keys;
    let simulation = SimulatorConfig { users: 300, days: 70, turnover: 0.5, ..SimulatorConfig::default() };
    let guarded =
        GuardedGateway::with(simulation, &keys, |config| config.min_group_size = NonZeroU64::new(MIN_GROUP)).await;

    let path = "/v1/reports/movement?start_date=2026-09-28&end_date=2026-11-15";
    let (shown, known) = (guarded.get(path, reports).await.json(), guarded.get(path, users).await.json());

    let (mut hidden, mut visible) = (0, 0);
    for (shown, known) in shown["data"].as_array().unwrap().iter().zip(known["data"].as_array().unwrap()) {
        for figure in ["active", "retained", "new", "reactivated", "newly_dormant", "joined", "left"] {
            let count = known[figure].as_u64().unwrap();
            if shown[figure].is_null() {
                hidden += 1;
            } else {
                assert_eq!(shown[figure], count, "{figure}");
                assert!(count == 0 || count >= MIN_GROUP, "{figure}: {shown}");
                visible += 1;
            }
        }
        assert_eq!(shown["new"].is_null(), shown["reactivated"].is_null(), "their sum is active less retained");
        assert_eq!(shown["joined"].is_null(), shown["left"].is_null(), "their difference is that of the users");
    }
    assert!(hidden > 0 && visible > 0, "{hidden} hidden, {visible} visible");
    assert!(shown["meta"]["notes"].as_array().unwrap().iter().any(|note| note.as_str().unwrap().contains("withheld")));
}

#[tokio::test]
async fn licences_list_no_departments_and_withhold_small_numbers() {
    let keys = [Key::new("reports", &[Scope::ReportsRead]), Key::new("users", &[Scope::UsersRead])];
    let [reports, users] = &keys;
    let guarded = guarded(&keys, MIN_GROUP).await;
    let path = format!("/v1/reports/licences?{RANGE}");

    let shown = guarded.get(&path, reports).await.json();
    let known = guarded.get(&path, users).await.json();
    let in_department = guarded.get(&format!("{path}&department_path=x"), reports).await;

    assert_eq!(in_department.status, StatusCode::FORBIDDEN);
    assert!(known["data"].as_array().unwrap().len() > 1);
    assert_eq!(shown["data"].as_array().unwrap().len(), 1);
    let (shown, known) = (shown["data"][0].as_object().unwrap(), known["data"][0].as_object().unwrap());
    let mut withheld = 0;
    for (name, count) in known.iter().filter_map(|(name, figure)| Some((name, figure.as_u64()?))) {
        let visible = shown[name].as_u64();
        assert!(
            visible.is_none_or(|visible| visible == count && (count == 0 || count >= MIN_GROUP)),
            "{name}: {count}"
        );
        withheld += usize::from(visible.is_none());
    }
    assert!(withheld > 1, "{known:?}");
    // The statuses add up to all accounts, so one of them alone must not be withheld.
    let statuses = ["never_activated", "active", "dormant"];
    assert_ne!(statuses.iter().filter(|status| shown[**status].is_null()).count(), 1, "{shown:?}");
}

#[tokio::test]
async fn small_numbers_of_cohorts_are_withheld() {
    let keys = [Key::new("reports", &[Scope::ReportsRead]), Key::new("users", &[Scope::UsersRead])];
    let [reports, users] = &keys;
    let simulation = SimulatorConfig { users: 600, days: 60, turnover: 0.9, ..SimulatorConfig::default() };
    let guarded = GuardedGateway::with(simulation, &keys, |config| config.min_group_size = NonZeroU64::new(24)).await;
    let path = "/v1/reports/retention?start_date=2026-10-05&end_date=2026-11-15";

    let (shown, known) = (guarded.get(path, reports).await.json(), guarded.get(path, users).await.json());

    let periods = |answer: &Value| -> Vec<Value> {
        let cohorts = answer["data"].as_array().unwrap().iter();
        cohorts.flat_map(|cohort| cohort["periods"].as_array().unwrap().clone()).collect()
    };
    let small = |period: &Value| period["active"].as_u64().is_some_and(|active| (1..24).contains(&active));
    assert!(periods(&known).iter().any(small), "{known}");
    assert!(!periods(&shown).iter().any(small), "{shown}");
    let withheld: Vec<Value> = periods(&shown).into_iter().filter(|period| period["active"].is_null()).collect();
    assert!(withheld.iter().all(|period| period["share"].is_null()), "{shown}");
}
