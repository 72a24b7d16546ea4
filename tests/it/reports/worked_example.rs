//! The worked examples of `docs/metrics.md`. The rows of its tables are served as Feishu's; the answers to them must equal
//! the tables with the results. The Chinese page must have the same tables, and both pages must name every figure.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::Query,
    routing::{get, post},
};
use feishu_pulse::{
    api,
    model::{Day, DayRange},
    report::{Interval, relative_change},
};
use feishu_simulator::SimulatorConfig;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::support::{Setup, day};

const PAGE: &str = include_str!("../../../docs/metrics.md");

const CHINESE_PAGE: &str = include_str!("../../../docs/zh/metrics.md");

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const WEEK: &str = "start_date=2026-11-02&end_date=2026-11-08";

/// The rows of Feishu, by day.
type Rows = BTreeMap<Day, Vec<Value>>;

/// A table of a page: the cells of its head and those of its rows.
#[derive(Debug, PartialEq)]
struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// All tables of a page.
fn tables(page: &str) -> Vec<Table> {
    let lines: Vec<&str> = page.lines().collect();
    let is_row = |line: &&str| line.starts_with('|');
    let blocks = lines.chunk_by(|one, next| is_row(one) == is_row(next)).filter(|block| is_row(&block[0]));
    let table =
        |block: &[&str]| Table { head: cells(block[0]), rows: block[2..].iter().map(|line| cells(line)).collect() };
    blocks.map(table).collect()
}

/// The table of the English page whose head begins with these columns, without code marks.
fn table(columns: &[&str]) -> Table {
    let plain = |cells: Vec<String>| cells.iter().map(|cell| cell.replace('`', "")).collect::<Vec<_>>();
    let mut tables = tables(PAGE)
        .into_iter()
        .map(|Table { head, rows }| Table { head: plain(head), rows: rows.into_iter().map(plain).collect() });
    tables.find(|table| table.head.iter().zip(columns).all(|(one, other)| one == other)).expect("the table")
}

/// The figure at a path such as `features.docs.active`.
fn figure<'a>(item: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(item, |value, name| value.get(name).unwrap_or_else(|| panic!("{path}: no {name} in {value}")))
}

/// Compares a figure with a cell such as `2: A, C` or `1.714 = 12 ÷ 7`.
fn assert_equal(found: &Value, cell: &str, place: &str) {
    let said = cell.split([':', ' ']).next().unwrap_or_default();
    let is_equal = match found {
        Value::Null => said == "null",
        Value::Bool(flag) => said == flag.to_string(),
        Value::Number(number) => said.parse().ok() == number.as_f64(),
        Value::String(text) => said == text,
        Value::Array(_) | Value::Object(_) => false,
    };
    assert!(is_equal, "{place}: the page says {cell}, the answer is {found}");
}

/// Compares an item with the cells of a row after the first `labels`. The head of each column is a path.
fn assert_row_equals(item: &Value, table: &Table, row: &[String], labels: usize) {
    for (path, cell) in table.head.iter().zip(row).skip(labels) {
        assert_equal(figure(item, path), cell, &format!("{} {path}", row[..labels].join(" ")));
    }
}

/// A gateway in front of a Feishu that has these rows. Every range is one page.
async fn gateway(rows: Rows) -> Setup {
    let rows = Arc::new(rows);
    let token = post(async || Json(json!({ "code": 0, "msg": "ok", "tenant_access_token": "t", "expire": 7200 })));
    let page = get(async move |Query(query): Query<BTreeMap<String, String>>| {
        let days = day(&query["start_date"])..=day(&query["end_date"]);
        let items: Vec<Value> = rows.range(days).flat_map(|(_, rows)| rows.clone()).collect();
        Json(json!({ "code": 0, "msg": "ok", "data": { "items": items, "has_more": false } }))
    });
    let routes = Router::new()
        .route("/open-apis/auth/v3/tenant_access_token/internal", token)
        .route("/open-apis/admin/v1/admin_user_stats", page);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let simulation = SimulatorConfig { users: 1, days: 1, ..SimulatorConfig::default() };
    Setup::with(simulation, |config| config.feishu.base_url = base.parse().expect("a URL")).await
}

async fn data(setup: &Setup, path: &str) -> Value {
    setup.get(path).await.json()["data"].take()
}

async fn items(setup: &Setup, path: &str) -> Vec<Value> {
    data(setup, path).await.as_array().expect("a list").clone()
}

/// A row of Feishu of a person who is activated, and active if `is_active`.
fn row(date: Day, person: &str, department: &str, is_active: bool) -> Map<String, Value> {
    let row = json!({
        "date": date.to_string(), "user_id": person, "user_name": person, "department_name": department,
        "department_path": format!("总部/{department}"), "user_active_flag": 1, "suite_active_flag": u8::from(is_active),
    });
    row.as_object().expect("an object").clone()
}

