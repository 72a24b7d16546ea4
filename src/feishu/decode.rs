//! Decodes upstream pages into table rows. All conversions of Feishu's value formats are in this module.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use jiff::{Timestamp, civil::DateTime};
use serde_json::value::RawValue;

use super::{
    count_parser::InexactCount,
    wire::{self, LenientScalar, PageEnd, UpstreamPage, UpstreamRow},
};
use crate::{
    model::{Day, DayRange, Geo},
    source::PAGE_SIZE,
    table::{
        Client, Counter, Devices, Dictionary, Feature, Flag, Flags,
        packed_row::{PackedRow, RowValues},
    },
};

/// A decoded page. It borrows from the text of the reply.
#[derive(Debug, Default, PartialEq)]
pub struct DecodedPage<'a> {
    /// The rows of the requested days.
    pub rows: Vec<DecodedRow<'a>>,
    /// The different devices of the rows. Many rows have the same.
    pub devices: Vec<Devices>,
    /// What follows this page.
    pub next: NextPage,
    /// Number of items that are not rows, and of rows without a date or with one that was not requested.
    pub unreadable_rows: u32,
}

/// A decoded row.
#[derive(Debug, PartialEq)]
pub struct DecodedRow<'a> {
    /// The day of the row.
    pub day: Day,
    /// The user id. `None` if Feishu omits it.
    pub user_id: Option<Cow<'a, str>>,
    /// The person's name.
    pub user_name: Cow<'a, str>,
    /// The name of the person's department.
    pub department_name: Cow<'a, str>,
    /// The path of the person's department.
    pub department_path: Cow<'a, str>,
    /// When the account was created.
    pub create_time: Option<Timestamp>,
    /// When the account was activated.
    pub register_time: Option<Timestamp>,
    /// When the person was last active, as known on that day.
    pub last_active_time: Option<Timestamp>,
    /// The flags that Feishu sends.
    pub flags: Flags,
    /// The counters, by [`Counter::index`].
    pub counters: [u64; Counter::COUNT],
    /// The index in [`DecodedPage::devices`].
    pub devices: usize,
    /// Number of counters and flags whose value is not a count. `count_parser` gives the counts to use instead.
    pub unreadable_values: u32,
}

/// A page whose strings are in a dictionary.
#[derive(Debug)]
pub struct PackedPage {
    /// The rows of the requested days.
    pub rows: Vec<PackedPageRow>,
    /// As [`DecodedPage::next`].
    pub next: NextPage,
    /// As [`DecodedPage::unreadable_rows`].
    pub unreadable_rows: u32,
}

/// A row of a page.
#[derive(Debug)]
pub struct PackedPageRow {
    /// The day of the row.
    pub day: Day,
    /// The values of the row.
    pub row: PackedRow,
    /// As [`DecodedRow::unreadable_values`].
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

/// Decodes a successful reply to a request for `days` in one pass. Times without a zone are in the zone of `geo`. `None` if the
/// reply is not a success, or if anything in it is unusual: then the payload of its envelope is decoded by [`decode_payload`].
#[must_use]
pub fn decode_success(text: &str, geo: Geo, days: DayRange) -> Option<DecodedPage<'_>> {
    let mut decoder = PageDecoder::new(geo, days);
    let end = wire::parse_success(text, |row| decoder.push(row))?;
    Some(decoder.finish(&end))
}

/// Decodes the payload of a successful reply that has anything unusual. A payload that is missing or not an object is a page
/// without rows whose next token is missing.
#[must_use]
pub fn decode_payload(payload: Option<&RawValue>, geo: Geo, days: DayRange) -> DecodedPage<'static> {
    let mut repaired = String::new();
    let Some(page) = payload.and_then(|payload| UpstreamPage::parse(payload, &mut repaired)) else {
        return DecodedPage { next: NextPage::TokenMissing, ..DecodedPage::default() };
    };
    let mut decoder = PageDecoder::new(geo, days);
    for row in page.rows {
        decoder.push(row);
    }
    let unreadable = u32::try_from(page.unreadable_rows).unwrap_or(u32::MAX);
    decoder.page.unreadable_rows = decoder.page.unreadable_rows.saturating_add(unreadable);
    decoder.finish(&page.end).into_owned()
}

