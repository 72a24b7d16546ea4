//! Writes a day as a file of the archive.

use arrow_array::{ArrayRef, RecordBatch};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, Encoding, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};

use super::{
    file_metadata::{AttachmentRange, FileMetadata},
    row_columns::{self, DayRows},
    schema::{self, name},
};
use crate::table::{
    DayTable,
    dictionary::DictionaryTables,
    profile::{Department, Profile},
};

/// Rows of a page of the columns that identify people. A page is decompressed as a whole, and digests need the people of a few
/// departments of a day. Parquet's writer ends a page only after a multiple of 1,024 rows.
const PERSON_ROWS_PER_PAGE: usize = 1024;

/// Encodes a day as a Parquet file.
///
/// `attachment` is written between the rows and the footer. Only this program reads it: other Parquet readers skip
/// these bytes. The same day with the same attachment always gives the same file. Takes tens of milliseconds for 20,000
/// rows, so it must not run on a thread that serves async tasks.
///
/// # Errors
/// If Parquet's writer fails. No input is known for which it does.
pub fn encode(day: &DayTable, attachment: &[u8]) -> Result<Vec<u8>, parquet::errors::ParquetError> {
    let columns = columns(day);
    let batch = RecordBatch::try_new(schema::schema(), columns)?;
    let options = ArrowWriterOptions::new().with_properties(properties(day)).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema::schema(), options)?;
    writer.write(&batch)?;
    writer.flush()?;
    if !attachment.is_empty() {
        let range = AttachmentRange { offset: writer.bytes_written(), length: attachment.len() };
        writer.write_all(attachment)?;
        writer.append_key_value_metadata(range.write());
    }
    writer.into_inner()
}

fn properties(day: &DayTable) -> WriterProperties {
    let times = [name::CREATE_TIME, name::REGISTER_TIME, name::LAST_ACTIVE_TIME];
    let set_time_encoding = |properties: parquet::file::properties::WriterPropertiesBuilder, time: &str| {
        let column = ColumnPath::from(time);
        properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
    };
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("feishu-pulse ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(FileMetadata::of(day).write()))
        // A day is one row group that is read as a whole, so page indexes would not be used.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_column_dictionary_enabled(ColumnPath::from(name::USER_ID), false)
        .set_column_data_page_row_count_limit(ColumnPath::from(name::USER_ID), PERSON_ROWS_PER_PAGE)
        .set_column_data_page_row_count_limit(ColumnPath::from(name::REGISTER_TIME), PERSON_ROWS_PER_PAGE);
    times.into_iter().fold(properties, set_time_encoding).build()
}

/// A row with the attributes that determine its position in the file.
struct SortableRow<'a> {
    row: usize,
    profile: &'a Profile,
    department: &'a Department,
}

fn columns(day: &DayTable) -> Vec<ArrayRef> {
    let tables = day.dictionary().read();
    let rows = file_order(day, &tables);
    let parts = [DayRows { day, rows: &rows }];
    schema::fields().map(|field| row_columns::values(field, &tables, &parts)).collect()
}

/// The rows of a day in the order of its file: first the rows with a user id, by department, then the rows without.
#[must_use]
pub fn file_order(day: &DayTable, tables: &DictionaryTables) -> Vec<usize> {
    sorted_rows(day, tables).into_iter().map(|sortable| sortable.row).collect()
}

/// Sorts by department, then by age of the account, because similar consecutive values compress well. The reader sorts
/// the rows again.
fn sorted_rows<'a>(day: &DayTable, tables: &'a DictionaryTables) -> Vec<SortableRow<'a>> {
    let sortable = |row: usize| {
        let profile = tables.profile(day.profiles()[row]);
        SortableRow { row, profile, department: tables.department(profile.department) }
    };
    let mut rows: Vec<_> = (0..day.row_count()).map(sortable).collect();
    // Rows without a user id are already last, and keep their order, in which the content hash was computed.
    let with_user_id = rows.partition_point(|sortable| sortable.profile.user_id.is_some());
    rows[..with_user_id].sort_by(|left, right| {
        let key = |sortable: &SortableRow<'a>| {
            (&sortable.department.path, &sortable.department.name, sortable.profile.create_time)
        };
        key(left).cmp(&key(right))
    });
    rows
}