/// The rows of the week at the beginning of the page, and those of the four weeks before.
fn example_week() -> Rows {
    let table = table(&["person", "department", "Mon"]);
    assert_eq!(table.head[2..], WEEKDAYS);
    let monday = day("2026-11-02");
    let mut rows = Rows::new();
    for person in &table.rows {
        let (first, after_change) = person[1].split_once(", from Wed ").unwrap_or((&person[1], &person[1]));
        // According to the text below the table.
        let (is_activated, mut last_active) =
            (person[0] != "E", (person[0] == "F").then(|| "2026-09-20 10:00:00".to_owned()));
        for offset in -28..7 {
            let date = monday.plus(offset);
            let cell = match usize::try_from(offset) {
                Ok(weekday) => &*person[2 + weekday],
                Err(_) if person[0] == "D" => "—",
                Err(_) => "·",
            };
            if cell == "—" {
                continue;
            }
            let is_active = cell != "·";
            if is_active {
                last_active = Some(format!("{date} 10:00:00"));
            }
            let mut row = row(date, &person[0], if offset < 2 { first } else { after_change }, is_active);
            let messages: u64 = cell.split(", ").find_map(|word| word.parse().ok()).unwrap_or(0);
            row.insert("user_active_flag".into(), u8::from(is_activated).into());
            row.insert("send_messenger_num".into(), messages.into());
            row.insert("im_active_flag".into(), u8::from(messages > 0).into());
            row.insert("docs_active_flag".into(), u8::from(cell.contains("docs")).into());
            row.extend(last_active.clone().map(|time| ("last_active_time".to_owned(), time.into())));
            rows.entry(date).or_default().push(row.into());
        }
    }
    rows
}

#[tokio::test]
async fn activity_equals_the_table() {
    let setup = gateway(example_week()).await;
    let query = format!("/v1/reports/activity?{WEEK}&trailing=fetch&interval");

    let (days, weeks) = (items(&setup, &format!("{query}=day")).await, items(&setup, &format!("{query}=week")).await);

    let table = table(&["figure", "definition", "Wed", "Mon to Sun"]);
    for row in &table.rows {
        assert_equal(figure(&days[2], &row[0]), &row[2], &format!("{} of Wednesday", row[0]));
        assert_equal(figure(&weeks[0], &row[0]), &row[3], &format!("{} of the week", row[0]));
    }
    assert_eq!((table.rows.len(), weeks.len()), (25, 1));
}

#[tokio::test]
async fn departments_and_the_funnel_equal_the_tables() {
    let setup = gateway(example_week()).await;

    let departments = items(&setup, &format!("/v1/reports/departments?{WEEK}")).await;

    let (table, funnel) = (table(&["department", "users"]), table(&["step", "总部"]));
    assert_eq!((table.rows.len(), funnel.rows.len()), (departments.len(), 4));
    for (item, row) in departments.iter().zip(&table.rows) {
        assert_eq!(item["department_path"], *row[0]);
        assert_row_equals(item, &table, row, 1);
        let column = funnel.head.iter().position(|path| *path == row[0]).expect("a column of the department");
        for step in &funnel.rows {
            assert_equal(figure(item, &step[0]), &step[column], &format!("{} of {}", step[0], row[0]));
        }
    }
}

#[tokio::test]
async fn people_equal_the_table() {
    let setup = gateway(example_week()).await;

    let people = items(&setup, &format!("/v1/users?{WEEK}")).await;
    let research = items(&setup, &format!("/v1/users?{WEEK}&department_path=总部/研发")).await;
    let inactive = items(&setup, &format!("/v1/users?{WEEK}&inactive_for=3d")).await;

    let table = table(&["person", "active_days"]);
    assert_eq!(table.rows.len(), people.len());
    for (item, row) in people.iter().zip(&table.rows) {
        assert_eq!(item["user_id"], *row[0]);
        assert_row_equals(item, &table, row, 1);
    }
    let c = research.iter().find(|item| item["user_id"] == "C").expect("C");
    let said = format!("C has {} active day and {} message.", c["active_days"], c["counters"]["send_messenger_num"]);
    assert!(PAGE.contains(&said), "{said}");
    let ids: Vec<&str> = inactive.iter().map(|item| item["user_id"].as_str().expect("an id")).collect();
    assert!(PAGE.contains(&format!(
        "the range that count: {} and {}. If",
        ids[..ids.len() - 1].join(", "),
        ids[ids.len() - 1]
    )));
}

