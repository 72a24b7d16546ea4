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
    table::{
        Client,
        item::{Field, Item, Value},
    },
};

/// A whole file of few rows.
///
/// # Errors
/// Where a field is wanted twice.
pub fn file(fields: &[Field], items: &[Item<'_>]) -> Result<Vec<u8>, ParquetError> {
    let mut stream = Stream::new(fields.iter().map(|field| column(*field)).collect())?;
    stream.push(fields.iter().map(|field| values(*field, items)).collect())?;
    stream.finish()
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

/// The values of a field.
#[must_use]
pub fn values(field: Field, items: &[Item<'_>]) -> ArrayRef {
    let values = items.iter().map(|item| item.value(field));
    match field {
        Field::Date => Arc::new(values.map(day).map(|day| day.map(date)).collect::<Date32Array>()),
        Field::Geo | Field::UserId | Field::UserName | Field::DepartmentName | Field::DepartmentPath => {
            Arc::new(values.map(text).collect::<StringArray>())
        }
        Field::CreateTime | Field::RegisterTime | Field::LastActiveTime => {
            let millis = values.map(|value| instant(value).map(|time| time.as_second() * 1000));
            Arc::new(millis.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
        }
        Field::Flag(_) => Arc::new(values.map(|value| Some(value == Value::Flag(true))).collect::<BooleanArray>()),
        Field::Counter(_) => Arc::new(values.map(count).collect::<Int64Array>()),
        Field::Clients => clients(values),
        Field::AppPackages | Field::OsNames => names(values),
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

const fn day(value: Value<'_>) -> Option<Day> {
    if let Value::Day(day) = value { Some(day) } else { None }
}

const fn text(value: Value<'_>) -> Option<&str> {
    if let Value::Text(text) = value { text } else { None }
}

const fn instant(value: Value<'_>) -> Option<Timestamp> {
    if let Value::Instant(instant, _) = value { instant } else { None }
}

const fn count(value: Value<'_>) -> Option<i64> {
    if let Value::Count(count) = value { Some(signed(count)) } else { None }
}

fn clients<'a>(rows: impl Iterator<Item = Value<'a>>) -> ArrayRef {
    let element = StructBuilder::from_fields(schema::client_fields(), 0);
    let mut lists = ListBuilder::new(element).with_field(schema::client_element());
    for row in rows {
        let clients: &[Client] = if let Value::Clients(clients) = row { clients } else { &[] };
        for client in clients {
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

fn names<'a>(rows: impl Iterator<Item = Value<'a>>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(schema::text_element());
    for row in rows {
        let names: &[Arc<str>] = if let Value::Names(names) = row { names } else { &[] };
        for name in names {
            lists.values().append_value(name);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}
