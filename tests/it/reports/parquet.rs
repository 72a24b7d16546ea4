//! Parquet responses have the same content as the other formats.

use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, TimeUnit};
use bytes::Bytes;
use feishu_pulse::model::{Day, Geo};
use jiff::Timestamp;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::{endpoints::tenant_of_200, formats::TABLES};
use crate::support::Setup;

const RANGE: &str = "start_date=2026-11-16&end_date=2026-11-20";

async fn read(setup: &Setup, path: &str) -> Vec<RecordBatch> {
    let response = setup.http.get(format!("{}{path}", setup.base)).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/vnd.apache.parquet", "{path}");
    let name = response.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(name.ends_with("_2026-11-16_2026-11-20.parquet\""), "{name}");
    let bytes: Bytes = response.bytes().await.unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    reader.map(|batch| batch.unwrap()).collect()
}

/// The rows in the form of the JSON format.
fn rows(batches: &[RecordBatch]) -> Vec<Value> {
    let rows_of = |batch: &RecordBatch| -> Vec<Value> {
        let schema = batch.schema();
        let row = |row: usize| {
            let cells = schema.fields().iter().zip(batch.columns());
            cells.map(|(field, column)| (field.name().clone(), cell(column, row))).collect::<serde_json::Map<_, _>>()
        };
        (0..batch.num_rows()).map(|at| row(at).into()).collect()
    };
    batches.iter().flat_map(rows_of).collect()
}

fn cell(column: &ArrayRef, row: usize) -> Value {
    fn typed<T: 'static>(column: &ArrayRef) -> &T {
        column.as_any().downcast_ref().unwrap()
    }
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Utf8 => json!(typed::<StringArray>(column).value(row)),
        DataType::Boolean => json!(typed::<BooleanArray>(column).value(row)),
        DataType::Int64 => json!(typed::<Int64Array>(column).value(row)),
        DataType::Float64 => json!(typed::<Float64Array>(column).value(row)),
        DataType::Date32 => {
            json!(Day::new(1970, 1, 1).unwrap().plus(typed::<Date32Array>(column).value(row)).to_string())
        }
        DataType::Timestamp(TimeUnit::Millisecond, Some(zone)) => {
            assert_eq!(&**zone, "UTC");
            let millis = typed::<TimestampMillisecondArray>(column).value(row);
            json!(Geo::Cn.rfc3339(Timestamp::from_millisecond(millis).unwrap()))
        }
        DataType::List(_) => {
            let items = typed::<ListArray>(column).value(row);
            (0..items.len()).map(|at| cell(&items, at)).collect()
        }
        DataType::Struct(fields) => {
            let parts = typed::<StructArray>(column).columns().iter();
            let parts = fields.iter().zip(parts).map(|(field, part)| (field.name().clone(), cell(part, row)));
            parts.collect::<serde_json::Map<_, _>>().into()
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn user_days_equal_those_of_ndjson() {
    let (setup, _) = tenant_of_200().await;

    let read = read(&setup, &format!("/v1/user-days?{RANGE}&format=parquet")).await;

    let lines = setup.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();
    assert!(lines.len() > 500);
    assert_eq!(rows(&read), lines);
}

#[tokio::test]
async fn the_days_of_one_person_equal_those_of_ndjson() {
    let (setup, truth) = tenant_of_200().await;
    let path = format!("/v1/users/{}?{RANGE}", truth.values().last().unwrap()[3].open_id);

    let read = read(&setup, &format!("{path}&format=parquet")).await;

    assert_eq!(rows(&read), setup.get(&format!("{path}&format=ndjson")).await.lines());
}

#[tokio::test]
async fn every_table_equals_its_csv() {
    let (setup, _) = tenant_of_200().await;
    for path in TABLES.into_iter().filter(|path| *path != "/v1/user-days") {
        let read = read(&setup, &format!("{path}?{RANGE}&format=parquet")).await;

        let csv = setup.get(&format!("{path}?{RANGE}&format=csv")).await.text;
        let mut csv = csv::Reader::from_reader(csv.as_bytes());
        let names: Vec<String> = csv.headers().unwrap().iter().map(str::to_owned).collect();
        let rows = rows(&read);
        assert!(!rows.is_empty(), "{path}");
        for (row, record) in rows.iter().zip(csv.records()) {
            let cells = names.iter().map(|name| match &row[name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                // CSV writes 1.0 as 1.
                Value::Number(number) if number.is_f64() => number.as_f64().unwrap().to_string(),
                other => other.to_string(),
            });
            assert_eq!(cells.collect::<Vec<_>>(), record.unwrap().iter().collect::<Vec<_>>(), "{path}");
        }
    }
}

#[tokio::test]
async fn parquet_can_be_negotiated_with_accept() {
    let (setup, _) = tenant_of_200().await;
    let request = setup.http.get(format!("{}/v1/reports/activity?{RANGE}", setup.base));

    let accept = "application/json;q=0.5, application/vnd.apache.parquet";
    let response = request.header("accept", accept).header("accept-encoding", "zstd, gzip").send().await.unwrap();

    assert_eq!(response.headers()["content-type"], "application/vnd.apache.parquet");
    // Parquet pages are already compressed.
    assert!(!response.headers().contains_key("content-encoding"));
    assert!(response.bytes().await.unwrap().starts_with(b"PAR1"));
}

#[tokio::test]
async fn an_empty_selection_is_a_table_without_rows() {
    let (setup, truth) = tenant_of_200().await;
    let selected = || truth.iter().filter(|(day, _)| *day.to_string() >= *"2026-11-16").flat_map(|(_, rows)| rows);
    let is_always_active = |person: &str| selected().filter(|row| row.open_id == person).all(|row| row.suite_active);
    let active = selected().map(|row| &*row.open_id).find(|person| is_always_active(person)).expect("a person");
    for path in ["/v1/user-days", "/v1/users"] {
        let read = read(&setup, &format!("{path}?{RANGE}&user_id={active}&active=false&format=parquet")).await;
        assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 0, "{path}");
    }
}

#[tokio::test]
#[ignore = "needs a folder to write to, which .ci/answers provides"]
async fn write_responses_for_other_readers() {
    let folder = std::path::PathBuf::from(std::env::var_os("PULSE_TEST_ANSWERS").unwrap());
    let (setup, _) = tenant_of_200().await;
    for path in TABLES {
        for format in ["parquet", "csv"] {
            let response =
                setup.http.get(format!("{}{path}?{RANGE}&format={format}", setup.base)).send().await.unwrap();
            let name = format!("{}.{format}", path.rsplit('/').next().unwrap());
            std::fs::write(folder.join(name), response.bytes().await.unwrap()).unwrap();
        }
    }
}
