//! The fields of a row in the output, with their names, descriptions and values. All output formats use this list.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};

use super::{
    cell::{Cell, Column, ColumnKind},
    day_table::DayTable,
    dictionary::DictionaryTables,
    profile::{Client, Department, Devices, Profile},
    schema::{Counter, Feature, Flag},
};
use crate::model::{Day, Geo};

/// A field of a row in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is documented by `describe`, which also goes into the OpenAPI document")]
pub enum RowField {
    Date,
    Geo,
    UserId,
    UserName,
    DepartmentName,
    DepartmentPath,
    CreateTime,
    RegisterTime,
    LastActiveTime,
    Flag(Flag),
    Counter(Counter),
    Clients,
    AppPackages,
    OsNames,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue<'a> {
    /// A day.
    Day(Day),
    /// A text, or `None` if it is missing.
    Text(Option<&'a str>),
    /// An instant, or `None` if it is missing. It is written with the offset of the geo.
    Instant(Option<Timestamp>, Geo),
    /// A boolean.
    Flag(bool),
    /// A count.
    Count(u64),
    /// Operating systems with the Feishu clients on them.
    Clients(&'a [Client]),
    /// A list of names.
    Names(&'a [Arc<str>]),
}

/// A reference to one row of a day, for reading its fields.
#[derive(Debug)]
pub struct RowRef<'a> {
    day: &'a DayTable,
    row: usize,
    profile: &'a Profile,
    department: &'a Department,
    devices: &'a Devices,
}

/// A row that is serialized as a map of selected fields.
#[derive(Debug)]
pub struct SelectedFields<'a> {
    /// The row.
    pub row: &'a RowRef<'a>,
    /// The fields, in the order of the output.
    pub fields: &'a [RowField],
    /// Whether lists are texts, as in CSV.
    pub is_flat: bool,
}

impl RowField {
    /// All fields, in the order of the output. Of the flags, only those that Feishu sends are included.
    pub fn all() -> impl Iterator<Item = Self> {
        let head = [Self::Date, Self::Geo, Self::UserId, Self::UserName, Self::DepartmentName, Self::DepartmentPath];
        let times = [Self::CreateTime, Self::RegisterTime, Self::LastActiveTime];
        let flags = Flag::SENT.map(Self::Flag);
        let tail = [Self::Clients, Self::AppPackages, Self::OsNames];
        head.into_iter().chain(times).chain(flags).chain(Counter::ALL.map(Self::Counter)).chain(tail)
    }

    /// The field with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|field| field.name() == name)
    }

    /// The name of the field in the output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Geo => "geo",
            Self::UserId => "user_id",
            Self::UserName => "user_name",
            Self::DepartmentName => "department_name",
            Self::DepartmentPath => "department_path",
            Self::CreateTime => "create_time",
            Self::RegisterTime => "register_time",
            Self::LastActiveTime => "last_active_time",
            Self::Flag(Flag::Activated) => "activated",
            Self::Flag(Flag::Active) => "active",
            Self::Flag(Flag::Feature(feature)) => match feature {
                Feature::Im => "im_active",
                Feature::Docs => "docs_active",
                Feature::Cal => "cal_active",
                Feature::Vc => "vc_active",
                Feature::Search => "search_active",
                Feature::Email => "email_active",
                Feature::Task => "task_active",
            },
            Self::Counter(counter) => counter.name(),
            Self::Clients => "clients",
            Self::AppPackages => "app_packages",
            Self::OsNames => "os_names",
        }
    }

    /// The column of the field in a flat table.
    #[must_use]
    pub fn column(self) -> Column {
        let kind = match self {
            Self::Date => ColumnKind::Day,
            Self::CreateTime | Self::RegisterTime | Self::LastActiveTime => ColumnKind::Instant,
            Self::Flag(_) => ColumnKind::Flag,
            Self::Counter(_) => ColumnKind::Count,
            Self::Geo
            | Self::UserId
            | Self::UserName
            | Self::DepartmentName
            | Self::DepartmentPath
            | Self::Clients
            | Self::AppPackages
            | Self::OsNames => ColumnKind::Text,
        };
        Column::new(self.name(), kind)
    }

    /// A short description of the field.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Date => "the day, in the time zone of the geo",
            Self::Geo => "the geo that has the data",
            Self::UserId => "the person's id, of the requested kind; null if Feishu omits it",
            Self::UserName => "the person's name",
            Self::DepartmentName => "the name of the person's department on that day",
            Self::DepartmentPath => "the path of that department, joined by slashes",
            Self::CreateTime => "when the account was created; null if unknown",
            Self::RegisterTime => "when the account was activated; null if it was not activated",
            Self::LastActiveTime => {
                "the time of the person's last activity, as known to Feishu on that day; null if there was none"
            }
            Self::Flag(Flag::Activated) => "whether the account has been activated",
            Self::Flag(Flag::Active) => "whether the person used any feature of Feishu on that day",
            Self::Flag(Flag::Feature(_)) => "whether the person used this feature of Feishu on that day",
            Self::Counter(counter) => counter.describe(),
            Self::Clients => {
                "operating systems on which the person was active, each with the Feishu client; null if unknown"
            }
            Self::AppPackages => "kinds of Feishu app that were used",
            Self::OsNames => "names of the operating systems that were used",
        }
    }
}

