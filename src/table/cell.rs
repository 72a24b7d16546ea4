//! Rows of figures as flat tables, for the formats that have columns.

use std::borrow::Cow;

use crate::model::Day;

/// One item of an answer as a row of a table: the same columns for every item of its kind.
pub trait Record {
    /// The columns, in order.
    fn columns() -> Vec<Column>;

    /// The cells of this item, one a column.
    fn cells(&self) -> Vec<Cell<'_>>;
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What its cells hold.
    pub kind: Kind,
}

/// What the cells of a column hold; any may be empty too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Days.
    Day,
    /// Whole numbers from 0.
    Count,
    /// Fractions.
    Number,
}

/// The value in one column of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Nothing.
    Empty,
    /// A text.
    Text(&'a str),
    /// A day.
    Day(Day),
    /// A count.
    Count(u64),
    /// A fraction.
    Number(f64),
}

impl Column {
    /// A column of that name and kind.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, kind: Kind) -> Self {
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