#[tokio::test]
async fn every_status_has_the_people_of_the_table() {
    let setup = gateway(example_week()).await;
    for row in table(&["status", "definition", "example"]).rows {
        let people = items(&setup, &format!("/v1/users?{WEEK}&status={}", row[0])).await;
        let ids: Vec<&str> = people.iter().map(|item| item["user_id"].as_str().expect("an id")).collect();
        assert_eq!(ids.join(", "), row[2].split(':').next().unwrap_or_default(), "{}", row[0]);
    }
}

#[tokio::test]
async fn licences_equal_the_table() {
    let setup = gateway(example_week()).await;

    let items = items(&setup, &format!("/v1/reports/licences?{WEEK}")).await;

    let table = table(&["department", "accounts"]);
    assert_eq!(table.rows.len(), items.len());
    for (item, row) in items.iter().zip(&table.rows) {
        assert_equal(&item["department_path"], &row[0], "department");
        assert_row_equals(item, &table, row, 1);
    }
}

#[tokio::test]
async fn the_summary_begins_with_the_figure_of_the_page() {
    let setup = gateway(example_week()).await;

    let summary = data(&setup, &format!("/v1/reports/summary?{WEEK}")).await;

    let first = &summary["figures"][0];
    assert!(PAGE.contains(&format!("`figures` begins with {}", first["figure"]).replace('"', "`")));
    let said = table(&["figure", "definition", "Wed"]).rows.into_iter().find(|row| first["figure"] == *row[0]);
    assert_equal(&first["current"], &said.expect("the figure")[3], "the first figure");
    let change = relative_change(Some(64.0), Some(50.0)).expect("a change");
    assert!(PAGE.contains(&format!("64 messages after 50 are {change}.")));
}

#[tokio::test]
async fn retention_equals_the_table() {
    let people = table(&["person", "activated on"]);
    let periods = ["2026-11-02", "2026-11-09", "2026-11-16"].map(day);
    let last = day("2026-11-18");
    let mut rows = Rows::new();
    for date in DayRange::new(periods[0], last).expect("a range").days() {
        let of_person = |cells: &Vec<String>| {
            let period = periods.iter().filter(|first| **first <= date).count() - 1;
            // On the last day of the period.
            let is_active = cells[2 + period] == "active" && (date == periods[period].plus(6) || date == last);
            let mut row = row(date, &cells[0], "研发", is_active);
            let is_activated = date >= day(&cells[1]);
            row.insert("user_active_flag".into(), u8::from(is_activated).into());
            if is_activated {
                row.insert("register_time".into(), format!("{} 10:00:00", cells[1]).into());
            }
            row.into()
        };
        rows.insert(date, people.rows.iter().map(of_person).collect());
    }
    let setup = gateway(rows).await;

    let cohorts = items(&setup, "/v1/reports/retention?start_date=2026-11-02&end_date=2026-11-18").await;

    let table = table(&["cohort", "people"]);
    let mut said = table.rows.iter();
    for cohort in &cohorts {
        for period in cohort["periods"].as_array().expect("periods") {
            let row = said.next().expect("a row of the period");
            assert_equal(&cohort["start_date"], &row[0], "cohort");
            assert_equal(&cohort["people"], &row[1], &format!("people of {}", row[0]));
            assert_row_equals(period, &table, row, 2);
        }
    }
    assert_eq!(said.next(), None);
}

#[tokio::test]
async fn movement_equals_the_table() {
    let people = table(&["person", "week of 2026-11-02", "week of 2026-11-09", "in the company"]);
    let mut rows = Rows::new();
    for (column, monday) in [(1, "2026-11-02"), (2, "2026-11-09")] {
        for date in Interval::Week.containing(day(monday)).days() {
            let of_person = |cells: &Vec<String>| {
                let department = cells[column].split(',').next().filter(|name| *name != "—")?;
                let mut row = row(date, &cells[0], department, cells[column].contains("active"));
                let activated = if cells[2].contains("2026-11-10") { "2026-11-10" } else { "2026-01-01" };
                row.insert("register_time".into(), format!("{activated} 10:00:00").into());
                Some(row.into())
            };
            rows.insert(date, people.rows.iter().filter_map(of_person).collect());
        }
    }
    let setup = gateway(rows).await;
    let query = "/v1/reports/movement?start_date=2026-11-09&end_date=2026-11-15";

    for (column, path) in [(3, query.to_owned()), (4, format!("{query}&department_path=总部/研发"))] {
        let item = &items(&setup, &path).await[0];
        let said = |figure: &str| {
            people.rows.iter().filter(|cells| cells[column].split(", ").any(|word| word == figure)).count() as u64
        };
        for figure in ["retained", "new", "reactivated", "newly_dormant", "joined", "left"] {
            assert_eq!(item[figure], said(figure), "{figure} {}", people.head[column]);
        }
        if column == 4 {
            assert_eq!(item["transferred_in"], said("transferred_in"));
            assert_eq!(item["transferred_out"], said("transferred_out"));
        }
        assert_eq!(item["active"], said("retained") + said("new") + said("reactivated"));
        assert!(PAGE.contains(&format!("`active` {} = ", item["active"])));
    }
}

