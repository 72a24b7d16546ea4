//! Items of reports as rows of a flat table, for CSV, Parquet and XLSX, and for JSON with `layout=flat`.

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::model::{Day, Geo};

/// An item of a response that can be written as a row of a table. All items of one type have the same columns. The macro
/// `record!` declares one.
pub trait Record {
    /// The columns, in order.
    fn columns() -> Vec<Column>;

    /// Appends the cells of this item, one for each column.
    fn push_cells<'a>(&'a self, cells: &mut Vec<Cell<'a>>);

    /// The cells of this item, one for each column.
    fn cells(&self) -> Vec<Cell<'_>> {
        let mut cells = Vec::with_capacity(TYPICAL_CELLS);
        self.push_cells(&mut cells);
        cells
    }
}

/// A field of a record: one column, or the columns of a record of its own.
pub trait RecordField {
    /// The columns of a field with this name.
    fn columns(name: &'static str) -> Vec<Column>;

    /// Appends the cells, one for each column.
    fn push_cells<'a>(&'a self, cells: &mut Vec<Cell<'a>>);

    /// Appends the cells of a missing value.
    fn push_empty(cells: &mut Vec<Cell<'_>>) {
        cells.push(Cell::Empty);
    }
}

/// Declares the item of a response: a struct whose fields are the properties in JSON and, in the same order, the columns in
/// flat tables. Fields after `json_only` have no column.
macro_rules! record {
    (
        $(#[$($attribute:tt)*])*
        $visibility:vis struct $name:ident {
            $($(#[$($field_attribute:tt)*])* $field_visibility:vis $field:ident: $type:ty,)*
        }
        $(json_only {
            $($(#[$($other_attribute:tt)*])* $other:ident: $other_type:ty,)*
        })?
    ) => {
        $(#[$($attribute)*])*
        $visibility struct $name {
            $($(#[$($field_attribute)*])* $field_visibility $field: $type,)*
            $($($(#[$($other_attribute)*])* $other: $other_type,)*)?
        }

        impl $crate::table::Record for $name {
            fn columns() -> Vec<$crate::table::Column> {
                [$(<$type as $crate::table::RecordField>::columns(stringify!($field))),*].concat()
            }

            fn push_cells<'a>(&'a self, cells: &mut Vec<$crate::table::Cell<'a>>) {
                $($crate::table::RecordField::push_cells(&self.$field, cells);)*
            }
        }
    };
}
pub(crate) use record;

/// Capacity for the cells of an item: all counters, two figures per feature, and some more.
const TYPICAL_CELLS: usize = 48;

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
    /// Instants.
    Instant,
    /// Unsigned integers.
    Count,
    /// Floating-point numbers.
    Number,
    /// Booleans.
    Flag,
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
    /// An instant, with the geo whose offset it is written with.
    Instant(Timestamp, Geo),
    /// A count.
    Count(u64),
    /// A floating-point number.
    Number(f64),
    /// A boolean.
    Flag(bool),
}

/// An instant that is written with the offset of a geo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeoInstant {
    /// The instant.
    pub instant: Timestamp,
    /// The geo.
    pub geo: Geo,
}

/// A record that is serialized as a map of its columns.
#[derive(Debug)]
pub struct FlatRecord<'a, R> {
    record: &'a R,
    columns: &'a [Column],
}

impl<'a, R: Record> FlatRecord<'a, R> {
    /// The records. `columns` are those of their type.
    pub fn all(records: &'a [R], columns: &'a [Column]) -> impl Iterator<Item = Self> {
        records.iter().map(move |record| Self { record, columns })
    }
}

impl<R: Record> Serialize for FlatRecord<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(self.record.cells()) {
            map.serialize_entry(&column.name, &cell)?;
        }
        map.end()
    }
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Empty => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Day(day) => serializer.collect_str(day),
            Self::Instant(instant, geo) => serializer.serialize_str(&geo.rfc3339(*instant)),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
        }
    }
}

impl Serialize for GeoInstant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.geo.rfc3339(self.instant))
    }
}

impl Column {
    /// A column with this name and cell type.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, kind: ColumnKind) -> Self {
        Self { name: name.into(), kind }
    }
}

impl<R: Record> RecordField for R {
    fn columns(_: &'static str) -> Vec<Column> {
        R::columns()
    }

    fn push_cells<'a>(&'a self, cells: &mut Vec<Cell<'a>>) {
        Record::push_cells(self, cells);
    }

    fn push_empty(cells: &mut Vec<Cell<'_>>) {
        cells.extend(R::columns().iter().map(|_| Cell::Empty));
    }
}

impl<F: RecordField> RecordField for Option<F> {
    fn columns(name: &'static str) -> Vec<Column> {
        F::columns(name)
    }

    fn push_cells<'a>(&'a self, cells: &mut Vec<Cell<'a>>) {
        match self {
            Some(field) => field.push_cells(cells),
            None => F::push_empty(cells),
        }
    }
}

/// Fields with one column.
macro_rules! single_column {
    ($($type:ty: $kind:ident, $value:ident => $cell:expr;)*) => {$(
        impl RecordField for $type {
            fn columns(name: &'static str) -> Vec<Column> {
                vec![Column::new(name, ColumnKind::$kind)]
            }

            fn push_cells<'a>(&'a self, cells: &mut Vec<Cell<'a>>) {
                let $value = self;
                cells.push($cell);
            }
        }
    )*};
}

single_column! {
    u64: Count, count => Cell::Count(*count);
    usize: Count, count => Cell::Count(*count as u64);
    f64: Number, number => Cell::Number(*number);
    bool: Flag, flag => Cell::Flag(*flag);
    Day: Day, day => Cell::Day(*day);
    GeoInstant: Instant, at => Cell::Instant(at.instant, at.geo);
    &'static str: Text, text => Cell::Text(text);
    String: Text, text => Cell::Text(text);
    Arc<str>: Text, text => Cell::Text(text);
    Cow<'static, str>: Text, text => Cell::Text(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    record! {
        struct Part {
            day: Day,
            share: f64,
        }
    }

    record! {
        struct Item {
            name: Arc<str>,
            users: Option<u64>,
            part: Option<Part>,
        } json_only {
            is_hidden: bool,
        }
    }

    #[test]
    fn the_fields_of_a_record_are_its_columns() {
        let columns = <Item as Record>::columns().into_iter().map(|column| (column.name.into_owned(), column.kind));
        let expected = [
            ("name", ColumnKind::Text),
            ("users", ColumnKind::Count),
            ("day", ColumnKind::Day),
            ("share", ColumnKind::Number),
        ];
        assert_eq!(columns.collect::<Vec<_>>(), expected.map(|(name, kind)| (name.to_owned(), kind)));
    }

    #[test]
    fn a_missing_value_has_an_empty_cell_for_each_of_its_columns() {
        let part = Part { day: Day::new(2026, 11, 1).unwrap(), share: 0.5 };
        let day = Cell::Day(part.day);
        let known = Item { name: "a".into(), users: Some(3), part: Some(part), is_hidden: false };
        assert_eq!(known.cells(), [Cell::Text("a"), Cell::Count(3), day, Cell::Number(0.5)]);

        let unknown = Item { users: None, part: None, ..known };
        assert_eq!(unknown.cells(), [Cell::Text("a"), Cell::Empty, Cell::Empty, Cell::Empty]);
        assert!(!unknown.is_hidden);
    }
}
