//! User-days as columns: the same types as in the files of the archive, for whichever fields are wanted.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Int64Array, StringArray, TimestampMillisecondArray,
    builder::{ListBuilder, StringBuilder, StructBuilder},
};
use arrow_schema::{DataType, Field as Column};
use jiff::Timestamp;
use parquet::errors::ParquetError;

use super::{schema, stream::Stream};
use crate::{
    model::Day,
    table::{Client, Counter, Department, Partition, Profile, directory::Tables, item::Field},
};

/// Some rows of a day, by number.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The day.
    pub day: &'a Partition,
    /// The rows, in the order in which they are written.
    pub rows: &'a [usize],
}

/// A whole file of few rows.
///
/// # Errors
/// Where a field is wanted twice.
pub fn file(fields: &[Field], tables: &Tables, parts: &[Part<'_>]) -> Result<Vec<u8>, ParquetError> {
    let mut stream = Stream::new(columns(fields))?;
    let mut file = stream.group(1, |at, _| values(fields[at], tables, parts))?;
    file.append(&mut stream.finish()?);
    Ok(file)
}

/// The columns of some fields.
#[must_use]
pub fn columns(fields: &[Field]) -> Vec<Column> {
    fields.iter().map(|field| column(*field)).collect()
}

/// The column of a field.
#[must_use]
pub fn column(field: Field) -> Column {
    let (kind, nullable) = match field {
        Field::Date => (DataType::Date32, false),
        Field::UserId => (DataType::Utf8, true),
        Field::Geo | Field::UserName | Field::DepartmentName | Field::DepartmentPath => (DataType::Utf8, false),
        Field::CreateTime | Field::RegisterTime | Field::LastActiveTime => (schema::instant(), true),
        Field::Flag(_) => (DataType::Boolean, false),
        Field::Counter(_) => (DataType::Int64, false),
        Field::Clients => (DataType::List(schema::client_element()), false),
        Field::AppPackages | Field::OsNames => (DataType::List(schema::text_element()), false),
    };
    Column::new(field.name(), kind, nullable)
}

/// The values of a field in some rows.
///
/// # Panics
/// Where a day has no such row, or `tables` is not its directory.
#[must_use]
pub fn values(field: Field, tables: &Tables, parts: &[Part<'_>]) -> ArrayRef {
    match field {
        Field::Date => Arc::new(Date32Array::from(each(parts, |day| {
            let date = date(day.key().day);
            move |_| date
        }))),
        Field::Geo => texts(parts, |day, _| day.key().geo.name()),
        Field::UserId => {
            let user_ids = rows(parts).map(|(day, row)| profile(tables, day, row).user_id.as_deref());
            Arc::new(user_ids.collect::<StringArray>())
        }
        Field::UserName => texts(parts, |day, row| &profile(tables, day, row).user_name),
        Field::DepartmentName => texts(parts, |day, row| &department(tables, day, row).name),
        Field::DepartmentPath => texts(parts, |day, row| &department(tables, day, row).path),
        Field::CreateTime => instants(parts, |day, row| profile(tables, day, row).create_time),
        Field::RegisterTime => instants(parts, |day, row| profile(tables, day, row).register_time),
        Field::LastActiveTime => instants(parts, Partition::last_active),
        Field::Flag(flag) => {
            Arc::new(BooleanArray::from(each(parts, |day| move |row: usize| day.flags()[row].has(flag))))
        }
        Field::Counter(counter) => Arc::new(Int64Array::from(counts(counter, parts))),
        Field::Clients => clients(parts, |day, row| &tables.devices(day.devices()[row]).clients),
        Field::AppPackages => names(parts, |day, row| &tables.devices(day.devices()[row]).app_packages),
        Field::OsNames => names(parts, |day, row| &tables.devices(day.devices()[row]).os_names),
    }
}

/// A day as Parquet counts it: from 1970 on.
pub(super) fn date(day: Day) -> i32 {
    day.since(Day::from_date(jiff::civil::date(1970, 1, 1)))
}

/// A count as a signed number, since Spark has no others. One above 2^63 looks negative.
pub(super) const fn signed(count: u64) -> i64 {
    count.cast_signed()
}

fn profile<'a>(tables: &'a Tables, day: &Partition, row: usize) -> &'a Profile {
    tables.profile(day.profiles()[row])
}

fn department<'a>(tables: &'a Tables, day: &Partition, row: usize) -> &'a Department {
    tables.department(profile(tables, day, row).department)
}

fn length(parts: &[Part<'_>]) -> usize {
    parts.iter().map(|part| part.rows.len()).sum()
}

/// A value for each row; what depends on the day alone is worked out once a day.
fn each<'a, T, F: Fn(usize) -> T>(parts: &[Part<'a>], of: impl Fn(&'a Partition) -> F) -> Vec<T> {
    let mut values = Vec::with_capacity(length(parts));
    for part in parts {
        let of = of(part.day);
        values.extend(part.rows.iter().map(|row| of(*row)));
    }
    values
}

/// The rows with their days.
fn rows<'a>(parts: &[Part<'a>]) -> impl Iterator<Item = (&'a Partition, usize)> {
    parts.iter().flat_map(|part| part.rows.iter().map(|row| (part.day, *row)))
}

fn texts<'a>(parts: &[Part<'a>], text: impl Fn(&'a Partition, usize) -> &'a str) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows(parts).map(|(day, row)| text(day, row))))
}

fn instants<'a>(parts: &[Part<'a>], instant: impl Fn(&'a Partition, usize) -> Option<Timestamp>) -> ArrayRef {
    let millis = rows(parts).map(|(day, row)| instant(day, row).map(|time| time.as_second() * 1000));
    Arc::new(millis.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
}

fn counts(counter: Counter, parts: &[Part<'_>]) -> Vec<i64> {
    let mut counts = Vec::with_capacity(length(parts));
    for part in parts {
        part.day.counter(counter).pick(part.rows, |count| counts.push(signed(count)));
    }
    counts
}

fn clients<'a>(parts: &[Part<'a>], of: impl Fn(&'a Partition, usize) -> &'a [Client]) -> ArrayRef {
    let element = StructBuilder::from_fields(schema::client_fields(), 0);
    let mut lists = ListBuilder::new(element).with_field(schema::client_element());
    for (day, row) in rows(parts) {
        for client in of(day, row) {
            let element = lists.values();
            for (part, value) in [&client.os, &client.client].into_iter().enumerate() {
                if let Some(texts) = element.field_builder::<StringBuilder>(part) {
                    texts.append_option(value.as_deref());
                }
            }
            element.append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn names<'a>(parts: &[Part<'a>], of: impl Fn(&'a Partition, usize) -> &'a [Arc<str>]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(schema::text_element());
    for (day, row) in rows(parts) {
        for name in of(day, row) {
            lists.values().append_value(name);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}