impl<'a> RowRef<'a> {
    /// A reference to a row. `tables` are those of the day's dictionary.
    ///
    /// # Panics
    /// If the day has no such row, or if `tables` belong to another dictionary.
    #[must_use]
    pub fn new(tables: &'a DictionaryTables, day: &'a DayTable, row: usize) -> Self {
        let profile = tables.profile(day.profiles()[row]);
        let (department, devices) = (tables.department(profile.department), tables.devices(day.devices()[row]));
        Self { day, row, profile, department, devices }
    }

    /// The value of a field.
    #[must_use]
    pub fn value(&self, field: RowField) -> FieldValue<'a> {
        let geo = self.day.key().geo;
        match field {
            RowField::Date => FieldValue::Day(self.day.key().day),
            RowField::Geo => FieldValue::Text(Some(geo.name())),
            RowField::UserId => FieldValue::Text(self.profile.user_id.as_deref()),
            RowField::UserName => FieldValue::Text(Some(&self.profile.user_name)),
            RowField::DepartmentName => FieldValue::Text(Some(&self.department.name)),
            RowField::DepartmentPath => FieldValue::Text(Some(&self.department.path)),
            RowField::CreateTime => FieldValue::Instant(self.profile.create_time, geo),
            RowField::RegisterTime => FieldValue::Instant(self.profile.register_time, geo),
            RowField::LastActiveTime => FieldValue::Instant(self.day.last_active(self.row), geo),
            RowField::Flag(flag) => FieldValue::Flag(self.day.flags()[self.row].contains(flag)),
            RowField::Counter(counter) => FieldValue::Count(self.day.counter(counter).get(self.row)),
            RowField::Clients => FieldValue::Clients(&self.devices.clients),
            RowField::AppPackages => FieldValue::Names(&self.devices.app_packages),
            RowField::OsNames => FieldValue::Names(&self.devices.os_names),
        }
    }
}

impl FieldValue<'_> {
    /// Calls `visit` with the value as a cell of a flat table: the items of a list are joined by semicolons, and a client has
    /// Feishu's notation.
    pub fn with_cell<T>(self, visit: impl FnOnce(Cell<'_>) -> T) -> T {
        match self {
            Self::Day(day) => visit(Cell::Day(day)),
            Self::Text(text) => visit(text.map_or(Cell::Empty, Cell::Text)),
            Self::Instant(instant, geo) => visit(instant.map_or(Cell::Empty, |instant| Cell::Instant(instant, geo))),
            Self::Flag(flag) => visit(Cell::Flag(flag)),
            Self::Count(count) => visit(Cell::Count(count)),
            Self::Clients(clients) => visit(Cell::Text(&join_with_semicolons(clients.iter().map(client_notation)))),
            Self::Names(names) => visit(Cell::Text(&join_with_semicolons(names.iter().map(ToString::to_string)))),
        }
    }
}

/// A system and its client in Feishu's notation, such as `ios 14.2,feishu 3.40.0`. A missing part is written as `-`.
fn client_notation(client: &Client) -> String {
    let part = |part: &Option<Arc<str>>| part.as_deref().unwrap_or("-").to_owned();
    format!("{},{}", part(&client.os), part(&client.client))
}

fn join_with_semicolons(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(";")
}

impl Serialize for SelectedFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for field in self.fields {
            let value = self.row.value(*field);
            if self.is_flat {
                value.with_cell(|cell| map.serialize_entry(field.name(), &cell))?;
            } else {
                map.serialize_entry(field.name(), &value)?;
            }
        }
        map.end()
    }
}

impl Serialize for FieldValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Day(day) => serializer.collect_str(day),
            Self::Text(text) => text.serialize(serializer),
            Self::Instant(instant, geo) => instant.map(|instant| geo.rfc3339(instant)).serialize(serializer),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Clients(clients) => clients.serialize(serializer),
            Self::Names(names) => {
                let mut seq = serializer.serialize_seq(Some(names.len()))?;
                for name in *names {
                    seq.serialize_element(&**name)?;
                }
                seq.end()
            }
        }
    }
}
