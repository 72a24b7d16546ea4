//! The Parquet schema of files of the archive, and the column type of each row field.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};

use crate::table::RowField;

/// The schema version of written files. Files with a later version are rejected. Files with an earlier version are
/// read.
///
/// The version must be incremented if a column is removed or changes its meaning. It stays the same if a column is
/// added: earlier programs ignore the column, and later programs treat it as empty in earlier files.
pub const SCHEMA_VERSION: u32 = 1;

/// The names of the columns that are neither a flag nor a counter.
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

/// The fields of a file, in order. The geo, the type of user id and the date are not stored in the file: in a
/// Hive-partitioned data set they are part of the path.
pub(super) fn fields() -> impl Iterator<Item = RowField> {
    RowField::all().filter(|field| !matches!(field, RowField::Date | RowField::Geo))
}

/// The schema of a file.
pub(super) fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(fields().map(column).collect::<Vec<_>>()))
}

/// The column of a field.
pub(super) fn column(field: RowField) -> Field {
    let (data_type, nullable) = match field {
        RowField::Date => (DataType::Date32, false),
        RowField::UserId => (DataType::Utf8, true),
        RowField::Geo | RowField::UserName | RowField::DepartmentName | RowField::DepartmentPath => {
            (DataType::Utf8, false)
        }
        RowField::CreateTime | RowField::RegisterTime | RowField::LastActiveTime => (instant(), true),
        RowField::Flag(_) => (DataType::Boolean, false),
        RowField::Counter(_) => (DataType::Int64, false),
        RowField::Clients => (DataType::List(client_element()), false),
        RowField::AppPackages | RowField::OsNames => (DataType::List(text_element()), false),
    };
    Field::new(field.name(), data_type, nullable)
}

/// The type of instants, in UTC. The millisecond is Parquet's coarsest unit.
pub(super) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// The fields of a client. Both may be null.
pub(super) fn client_fields() -> Fields {
    [name::OS, name::CLIENT].map(|part| Field::new(part, DataType::Utf8, true)).into_iter().collect()
}

pub(super) fn client_element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(client_fields()), false))
}

pub(super) fn text_element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Utf8, false))
}
