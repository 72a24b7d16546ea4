//! The columns of rows with any selection of fields. They have the same types as in files of the archive.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Int64Array, StringArray, TimestampMillisecondArray,
    builder::{ListBuilder, StringBuilder, StructBuilder},
};
use arrow_schema::Field as ArrowField;
use jiff::Timestamp;
use parquet::errors::ParquetError;

use super::{parquet_stream::ParquetStream, schema};
use crate::{
    model::Day,
    table::{
        Client, Counter, DayTable, Department, MAX_COUNT, Profile, dictionary::DictionaryTables, row_field::RowField,
    },
};

/// Selected rows of a day.
#[derive(Clone, Copy, Debug)]
pub struct DayRows<'a> {
    /// The day.
    pub day: &'a DayTable,
    /// The rows, in the order of the output.
    pub rows: &'a [usize],
}

/// Encodes a few rows as a Parquet file with one row group.
///
/// # Errors
/// If `fields` contains a field twice.
pub fn encode_rows(
    fields: &[RowField],
    tables: &DictionaryTables,
    days: &[DayRows<'_>],
) -> Result<Vec<u8>, ParquetError> {
    let mut stream = ParquetStream::new(columns(fields))?;
    let mut file = stream.write_row_group(1, |column, _| values(fields[column], tables, days))?;
    file.append(&mut stream.finish()?);
    Ok(file)
}

/// The columns of these fields.
#[must_use]
pub fn columns(fields: &[RowField]) -> Vec<ArrowField> {
    fields.iter().map(|field| schema::column(*field)).collect()
}

/// The values of a field in these rows. `tables` are those of the dictionary of all `days`.
///
/// # Panics
/// If a day has no such row, or if `tables` belong to another dictionary.
#[must_use]
pub fn values(field: RowField, tables: &DictionaryTables, days: &[DayRows<'_>]) -> ArrayRef {
    match field {
        RowField::Date => Arc::new(Date32Array::from(values_per_row(days, |day| {
            let date = days_since_epoch(day.key().day);
            move |_| date
        }))),
        RowField::Geo => texts(days, |day, _| day.key().geo.name()),
        RowField::UserId => {
            let user_ids = days_and_rows(days).map(|(day, row)| profile(tables, day, row).user_id.as_deref());
            Arc::new(user_ids.collect::<StringArray>())
        }
        RowField::UserName => texts(days, |day, row| &profile(tables, day, row).user_name),
        RowField::DepartmentName => texts(days, |day, row| &department(tables, day, row).name),
        RowField::DepartmentPath => texts(days, |day, row| &department(tables, day, row).path),
        RowField::CreateTime => instants(days, |day, row| profile(tables, day, row).create_time),
        RowField::RegisterTime => instants(days, |day, row| profile(tables, day, row).register_time),
        RowField::LastActiveTime => instants(days, DayTable::last_active),
        RowField::Flag(flag) => {
            Arc::new(BooleanArray::from(values_per_row(days, |day| move |row: usize| day.flags()[row].contains(flag))))
        }
        RowField::Counter(counter) => Arc::new(Int64Array::from(counts(counter, days))),
        RowField::Clients => clients(days, |day, row| &tables.devices(day.devices()[row]).clients),
        RowField::AppPackages => names(days, |day, row| &tables.devices(day.devices()[row]).app_packages),
        RowField::OsNames => names(days, |day, row| &tables.devices(day.devices()[row]).os_names),
    }
}

/// The number of days from 1970-01-01 to `day`, which is Parquet's representation of a date.
pub(super) fn days_since_epoch(day: Day) -> i32 {
    day.since(Day::from_date(jiff::civil::date(1970, 1, 1)))
}

/// A count as a signed integer, because Spark has no unsigned integers. No count is above [`MAX_COUNT`].
pub(super) fn to_signed(count: u64) -> i64 {
    count.min(MAX_COUNT).cast_signed()
}

fn profile<'a>(tables: &'a DictionaryTables, day: &DayTable, row: usize) -> &'a Profile {
    tables.profile(day.profiles()[row])
}

fn department<'a>(tables: &'a DictionaryTables, day: &DayTable, row: usize) -> &'a Department {
    tables.department(profile(tables, day, row).department)
}

fn row_count(days: &[DayRows<'_>]) -> usize {
    days.iter().map(|day| day.rows.len()).sum()
}

/// The value of each row. `of` is called once for each day and returns the function that is called for each row.
fn values_per_row<'a, T, F: Fn(usize) -> T>(days: &[DayRows<'a>], of: impl Fn(&'a DayTable) -> F) -> Vec<T> {
    let mut values = Vec::with_capacity(row_count(days));
    for DayRows { day, rows } in days {
        let value = of(day);
        values.extend(rows.iter().map(|row| value(*row)));
    }
    values
}

/// Each row with its day.
fn days_and_rows<'a>(days: &[DayRows<'a>]) -> impl Iterator<Item = (&'a DayTable, usize)> {
    days.iter().flat_map(|DayRows { day, rows }| rows.iter().map(|row| (*day, *row)))
}

fn texts<'a>(days: &[DayRows<'a>], text: impl Fn(&'a DayTable, usize) -> &'a str) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(days_and_rows(days).map(|(day, row)| text(day, row))))
}

fn instants<'a>(days: &[DayRows<'a>], instant: impl Fn(&'a DayTable, usize) -> Option<Timestamp>) -> ArrayRef {
    let millis = days_and_rows(days).map(|(day, row)| instant(day, row).map(|time| time.as_second() * 1000));
    Arc::new(millis.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
}

fn counts(counter: Counter, days: &[DayRows<'_>]) -> Vec<i64> {
    let mut counts = Vec::with_capacity(row_count(days));
    for DayRows { day, rows } in days {
        day.counter(counter).for_each_in(rows, |count| counts.push(to_signed(count)));
    }
    counts
}

fn clients<'a>(days: &[DayRows<'a>], of: impl Fn(&'a DayTable, usize) -> &'a [Client]) -> ArrayRef {
    let element = StructBuilder::from_fields(schema::client_fields(), 0);
    let mut lists = ListBuilder::new(element).with_field(schema::client_element());
    for (day, row) in days_and_rows(days) {
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

fn names<'a>(days: &[DayRows<'a>], of: impl Fn(&'a DayTable, usize) -> &'a [Arc<str>]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(schema::text_element());
    for (day, row) in days_and_rows(days) {
        for name in of(day, row) {
            lists.values().append_value(name);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}
