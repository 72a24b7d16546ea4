//! Reports have the same content in all formats.

use calamine::Reader as _;
use serde_json::Value;

use super::endpoints::tenant_of_200;
use crate::support::Setup;

const RANGE: &str = "start_date=2026-11-16&end_date=2026-11-20";

pub const TABLES: [&str; 9] = [
    "/v1/user-days",
    "/v1/users",
    "/v1/reports/activity",
    "/v1/reports/summary",
    "/v1/reports/departments",
    "/v1/reports/retention",
    "/v1/reports/movement",
    "/v1/reports/clients",
    "/v1/reports/licences",
];

async fn get_as(setup: &Setup, path: &str, accept: &str) -> crate::support::ApiResponse {
    let request = setup.http.get(format!("{}{path}?{RANGE}", setup.base)).header("accept", accept);
    crate::support::ApiResponse::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn every_table_is_available_as_csv_and_ndjson() {
    let (setup, _) = tenant_of_200().await;
    for path in TABLES {
        let csv = get_as(&setup, path, "text/csv, application/json;q=0.9").await;
        let lines = get_as(&setup, path, "application/x-ndjson").await;
        let html = get_as(&setup, path, "text/html").await;

        assert!(csv.headers["content-type"].to_str().unwrap().starts_with("text/csv"), "{path}");
        let name = csv.headers["content-disposition"].to_str().unwrap();
        assert!(name.contains("2026-11-16_2026-11-20.csv"), "{name}");
        assert_eq!(csv.headers["vary"], "accept, accept-encoding, authorization");
        let mut reader = csv::Reader::from_reader(csv.text.as_bytes());
        let width = reader.headers().unwrap().len();
        let rows = reader.records().map(|row| row.unwrap()).inspect(|row| assert_eq!(row.len(), width)).count();
        assert_eq!(rows, lines.lines().len(), "{path}");
        assert!(rows > 0, "{path}");
        assert_eq!(html.status, 406, "{path}");
        assert_eq!(html.problem()["code"], "not_acceptable");
    }
}

#[tokio::test]
async fn user_days_are_equal_in_json_ndjson_and_csv() {
    let (setup, truth) = tenant_of_200().await;

    let page = setup.get(&format!("/v1/user-days?{RANGE}&limit=10000")).await.json();
    let lines = setup.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();
    let csv = setup.get(&format!("/v1/user-days?{RANGE}&format=csv")).await;

    assert_eq!(page["data"].as_array().unwrap(), &lines);
    let first: feishu_pulse::model::Day = "2026-11-16".parse().unwrap();
    assert_eq!(lines.len(), truth.range(first..).map(|(_, rows)| rows.len()).sum::<usize>());
    let mut reader = csv::Reader::from_reader(csv.text.as_bytes());
    let names = reader.headers().unwrap().clone();
    for (row, line) in reader.records().zip(&lines) {
        for (name, cell) in names.iter().zip(&row.unwrap()) {
            match &line[name] {
                Value::Array(_) => {}
                Value::Null => assert_eq!(cell, ""),
                Value::String(text) => assert_eq!(cell, text, "{name}"),
                other => assert_eq!(cell, other.to_string(), "{name}"),
            }
        }
    }
}

#[tokio::test]
async fn every_table_has_an_export_in_each_format() {
    let (setup, _) = tenant_of_200().await;
    for path in TABLES {
        for format in ["csv", "ndjson", "parquet", "xlsx"] {
            let export = setup.get_bytes(&format!("{path}.{format}?{RANGE}")).await;
            let same = setup.get_bytes(&format!("{path}?{RANGE}&format={format}")).await;

            assert_eq!(export.status, 200, "{path}.{format}");
            assert!(!export.bytes.is_empty(), "{path}.{format}");
            assert_eq!(export.headers["content-type"], same.headers["content-type"], "{path}.{format}");
            assert!(export.bytes == same.bytes, "{path}.{format}");
        }
        // The path decides, whatever the client accepts.
        let html = setup.http.get(format!("{}{path}.csv?{RANGE}", setup.base)).header("accept", "text/html");
        assert_eq!(html.send().await.unwrap().status(), 200, "{path}");
    }
}

#[tokio::test]
async fn an_export_without_a_known_format_is_not_found() {
    let (setup, _) = tenant_of_200().await;

    let json = setup.get(&format!("/v1/reports/activity.json?{RANGE}")).await;
    let twice = setup.get(&format!("/v1/reports/activity.csv?{RANGE}&format=parquet")).await;

    assert_eq!((json.status.as_u16(), &json.problem()["code"]), (404, &"not_found".into()));
    assert!(json.problem()["detail"].as_str().unwrap().contains("parquet"), "{}", json.text);
    assert_eq!(twice.problem()["errors"][0]["parameter"], "format");
}

#[tokio::test]
async fn with_a_flat_layout_json_has_the_columns_of_csv() {
    let (setup, _) = tenant_of_200().await;
    for path in TABLES {
        let csv = setup.get(&format!("{path}.csv?{RANGE}")).await.text;
        let json = setup
            .get(&format!("{path}?{RANGE}&layout=flat&{}", if path.contains("user") { "limit=1000" } else { "" }))
            .await;
        let lines = setup.get(&format!("{path}.ndjson?{RANGE}&layout=flat")).await.lines();

        assert_eq!(json.status, 200, "{path}: {}", json.text);
        let json = json.json();
        let items = json["data"].as_array().unwrap();
        assert_eq!(items, &lines, "{path}");
        assert!(json["meta"]["days"].is_object(), "{path}");
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let names = reader.headers().unwrap().clone();
        assert_eq!(items.len(), csv.lines().count() - 1, "{path}");
        for (row, item) in reader.records().zip(items) {
            let item = item.as_object().unwrap();
            assert_eq!(item.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>(), "{path}");
            for (name, cell) in names.iter().zip(&row.unwrap()) {
                match &item[name] {
                    Value::Null => assert_eq!(cell, "", "{name} of {path}"),
                    Value::String(text) => assert_eq!(cell, text, "{name} of {path}"),
                    Value::Number(number) => assert_eq!(cell.parse().ok(), number.as_f64(), "{name} of {path}"),
                    other => assert_eq!(cell, other.to_string(), "{name} of {path}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_workbook_has_the_rows_of_the_csv_with_types() {
    let (setup, _) = tenant_of_200().await;
    for path in TABLES {
        let csv = setup.get(&format!("{path}.csv?{RANGE}")).await.text;
        let xlsx = setup.get_bytes(&format!("{path}.xlsx?{RANGE}")).await;

        let name = xlsx.headers["content-disposition"].to_str().unwrap();
        assert!(name.contains("2026-11-16_2026-11-20.xlsx"), "{name}");
        let mut workbook = calamine::Xlsx::new(std::io::Cursor::new(xlsx.bytes)).unwrap();
        let sheet = workbook.worksheet_range_at(0).unwrap().unwrap();
        let rows: Vec<_> = sheet.rows().collect();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(csv.as_bytes());
        let expected: Vec<_> = reader.records().map(|row| row.unwrap()).collect();
        assert_eq!(rows.len(), expected.len(), "{path}");
        for (row, expected) in rows.iter().zip(&expected) {
            for (cell, expected) in row.iter().zip(expected) {
                match cell {
                    calamine::Data::Empty => assert_eq!(expected, ""),
                    calamine::Data::String(text) => assert_eq!(expected, text, "{path}"),
                    calamine::Data::Bool(flag) => assert_eq!(expected, flag.to_string(), "{path}"),
                    calamine::Data::Float(number) => assert_eq!(expected.parse(), Ok(*number), "{path}"),
                    calamine::Data::DateTime(at) => {
                        let (year, month, day, hour, minute, second, _) = at.to_ymd_hms_milli();
                        let date = format!("{year:04}-{month:02}-{day:02}");
                        let instant = format!("{date}T{hour:02}:{minute:02}:{second:02}+08:00");
                        assert!(expected == date || expected == instant, "{path}: {expected} is {instant}");
                    }
                    other => panic!("{path}: {expected} is {other:?}"),
                }
            }
        }
        let date_as_text = calamine::Data::String("2026-11-16".to_owned());
        assert!(!rows.iter().any(|row| row.contains(&date_as_text)), "{path}");
    }
}

#[tokio::test]
async fn a_large_workbook_is_written_to_a_temporary_file() {
    let (setup, _) = tenant_of_200().await;
    let range = "start_date=2026-10-12&end_date=2026-11-20";

    let csv = setup.get(&format!("/v1/user-days.csv?{range}&sort=-send_messenger_num")).await.text;
    let xlsx = setup.get_bytes(&format!("/v1/user-days.xlsx?{range}&sort=-send_messenger_num")).await;

    let mut workbook = calamine::Xlsx::new(std::io::Cursor::new(xlsx.bytes)).unwrap();
    let sheet = workbook.worksheet_range_at(0).unwrap().unwrap();
    // A smaller sheet is written in memory.
    assert!(sheet.rows().len() * sheet.width() > 200_000);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let name = reader.headers().unwrap().iter().position(|name| name == "user_name").unwrap();
    for (row, expected) in sheet.rows().skip(1).zip(reader.records()) {
        assert_eq!(row[name], calamine::Data::String(expected.unwrap()[name].to_owned()));
    }
}

#[tokio::test]
async fn an_export_of_users_has_no_default_limit() {
    let (setup, truth) = tenant_of_200().await;
    let first: feishu_pulse::model::Day = "2026-11-16".parse().unwrap();
    let rows = truth.range(first..).flat_map(|(_, rows)| rows);
    let people: std::collections::BTreeSet<u32> = rows.map(|row| row.person).collect();

    let all = setup.get(&format!("/v1/users?{RANGE}&format=ndjson")).await.lines();
    let some = setup.get(&format!("/v1/users?{RANGE}&format=ndjson&limit=7")).await.lines();

    // The default page size of JSON is 100.
    assert!(people.len() > 100);
    assert_eq!((all.len(), &all[..7]), (people.len(), &some[..]));
}

#[tokio::test]
async fn fields_have_the_requested_order() {
    let (setup, _) = tenant_of_200().await;
    let path = format!("/v1/user-days?{RANGE}&fields=send_messenger_num,date,user_id,active");

    let csv = setup.get(&format!("{path}&format=csv")).await.text;
    let ndjson = setup.get(&format!("{path}&format=ndjson")).await.text;

    assert_eq!(csv.lines().next(), Some("send_messenger_num,date,user_id,active"));
    assert!(ndjson.starts_with("{\"send_messenger_num\":"));
}

#[tokio::test]
async fn a_byte_order_mark_is_added_on_request_and_only_to_csv() {
    let (setup, _) = tenant_of_200().await;
    let path = format!("/v1/reports/activity?{RANGE}");

    let marked = setup.get(&format!("{path}&format=csv&bom=true")).await;
    let plain = setup.get(&format!("{path}&format=csv")).await;
    let json = setup.get(&format!("{path}&bom=true")).await;

    assert!(marked.text.starts_with('\u{feff}'));
    assert!(plain.text.starts_with("start_date,"));
    assert_eq!(json.problem()["errors"][0]["parameter"], "bom");
}

#[tokio::test]
async fn the_first_lines_of_each_format() {
    let (setup, _) = tenant_of_200().await;
    let day = "start_date=2026-11-20&end_date=2026-11-20";
    let month = "start_date=2026-10-22&end_date=2026-11-20";
    let head = |text: String, lines: usize| text.lines().take(lines).collect::<Vec<_>>().join("\n");
    for (name, path) in [
        ("user_days", format!("user-days?{day}")),
        ("users", format!("users?{month}&sort=-vc_duration")),
        ("activity", format!("reports/activity?{month}&interval=week&trailing=fetch")),
        ("summary", format!("reports/summary?{RANGE}")),
        ("departments", format!("reports/departments?{RANGE}&trailing=fetch")),
        ("retention", format!("reports/retention?{month}")),
        ("movement", format!("reports/movement?{month}")),
        ("clients", format!("reports/clients?{month}")),
        ("licences", format!("reports/licences?{month}")),
    ] {
        for format in ["csv", "ndjson"] {
            let text = setup.get(&format!("/v1/{path}&format={format}")).await.text;
            insta::assert_snapshot!(format!("{name}_{format}"), head(text, 6));
        }
    }
}
