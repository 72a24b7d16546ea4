//! The reports over HTTP, compared with the simulator's data.

use std::collections::{BTreeMap, BTreeSet};

use feishu_pulse::model::Day;
use feishu_simulator::{GroundTruthRow, SimulatorConfig};
use serde_json::Value;

use crate::support::{Setup, eventually};

const RANGE: &str = "start_date=2026-10-22&end_date=2026-11-20";

pub type Truth = BTreeMap<Day, Vec<GroundTruthRow>>;

/// A tenant of 200 people, and its rows on the 30 days that end with the latest final day.
pub async fn tenant_of_200() -> (Setup, Truth) {
    let setup = Setup::new(SimulatorConfig { users: 200, days: 70, turnover: 0.3, ..SimulatorConfig::default() }).await;
    let last: Day = "2026-11-20".parse().unwrap();
    let days = (0..30).map(|back| last.plus(-back));
    let truth = days.map(|day| (day, setup.simulator.tenant().rows_of(setup.home(), day.date()))).collect();
    (setup, truth)
}

fn rows(truth: &Truth) -> impl Iterator<Item = &GroundTruthRow> {
    truth.values().flatten()
}

fn messages(truth: &Truth) -> BTreeMap<&str, u64> {
    rows(truth).fold(BTreeMap::new(), |mut sums, row| {
        *sums.entry(&*row.open_id).or_default() += u64::from(row.counters.send_messenger_num);
        sums
    })
}

#[tokio::test]
async fn pages_of_users_join_to_the_sorted_list() {
    let (setup, truth) = tenant_of_200().await;
    let mut expected: Vec<(&str, u64)> = messages(&truth).into_iter().collect();
    expected.sort_by_key(|(id, sum)| (std::cmp::Reverse(*sum), *id));

    let mut found: Vec<(String, u64)> = Vec::new();
    let mut next = Some(format!("/v1/users?{RANGE}&sort=-send_messenger_num&limit=70"));
    while let Some(path) = next {
        let response = setup.get(&path).await;
        let page = response.json();
        assert_eq!(page["meta"]["total"], expected.len());
        assert!(found.len() < expected.len(), "a cursor leads to itself");
        for item in page["data"].as_array().unwrap() {
            let sum = item["counters"]["send_messenger_num"].as_u64().unwrap();
            found.push((item["user_id"].as_str().unwrap().to_owned(), sum));
        }
        let cursor = page["meta"]["next_cursor"].as_str();
        assert_eq!(response.headers.contains_key("link"), cursor.is_some());
        next = cursor.map(|cursor| format!("/v1/users?{RANGE}&sort=-send_messenger_num&limit=70&cursor={cursor}"));
    }

    assert_eq!(found, expected.iter().map(|(id, sum)| ((*id).to_owned(), *sum)).collect::<Vec<_>>());
}

#[tokio::test]
async fn inactive_for_selects_people_without_an_active_day() {
    let (setup, truth) = tenant_of_200().await;
    let week: Day = "2026-11-14".parse().unwrap();
    let active: BTreeSet<&str> = truth
        .range(week..)
        .flat_map(|(_, rows)| rows)
        .filter(|row| row.suite_active)
        .map(|row| &*row.open_id)
        .collect();
    let all: BTreeSet<&str> = rows(&truth).map(|row| &*row.open_id).collect();

    let page = setup.get(&format!("/v1/users?{RANGE}&inactive_for=7d&limit=1000")).await.json();
    let short =
        setup.get("/v1/users?start_date=2026-11-20&end_date=2026-11-20&inactive_for=7d&limit=1000").await.json();

    let ids = |page: &Value| -> BTreeSet<String> {
        page["data"].as_array().unwrap().iter().map(|item| item["user_id"].as_str().unwrap().to_owned()).collect()
    };
    let expected: BTreeSet<String> = all.difference(&active).map(|id| (*id).to_owned()).collect();
    assert_eq!(ids(&page), expected);
    let last: BTreeSet<&str> = truth.values().last().unwrap().iter().map(|row| &*row.open_id).collect();
    assert_eq!(ids(&short), expected.into_iter().filter(|id| last.contains(&**id)).collect());
}

