//! `sort` of user-days: the same rows in another order, as pages and as exports.

use std::cmp::Ordering;

use feishu_simulator::SimulatorConfig;
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::Value;

use crate::support::{Setup, day, eventually};

const RANGE: &str = "start_date=2026-11-17&end_date=2026-11-20";

async fn setup() -> Setup {
    Setup::new(SimulatorConfig { users: 120, days: 40, ..SimulatorConfig::default() }).await
}

async fn lines(setup: &Setup, query: &str) -> Vec<Value> {
    setup.get(&format!("/v1/user-days?{RANGE}&format=ndjson&{query}")).await.lines()
}

/// Compares values of one field: missing values first, then by value.
fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Number(one), Value::Number(other)) => one.as_u64().cmp(&other.as_u64()),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        // Instants of one geo have one offset, so their texts are in the order of time.
        (one, other) => one.as_str().cmp(&other.as_str()),
    }
}

#[rstest]
#[tokio::test]
async fn rows_are_sorted_by_the_field_and_ties_keep_the_default_order(
    #[values(
        "date",
        "user_id",
        "user_name",
        "department_name",
        "department_path",
        "create_time",
        "last_active_time",
        "active",
        "send_messenger_num"
    )]
    field: &str,
    #[values(false, true)] descending: bool,
) {
    let setup = setup().await;
    let mut expected = lines(&setup, "active=true").await;
    // A stable sort keeps the default order of ties.
    expected.sort_by(|one, other| {
        let order = compare(&one[field], &other[field]);
        if descending { order.reverse() } else { order }
    });
    let sort = format!("active=true&sort={}{field}", if descending { "-" } else { "" });

    assert_eq!(lines(&setup, &sort).await, expected);
    let mut paged = Vec::new();
    let mut next = format!("/v1/user-days?{RANGE}&{sort}&limit=37");
    loop {
        let page = setup.get(&next).await.json();
        paged.extend(page["data"].as_array().expect("items").clone());
        let Some(cursor) = page["meta"]["next_cursor"].as_str() else { break };
        next = format!("/v1/user-days?{RANGE}&{sort}&limit=37&cursor={cursor}");
    }
    assert_eq!(paged, expected);
}

#[tokio::test]
async fn all_formats_have_the_same_order() {
    let setup = setup().await;
    let fields = "fields=user_id,send_messenger_num&sort=-send_messenger_num";
    let rows = lines(&setup, fields).await;

    let csv = setup.get(&format!("/v1/user-days?{RANGE}&format=csv&{fields}")).await.text;
    let parquet = setup.http.get(format!("{}/v1/user-days?{RANGE}&format=parquet&{fields}", setup.base));
    let parquet = parquet.send().await.expect("an answer").bytes().await.expect("a body");

    let expected: Vec<(String, u64)> = rows
        .iter()
        .map(|row| (row["user_id"].as_str().unwrap().to_owned(), row["send_messenger_num"].as_u64().unwrap()))
        .collect();
    let lines = csv.lines().skip(1).map(|line| line.split_once(',').expect("two fields"));
    let from_csv: Vec<_> = lines.map(|(id, count)| (id.to_owned(), count.parse().expect("a number"))).collect();
    assert_eq!(from_csv, expected);
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap().build().unwrap();
    let mut from_parquet = Vec::new();
    for batch in reader.map(Result::unwrap) {
        let ids = batch.column(0).as_any().downcast_ref::<arrow_array::StringArray>().unwrap();
        let counts = batch.column(1).as_any().downcast_ref::<arrow_array::Int64Array>().unwrap();
        from_parquet
            .extend((0..batch.num_rows()).map(|row| (ids.value(row).to_owned(), counts.value(row).cast_unsigned())));
    }
    assert_eq!(from_parquet, expected);
}

#[tokio::test]
async fn a_cursor_belongs_to_its_sort() {
    let setup = setup().await;
    let page = setup.get(&format!("/v1/user-days?{RANGE}&sort=user_id&limit=5")).await.json();
    let cursor = page["meta"]["next_cursor"].as_str().expect("a cursor");

    for other in ["sort=-user_id&", ""] {
        let answer = setup.get(&format!("/v1/user-days?{RANGE}&{other}limit=5&cursor={cursor}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{other}");
        assert_eq!(answer.problem()["errors"][0]["parameter"], "cursor");
    }
}

#[tokio::test]
async fn a_cursor_is_stale_after_a_day_has_changed() {
    let setup = setup().await;
    // The 21st is provisional.
    let path = "/v1/user-days?start_date=2026-11-20&end_date=2026-11-21&sort=-send_messenger_num&limit=5";
    let page = setup.get(path).await.json();
    let cursor = page["meta"]["next_cursor"].as_str().expect("a cursor");
    let next = format!("{path}&cursor={cursor}");
    let before = setup.get(&next).await;

    setup.simulator.production().revise(setup.home(), day("2026-11-21").date());
    setup.set_time("2026-11-22T04:31:00Z");
    eventually(async || setup.get(&next).await.status == StatusCode::CONFLICT).await;

    assert_eq!(before.json()["data"].as_array().map(Vec::len), Some(5));
    assert_eq!(setup.get(&next).await.problem()["code"], "stale_cursor");
}
