//! A user-day as callers see it: which fields there are, and the value of each. Formats write what stands here.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};

use super::{
    directory::{Client, Department, Devices, Profile, Tables},
    partition::Partition,
    schema::{Counter, Feature, Flag},
};
use crate::model::{Day, Geo};

/// A field of a user-day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is documented by `describe`, which also goes into the OpenAPI document")]
pub enum Field {
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
pub enum Value<'a> {
    /// A day.
    Day(Day),
    /// A text; `None` where there is none.
    Text(Option<&'a str>),
    /// An instant, to be written with the offset of the geo.
    Instant(Option<Timestamp>, Geo),
    /// Yes or no.
    Flag(bool),
    /// A count.
    Count(u64),
    /// Operating systems with their clients.
    Clients(&'a [Client]),
    /// Names.
    Names(&'a [Arc<str>]),
}

/// One row of a day, ready to be read field by field.
#[derive(Debug)]
pub struct Item<'a> {
    day: &'a Partition,
    row: usize,
    profile: &'a Profile,
    department: &'a Department,
    devices: &'a Devices,
}

/// An item of which only some fields are written.
#[derive(Debug)]
pub struct Fields<'a> {
    /// The item.
    pub item: &'a Item<'a>,
    /// The fields, in the order in which they are written.
    pub fields: &'a [Field],
}

impl Field {
    /// Every field, in the order in which they are shown. The flags are those that upstream sends.
    pub fn all() -> impl Iterator<Item = Self> {
        let head = [Self::Date, Self::Geo, Self::UserId, Self::UserName, Self::DepartmentName, Self::DepartmentPath];
        let times = [Self::CreateTime, Self::RegisterTime, Self::LastActiveTime];
        let sent = |flag: &Flag| !matches!(flag, Flag::Feature(Feature::Email | Feature::Task));
        let flags = Flag::ALL.into_iter().filter(sent).map(Self::Flag);
        let tail = [Self::Clients, Self::AppPackages, Self::OsNames];
        head.into_iter().chain(times).chain(flags).chain(Counter::ALL.map(Self::Counter)).chain(tail)
    }

    /// The field of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|field| field.name() == name)
    }

    /// The name that callers see.
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

    /// What it says, in a few words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Date => "the day, in the calendar of the geo",
            Self::Geo => "the geo whose data this is",
            Self::UserId => "the person's id, of the kind asked for; null where Feishu withholds it",
            Self::UserName => "the person's name",
            Self::DepartmentName => "the name of the person's department, that day",
            Self::DepartmentPath => "the path of that department, joined by slashes",
            Self::CreateTime => "when the account was made; null where unknown",
            Self::RegisterTime => "when the account was activated; null where it never was",
            Self::LastActiveTime => "the person's last activity, as Feishu knew it that day; null where there was none",
            Self::Flag(Flag::Activated) => "whether the account has been activated",
            Self::Flag(Flag::Active) => "whether the person used any part of Feishu that day",
            Self::Flag(Flag::Feature(_)) => "whether the person used this part of Feishu that day",
            Self::Counter(counter) => counter.describe(),
            Self::Clients => "operating systems the person was active on, each with the Feishu client; null for none",
            Self::AppPackages => "kinds of Feishu app used",
            Self::OsNames => "names of operating systems used",
        }
    }
}

impl<'a> Item<'a> {
    /// The row of that number.
    ///
    /// # Panics
    /// Where the day has no such row, or `tables` is not its directory.
    #[must_use]
    pub fn new(tables: &'a Tables, day: &'a Partition, row: usize) -> Self {
        let profile = tables.profile(day.profiles()[row]);
        let (department, devices) = (tables.department(profile.department), tables.devices(day.devices()[row]));
        Self { day, row, profile, department, devices }
    }

    /// The value of a field.
    #[must_use]
    pub fn value(&self, field: Field) -> Value<'a> {
        let geo = self.day.key().geo;
        match field {
            Field::Date => Value::Day(self.day.key().day),
            Field::Geo => Value::Text(Some(geo.name())),
            Field::UserId => Value::Text(self.profile.user_id.as_deref()),
            Field::UserName => Value::Text(Some(&self.profile.user_name)),
            Field::DepartmentName => Value::Text(Some(&self.department.name)),
            Field::DepartmentPath => Value::Text(Some(&self.department.path)),
            Field::CreateTime => Value::Instant(self.profile.create_time, geo),
            Field::RegisterTime => Value::Instant(self.profile.register_time, geo),
            Field::LastActiveTime => Value::Instant(self.day.last_active(self.row), geo),
            Field::Flag(flag) => Value::Flag(self.day.flags()[self.row].has(flag)),
            Field::Counter(counter) => Value::Count(self.day.counter(counter).get(self.row)),
            Field::Clients => Value::Clients(&self.devices.clients),
            Field::AppPackages => Value::Names(&self.devices.app_packages),
            Field::OsNames => Value::Names(&self.devices.os_names),
        }
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for field in self.fields {
            map.serialize_entry(field.name(), &self.item.value(*field))?;
        }
        map.end()
    }
}

impl Serialize for Value<'_> {
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
