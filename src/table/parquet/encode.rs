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
use crate::table::{DayTable, dictionary::DictionaryTables, profile::Department};

/// Rows of a page of the columns that identify people. A page is read and decompressed as a whole, and digests need the people of a
/// few departments of a day.
const PERSON_ROWS_PER_PAGE: usize = 512;

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
        // Pages have no minimum and maximum: a search for one id would read most pages all the same, because rows are in the order of
        // departments.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_dictionary_enabled(ColumnPath::from(name::USER_ID), false)
        .set_column_data_page_row_count_limit(ColumnPath::from(name::USER_ID), PERSON_ROWS_PER_PAGE)
        .set_column_data_page_row_count_limit(ColumnPath::from(name::REGISTER_TIME), PERSON_ROWS_PER_PAGE)
        // Parquet's writer ends a page only after a multiple of this number of rows.
        .set_write_batch_size(PERSON_ROWS_PER_PAGE);
    times.into_iter().fold(properties, set_time_encoding).build()
}

fn columns(day: &DayTable) -> Vec<ArrayRef> {
    let tables = day.dictionary().read();
    let rows = file_order(day, &tables);
    let parts = [DayRows { day, rows: &rows }];
    schema::fields().map(|field| row_columns::values(field, &tables, &parts)).collect()
}

/// The rows of a day in the order of its file: first the rows with a user id, by department, then the rows without.
///
/// Within a department, they are sorted by the age of the account, because similar consecutive values compress well. The reader
/// sorts the rows again.
#[must_use]
pub fn file_order(day: &DayTable, tables: &DictionaryTables) -> Vec<usize> {
    let ranks = department_ranks(tables);
    let profiles = || day.profiles().iter().map(|index| tables.profile(*index)).enumerate();
    let with_id = profiles().filter(|(_, profile)| profile.user_id.is_some());
    let mut rows: Vec<_> =
        with_id.map(|(row, profile)| (ranks[profile.department as usize], profile.create_time, row)).collect();
    rows.sort_unstable();
    // Rows without a user id keep their order, in which the content hash was computed.
    let without_id = profiles().filter(|(_, profile)| profile.user_id.is_none());
    rows.into_iter().map(|(_, _, row)| row).chain(without_id.map(|(row, _)| row)).collect()
}

/// The rank of each department in the order of path and name, by department index. Comparing ranks is faster than comparing texts
/// for each row.
fn department_ranks(tables: &DictionaryTables) -> Vec<u32> {
    let mut departments: Vec<(u32, &Department)> = (0..).zip(tables.departments().map(|one| &**one)).collect();
    departments.sort_unstable_by_key(|&(_, department)| (&department.path, &department.name));
    let mut ranks = vec![0; departments.len()];
    for (rank, (index, _)) in (0..).zip(departments) {
        ranks[index as usize] = rank;
    }
    ranks
}
