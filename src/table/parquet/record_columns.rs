//! The columns of report items.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field};

use super::{
    row_columns::{days_since_epoch, to_signed},
    schema,
};
use crate::table::cell::{Cell, Column, ColumnKind, Record};

/// The columns of the items of type `T`. All columns are nullable.
#[must_use]
pub fn columns<T: Record>() -> Vec<Field> {
    T::columns().into_iter().map(|column| Field::new(column.name.clone(), data_type(&column), true)).collect()
}

/// The cells of these items, by column.
#[must_use]
pub fn cells<T: Record>(items: &[T]) -> Vec<ArrayRef> {
    let rows: Vec<Vec<Cell<'_>>> = items.iter().map(Record::cells).collect();
    T::columns()
        .iter()
        .enumerate()
        .map(|(index, column)| values(column, rows.iter().map(move |row| row[index])))
        .collect()
}

fn data_type(column: &Column) -> DataType {
    match column.kind {
        ColumnKind::Text => DataType::Utf8,
        ColumnKind::Day => DataType::Date32,
        ColumnKind::Instant => schema::instant(),
        ColumnKind::Count => DataType::Int64,
        ColumnKind::Number => DataType::Float64,
        ColumnKind::Flag => DataType::Boolean,
    }
}

fn values<'a>(column: &Column, cells: impl Iterator<Item = Cell<'a>>) -> ArrayRef {
    match column.kind {
        ColumnKind::Text => Arc::new(cells.map(text).collect::<StringArray>()),
        ColumnKind::Day => Arc::new(cells.map(day).collect::<Date32Array>()),
        ColumnKind::Instant => Arc::new(cells.map(instant).collect::<TimestampMillisecondArray>().with_timezone("UTC")),
        ColumnKind::Count => Arc::new(cells.map(count).collect::<Int64Array>()),
        ColumnKind::Number => Arc::new(cells.map(number).collect::<Float64Array>()),
        ColumnKind::Flag => Arc::new(cells.map(flag).collect::<BooleanArray>()),
    }
}

const fn text(cell: Cell<'_>) -> Option<&str> {
    if let Cell::Text(text) = cell { Some(text) } else { None }
}

fn day(cell: Cell<'_>) -> Option<i32> {
    if let Cell::Day(day) = cell { Some(days_since_epoch(day)) } else { None }
}

fn instant(cell: Cell<'_>) -> Option<i64> {
    if let Cell::Instant(instant, _) = cell { Some(instant.as_second() * 1000) } else { None }
}

fn count(cell: Cell<'_>) -> Option<i64> {
    if let Cell::Count(count) = cell { Some(to_signed(count)) } else { None }
}

const fn flag(cell: Cell<'_>) -> Option<bool> {
    if let Cell::Flag(flag) = cell { Some(flag) } else { None }
}

const fn number(cell: Cell<'_>) -> Option<f64> {
    if let Cell::Number(number) = cell { Some(number) } else { None }
}
