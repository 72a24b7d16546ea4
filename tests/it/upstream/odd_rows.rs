//! Rows that cannot be read: a fault costs no more than the text, value or row that has it, and `meta` reports it.

use std::collections::BTreeSet;

use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, SchemaDrift, SimulatorConfig};
use parquet::{
    file::reader::{FileReader as _, SerializedFileReader},
    record::RowAccessor as _,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Setup, captured_log::CapturedLog, day, eventually};

const DAY: &str = "start_date=2026-11-20&end_date=2026-11-20";
const MAX_COUNT: u64 = i64::MAX.cast_unsigned();

/// Five pages per day, with the documented types.
fn simulation() -> SimulatorConfig {
    SimulatorConfig {
        users: 300,
        days: 30,
        turnover: 0.0,
        schema_drift: SchemaDrift::Off,
        ..SimulatorConfig::default()
    }
}

/// A gateway whose upstream replaces a text in each page of 2026-11-20 that contains it.
async fn setup_with(from: &str, to: impl Into<Vec<u8>>) -> Setup {
    let setup = Setup::new(simulation()).await;
    let target = FaultTarget::ContainingDay(day("2026-11-20").date());
    setup.simulator.faults().push(InjectedFault::new(FaultKind::replace_text(from, to)).on(target).times(u32::MAX));
    setup
}

async fn rows(setup: &Setup, query: &str) -> Vec<Value> {
    setup.get(&format!("/v1/user-days?format=ndjson&{query}")).await.lines()
}

async fn meta(setup: &Setup) -> Value {
    setup.get(&format!("/v1/user-days?limit=1&{DAY}")).await.json()["meta"].clone()
}

async fn metric(setup: &Setup, name: &str) -> u64 {
    let page = setup.get("/metrics").await.text;
    let line = page.lines().find(|line| line.starts_with(name)).expect("the metric");
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a whole number")
}

fn has_note(meta: &Value, part: &str) -> bool {
    meta["notes"].as_array().is_some_and(|notes| notes.iter().any(|note| note.as_str().unwrap().contains(part)))
}

