//! The columns of a file: the one list that writing and reading follow.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};

use super::rows;
use crate::table::{Feature, Flag, item};

/// The version of the schema that is written. A file of a later one is refused, of an earlier one read.
///
/// It rises when a column changes its meaning or vanishes. A new column alone leaves it: who does not know the column
/// skips it, and who misses it in an old file takes it for empty.
pub const VERSION: u32 = 1;

/// The flags that upstream sends. Those of e-mail and tasks follow from the counters, so they are not stored.
pub(super) const FLAGS: [Flag; 7] = [
    Flag::Activated,
    Flag::Active,
    Flag::Feature(Feature::Im),
    Flag::Feature(Feature::Docs),
    Flag::Feature(Feature::Cal),
    Flag::Feature(Feature::Vc),
    Flag::Feature(Feature::Search),
];

/// Names of columns that are not a flag or a counter.
pub(super) mod name {
    pub(crate) const USER_ID: &str = "user_id";
    pub(crate) const USER_NAME: &str = "user_name";
    pub(crate) const DEPARTMENT_NAME: &str = "department_name";
    pub(crate) const DEPARTMENT_PATH: &str = "department_path";
    pub(crate) const CREATE_TIME: &str = "create_time";
    pub(crate) const REGISTER_TIME: &str = "register_time";
    pub(crate) const LAST_ACTIVE_TIME: &str = "last_active_time";
    pub(crate) const CLIENTS: &str = "clients";
    pub(crate) const OS: &str = "os";
    pub(crate) const CLIENT: &str = "client";
    pub(crate) const APP_PACKAGES: &str = "app_packages";
    pub(crate) const OS_NAMES: &str = "os_names";
}

/// The fields of a file, in order. Geo, kind of user id and date are not in it: they are in the path, as Hive's layout
/// wants it.
pub(super) fn fields() -> impl Iterator<Item = item::Field> {
    item::Field::all().filter(|field| !matches!(field, item::Field::Date | item::Field::Geo))
}

/// The schema of a file.
pub(super) fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(fields().map(rows::column).collect::<Vec<_>>()))
}

/// An instant in UTC. Parquet's own coarsest unit is the millisecond.
pub(super) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// What a client is made of; either part may be unknown.
pub(super) fn client_fields() -> Fields {
    [name::OS, name::CLIENT].map(|part| Field::new(part, DataType::Utf8, true)).into_iter().collect()
}

pub(super) fn client_element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(client_fields()), false))
}

pub(super) fn text_element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Utf8, false))
}