#[tokio::test]
async fn client_versions_equal_the_table() {
    const PEOPLE: usize = 200;
    let table = table(&["version", "users", "share"]);
    let mut clients = vec![Vec::new(); PEOPLE];
    let mut next = (0..PEOPLE).cycle();
    for row in &table.rows {
        for _ in 0..row[1].parse().expect("a number") {
            clients[next.next().expect("a person")].push(format!("'ios 14.2,feishu {}'", row[0]));
        }
    }
    let date = day("2026-11-04");
    let of_person = |(person, clients): (usize, &Vec<String>)| {
        let mut row = row(date, &format!("ou_{person:03}"), "研发", true);
        row.insert("active_os".into(), clients.join(",").into());
        row.into()
    };
    let setup = gateway(Rows::from([(date, clients.iter().enumerate().map(of_person).collect())])).await;

    let clients = data(&setup, &format!("/v1/reports/clients?start_date={date}&end_date={date}")).await;

    let versions = clients["client_versions"].as_array().expect("versions");
    assert_eq!(versions.len(), table.rows.len());
    for (item, row) in versions.iter().zip(&table.rows) {
        assert_eq!(item["version"], *row[0]);
        assert_row_equals(item, &table, row, 1);
    }
}

#[tokio::test]
async fn a_department_covers_whole_segments() {
    let setup = gateway(example_week()).await;
    assert_eq!(setup.get(&format!("/v1/reports/activity?{WEEK}&department_path=总部/研")).await.status, 404);
}

/// The numbers, code and marks of a cell, which no translation changes.
fn untranslated(cell: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = Vec::new();
    for (index, text) in cell.split('`').enumerate() {
        if index % 2 == 1 {
            parts.push(text);
        } else {
            let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.').map(|part| part.trim_matches('.'));
            parts.extend(numbers.filter(|number| !number.is_empty()));
            parts.extend(text.matches(['·', '—', '÷']));
        }
    }
    parts.sort_unstable();
    parts
}

#[test]
fn the_chinese_page_has_the_same_tables() {
    let (english, chinese) = (tables(PAGE), tables(CHINESE_PAGE));
    for (english, chinese) in english.iter().zip(&chinese) {
        let rows = |table: &Table| [std::slice::from_ref(&table.head), &table.rows].concat();
        for (english, chinese) in rows(english).iter().zip(rows(chinese)) {
            let parts = |cells: &[String]| -> Vec<Vec<String>> {
                cells.iter().map(|cell| untranslated(cell).into_iter().map(str::to_owned).collect()).collect()
            };
            assert_eq!(parts(&chinese), parts(english), "{chinese:?}\n{english:?}");
        }
        assert_eq!(chinese.rows.len(), english.rows.len(), "{:?}", chinese.head);
    }
    assert_eq!(chinese.len(), english.len());
}

/// The names of all fields of a schema, including those of objects in it.
fn fields(schemas: &Value, schema: &Value) -> Vec<String> {
    let part = |part: &Value| match part["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        Some(name) => fields(schemas, &schemas[name]),
        None => fields(schemas, part),
    };
    let parts = schema["allOf"].as_array().into_iter().flatten().flat_map(part);
    let properties = || schema["properties"].as_object().into_iter().flatten();
    let inside = properties().flat_map(|(_, property)| part(property));
    properties().map(|(name, _)| name.clone()).chain(inside).chain(parts).collect()
}

#[test]
fn both_pages_name_every_figure() {
    let document = serde_json::to_value(api::openapi()).expect("JSON");
    let schemas = &document["components"]["schemas"];
    let reports = [
        "ActivityItem",
        "Features",
        "FeatureDays",
        "Counters",
        "DepartmentItem",
        "UserItem",
        "Headline",
        "SummaryData",
        "SummaryFigure",
        "CohortItem",
        "PeriodItem",
        "MovementItem",
        "ClientsData",
        "ClientUsageItem",
        "ClientVersionItem",
        "LicencesItem",
    ];
    // What identifies an item is no figure.
    let labels =
        ["start_date", "end_date", "department_path", "depth", "children", "periods", "user_id", "user_name", "figure"];
    for report in reports {
        let fields = fields(schemas, &schemas[report]);
        assert!(!fields.is_empty(), "{report}");
        for name in fields.iter().filter(|name| !labels.contains(&&***name)) {
            for (language, page) in [("English", PAGE), ("Chinese", CHINESE_PAGE)] {
                let is_named = page.contains(&format!("`{name}`")) || page.contains(&format!(".{name}`"));
                assert!(is_named, "the {language} page does not name {name} of {report}");
            }
        }
    }
}
