//! Decodes upstream pages into table rows. All conversions of Feishu's value formats are in this module.

use std::sync::Arc;

use jiff::{Timestamp, civil::DateTime};

use serde_json::value::RawValue;

use super::wire::{LenientScalar, ReplyEnvelope, UpstreamPage, UpstreamRow};
use crate::{
    model::{Day, Geo},
    table::{Client, Department, Devices, Feature, Flag, Flags, day_table_builder::Row},
};

/// A decoded page.
#[derive(Debug, Default, PartialEq)]
pub struct DecodedPage {
    /// The rows with their days. The day is `None` if the row has no valid date.
    pub rows: Vec<(Option<Day>, Row)>,
    /// What follows this page.
    pub next: NextPage,
    /// Number of counters with an invalid value. They count as zero.
    pub invalid_values: usize,
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

/// Decodes the page of a successful reply. `None` if the payload cannot be parsed, for example because it was truncated.
/// A reply without a payload is a page without rows whose next token is missing.
#[must_use]
pub fn decode_reply(reply: &ReplyEnvelope<'_>, geo: Geo) -> Option<DecodedPage> {
    match serde_json::from_str::<Option<UpstreamPage<'_>>>(reply.data.map_or("null", RawValue::get)).ok()? {
        Some(page) => Some(decode_page(&page, geo)),
        None => Some(DecodedPage { next: NextPage::TokenMissing, ..DecodedPage::default() }),
    }
}

/// Decodes a page. Times without a zone are in the zone of `geo`.
#[must_use]
pub fn decode_page(page: &UpstreamPage<'_>, geo: Geo) -> DecodedPage {
    let mut invalid_values = 0;
    let upstream_rows = page.items.as_deref().unwrap_or_default();
    let rows =
        upstream_rows.iter().map(|row| (parse_day(&row.date), decode_row(row, geo, &mut invalid_values))).collect();
    DecodedPage { rows, next: next_page(page), invalid_values }
}

fn next_page(page: &UpstreamPage<'_>) -> NextPage {
    match (page.has_more.is_true(), page.page_token.text()) {
        (false, _) => NextPage::End,
        (true, Some(token)) => NextPage::Token(token.as_ref().into()),
        (true, None) => NextPage::TokenMissing,
    }
}

fn decode_row(row: &UpstreamRow<'_>, geo: Geo, invalid_values: &mut usize) -> Row {
    Row {
        user_id: row.user_id.text().map(Into::into),
        user_name: row.user_name.text().unwrap_or_default().into(),
        department: Department {
            name: row.department_name.text().unwrap_or_default().as_ref().into(),
            path: row.department_path.text().unwrap_or_default().as_ref().into(),
        },
        create_time: parse_instant(&row.create_time, geo),
        register_time: parse_instant(&row.register_time, geo),
        last_active_time: parse_instant(&row.last_active_time, geo),
        flags: decode_flags(row),
        counters: row.counters().map(|counter| {
            let count = counter.count().unwrap_or_else(|_| {
                *invalid_values += 1;
                None
            });
            count.unwrap_or_default()
        }),
        devices: Devices {
            clients: parse_clients(&row.active_os),
            // Documented: separated by a full-width comma. The ASCII comma is accepted too.
            app_packages: split_names(&row.app_package_type, &['，', ',']).map(Into::into).collect(),
            os_names: split_names(&row.os_name, &[',', '，']).map(|name| corrected_os_name(&name).into()).collect(),
        },
    }
}

fn decode_flags(row: &UpstreamRow<'_>) -> Flags {
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
    .fold(Flags::default(), |flags, (flag, value)| flags.with(flag, value.is_true()))
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
fn parse_clients(value: &LenientScalar<'_>) -> Vec<Client> {
    let text = value.text().unwrap_or_default();
    let quoted = text.split('\'').skip(1).step_by(2);
    let items: Vec<&str> = if text.contains('\'') { quoted.collect() } else { vec![&*text] };
    let present = |part: &str| Some(part.trim()).filter(|part| !part.is_empty() && *part != "-").map(Into::into);
    items
        .into_iter()
        .map(|item| item.split_once(',').unwrap_or((item, "-")))
        .map(|(os, client)| Client { os: present(os), client: present(client) })
        .filter(|client| client.os.is_some() || client.client.is_some())
        .collect()
}

fn split_names(value: &LenientScalar<'_>, separators: &[char]) -> impl Iterator<Item = String> {
    let text = value.text().unwrap_or_default();
    let names = text.split(separators).map(str::trim).filter(|name| !name.is_empty() && *name != "-");
    names.map(str::to_owned).collect::<Vec<_>>().into_iter()
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

    fn decoded(rows: &str) -> DecodedPage {
        let json = format!(r#"{{"has_more":false,"items":[{rows}]}}"#);
        decode_page(&serde_json::from_str(&json).unwrap(), Geo::Cn)
    }

    #[test]
    fn the_documented_example_is_decoded() {
        let page = decoded(DOCUMENTED);
        let (day, row) = &page.rows[0];

        assert_eq!(day.unwrap().to_string(), "2020-02-15");
        assert_eq!(&*row.department.path, "testkkk/testcqlbfaaasdasdasd");
        assert_eq!(row.create_time.unwrap().to_string(), "2020-09-04T03:17:55Z");
        assert!(Flag::SENT.into_iter().all(|flag| row.flags.contains(flag)));
        assert_eq!(row.counters[Counter::EmailReceiveInCount.index()], 7);
        let client = |os: &str, client: Option<&str>| Client { os: Some(os.into()), client: client.map(Into::into) };
        assert_eq!(row.devices.clients, [client("ios 14.2", None), client("ios 14.2", Some("feishu 3.40.0-alpha"))]);
        assert_eq!(row.devices.app_packages.iter().map(|name| &**name).collect::<Vec<_>>(), ["Feishu", "Lark"]);
        assert_eq!(row.devices.os_names.iter().map(|name| &**name).collect::<Vec<_>>(), ["iOS", "Android", "Windows"]);
        assert_eq!(page.invalid_values, 0);
    }

    #[test]
    fn an_empty_object_is_decoded_as_a_row_without_values() {
        let page = decoded("{}");
        assert_eq!(page.rows, [(None, Row::default())]);
        assert_eq!(page.invalid_values, 0);
    }

    #[test]
    fn an_invalid_counter_is_zero_and_is_reported() {
        let page = decoded(r#"{"vc_num":"many","send_messenger_num":-3,"create_docs_num":"4"}"#);
        assert_eq!(page.invalid_values, 2);
        assert_eq!(page.rows[0].1.counters.iter().sum::<u64>(), 4);
    }

    #[test]
    fn a_next_page_needs_a_token_and_has_more() {
        let next = |json: &str| super::next_page(&serde_json::from_str(json).unwrap());
        assert_eq!(next(r#"{"has_more":true,"page_token":"2","items":[]}"#), NextPage::Token("2".into()));
        assert_eq!(next(r#"{"has_more":true,"page_token":3}"#), NextPage::Token("3".into()));
        assert_eq!(next(r#"{"has_more":false,"page_token":"2"}"#), NextPage::End);
        assert_eq!(next(r#"{"has_more":true,"page_token":""}"#), NextPage::TokenMissing);
        assert_eq!(next(r#"{"has_more":true}"#), NextPage::TokenMissing);
        assert_eq!(next("{}"), NextPage::End);
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
