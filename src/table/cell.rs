//! Items of reports as rows of a flat table, for CSV and Parquet.

use std::borrow::Cow;

use crate::model::Day;

/// An item of a response that can be written as a row of a table. All items of one type have the same columns.
pub trait Record {
    /// The columns, in order.
    fn columns() -> Vec<Column>;

    /// The cells of this item, one for each column.
    fn cells(&self) -> Vec<Cell<'_>>;
}

/// The header of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name of the column.
    pub name: Cow<'static, str>,
    /// The type of its cells.
    pub kind: ColumnKind,
}

/// The type of the cells in a column. Any cell may also be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text.
    Text,
    /// Days.
    Day,
    /// Unsigned integers.
    Count,
    /// Floating-point numbers.
    Number,
}

/// The value in one column of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Empty,
    /// A text.
    Text(&'a str),
    /// A day.
    Day(Day),
    /// A count.
    Count(u64),
    /// A floating-point number.
    Number(f64),
}

impl Column {
    /// A column with this name and cell type.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, kind: ColumnKind) -> Self {
        Self { name: name.into(), kind }
    }
}

impl From<Option<u64>> for Cell<'_> {
    fn from(count: Option<u64>) -> Self {
        count.map_or(Self::Empty, Self::Count)
    }
}

impl From<Option<f64>> for Cell<'_> {
    fn from(number: Option<f64>) -> Self {
        number.map_or(Self::Empty, Self::Number)
    }
}

impl From<Option<Day>> for Cell<'_> {
    fn from(day: Option<Day>) -> Self {
        day.map_or(Self::Empty, Self::Day)
    }
}

impl<'a> From<Option<&'a str>> for Cell<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Empty, Self::Text)
    }
}
