//! From upstream's rows to ours: the only place that knows upstream's oddities.

use std::sync::Arc;

use jiff::{Timestamp, civil::DateTime};

use serde_json::value::RawValue;

use super::wire::{Item, Loose, Page, Reply};
use crate::{
    model::{Day, Geo},
    table::{Client, Counter, Department, Devices, Feature, Flag, Flags, builder::Row},
};

/// One page, made sense of.
#[derive(Debug, Default, PartialEq)]
pub struct DecodedPage {
    /// The rows with their days; `None` where a row does not say (then it belongs to the one day asked for).
    pub rows: Vec<(Option<Day>, Row)>,
    /// How the chain goes on.
    pub next: Next,
    /// Values that were there but made no sense, and count as zero.
    pub unreadable: usize,
}

/// How a chain of pages goes on after a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// That was the last page.
    #[default]
    End,
    /// Ask on with this token.
    Token(Arc<str>),
    /// Upstream says there is more but does not say how to ask for it. The chain ends, and the days are doubtful.
    Lost,
}

/// The page in a reply that says it is a success; `None` where it cannot be read, so that the reply was cut or mangled on
/// its way. Without any payload it may be the end of the chain, or may not.
#[must_use]
pub fn reply(reply: &Reply<'_>, geo: Geo) -> Option<DecodedPage> {
    match serde_json::from_str::<Option<Page<'_>>>(reply.data.map_or("null", RawValue::get)).ok()? {
        Some(found) => Some(page(&found, geo)),
        None => Some(DecodedPage { next: Next::Lost, ..DecodedPage::default() }),
    }
}

/// Makes sense of a page of rows whose times are those of `geo`.
#[must_use]
pub fn page(page: &Page<'_>, geo: Geo) -> DecodedPage {
    let mut unreadable = 0;
    let items = page.items.as_deref().unwrap_or_default();
    let rows = items.iter().map(|item| (day(&item.date), row(item, geo, &mut unreadable))).collect();
    DecodedPage { rows, next: next(page), unreadable }
}

fn next(page: &Page<'_>) -> Next {
    match (page.has_more.is_yes(), page.page_token.text()) {
        (false, _) => Next::End,
        (true, Some(token)) => Next::Token(token.as_ref().into()),
        (true, None) => Next::Lost,
    }
}

fn row(item: &Item<'_>, geo: Geo, unreadable: &mut usize) -> Row {
    Row {
        user_id: item.user_id.text().map(Into::into),
        user_name: item.user_name.text().unwrap_or_default().into(),
        department: Department {
            name: item.department_name.text().unwrap_or_default().as_ref().into(),
            path: item.department_path.text().unwrap_or_default().as_ref().into(),
        },
        create_time: instant(&item.create_time, geo),
        register_time: instant(&item.register_time, geo),
        last_active_time: instant(&item.last_active_time, geo),
        flags: flags(item),
        counters: Counter::ALL
            .map(|counter| {
                counter_of(item, counter).count().unwrap_or_else(|_| {
                    *unreadable += 1;
                    None
                })
            })
            .map(Option::unwrap_or_default),
        devices: Devices {
            clients: clients(&item.active_os),
            // A full-width comma, as upstream writes it; a plain one in case it ever stops to.
            app_packages: names(&item.app_package_type, &['，', ',']).map(Into::into).collect(),
            os_names: names(&item.os_name, &[',', '，']).map(|name| mended_os(&name).into()).collect(),
        },
    }
}

fn flags(item: &Item<'_>) -> Flags {
    [
        (Flag::Activated, &item.user_active_flag),
        (Flag::Active, &item.suite_active_flag),
        (Flag::Feature(Feature::Im), &item.im_active_flag),
        (Flag::Feature(Feature::Docs), &item.docs_active_flag),
        (Flag::Feature(Feature::Cal), &item.cal_active_flag),
        (Flag::Feature(Feature::Vc), &item.vc_active_flag),
        (Flag::Feature(Feature::Search), &item.search_active_flag),
    ]
    .into_iter()
    .fold(Flags::default(), |flags, (flag, value)| flags.with(flag, value.is_yes()))
}

fn counter_of<'a, 'de>(item: &'a Item<'de>, counter: Counter) -> &'a Loose<'de> {
    match counter {
        Counter::SendMessengerNum => &item.send_messenger_num,
        Counter::CreateDocsNum => &item.create_docs_num,
        Counter::CreateCalNum => &item.create_cal_num,
        Counter::VcDuration => &item.vc_duration,
        Counter::VcNum => &item.vc_num,
        Counter::CreateTaskNum => &item.create_task_num,
        Counter::EmailSendCount => &item.email_send_count,
        Counter::EmailReceiveCount => &item.email_receive_count,
        Counter::EmailSendExtCount => &item.email_send_ext_count,
        Counter::EmailReceiveExtCount => &item.email_receive_ext_count,
        Counter::EmailSendInCount => &item.email_send_in_count,
        Counter::EmailReceiveInCount => &item.email_receive_in_count,
        Counter::TotalSearchCount => &item.total_search_count,
        Counter::QuickSearchCount => &item.quick_search_count,
        Counter::TabSearchCount => &item.tab_search_count,
    }
}