impl DecodedPage<'_> {
    /// Adds the strings to a dictionary.
    #[must_use]
    pub fn pack(self, dictionary: &Dictionary) -> PackedPage {
        let mut packer = dictionary.packer();
        let devices: Vec<u32> = self.devices.iter().map(|devices| packer.devices(devices)).collect();
        let mut pack = |row: &DecodedRow<'_>| {
            let values = RowValues {
                user_id: row.user_id.as_deref(),
                user_name: &row.user_name,
                department_name: &row.department_name,
                department_path: &row.department_path,
                create_time: row.create_time,
                register_time: row.register_time,
                last_active_time: row.last_active_time,
                flags: row.flags,
                counters: &row.counters,
                devices: devices[row.devices],
            };
            PackedPageRow { day: row.day, row: packer.pack(&values), unreadable_values: row.unreadable_values }
        };
        let rows = self.rows.iter().map(&mut pack).collect();
        PackedPage { rows, next: self.next, unreadable_rows: self.unreadable_rows }
    }

    /// The same page with copies of all texts.
    fn into_owned(self) -> DecodedPage<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let row_into_owned = |row: DecodedRow<'_>| DecodedRow {
            day: row.day,
            user_id: row.user_id.map(owned),
            user_name: owned(row.user_name),
            department_name: owned(row.department_name),
            department_path: owned(row.department_path),
            create_time: row.create_time,
            register_time: row.register_time,
            last_active_time: row.last_active_time,
            flags: row.flags,
            counters: row.counters,
            devices: row.devices,
            unreadable_values: row.unreadable_values,
        };
        let rows = self.rows.into_iter().map(row_into_owned).collect();
        DecodedPage { rows, devices: self.devices, next: self.next, unreadable_rows: self.unreadable_rows }
    }
}

