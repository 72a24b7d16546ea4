//! A user-day as upstream writes it: its own field names, types and notations, from our columns.

use std::{fmt::Write as _, sync::Arc};

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{
    model::Geo,
    table::{Client, Counter, Feature, Field, Flag, Item, item::Value},
};

/// Upstream's fields in the order of its documentation, each with the field of ours that holds it.
const FIELDS: [(&str, Field); 33] = [
    ("date", Field::Date),
    ("user_id", Field::UserId),
    ("user_name", Field::UserName),
    ("department_name", Field::DepartmentName),
    ("department_path", Field::DepartmentPath),
    ("create_time", Field::CreateTime),
    ("user_active_flag", Field::Flag(Flag::Activated)),
    ("register_time", Field::RegisterTime),
    ("suite_active_flag", Field::Flag(Flag::Active)),
    ("last_active_time", Field::LastActiveTime),
    ("im_active_flag", Field::Flag(Flag::Feature(Feature::Im))),
    ("send_messenger_num", Field::Counter(Counter::SendMessengerNum)),
    ("docs_active_flag", Field::Flag(Flag::Feature(Feature::Docs))),
    ("create_docs_num", Field::Counter(Counter::CreateDocsNum)),
    ("cal_active_flag", Field::Flag(Flag::Feature(Feature::Cal))),
    ("create_cal_num", Field::Counter(Counter::CreateCalNum)),
    ("vc_active_flag", Field::Flag(Flag::Feature(Feature::Vc))),
    ("vc_duration", Field::Counter(Counter::VcDuration)),
    ("active_os", Field::Clients),
    ("create_task_num", Field::Counter(Counter::CreateTaskNum)),
    ("vc_num", Field::Counter(Counter::VcNum)),
    ("app_package_type", Field::AppPackages),
    ("os_name", Field::OsNames),
    ("email_send_count", Field::Counter(Counter::EmailSendCount)),
    ("email_receive_count", Field::Counter(Counter::EmailReceiveCount)),
    ("email_send_ext_count", Field::Counter(Counter::EmailSendExtCount)),
    ("email_receive_ext_count", Field::Counter(Counter::EmailReceiveExtCount)),
    ("email_send_in_count", Field::Counter(Counter::EmailSendInCount)),
    ("email_receive_in_count", Field::Counter(Counter::EmailReceiveInCount)),
    ("search_active_flag", Field::Flag(Flag::Feature(Feature::Search))),
    ("total_search_count", Field::Counter(Counter::TotalSearchCount)),
    ("quick_search_count", Field::Counter(Counter::QuickSearchCount)),
    ("tab_search_count", Field::Counter(Counter::TabSearchCount)),
];

/// A row on its way to an SDK.
#[derive(Debug)]
pub struct AdminUserStat<'a>(pub Item<'a>);

/// Upstream documents the counters of e-mail and search as strings, and all others as integers.
fn is_written_as_text(counter: Counter) -> bool {
    let searches = [Counter::TotalSearchCount, Counter::QuickSearchCount, Counter::TabSearchCount];
    counter.is_email() || searches.contains(&counter)
}

impl Serialize for AdminUserStat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, field) in FIELDS {
            entry(&mut map, name, field, self.0.value(field))?;
        }
        map.end()
    }
}

fn entry<M: SerializeMap>(map: &mut M, name: &str, field: Field, value: Value<'_>) -> Result<(), M::Error> {
    match value {
        Value::Day(day) => map.serialize_entry(name, &day),
        // An id that upstream withholds is left out, as upstream does.
        Value::Text(text) => text.map_or(Ok(()), |text| map.serialize_entry(name, text)),
        Value::Instant(instant, geo) => {
            map.serialize_entry(name, &instant.map(|instant| civil(instant, geo)).unwrap_or_default())
        }
        Value::Flag(flag) => map.serialize_entry(name, &u8::from(flag)),
        Value::Count(count) => match field {
            Field::Counter(counter) if is_written_as_text(counter) => map.serialize_entry(name, &count.to_string()),
            _ => map.serialize_entry(name, &count),
        },
        Value::Clients(clients) => map.serialize_entry(name, &active_os(clients)),
        Value::Names(names) => map.serialize_entry(name, &joined(field, names)),
    }
}

/// Upstream's times are civil times of the geo, and do not say so.
fn civil(instant: Timestamp, geo: Geo) -> String {
    geo.offset().to_datetime(instant).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `'ios 14.2,-','ios 14.2,feishu 3.40.0-alpha'`: quoted items, each "system,client", `-` for none.
fn active_os(clients: &[Client]) -> String {
    let mut text = String::new();
    for client in clients {
        let part = |part: &Option<Arc<str>>| part.clone().unwrap_or_else(|| "-".into());
        let separator = if text.is_empty() { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(text, "{separator}'{},{}'", part(&client.os), part(&client.client));
    }
    text
}

/// App packages are joined by a full-width comma, systems by a plain one.
fn joined(field: Field, names: &[Arc<str>]) -> String {
    let separator = if field == Field::AppPackages { "，" } else { "," };
    let names: Vec<&str> = names.iter().map(|name| upstreams_spelling(name)).collect();
    names.join(separator)
}

/// Code that counts Androids by upstream's spelling shall go on counting.
fn upstreams_spelling(name: &str) -> &str {
    if name == "Android" { "Andorid" } else { name }
}

impl PartialSchema for AdminUserStat<'_> {
    fn schema() -> RefOr<Schema> {
        let fields = FIELDS.into_iter().fold(ObjectBuilder::new(), |object, (name, field)| {
            let described = ObjectBuilder::new().description(Some(field.describe()));
            object.property(name, described.schema_type(kind(field)))
        });
        fields.description(Some("One person's day, in Feishu's own fields, types and notations.")).into()
    }
}

impl ToSchema for AdminUserStat<'_> {}

fn kind(field: Field) -> Type {
    match field {
        Field::Flag(_) => Type::Integer,
        Field::Counter(counter) if !is_written_as_text(counter) => Type::Integer,
        _ => Type::String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_upstream_is_there_once() {
        let sent: Vec<Field> = FIELDS.into_iter().map(|(_, field)| field).collect();
        // The geo is in none of upstream's rows.
        let held: Vec<Field> = Field::all().filter(|field| *field != Field::Geo).collect();
        assert_eq!(sent.len(), held.len());
        assert!(held.iter().all(|field| sent.contains(field)));
    }

    #[test]
    fn devices_are_written_in_upstreams_notations() {
        let client = |os: &str, client: Option<&str>| Client { os: Some(os.into()), client: client.map(Into::into) };
        let clients = [client("ios 14.2", None), client("ios 14.2", Some("feishu 3.40.0-alpha"))];
        let names = |names: [&str; 2]| names.map(Into::into);
        assert_eq!(active_os(&clients), "'ios 14.2,-','ios 14.2,feishu 3.40.0-alpha'");
        assert_eq!(active_os(&[]), "");
        assert_eq!(joined(Field::AppPackages, &names(["Feishu", "Lark"])), "Feishu，Lark");
        assert_eq!(joined(Field::OsNames, &names(["iOS", "Android"])), "iOS,Andorid");
    }

    #[test]
    fn a_time_is_that_of_the_geos_own_clocks() {
        let instant: Timestamp = "2020-09-04T03:17:55Z".parse().unwrap();
        assert_eq!(civil(instant, Geo::Cn), "2020-09-04 11:17:55");
        assert_eq!(civil(instant, Geo::Us), "2020-09-04 03:17:55");
    }
}
