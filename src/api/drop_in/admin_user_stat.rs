//! A row of `admin_user_stats` in Feishu's format: Feishu's field names, types and notations.

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{
    model::Geo,
    table::{Client, Counter, Feature, Flag, RowField, RowRef, row_field::FieldValue, schema::Notation},
};

/// Feishu's fields in the order of its documentation, each with the field of [`RowRef`] that has its value.
const DOCUMENTED_FIELDS: [(&str, RowField); 33] = [
    ("date", RowField::Date),
    ("user_id", RowField::UserId),
    ("user_name", RowField::UserName),
    ("department_name", RowField::DepartmentName),
    ("department_path", RowField::DepartmentPath),
    ("create_time", RowField::CreateTime),
    ("user_active_flag", RowField::Flag(Flag::Activated)),
    ("register_time", RowField::RegisterTime),
    ("suite_active_flag", RowField::Flag(Flag::Active)),
    ("last_active_time", RowField::LastActiveTime),
    ("im_active_flag", RowField::Flag(Flag::Feature(Feature::Im))),
    counter(Counter::SendMessengerNum),
    ("docs_active_flag", RowField::Flag(Flag::Feature(Feature::Docs))),
    counter(Counter::CreateDocsNum),
    ("cal_active_flag", RowField::Flag(Flag::Feature(Feature::Cal))),
    counter(Counter::CreateCalNum),
    ("vc_active_flag", RowField::Flag(Flag::Feature(Feature::Vc))),
    counter(Counter::VcDuration),
    ("active_os", RowField::Clients),
    counter(Counter::CreateTaskNum),
    counter(Counter::VcNum),
    ("app_package_type", RowField::AppPackages),
    ("os_name", RowField::OsNames),
    counter(Counter::EmailSendCount),
    counter(Counter::EmailReceiveCount),
    counter(Counter::EmailSendExtCount),
    counter(Counter::EmailReceiveExtCount),
    counter(Counter::EmailSendInCount),
    counter(Counter::EmailReceiveInCount),
    ("search_active_flag", RowField::Flag(Flag::Feature(Feature::Search))),
    counter(Counter::TotalSearchCount),
    counter(Counter::QuickSearchCount),
    counter(Counter::TabSearchCount),
];

/// All fields of a row: first those of the documentation, then the counters that were added since.
static FEISHU_FIELDS: LazyLock<Vec<(&str, RowField)>> = LazyLock::new(|| {
    let added = Counter::ALL.map(counter).into_iter().filter(|field| !DOCUMENTED_FIELDS.contains(field));
    DOCUMENTED_FIELDS.into_iter().chain(added).collect()
});

const fn counter(counter: Counter) -> (&'static str, RowField) {
    (counter.name(), RowField::Counter(counter))
}

/// Serializes a row in Feishu's format.
#[derive(Debug)]
pub struct AdminUserStat<'a>(pub RowRef<'a>);

impl Serialize for AdminUserStat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, field) in FEISHU_FIELDS.iter() {
            serialize_field(&mut map, name, *field, self.0.value(*field))?;
        }
        map.end()
    }
}

fn serialize_field<M: SerializeMap>(
    map: &mut M,
    name: &str,
    field: RowField,
    value: FieldValue<'_>,
) -> Result<(), M::Error> {
    match value {
        FieldValue::Day(day) => map.serialize_entry(name, &day),
        // Feishu omits an id that it withholds.
        FieldValue::Text(text) => text.map_or(Ok(()), |text| map.serialize_entry(name, text)),
        FieldValue::Instant(instant, geo) => {
            map.serialize_entry(name, &instant.map(|instant| civil_time(instant, geo)).unwrap_or_default())
        }
        FieldValue::Flag(flag) => map.serialize_entry(name, &u8::from(flag)),
        FieldValue::Count(count) => match field {
            RowField::Counter(counter) if counter.notation() == Notation::Text => {
                map.serialize_entry(name, &count.to_string())
            }
            _ => map.serialize_entry(name, &count),
        },
        FieldValue::Clients(clients) => map.serialize_entry(name, &active_os(clients)),
        FieldValue::Names(names) => map.serialize_entry(name, &join_names(field, names)),
    }
}

/// Feishu's times are civil times in the time zone of the geo, without an offset.
fn civil_time(instant: Timestamp, geo: Geo) -> String {
    geo.offset().to_datetime(instant).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `'ios 14.2,-','ios 14.2,feishu 3.40.0-alpha'`: quoted pairs of operating system and client; `-` for a missing part.
fn active_os(clients: &[Client]) -> String {
    let mut text = String::new();
    for client in clients {
        let part = |part: &Option<Arc<str>>| part.clone().unwrap_or_else(|| "-".into());
        let separator = if text.is_empty() { "" } else { "," };
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{separator}'{},{}'", part(&client.os), part(&client.client));
    }
    text
}

/// App packages are separated by a full-width comma, operating systems by an ASCII comma.
fn join_names(field: RowField, names: &[Arc<str>]) -> String {
    let separator = if field == RowField::AppPackages { "，" } else { "," };
    let names: Vec<&str> = names.iter().map(|name| feishu_spelling(name)).collect();
    names.join(separator)
}

/// Feishu's spelling of an operating system: callers may match on its misspelling of Android.
fn feishu_spelling(name: &str) -> &str {
    if name == "Android" { "Andorid" } else { name }
}

impl PartialSchema for AdminUserStat<'_> {
    fn schema() -> RefOr<Schema> {
        let fields = FEISHU_FIELDS.iter().fold(ObjectBuilder::new(), |object, (name, field)| {
            let described = ObjectBuilder::new().description(Some(field.describe()));
            object.property(*name, described.schema_type(schema_type(*field)))
        });
        fields.description(Some("One row: one person on one day, with Feishu's fields, types and notations.")).into()
    }
}

impl ToSchema for AdminUserStat<'_> {}

fn schema_type(field: RowField) -> Type {
    match field {
        RowField::Flag(_) => Type::Integer,
        RowField::Counter(counter) if counter.notation() == Notation::Number => Type::Integer,
        _ => Type::String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_feishu_is_sent_once() {
        let sent: Vec<RowField> = FEISHU_FIELDS.iter().map(|(_, field)| *field).collect();
        // Feishu's rows do not contain the geo.
        let expected: Vec<RowField> = RowField::all().filter(|field| *field != RowField::Geo).collect();
        assert_eq!(sent.len(), expected.len());
        assert!(expected.iter().all(|field| sent.contains(field)));
    }

    #[test]
    fn devices_have_feishus_notation() {
        let client = |os: &str, client: Option<&str>| Client { os: Some(os.into()), client: client.map(Into::into) };
        let clients = [client("ios 14.2", None), client("ios 14.2", Some("feishu 3.40.0-alpha"))];
        let names = |names: [&str; 2]| names.map(Into::into);
        assert_eq!(active_os(&clients), "'ios 14.2,-','ios 14.2,feishu 3.40.0-alpha'");
        assert_eq!(active_os(&[]), "");
        assert_eq!(join_names(RowField::AppPackages, &names(["Feishu", "Lark"])), "Feishu，Lark");
        assert_eq!(join_names(RowField::OsNames, &names(["iOS", "Android"])), "iOS,Andorid");
    }

    #[test]
    fn times_are_in_the_time_zone_of_the_geo() {
        let instant: Timestamp = "2020-09-04T03:17:55Z".parse().unwrap();
        assert_eq!(civil_time(instant, Geo::Cn), "2020-09-04 11:17:55");
        assert_eq!(civil_time(instant, Geo::Us), "2020-09-04 03:17:55");
    }
}