fn day(value: &Loose<'_>) -> Option<Day> {
    let text = value.text()?;
    let date = text.get(..10).unwrap_or(&text);
    date.parse().ok()
}

/// `YYYY-MM-DD HH:MM:SS`, a civil time of the geo. People who never activated have none.
fn instant(value: &Loose<'_>, geo: Geo) -> Option<Timestamp> {
    let text = value.text()?;
    let civil: DateTime = text.parse().ok()?;
    (civil.year() > 1970).then(|| geo.instant(civil))
}

/// `'ios 14.2,-','ios 14.2,feishu 3.40.0-alpha'`: quoted items, each "system,client", `-` for none.
fn clients(value: &Loose<'_>) -> Vec<Client> {
    let text = value.text().unwrap_or_default();
    let quoted = text.split('\'').skip(1).step_by(2);
    let items: Vec<&str> = if text.contains('\'') { quoted.collect() } else { vec![&*text] };
    let some = |part: &str| Some(part.trim()).filter(|part| !part.is_empty() && *part != "-").map(Into::into);
    items
        .into_iter()
        .map(|item| item.split_once(',').unwrap_or((item, "-")))
        .map(|(os, client)| Client { os: some(os), client: some(client) })
        .filter(|client| client.os.is_some() || client.client.is_some())
        .collect()
}

fn names(value: &Loose<'_>, separators: &[char]) -> impl Iterator<Item = String> {
    let text = value.text().unwrap_or_default();
    let names = text.split(separators).map(str::trim).filter(|name| !name.is_empty() && *name != "-");
    names.map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// "Andorid" is upstream's own spelling.
fn mended_os(name: &str) -> &str {
    if name == "Andorid" { "Android" } else { name }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    fn decoded(items: &str) -> DecodedPage {
        let json = format!(r#"{{"has_more":false,"items":[{items}]}}"#);
        page(&serde_json::from_str(&json).unwrap(), Geo::Cn)
    }

    #[test]
    fn the_documented_row_is_understood() {
        let page = decoded(DOCUMENTED);
        let (day, row) = &page.rows[0];

        assert_eq!(day.unwrap().to_string(), "2020-02-15");
        assert_eq!(&*row.department.path, "testkkk/testcqlbfaaasdasdasd");
        assert_eq!(row.create_time.unwrap().to_string(), "2020-09-04T03:17:55Z");
        assert!(Flag::ALL[..7].iter().all(|flag| row.flags.has(*flag)));
        assert_eq!(row.counters[Counter::EmailReceiveInCount.index()], 7);
        let client = |os: &str, client: Option<&str>| Client { os: Some(os.into()), client: client.map(Into::into) };
        assert_eq!(row.devices.clients, [client("ios 14.2", None), client("ios 14.2", Some("feishu 3.40.0-alpha"))]);
        assert_eq!(row.devices.app_packages.iter().map(|name| &**name).collect::<Vec<_>>(), ["Feishu", "Lark"]);
        assert_eq!(row.devices.os_names.iter().map(|name| &**name).collect::<Vec<_>>(), ["iOS", "Android", "Windows"]);
        assert_eq!(page.unreadable, 0);
    }

    #[test]
    fn an_empty_row_is_a_row_of_nobody_who_did_nothing() {
        let page = decoded("{}");
        assert_eq!(page.rows, [(None, Row::default())]);
        assert_eq!(page.unreadable, 0);
    }

    #[test]
    fn a_value_that_makes_no_sense_counts_as_zero_and_is_noticed() {
        let page = decoded(r#"{"vc_num":"many","send_messenger_num":-3,"create_docs_num":"4"}"#);
        assert_eq!(page.unreadable, 2);
        assert_eq!(page.rows[0].1.counters.iter().sum::<u64>(), 4);
    }

    #[test]
    fn a_chain_goes_on_only_with_a_token_and_more_to_come() {
        let next = |json: &str| super::next(&serde_json::from_str(json).unwrap());
        assert_eq!(next(r#"{"has_more":true,"page_token":"2","items":[]}"#), Next::Token("2".into()));
        assert_eq!(next(r#"{"has_more":true,"page_token":3}"#), Next::Token("3".into()));
        assert_eq!(next(r#"{"has_more":false,"page_token":"2"}"#), Next::End);
        assert_eq!(next(r#"{"has_more":true,"page_token":""}"#), Next::Lost);
        assert_eq!(next(r#"{"has_more":true}"#), Next::Lost);
        assert_eq!(next("{}"), Next::End);
    }

    proptest! {
        #[test]
        fn no_text_in_any_field_makes_the_decoder_panic(text in "\\PC{0,40}") {
            let item = serde_json::json!({
                "date": text, "create_time": text, "active_os": text, "app_package_type": text, "os_name": text,
                "vc_num": text, "im_active_flag": text,
            });
            let _ = decoded(&item.to_string());
        }
    }
}