#[tokio::test]
async fn a_cursor_is_rejected_after_a_day_has_changed() {
    let (setup, _) = tenant_of_200().await;
    let path = "/v1/users?start_date=2026-11-20&end_date=2026-11-21&limit=5";
    let cursor = setup.get(path).await.json()["meta"]["next_cursor"].as_str().unwrap().to_owned();
    setup.simulator.tenant().production().revise(setup.home(), "2026-11-21".parse().unwrap());

    setup.set_time("2026-11-22T14:00:00Z");
    setup.get(path).await.json();
    let next = format!("{path}&cursor={cursor}");
    eventually(async || setup.get(&next).await.status == 409).await;

    assert_eq!(setup.get(&next).await.problem()["code"], "stale_cursor");
}

#[tokio::test]
async fn a_request_for_one_person_fetches_only_that_person() {
    let (setup, truth) = tenant_of_200().await;
    let person = &truth.values().last().unwrap()[3];
    let own: Vec<&GroundTruthRow> = rows(&truth).filter(|row| row.open_id == person.open_id).collect();

    let response = setup.get(&format!("/v1/users/{}?{RANGE}", person.open_id)).await.json();

    let calls = setup.simulator.call_log().stats_calls().len();
    assert!(calls <= 2, "{calls}");
    assert_eq!(response["data"]["days"].as_array().unwrap().len(), own.len());
    assert_eq!(response["data"]["total"]["active_days"], own.iter().filter(|row| row.suite_active).count());
    let minutes: u64 = own.iter().map(|row| u64::from(row.counters.vc_duration)).sum();
    assert_eq!(response["data"]["total"]["counters"]["vc_duration"], minutes);
}

#[tokio::test]
async fn a_person_without_rows_is_not_found() {
    let (setup, truth) = tenant_of_200().await;
    let person = truth.values().last().unwrap()[3].open_id.clone();

    let response = setup.get(&format!("/v1/users/{person}?start_date=2020-01-01&end_date=2020-01-02")).await;

    assert_eq!(response.status, 404);
    assert_eq!(response.problem()["code"], "not_found");
}

#[tokio::test]
async fn the_summary_compares_with_the_previous_range() {
    let (setup, truth) = tenant_of_200().await;

    let response = setup.get("/v1/reports/summary?start_date=2026-11-14&end_date=2026-11-20").await.json();

    let day = |text: &str| text.parse::<Day>().unwrap();
    let sum = |from: &str, to: &str| -> u64 {
        let days = truth.range(day(from)..=day(to));
        days.flat_map(|(_, rows)| rows).map(|row| u64::from(row.counters.send_messenger_num)).sum()
    };
    let (current, previous) = (sum("2026-11-14", "2026-11-20"), sum("2026-11-07", "2026-11-13"));
    assert_eq!(response["data"]["current"]["counters"]["send_messenger_num"], current);
    assert_eq!(response["data"]["previous"]["counters"]["send_messenger_num"], previous);
    assert_eq!(response["data"]["previous"]["start_date"], "2026-11-07");
    let figures = response["data"]["figures"].as_array().unwrap();
    let change = figures.iter().find(|figure| figure["figure"] == "send_messenger_num").unwrap();
    let expected = ((current as f64 - previous as f64) / previous as f64 * 1000.0).round() / 1000.0;
    assert_eq!(change["change"], expected);
}

#[tokio::test]
async fn departments_count_everyone_in_sub_departments_once() {
    let (setup, truth) = tenant_of_200().await;

    let flat = setup.get(&format!("/v1/reports/departments?{RANGE}")).await.json();
    let tree = setup.get(&format!("/v1/reports/departments?{RANGE}&layout=tree&depth=2")).await.json();

    for item in flat["data"].as_array().unwrap() {
        let path = item["department_path"].as_str().unwrap();
        let inside =
            |row: &&GroundTruthRow| row.department_path == path || row.department_path.starts_with(&format!("{path}/"));
        let active: BTreeSet<u32> =
            rows(&truth).filter(inside).filter(|row| row.suite_active).map(|row| row.person).collect();
        assert_eq!(item["active"], active.len(), "{path}");
        let docs: u64 = rows(&truth).filter(inside).map(|row| u64::from(row.counters.create_docs_num)).sum();
        assert_eq!(item["counters"]["create_docs_num"], docs, "{path}");
    }
    let top = &tree["data"][0];
    assert_eq!(top["depth"], 1);
    assert!(
        top["children"]
            .as_array()
            .unwrap()
            .iter()
            .all(|child| child["depth"] == 2 && child["children"] == serde_json::json!([]))
    );
}