#[rstest]
#[case::a_lone_surrogate(br#""user_name":"\ud83d"#, "\u{fffd}")]
#[case::a_trailing_surrogate(br#""user_name":"\ude00"#, "\u{fffd}")]
#[case::bytes_that_are_not_utf8(b"\"user_name\":\"\xe5\xbc", "\u{fffd}")]
#[case::a_control_character(b"\"user_name\":\"\x01", "\u{fffd}")]
#[case::an_unknown_escape(br#""user_name":"\x"#, "\u{fffd}x")]
#[case::a_repeated_key(br#""user_name":"first","user_name":""#, "")]
#[tokio::test]
async fn an_odd_text_costs_no_row_and_no_call(#[case] name: &[u8], #[case] prefix: &str) {
    let setup = setup_with(r#""user_name":""#, name).await;

    let rows = rows(&setup, DAY).await;

    let truth = setup.simulator.tenant().rows_of(setup.home(), day("2026-11-20").date());
    let names: BTreeSet<String> = truth.iter().map(|row| row.user_name.clone()).collect();
    let changed: Vec<&str> =
        rows.iter().map(|row| row["user_name"].as_str().unwrap()).filter(|name| name.starts_with(prefix)).collect();
    assert_eq!((rows.len(), setup.upstream_calls()), (300, 5));
    // One name on each page.
    assert!(prefix.is_empty() || changed.len() == 5, "{changed:?}");
    assert!(changed.iter().all(|name| names.contains(name.trim_start_matches(prefix))));
    assert_eq!(
        (
            meta(&setup).await["days"]["final"].clone(),
            metric(&setup, "feishu_pulse_upstream_unreadable_rows_total").await
        ),
        (json!(1), 0)
    );
}

#[tokio::test]
async fn an_id_that_cannot_be_read_makes_a_row_without_an_id() {
    let setup = setup_with(r#""user_id":"ou_"#, br#""user_id":"\ud83dou_"#).await;

    let rows = rows(&setup, DAY).await;

    assert_eq!((rows.len(), rows.iter().filter(|row| row["user_id"].is_null()).count()), (300, 5));
}

#[rstest]
#[case::a_number(r#""items":["#, r#""items":[7,"#, 300)]
#[case::an_array(r#""items":["#, r#""items":[["2026-11-20","ou_x"],"#, 300)]
#[case::no_date(r#""date":""#, r#""day":""#, 295)]
#[case::an_impossible_date(r#""date":"2026-11-20""#, r#""date":"2026-11-31""#, 295)]
#[case::another_day(r#""date":"2026-11-20""#, r#""date":"2026-10-20""#, 295)]
#[tokio::test]
async fn an_unreadable_row_is_skipped_and_the_day_is_fetched_again(
    #[case] from: &str,
    #[case] to: &str,
    #[case] readable_rows: usize,
    #[values(DAY, "start_date=2026-11-19&end_date=2026-11-20")] range: &str,
) {
    let setup = setup_with(from, to).await;
    // The size of the tenant is known, so that both days are fetched by one chain.
    rows(&setup, "start_date=2026-11-10&end_date=2026-11-10").await;
    let (log, _guard) = CapturedLog::start("feishu_pulse=warn");

    rows(&setup, range).await;
    let late = meta(&setup).await["days"]["late"].clone();
    let calls = setup.simulator.call_log().stats_calls();
    let warnings = log.lines("cannot be read");
    setup.set_time("2026-11-22T10:00:01Z");
    eventually(async || meta(&setup).await["days"]["final"] == 1).await;

    assert_eq!(late, json!([{ "geo": "cn", "date": "2026-11-20" }]));
    let of_day = rows(&setup, range).await.iter().filter(|row| row["date"] == "2026-11-20").count();
    // In a range, some of the changed rows are those of the other day.
    assert!(of_day >= readable_rows && (range != DAY || of_day == readable_rows), "{of_day} rows");
    assert!(has_note(&meta(&setup).await, "could not be read"));
    assert!(metric(&setup, "feishu_pulse_upstream_unreadable_rows_total").await >= 5);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("upstream.log_id=") && !warnings[0].contains("ou_"), "{warnings:?}");
    let pages = calls.iter().filter(|call| call.page == Some(1)).count();
    assert_eq!(pages, 2, "no page is requested twice");
}

#[rstest]
#[case::a_fraction("12.7", 12)]
#[case::a_fraction_in_a_string(r#""12.7""#, 12)]
#[case::wrong_separators(r#""1,23""#, 0)]
#[case::a_negative_number("-5", 0)]
#[case::two_to_the_63("9223372036854775808", 0)]
#[case::beyond_two_to_the_64("18446744073709551616", 0)]
#[case::beyond_any_number("1e999", 0)]
#[case::an_array("[7]", 0)]
#[case::an_object(r#"{"value":7}"#, 0)]
#[case::a_word(r#""many""#, 0)]
#[case::not_a_number("NaN", 0)]
#[case::an_incomplete_word("tru", 0)]
#[tokio::test]
async fn a_value_that_is_no_count_is_reported(#[case] value: &str, #[case] count: u64) {
    let setup = setup_with(r#""vc_num":"#, format!(r#""vc_num":{value},"other":"#)).await;
    let untouched = setup.simulator.tenant().rows_of(setup.home(), day("2026-11-20").date());
    let truth: BTreeSet<u64> = untouched.iter().map(|row| u64::from(row.counters.vc_num)).collect();

    let rows = rows(&setup, DAY).await;

    let counts: Vec<u64> = rows.iter().map(|row| row["vc_num"].as_u64().expect("a count")).collect();
    assert!(counts.iter().filter(|shown| **shown == count).count() >= 5, "{counts:?}");
    assert!(counts.iter().all(|shown| *shown == count || truth.contains(shown)), "{counts:?}");
    let meta = meta(&setup).await;
    assert!(has_note(&meta, "not counts"), "{meta}");
    assert_eq!(meta["days"]["final"], 1);
    let coverage = setup.get(&format!("/v1/coverage?{DAY}")).await.json();
    assert_eq!(coverage["data"][0]["unreadable_values"], 5);
    assert_eq!(metric(&setup, "feishu_pulse_upstream_unreadable_values_total").await, 5);
}

#[rstest]
#[case("7", 7)]
#[case(r#""7""#, 7)]
#[case("7.0", 7)]
#[case("1e3", 1000)]
#[case(r#""1,234""#, 1234)]
#[case("9007199254740993.0", 9_007_199_254_740_993)]
#[case("null", 0)]
#[case(r#""""#, 0)]
#[tokio::test]
async fn a_count_is_read_however_it_is_written(#[case] value: &str, #[case] count: u64) {
    let setup = setup_with(r#""vc_num":"#, format!(r#""vc_num":{value},"other":"#)).await;

    let rows = rows(&setup, DAY).await;

    assert!(rows.iter().filter(|row| row["vc_num"] == count).count() >= 5);
    assert!(!has_note(&meta(&setup).await, "not counts"));
    assert_eq!(setup.upstream_calls(), 5);
}

/// The largest value of a column in a Parquet response.
async fn parquet_max(setup: &Setup, path: &str, column: &str) -> i64 {
    let file = setup.http.get(format!("{}{path}", setup.base)).send().await.unwrap().bytes().await.unwrap();
    let file = SerializedFileReader::new(file).expect("a Parquet file");
    let rows = file.get_row_iter(None).expect("rows").map(|row| row.expect("a row"));
    let value = |row: parquet::record::Row| {
        let index = row.get_column_iter().position(|(name, _)| name == column).expect("the column");
        row.get_long(index).expect("an integer")
    };
    rows.map(value).max().expect("a row")
}

/// The largest value of a column in a CSV response.
async fn csv_max(setup: &Setup, path: &str, column: &str) -> u64 {
    let text = setup.get(path).await.text;
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let index = lines.next().unwrap().iter().position(|name| *name == column).expect("the column");
    lines.map(|line| line[index].parse().expect("a count")).max().expect("a row")
}

#[tokio::test]
async fn the_largest_count_is_the_same_in_every_format() {
    let setup = setup_with(r#""vc_num":"#, format!(r#""vc_num":{MAX_COUNT},"other":"#)).await;
    let path = |format: &str| format!("/v1/user-days?fields=date,vc_num&format={format}&{DAY}");

    let json = rows(&setup, DAY).await.iter().map(|row| row["vc_num"].as_u64().unwrap()).max();

    assert_eq!(json, Some(MAX_COUNT));
    assert_eq!(csv_max(&setup, &path("csv"), "vc_num").await, MAX_COUNT);
    assert_eq!(parquet_max(&setup, &path("parquet"), "vc_num").await, i64::MAX);
}

#[rstest]
#[case::activity("/v1/reports/activity?interval=day")]
#[case::departments("/v1/reports/departments?layout=nested")]
#[tokio::test]
async fn a_sum_beyond_the_largest_count_is_limited_and_reported(#[case] report: &str) {
    let setup = setup_with(r#""vc_num":"#, format!(r#""vc_num":{MAX_COUNT},"other":"#)).await;
    let path = format!("{report}&{DAY}");

    let answer = setup.get(&path).await.json();

    let sums = answer["data"].as_array().unwrap().iter().map(|item| item["counters"]["vc_num"].as_u64().unwrap());
    assert_eq!(sums.max(), Some(MAX_COUNT));
    assert!(has_note(&answer["meta"], "2^63-1"), "{}", answer["meta"]);
    assert_eq!(csv_max(&setup, &format!("{path}&format=csv"), "vc_num").await, MAX_COUNT);
    assert_eq!(parquet_max(&setup, &format!("{path}&format=parquet"), "vc_num").await, i64::MAX);
}
