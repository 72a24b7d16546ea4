//! Decodes upstream pages into table rows. All conversions of Feishu's value formats are in this module.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use jiff::{Timestamp, civil::DateTime};
use serde_json::value::RawValue;

use super::{
    count_parser::InexactCount,
    wire::{LenientScalar, UpstreamPage, UpstreamRow},
};
use crate::{
    model::{Day, DayRange, Geo},
    table::{Client, Department, Devices, Feature, Flag, Flags, day_table_builder::Row},
};

/// A decoded page.
#[derive(Debug, Default, PartialEq)]
pub struct DecodedPage {
    /// The rows of the requested days.
    pub rows: Vec<DecodedRow>,
    /// What follows this page.
    pub next: NextPage,
    /// Number of items that are not rows, and of rows without a date or with one that was not requested.
    pub unreadable_rows: u32,
}

/// A decoded row.
#[derive(Debug, PartialEq)]
pub struct DecodedRow {
    /// The day of the row.
    pub day: Day,
    /// The values of the row.
    pub row: Row,
    /// Number of counters and flags whose value is not a count. `count_parser` gives the counts to use instead.
    pub unreadable_values: u32,
}

/// What follows a page in its chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NextPage {
    /// Nothing: it is the last page.
    #[default]
    End,
    /// The page with this token.
    Token(Arc<str>),
    /// There are more pages, but upstream sent no token. The chain ends, and its days are doubtful.
    TokenMissing,
}

/// Decodes the payload of a successful reply to a request for `days`. Times without a zone are in the zone of `geo`. A
/// payload that is missing or not an object is a page without rows whose next token is missing.
#[must_use]
pub fn decode_payload(payload: Option<&RawValue>, geo: Geo, days: DayRange) -> DecodedPage {
    let mut repaired = String::new();
    let page = payload.and_then(|payload| UpstreamPage::parse(payload, &mut repaired));
    let without_payload = || DecodedPage { next: NextPage::TokenMissing, ..DecodedPage::default() };
    page.map_or_else(without_payload, |page| decode_page(&page, geo, days))
}

fn decode_page(page: &UpstreamPage<'_>, geo: Geo, days: DayRange) -> DecodedPage {
    let mut known_devices = KnownDevices::default();
    let rows: Vec<DecodedRow> =
        page.rows.iter().filter_map(|row| decode_row(row, geo, days, &mut known_devices)).collect();
    let other_rows = page.rows.len() - rows.len();
    let unreadable_rows = u32::try_from(page.unreadable_rows + other_rows).unwrap_or(u32::MAX);
    DecodedPage { rows, next: next_page(page), unreadable_rows }
}

fn next_page(page: &UpstreamPage<'_>) -> NextPage {
    let token = page.page_token.text().filter(|token| is_complete(token));
    // If `has_more` cannot be read, a page token means that there are more pages.
    match (page.has_more.flag().unwrap_or(token.is_some()), token) {
        (false, _) => NextPage::End,
        (true, Some(token)) => NextPage::Token(token.as_ref().into()),
        (true, None) => NextPage::TokenMissing,
    }
}

/// `None` if the date of the row is missing, invalid or not one of `days`.
fn decode_row<'a>(
    row: &'a UpstreamRow<'_>,
    geo: Geo,
    days: DayRange,
    known_devices: &mut KnownDevices<'a>,
) -> Option<DecodedRow> {
    let day = parse_day(&row.date).filter(|day| days.contains(*day))?;
    let mut unreadable_values = 0;
    let flags = decode_flags(row, &mut unreadable_values);
    let counters = row.counters().map(|counter| {
        counter.count().unwrap_or_else(|InexactCount(count)| {
            unreadable_values += 1;
            count
        })
    });
    let row = Row {
        // An id in which a character was replaced is not the id of a person.
        user_id: row.user_id.text().filter(|id| is_complete(id)).map(Into::into),
        user_name: row.user_name.text().unwrap_or_default().into(),
        department: Department {
            name: row.department_name.text().unwrap_or_default().as_ref().into(),
            path: row.department_path.text().unwrap_or_default().as_ref().into(),
        },
        create_time: parse_instant(&row.create_time, geo),
        register_time: parse_instant(&row.register_time, geo),
        last_active_time: parse_instant(&row.last_active_time, geo),
        flags,
        counters,
        devices: known_devices.get(row),
    };
    Some(DecodedRow { day, row, unreadable_values })
}

/// The devices of the rows of a page so far, by their texts: active systems, app packages, names of systems. Many rows have
/// the same.
#[derive(Debug, Default)]
struct KnownDevices<'a>(HashMap<[Cow<'a, str>; 3], Devices>);

impl<'a> KnownDevices<'a> {
    fn get(&mut self, row: &'a UpstreamRow<'_>) -> Devices {
        let texts = [&row.active_os, &row.app_package_type, &row.os_name].map(|text| text.text().unwrap_or_default());
        let entry = self.0.entry(texts).or_insert_with_key(|[active_os, app_packages, os_names]| Devices {
            clients: parse_clients(active_os),
            // Documented: separated by a full-width comma. The ASCII comma is accepted too.
            app_packages: split_names(app_packages, &['，', ',']).map(Into::into).collect(),
            os_names: split_names(os_names, &[',', '，']).map(|name| corrected_os_name(name).into()).collect(),
        });
        entry.clone()
    }
}