#[tokio::test]
async fn a_report_for_one_department_equals_its_entry_in_the_full_report() {
    let (setup, _) = tenant_of_200().await;
    let flat = setup.get(&format!("/v1/reports/departments?{RANGE}")).await.json();
    let item = flat["data"].as_array().unwrap().iter().find(|item| item["depth"] == 2).unwrap();
    let path = item["department_path"].as_str().unwrap();

    let department = setup.http.get(format!("{}/v1/reports/departments?{RANGE}", setup.base));
    let alone: Value = department.query(&[("department_path", path)]).send().await.unwrap().json().await.unwrap();

    assert_eq!(&alone["data"][0], item);
}

#[tokio::test]
async fn departments_have_trailing_figures_on_request() {
    let (setup, truth) = tenant_of_200().await;
    let last = "start_date=2026-11-20&end_date=2026-11-20";

    let without = setup.get(&format!("/v1/reports/departments?{last}&trailing=none")).await.json();
    let held = setup.get(&format!("/v1/reports/departments?{last}&trailing=held")).await.json();
    let fetched = setup.get(&format!("/v1/reports/departments?{last}&trailing=fetch")).await.json();

    for item in without["data"].as_array().unwrap().iter().chain(held["data"].as_array().unwrap()) {
        assert_eq!((&item["wau"], &item["mau"], &item["stickiness"]), (&Value::Null, &Value::Null, &Value::Null));
    }
    for item in fetched["data"].as_array().unwrap() {
        let path = item["department_path"].as_str().unwrap();
        let inside =
            |row: &&GroundTruthRow| row.department_path == path || row.department_path.starts_with(&format!("{path}/"));
        let active = |from: &str| -> BTreeSet<u32> {
            let days = truth.range(from.parse::<Day>().unwrap()..).flat_map(|(_, rows)| rows);
            days.filter(inside).filter(|row| row.suite_active).map(|row| row.person).collect()
        };
        let month = active("2026-10-22").len();
        assert_eq!((&item["wau"], &item["mau"]), (&active("2026-11-14").len().into(), &month.into()), "{path}");
        let stickiness = active("2026-11-20").len() as f64 / month as f64;
        assert_eq!(item["stickiness"].as_f64(), (month > 0).then(|| (stickiness * 1000.0).round() / 1000.0), "{path}");
    }
}

#[tokio::test]
async fn departments_without_distinct_people_have_the_same_sums() {
    let (setup, _) = tenant_of_200().await;
    let counted = setup.get(&format!("/v1/reports/departments?{RANGE}")).await.json();

    let sums = setup.get(&format!("/v1/reports/departments?{RANGE}&distinct=false")).await.json();

    for (counted, sums) in counted["data"].as_array().unwrap().iter().zip(sums["data"].as_array().unwrap()) {
        for same in ["department_path", "users", "active_per_day", "active_rate_per_day", "counters"] {
            assert_eq!(counted[same], sums[same]);
        }
        assert_eq!((&sums["active"], &sums["features"]["im"]["active"]), (&Value::Null, &Value::Null));
        assert_eq!((&sums["wau"], &sums["mau"]), (&Value::Null, &Value::Null), "trailing figures are distinct counts");
    }
    assert_eq!(sums["meta"]["notes"], counted["meta"]["notes"], "nothing is lacking that was asked for");
}

#[tokio::test]
async fn retention_does_not_depend_on_cached_days() {
    let (setup, _) = tenant_of_200().await;
    let path = "/v1/reports/retention?start_date=2026-11-16&end_date=2026-11-20&format=ndjson";
    let before = setup.get(path).await.lines();

    setup.get(&format!("/v1/reports/activity?{RANGE}&trailing=fetch")).await.json();

    assert_eq!(setup.get(path).await.lines(), before);
}