/// Decodes the rows of a page one after the other.
struct PageDecoder<'a> {
    geo: Geo,
    days: DayRange,
    page: DecodedPage<'a>,
    /// The devices of the rows so far, by their texts: active systems, app packages, names of systems.
    known_devices: HashMap<[Cow<'a, str>; 3], usize, RandomState>,
    /// The latest date, and the requested day that it names. Most rows of a page have the same date.
    latest_date: (LenientScalar<'a>, Option<Day>),
}

impl<'a> PageDecoder<'a> {
    fn new(geo: Geo, days: DayRange) -> Self {
        let page = DecodedPage { rows: Vec::with_capacity(PAGE_SIZE), ..DecodedPage::default() };
        Self { geo, days, page, known_devices: HashMap::default(), latest_date: Default::default() }
    }

    fn push(&mut self, row: UpstreamRow<'a>) {
        match self.decode(row) {
            Some(row) => self.page.rows.push(row),
            None => self.page.unreadable_rows += 1,
        }
    }

    /// `None` if the date of the row is missing, invalid or not one of the requested days.
    fn decode(&mut self, row: UpstreamRow<'a>) -> Option<DecodedRow<'a>> {
        if row.date != self.latest_date.0 {
            let day = parse_day(&row.date).filter(|day| self.days.contains(*day));
            self.latest_date = (row.date.clone(), day);
        }
        let day = self.latest_date.1?;
        let mut unreadable_values = 0;
        let flags = decode_flags(&row, &mut unreadable_values);
        let counters = row.counters().map(|counter| {
            counter.count().unwrap_or_else(|InexactCount(count)| {
                unreadable_values += 1;
                count
            })
        });
        let instant = |value: &LenientScalar<'_>| parse_instant(value, self.geo);
        Some(DecodedRow {
            day,
            create_time: instant(&row.create_time),
            register_time: instant(&row.register_time),
            last_active_time: instant(&row.last_active_time),
            // An id in which a character was replaced is not the id of a person.
            user_id: row.user_id.into_text().filter(|id| is_complete(id)),
            user_name: row.user_name.into_text().unwrap_or_default(),
            department_name: row.department_name.into_text().unwrap_or_default(),
            department_path: row.department_path.into_text().unwrap_or_default(),
            flags,
            counters,
            devices: self.devices([row.active_os, row.app_package_type, row.os_name]),
            unreadable_values,
        })
    }

    /// The index of the devices with these texts.
    fn devices(&mut self, values: [LenientScalar<'a>; 3]) -> usize {
        let texts = values.map(|value| value.into_text().unwrap_or_default());
        let devices = &mut self.page.devices;
        *self.known_devices.entry(texts).or_insert_with_key(|[active_os, app_packages, os_names]| {
            devices.push(Devices {
                clients: parse_clients(active_os),
                // Documented: separated by a full-width comma. The ASCII comma is accepted too.
                app_packages: split_names(app_packages, &['，', ',']).map(Into::into).collect(),
                os_names: split_names(os_names, &[',', '，']).map(|name| corrected_os_name(name).into()).collect(),
            });
            devices.len() - 1
        })
    }

    fn finish(self, end: &PageEnd<'_>) -> DecodedPage<'a> {
        let token = end.page_token.text().filter(|token| is_complete(token));
        // If `has_more` cannot be read, a page token means that there are more pages.
        let next = match (end.has_more.flag().unwrap_or(token.is_some()), token) {
            (false, _) => NextPage::End,
            (true, Some(token)) => NextPage::Token(token.as_ref().into()),
            (true, None) => NextPage::TokenMissing,
        };
        DecodedPage { next, ..self.page }
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
    // A time of day can follow.
    let (date, rest) = text.split_at_checked("YYYY-MM-DD".len())?;
    (rest.is_empty() || rest.starts_with([' ', 'T'])).then(|| date.parse().ok())?
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
    use reqwest::StatusCode;

    use super::*;
    use crate::{
        feishu::{
            json_repair::repair_json,
            reply_class::{self, ClassifiedReply, ReplyClass},
        },
        table::{Department, Row},
    };

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

    impl DecodedPage<'_> {
        fn row(&self, index: usize) -> Row {
            let row = &self.rows[index];
            Row {
                user_id: row.user_id.as_deref().map(Into::into),
                user_name: row.user_name.clone().into(),
                department: Department { name: (&*row.department_name).into(), path: (&*row.department_path).into() },
                create_time: row.create_time,
                register_time: row.register_time,
                last_active_time: row.last_active_time,
                flags: row.flags,
                counters: row.counters,
                devices: self.devices[row.devices].clone(),
            }
        }
    }

    fn days() -> DayRange {
        let day = |text: &str| text.parse().unwrap();
        DayRange::new(day("2020-02-15"), day("2026-11-01")).unwrap()
    }

    /// Whether a reply is a success, and its page. Checks that a reply without anything unusual is read in both ways alike.
    fn decoded_reply(reply: &str) -> Option<DecodedPage<'_>> {
        let classify = |text| reply_class::classify(StatusCode::OK, Some("a log id"), text);
        let (in_one_pass, repaired) = (decode_success(reply, Geo::Cn, days()), repair_json(reply));
        let classified = Some(classify(reply))
            .filter(|classified| classified.envelope.is_some())
            .unwrap_or_else(|| classify(&repaired));
        let is_success = classified.class == ReplyClass::Success;
        let page = is_success
            .then(|| decode_payload(classified.envelope.as_ref().and_then(|envelope| envelope.data), Geo::Cn, days()));
        if in_one_pass.is_some() {
            assert_eq!(in_one_pass, page, "{reply}");
            let success = ClassifiedReply::success(Some("a log id"));
            assert_eq!((classified.class, classified.upstream), (success.class, success.upstream), "{reply}");
        }
        page
    }

    fn decoded_payload(payload: &str) -> DecodedPage<'static> {
        let reply = format!(r#"{{"code":0,"msg":"success","data":{payload}}}"#);
        decoded_reply(&reply).unwrap().into_owned()
    }

    fn decoded(rows: &str) -> DecodedPage<'static> {
        decoded_payload(&format!(r#"{{"has_more":false,"items":[{rows}]}}"#))
    }

    #[test]
    fn the_documented_example_is_decoded() {
        let page = decoded(DOCUMENTED);
        let (DecodedRow { day, unreadable_values, .. }, row) = (&page.rows[0], page.row(0));

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
        let day: Day = "2026-11-01".parse().unwrap();
        assert_eq!((page.rows.len(), page.row(0)), (1, Row::default()));
        assert_eq!((page.rows[0].day, page.rows[0].unreadable_values), (day, 0));
    }

    #[test]
    fn rows_of_a_page_have_the_devices_of_their_own_texts() {
        let row = |active_os: &str, os_name: &str| {
            format!(r#"{{"date":"2026-11-01","active_os":"{active_os}","os_name":"{os_name}"}}"#)
        };
        let page = decoded(&[row("ios 14", "iOS"), row("ios 14", ""), row("", "iOS"), row("ios 14", "iOS")].join(","));
        let devices: Vec<&Devices> = page.rows.iter().map(|row| &page.devices[row.devices]).collect();
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
                {"date":"2026-11-011"}, {"date":"2026-11-01 00:00:00"}, {"date":"2026-11-01"}"#,
        );
        assert_eq!((page.rows.len(), page.unreadable_rows), (2, 6));
    }

    #[test]
    fn values_that_are_no_counts_are_replaced_and_counted() {
        let page = decoded(
            r#"{"date":"2026-11-01","vc_num":"many","send_messenger_num":-3,"create_docs_num":"4","create_cal_num":2.9,
                "suite_active_flag":"perhaps","im_active_flag":true,"create_task_num":[1]}"#,
        );
        let row = page.row(0);
        assert_eq!(page.rows[0].unreadable_values, 5);
        assert_eq!(row.counters.iter().sum::<u64>(), 4 + 2);
        assert_eq!(row.flags, Flags::default().with(Flag::Feature(Feature::Im), true));
    }

    #[test]
    fn an_id_with_a_replaced_character_is_missing() {
        let page = decoded(r#"{"date":"2026-11-01","user_id":"ou_\ud83d","user_name":"P \ud83d"}"#);
        let Row { user_id, user_name, .. } = page.row(0);
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

    /// A value of JSON, or of what upstream could send in its place.
    fn odd_value() -> impl Strategy<Value = String> {
        const VALUES: &[&str] = &[
            "null",
            "true",
            "0",
            "1",
            "-1",
            "7.0",
            "2.5",
            "1e3",
            "1e999",
            "9007199254740993.0",
            "18446744073709551616",
            r#""""#,
            r#"" 7 ""#,
            r#""true""#,
            r#""many""#,
            r#""2026-11-01""#,
            r#""2026-11-01 10:00:00""#,
            r#""2020-02-14""#,
            r#""ou_\u0031""#,
            r#""\ud83d""#,
            r#""\ud83d\ude00""#,
            r#""\x""#,
            r#""'ios 14,-'""#,
            "[1]",
            r#"{"deep":[{}]}"#,
            "[]",
            "{}",
            "NaN",
            "\u{1}",
            "\"a\u{1}\"",
            "]",
        ];
        prop_oneof![8 => Just("1".to_owned()), 8 => Just(r#""2026-11-01""#.to_owned()), 8 => prop::sample::select(VALUES).prop_map(str::to_owned)]
    }

    /// An object with some of these keys, some of them twice.
    fn odd_object(
        keys: &'static [&'static str],
        value: impl Strategy<Value = String>,
    ) -> impl Strategy<Value = String> {
        let entries = prop::collection::vec((prop::sample::select(keys), value), 0..8);
        entries.prop_map(|entries| {
            let entries: Vec<String> = entries.iter().map(|(key, value)| format!(r#""{key}":{value}"#)).collect();
            format!("{{{}}}", entries.join(","))
        })
    }

    fn odd_page() -> impl Strategy<Value = String> {
        let keys = [
            "date",
            "user_id",
            "user_name",
            "vc_num",
            "im_active_flag",
            "active_os",
            "register_time",
            "dat\\u0065",
            "new",
        ];
        let row = odd_object(Vec::leak(keys.to_vec()), odd_value()).prop_map(|row| match row.strip_suffix('}') {
            Some("{") => r#"{"date":"2026-11-01"}"#.to_owned(),
            Some(row) => format!(r#"{row},"date":"2026-11-01"}}"#),
            None => row,
        });
        let rows = prop::collection::vec(prop_oneof![9 => row, 1 => odd_value()], 0..5);
        let items = rows.prop_map(|rows| format!("[{}]", rows.join(",")));
        let end = odd_object(&["has_more", "page_token", "items", "new", "it\\u0065ms"], odd_value());
        (prop_oneof![9 => items, 1 => odd_value()], end).prop_map(|(items, end)| {
            let rest = end.trim_start_matches('{');
            format!(r#"{{"items":{items}{}{rest}"#, if rest == "}" { "" } else { "," })
        })
    }

    fn odd_reply() -> impl Strategy<Value = String> {
        let rest = odd_object(&["msg", "error", "code", "data", "new"], odd_value());
        let rest = prop_oneof![3 => Just("{}".to_owned()), 1 => rest];
        let code = prop_oneof![9 => Just("0".to_owned()), 1 => odd_value()];
        let page = prop_oneof![9 => odd_page(), 1 => odd_value()];
        (code, page, rest, any::<bool>()).prop_map(|(code, page, rest, code_is_first)| {
            let rest = rest.trim_start_matches('{');
            let (code, page) = (format!(r#""code":{code}"#), format!(r#""data":{page}"#));
            let [first, second] = if code_is_first { [code, page] } else { [page, code] };
            format!(r"{{{first},{second}{}{rest}", if rest == "}" { "" } else { "," })
        })
    }

    #[test]
    fn an_ordinary_reply_is_decoded_in_one_pass() {
        let reply = |payload: &str| format!(r#"{{"code":0,"msg":"success","data":{payload}}}"#);
        let in_one_pass = |payload: &str| decode_success(&reply(payload), Geo::Cn, days()).is_some();
        assert!(in_one_pass(&format!(r#"{{"has_more":true,"page_token":"2","items":[{DOCUMENTED},{{"date":"x"}}]}}"#)));
        assert!(in_one_pass(r#"{"items":null}"#) && in_one_pass("{}"));
        for payload in ["null", "[]", r#"{"items":[7]}"#, r#"{"items":[{"user_name":"\ud83d"}]}"#] {
            assert!(!in_one_pass(payload), "{payload}");
        }
    }

    proptest! {
        #[test]
        fn an_odd_reply_is_decoded_in_both_ways_alike(reply in odd_reply()) {
            decoded_reply(&reply);
        }

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