/// Whether no character of the text was replaced because it could not be read.
fn is_complete(text: &str) -> bool {
    !text.contains(char::REPLACEMENT_CHARACTER)
}

fn decode_flags(row: &UpstreamRow<'_>, unreadable_values: &mut u32) -> Flags {
    [
        (Flag::Activated, &row.user_active_flag),
        (Flag::Active, &row.suite_active_flag),
        (Flag::Feature(Feature::Im), &row.im_active_flag),
        (Flag::Feature(Feature::Docs), &row.docs_active_flag),
        (Flag::Feature(Feature::Cal), &row.cal_active_flag),
        (Flag::Feature(Feature::Vc), &row.vc_active_flag),
        (Flag::Feature(Feature::Search), &row.search_active_flag),
    ]
    .into_iter()
    .fold(Flags::default(), |flags, (flag, value)| {
        let is_set = value.flag().unwrap_or_else(|InexactCount(count)| {
            *unreadable_values += 1;
            count > 0
        });
        flags.with(flag, is_set)
    })
}

fn parse_day(value: &LenientScalar<'_>) -> Option<Day> {
    let text = value.text()?;
    let date = text.get(..10).unwrap_or(&text);
    date.parse().ok()
}

/// Parses `YYYY-MM-DD HH:MM:SS`, a civil time of the geo. `None` for people who never activated their account.
fn parse_instant(value: &LenientScalar<'_>, geo: Geo) -> Option<Timestamp> {
    let text = value.text()?;
    let civil: DateTime = text.parse().ok()?;
    (civil.year() > 1970).then(|| geo.instant(civil))
}

/// Parses `'ios 14.2,-','ios 14.2,feishu 3.40.0-alpha'`: quoted items, each "system,client", with `-` for none.
fn parse_clients(text: &str) -> Vec<Client> {
    let quoted = text.split('\'').skip(1).step_by(2);
    let items: Vec<&str> = if text.contains('\'') { quoted.collect() } else { vec![text] };
    let present = |part: &str| Some(part.trim()).filter(|part| !part.is_empty() && *part != "-").map(Into::into);
    items
        .into_iter()
        .map(|item| item.split_once(',').unwrap_or((item, "-")))
        .map(|(os, client)| Client { os: present(os), client: present(client) })
        .filter(|client| client.os.is_some() || client.client.is_some())
        .collect()
}

fn split_names<'a>(text: &'a str, separators: &[char]) -> impl Iterator<Item = &'a str> {
    text.split(separators).map(str::trim).filter(|name| !name.is_empty() && *name != "-")
}