#[tokio::test]
async fn retention_follows_people_who_activated_their_accounts() {
    let (setup, truth) = tenant_of_200().await;

    let response = setup.get(&format!("/v1/reports/retention?{RANGE}&interval=month")).await.json();

    let cohort = &response["data"][1];
    assert_eq!(cohort["start_date"], "2026-11-01");
    let joined = |row: &&GroundTruthRow| {
        row.register_time
            .is_some_and(|time| time.date().year() == 2026 && time.date().month() == 11 && time.date().day() <= 20)
    };
    let people: BTreeSet<u32> = rows(&truth).filter(joined).map(|row| row.person).collect();
    assert_eq!(cohort["people"], people.len());
    let active: BTreeSet<u32> = truth
        .range("2026-11-01".parse::<Day>().unwrap()..)
        .flat_map(|(_, rows)| rows)
        .filter(|row| row.suite_active && people.contains(&row.person))
        .map(|row| row.person)
        .collect();
    assert_eq!(cohort["periods"][0]["active"], active.len());
}

/// The sum of a figure over all items.
fn sum_of(items: &[Value], figure: &str) -> u64 {
    items.iter().map(|item| item[figure].as_u64().unwrap_or_else(|| panic!("{figure}: {item}"))).sum()
}

#[tokio::test]
async fn movement_explains_the_change_of_active_people_and_of_users() {
    let (setup, _) = tenant_of_200().await;
    let weeks = "start_date=2026-10-12&end_date=2026-11-15";
    let departments = setup.get(&format!("/v1/reports/departments?{weeks}")).await.json();
    let path = departments["data"][0]["department_path"].as_str().unwrap();
    for (selection, transfers) in [(String::new(), false), (format!("&department_path={path}"), true)] {
        let movement = setup.get(&format!("/v1/reports/movement?{weeks}{selection}")).await.json();
        let activity = setup.get(&format!("/v1/reports/activity?{weeks}&interval=week{selection}")).await.json();

        let (movement, activity) = (movement["data"].as_array().unwrap(), activity["data"].as_array().unwrap());
        assert_eq!((movement.len(), activity.len()), (5, 5));
        for (item, week) in movement.iter().zip(activity) {
            let count = |figure: &str| sum_of(std::slice::from_ref(item), figure);
            assert_eq!(item["active"], week["active"]);
            assert_eq!(count("active"), count("retained") + count("new") + count("reactivated"));
            assert_eq!((&item["complete"], &item["days_counted"]), (&Value::Bool(true), &7.into()));
            assert_eq!(item["transferred_in"].is_u64(), transfers);
        }
        let users = |week: &Value| week["users"].as_u64().unwrap();
        let later = &movement[1..];
        let came = sum_of(later, "joined") + if transfers { sum_of(later, "transferred_in") } else { 0 };
        let went = sum_of(later, "left") + if transfers { sum_of(later, "transferred_out") } else { 0 };
        assert_eq!(users(&activity[0]) + came, users(&activity[4]) + went, "{selection}");
        assert!(came > 0 && went > 0, "{selection}: {came} came and {went} went");
    }
}

#[tokio::test]
async fn weeks_that_the_range_cuts_have_no_movement() {
    let (setup, _) = tenant_of_200().await;

    // Wednesday to Tuesday.
    let movement = setup.get("/v1/reports/movement?start_date=2026-10-28&end_date=2026-11-17").await.json();

    let items = movement["data"].as_array().unwrap();
    let figures: Vec<_> = items.iter().map(|item| (item["complete"] == true, item["active"].is_u64())).collect();
    // The second week is compared with the whole first one, whose other days are loaded too.
    assert_eq!(figures, [(false, false), (true, true), (true, true), (false, false)]);
    assert_eq!((&items[0]["start_date"], &items[0]["days_counted"]), (&"2026-10-28".into(), &5.into()));
    assert!(movement["meta"]["notes"][0].as_str().unwrap().contains("cut by the selected range"), "{movement}");
    let whole = setup.get("/v1/reports/movement?start_date=2026-11-02&end_date=2026-11-15").await.json();
    assert_eq!((&whole["data"][0], &whole["data"][1]), (&items[1], &items[2]));
    assert_eq!(whole["meta"]["notes"], serde_json::json!([]));
}

