//! A day into the bytes of a file.

use arrow_array::{ArrayRef, RecordBatch};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, Encoding, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};

use super::{
    label::{Label, Place},
    rows::{self, Part},
    schema::{self, name},
};
use crate::table::{
    Partition,
    directory::{Department, Profile, Tables},
};

/// The whole file. Takes tens of milliseconds for 20,000 rows: keep it off the async threads.
///
/// `attachment` is for this program alone: bytes between the rows and the footer, where Parquet's readers do not look.
/// The same day with the same attachment gives the same bytes.
///
/// # Errors
/// None that is known: Parquet's writer can fail only on what cannot be built here.
pub fn encode(day: &Partition, attachment: &[u8]) -> Result<Vec<u8>, parquet::errors::ParquetError> {
    let columns = columns(day);
    let batch = RecordBatch::try_new(schema::schema(), columns)?;
    let options = ArrowWriterOptions::new().with_properties(properties(day)).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema::schema(), options)?;
    writer.write(&batch)?;
    writer.flush()?;
    if !attachment.is_empty() {
        let place = Place { offset: writer.bytes_written(), length: attachment.len() };
        writer.write_all(attachment)?;
        writer.append_key_value_metadata(place.write());
    }
    writer.into_inner()
}

fn properties(day: &Partition) -> WriterProperties {
    let times = [name::CREATE_TIME, name::REGISTER_TIME, name::LAST_ACTIVE_TIME];
    let every_time_differs = |properties: parquet::file::properties::WriterPropertiesBuilder, time: &str| {
        let column = ColumnPath::from(time);
        properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
    };
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("feishu-pulse ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(Label::of(day).write()))
        // A day is read whole, in one row group: indexes of its pages would serve nobody.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_column_dictionary_enabled(ColumnPath::from(name::USER_ID), false);
    times.into_iter().fold(properties, every_time_differs).build()
}

/// A row with what its place in the file depends on.
struct Full<'a> {
    row: usize,
    profile: &'a Profile,
    department: &'a Department,
}

fn columns(day: &Partition) -> Vec<ArrayRef> {
    let tables = day.directory().read();
    let rows = file_order(day, &tables);
    let parts = [Part { day, rows: &rows }];
    schema::fields().map(|field| rows::values(field, &tables, &parts)).collect()
}

/// The rows of a day by number, in the order in which they stand in its file. Those that do not say whose they are stand
/// last, the others by department.
#[must_use]
pub fn file_order(day: &Partition, tables: &Tables) -> Vec<usize> {
    in_file_order(day, tables).into_iter().map(|full| full.row).collect()
}

/// By department, then by age of the account: neighbours that resemble each other compress. Reading sorts again.
fn in_file_order<'a>(day: &Partition, tables: &'a Tables) -> Vec<Full<'a>> {
    let full = |row: usize| {
        let profile = tables.profile(day.profiles()[row]);
        Full { row, profile, department: tables.department(profile.department) }
    };
    let mut rows: Vec<_> = (0..day.rows()).map(full).collect();
    // People without an id stand last in a day. Namesakes among them have no order but the one they stand in.
    let known = rows.partition_point(|full| full.profile.user_id.is_some());
    rows[..known].sort_by(|one, other| {
        let key = |full: &Full<'a>| (&full.department.path, &full.department.name, full.profile.create_time);
        key(one).cmp(&key(other))
    });
    rows
}
