//! Items of reports as columns.

use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Float64Array, Int64Array, StringArray};
use arrow_schema::{DataType, Field};

use super::rows::{date, signed};
use crate::table::cell::{Cell, Column, Kind, Record};

/// The columns of a kind of item. Any cell may be empty.
#[must_use]
pub fn columns<T: Record>() -> Vec<Field> {
    T::columns().into_iter().map(|column| Field::new(column.name.clone(), data_type(&column), true)).collect()
}

/// The cells of some items, column by column.
#[must_use]
pub fn cells<T: Record>(items: &[T]) -> Vec<ArrayRef> {
    let rows: Vec<Vec<Cell<'_>>> = items.iter().map(Record::cells).collect();
    T::columns().iter().enumerate().map(|(at, column)| values(column, rows.iter().map(move |row| row[at]))).collect()
}

const fn data_type(column: &Column) -> DataType {
    match column.kind {
        Kind::Text => DataType::Utf8,
        Kind::Day => DataType::Date32,
        Kind::Count => DataType::Int64,
        Kind::Number => DataType::Float64,
    }
}

fn values<'a>(column: &Column, cells: impl Iterator<Item = Cell<'a>>) -> ArrayRef {
    match column.kind {
        Kind::Text => Arc::new(cells.map(text).collect::<StringArray>()),
        Kind::Day => Arc::new(cells.map(day).collect::<Date32Array>()),
        Kind::Count => Arc::new(cells.map(count).collect::<Int64Array>()),
        Kind::Number => Arc::new(cells.map(number).collect::<Float64Array>()),
    }
}

const fn text(cell: Cell<'_>) -> Option<&str> {
    if let Cell::Text(text) = cell { Some(text) } else { None }
}

fn day(cell: Cell<'_>) -> Option<i32> {
    if let Cell::Day(day) = cell { Some(date(day)) } else { None }
}

const fn count(cell: Cell<'_>) -> Option<i64> {
    if let Cell::Count(count) = cell { Some(signed(count)) } else { None }
}

const fn number(cell: Cell<'_>) -> Option<f64> {
    if let Cell::Number(number) = cell { Some(number) } else { None }
}
