//! The data of days as columns.
//!
//! A row takes 900 bytes in Feishu's JSON and about 35 bytes in a [`DayTable`], whose strings are indices into a
//! [`Dictionary`]. A person has the same index on all days, so a set of people is a bitmap.

pub mod access_view;
pub mod cell;
pub mod counter_column;
pub mod csv;
pub mod day_table;
pub mod day_table_builder;
mod dictionaries;
pub mod dictionary;
mod fetch_quality;
pub mod instant_formatter;
mod interner;
pub mod ndjson;
pub mod packed_row;
pub mod parquet;
pub mod profile;
pub mod pseudonymizer;
mod reindexing;
pub mod row_field;
pub mod row_order;
pub mod row_selection;
pub mod row_writer;
pub mod schema;
pub mod xlsx;

pub use access_view::AccessView;
pub(crate) use cell::record;
pub use cell::{Cell, Column, ColumnKind, FlatRecord, GeoInstant, Record, RecordField};
pub use day_table::{DayMetadata, DayTable};
pub use day_table_builder::{DayTableBuilder, Row};
pub use dictionaries::Dictionaries;
pub use dictionary::Dictionary;
pub use fetch_quality::FetchQuality;
pub use profile::{Client, Department, Devices, PersonIndex, Profile, ProfileIndex};
pub use reindexing::Reindexing;
pub use row_field::{RowField, RowRef, SelectedFields};
pub use row_order::{RowPosition, RowSort};
pub use row_selection::{RowSelection, RowSelector};
pub use row_writer::{RowSyntax, RowWriter};
pub use schema::{Counter, Feature, Flag, Flags, MAX_COUNT};