#[tokio::test]
async fn client_versions_have_an_age_on_each_system() {
    let (setup, truth) = tenant_of_200().await;

    let clients = setup.get(&format!("/v1/reports/clients?{RANGE}")).await.json();
    let rows_of_table = setup.get(&format!("/v1/reports/clients?{RANGE}&format=ndjson")).await.lines();

    let versions = clients["data"]["client_versions"].as_array().unwrap();
    let item = |version: &str| {
        let is_wanted =
            |item: &&Value| item["system"] == "ios" && item["client"] == "feishu" && item["version"] == version;
        versions.iter().find(is_wanted).unwrap_or_else(|| panic!("{version}: {clients}"))
    };
    let users_of = |client: &str| -> BTreeSet<u32> {
        let uses = |row: &&GroundTruthRow| {
            let mut items = row.active_os.split("','");
            row.suite_active && items.any(|item| item.trim_matches('\'').starts_with("ios ") && item.contains(client))
        };
        rows(&truth).filter(uses).map(|row| row.person).collect()
    };
    assert_eq!(item("7.20.3")["users"], users_of(",feishu 7.20.3").len());
    let share = users_of(",feishu 7.20.3").len() as f64 / users_of("").len() as f64;
    assert!((item("7.20.3")["share"].as_f64().unwrap() - share).abs() < 0.001);
    let age = |version| (item(version)["newest"].as_bool().unwrap(), item(version)["outdated"].as_bool().unwrap());
    assert_eq!(
        ["7.20.3", "7.19.8", "7.5.0-alpha", "3.40.0-alpha"].map(age),
        [(true, false), (false, true), (false, true), (false, true)]
    );
    let of_kind = |kind: &str| rows_of_table.iter().filter(|row| row["kind"] == kind).collect::<Vec<_>>();
    let in_table = of_kind("client_versions");
    assert_eq!(in_table.len(), versions.len());
    for (row, item) in in_table.into_iter().zip(versions) {
        for (figure, value) in item.as_object().unwrap() {
            assert_eq!(&row[figure], value, "{figure}");
        }
    }
    assert!(of_kind("clients").iter().all(|row| row["system"].is_null() && row["newest"].is_null()));
}

#[tokio::test]
async fn clients_count_distinct_users() {
    let (setup, truth) = tenant_of_200().await;

    let response = setup.get(&format!("/v1/reports/clients?{RANGE}")).await.json();

    let names = response["data"]["os_names"].as_array().unwrap();
    assert!(!names.is_empty());
    for item in names {
        let name = item["name"].as_str().unwrap();
        let upstream_name = if name == "Android" { "Andorid" } else { name };
        let users: BTreeSet<u32> = rows(&truth)
            .filter(|row| row.os_name.split(',').any(|os| os == upstream_name))
            .map(|row| row.person)
            .collect();
        assert_eq!(item["users"], users.len(), "{name}");
    }
    assert!(!response["data"]["clients"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn missing_ids_are_noted_in_the_response() {
    let setup =
        Setup::new(SimulatorConfig { users: 20, days: 40, employee_ids: false, ..SimulatorConfig::default() }).await;

    let departments = setup.get(&format!("/v1/reports/departments?{RANGE}&user_id_type=user_id")).await.json();
    let users = setup.get(&format!("/v1/users?{RANGE}&user_id_type=user_id")).await.json();

    assert_eq!(departments["data"][0]["active"], Value::Null);
    assert_eq!(users["data"], serde_json::json!([]));
    for response in [departments, users] {
        assert!(response["meta"]["notes"][0].as_str().unwrap().contains("withholds user_id"));
    }
}

#[tokio::test]
async fn group_reports_reject_the_user_id_parameter() {
    let (setup, _) = tenant_of_200().await;
    for report in ["departments", "retention", "movement", "licences"] {
        let response = setup.get(&format!("/v1/reports/{report}?{RANGE}&user_id=ou_1&depht=1")).await;
        assert_eq!(response.status, 400);
        assert_eq!(response.problem()["errors"].as_array().unwrap().len(), 2);
    }
    assert_eq!(setup.upstream_calls(), 0);
}