/// Documented: Feishu spells Android "Andorid".
fn corrected_os_name(name: &str) -> &str {
    if name == "Andorid" { "Android" } else { name }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::table::Counter;

    /// The documentation's own example of a row.
    const DOCUMENTED: &str = r#"{
        "date": "2020-02-15", "user_id": "ou_7dab8a3d3cdcc9da365777c7ad535d62", "user_name": "Zhang San",
        "department_name": "testcqlbfaaasdasdasd", "department_path": "testkkk/testcqlbfaaasdasdasd",
        "create_time": "2020-09-04 11:17:55", "user_active_flag": 1, "register_time": "2020-09-04 11:18:32",
        "suite_active_flag": 1, "last_active_time": "2020-12-21 22:21:28", "im_active_flag": 1,
        "send_messenger_num": 0, "docs_active_flag": 1, "create_docs_num": 1, "cal_active_flag": 1,
        "create_cal_num": 0, "vc_active_flag": 1, "vc_duration": 0,
        "active_os": "'ios 14.2,-','ios 14.2,feishu 3.40.0-alpha'", "create_task_num": 0, "vc_num": 0,
        "app_package_type": "Feishu，Lark", "os_name": "iOS,Andorid,Windows", "email_send_count": "2",
        "email_receive_count": "3", "email_send_ext_count": "4", "email_receive_ext_count": "5",
        "email_send_in_count": "6", "email_receive_in_count": "7", "search_active_flag": 1,
        "total_search_count": "7", "quick_search_count": "7", "tab_search_count": "7"
    }"#;

    fn decoded_payload(payload: &str) -> DecodedPage {
        let day = |text: &str| text.parse().unwrap();
        let days = DayRange::new(day("2020-02-15"), day("2026-11-01")).unwrap();
        decode_payload(Some(serde_json::from_str(payload).unwrap()), Geo::Cn, days)
    }

    fn decoded(rows: &str) -> DecodedPage {
        decoded_payload(&format!(r#"{{"has_more":false,"items":[{rows}]}}"#))
    }

    #[test]
    fn the_documented_example_is_decoded() {
        let page = decoded(DOCUMENTED);
        let DecodedRow { day, row, unreadable_values } = &page.rows[0];

        assert_eq!(day.to_string(), "2020-02-15");
        assert_eq!(&*row.department.path, "testkkk/testcqlbfaaasdasdasd");
        assert_eq!(row.create_time.unwrap().to_string(), "2020-09-04T03:17:55Z");
        assert!(Flag::SENT.into_iter().all(|flag| row.flags.contains(flag)));
        assert_eq!(row.counters[Counter::EmailReceiveInCount.index()], 7);
        let client = |os: &str, client: Option<&str>| Client { os: Some(os.into()), client: client.map(Into::into) };
        assert_eq!(row.devices.clients, [client("ios 14.2", None), client("ios 14.2", Some("feishu 3.40.0-alpha"))]);
        assert_eq!(row.devices.app_packages.iter().map(|name| &**name).collect::<Vec<_>>(), ["Feishu", "Lark"]);
        assert_eq!(row.devices.os_names.iter().map(|name| &**name).collect::<Vec<_>>(), ["iOS", "Android", "Windows"]);
        assert_eq!((*unreadable_values, page.unreadable_rows), (0, 0));
    }

    #[test]
    fn a_row_needs_only_a_date() {
        let page = decoded(r#"{"date":"2026-11-01"}"#);
        let day = "2026-11-01".parse().unwrap();
        assert_eq!(page.rows, [DecodedRow { day, row: Row::default(), unreadable_values: 0 }]);
    }

    #[test]
    fn rows_of_a_page_have_the_devices_of_their_own_texts() {
        let row = |active_os: &str, os_name: &str| {
            format!(r#"{{"date":"2026-11-01","active_os":"{active_os}","os_name":"{os_name}"}}"#)
        };
        let page = decoded(&[row("ios 14", "iOS"), row("ios 14", ""), row("", "iOS"), row("ios 14", "iOS")].join(","));
        let devices: Vec<&Devices> = page.rows.iter().map(|row| &row.row.devices).collect();
        let clients = vec![Client { os: Some("ios 14".into()), client: None }];
        let both = Devices { clients: clients.clone(), os_names: vec!["iOS".into()], ..Devices::default() };
        let only_clients = Devices { clients, ..Devices::default() };
        let only_name = Devices { os_names: vec!["iOS".into()], ..Devices::default() };
        assert_eq!(devices, [&both, &only_clients, &only_name, &both]);
    }

    #[test]
    fn rows_without_a_requested_date_are_unreadable() {
        let page = decoded(
            r#"{}, {"date":"2026-02-30"}, {"date":null}, {"date":["2026-11-01"]}, {"date":"2026-11-02"},
                {"date":"2026-11-01"}"#,
        );
        assert_eq!((page.rows.len(), page.unreadable_rows), (1, 5));
    }

    #[test]
    fn values_that_are_no_counts_are_replaced_and_counted() {
        let page = decoded(
            r#"{"date":"2026-11-01","vc_num":"many","send_messenger_num":-3,"create_docs_num":"4","create_cal_num":2.9,
                "suite_active_flag":"perhaps","im_active_flag":true,"create_task_num":[1]}"#,
        );
        let DecodedRow { row, unreadable_values, .. } = &page.rows[0];
        assert_eq!(*unreadable_values, 5);
        assert_eq!(row.counters.iter().sum::<u64>(), 4 + 2);
        assert_eq!(row.flags, Flags::default().with(Flag::Feature(Feature::Im), true));
    }

    #[test]
    fn an_id_with_a_replaced_character_is_missing() {
        let page = decoded(r#"{"date":"2026-11-01","user_id":"ou_\ud83d","user_name":"P \ud83d"}"#);
        let Row { user_id, user_name, .. } = &page.rows[0].row;
        assert_eq!((user_id.as_deref(), user_name.as_str()), (None, "P \u{fffd}"));
    }

    #[test]
    fn a_next_page_needs_a_token_and_has_more() {
        let next = |json: &str| decoded_payload(json).next;
        assert_eq!(next(r#"{"has_more":true,"page_token":"2","items":[]}"#), NextPage::Token("2".into()));
        assert_eq!(next(r#"{"has_more":true,"page_token":3}"#), NextPage::Token("3".into()));
        assert_eq!(next(r#"{"has_more":false,"page_token":"2"}"#), NextPage::End);
        assert_eq!(next(r#"{"has_more":true,"page_token":""}"#), NextPage::TokenMissing);
        assert_eq!(next(r#"{"has_more":true}"#), NextPage::TokenMissing);
        assert_eq!(next(r#"{"has_more":[],"page_token":"2"}"#), NextPage::Token("2".into()));
        assert_eq!(next(r#"{"has_more":true,"has_more":false}"#), NextPage::End);
        assert_eq!(next("{}"), NextPage::End);
        assert_eq!(next("null"), NextPage::TokenMissing);
        assert_eq!(next("[true]"), NextPage::TokenMissing);
    }

    proptest! {
        #[test]
        fn no_text_in_any_field_makes_the_decoder_panic(text in "\\PC{0,40}") {
            let row = serde_json::json!({
                "date": text, "create_time": text, "active_os": text, "app_package_type": text, "os_name": text,
                "vc_num": text, "im_active_flag": text,
            });
            let _ = decoded(&row.to_string());
        }
    }
}
