//! Reads a file of the archive: its metadata, its attachment and its rows.

use std::{ops::Range, sync::Arc};

use arrow_array::{
    Array, BooleanArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
};
use bytes::Bytes;
use jiff::Timestamp;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelectionPolicy,
        },
    },
    file::{
        metadata::{
            ColumnChunkMask, ColumnChunkMetaData, FooterTail, KeyValue, PageIndexPolicy, ParquetMetaData,
            ParquetMetaDataReader,
        },
        page_index::offset_index::PageLocation,
        reader::Length,
    },
};

use super::{
    file_bytes::FileBytes,
    file_metadata::{AttachmentRange, FileMetadata},
    read_error::ParquetReadError,
    schema::name,
};
use crate::{
    model::DayKey,
    table::{Client, Counter, DayTable, DayTableBuilder, Department, Devices, Dictionary, Flag, Flags, Row, RowField},
};

/// The columns that describe the people.
const PERSON_COLUMNS: [&str; 2] = [name::USER_ID, name::REGISTER_TIME];

/// A file of a day whose footer has been read.
#[derive(Clone, Debug)]
pub struct ParquetDay {
    file: FileBytes,
    footer: ArrowReaderMetadata,
    /// The footer with the index of the pages of the people's columns, if it has been read. Rows are read without it, so that a damaged
    /// index does not make them unreadable.
    footer_with_pages: ArrowReaderMetadata,
    file_metadata: FileMetadata,
}

/// The columns that describe the people of some rows of a file.
#[derive(Debug, Default)]
pub struct PersonColumns {
    batches: Vec<PersonBatch>,
}

/// A part of [`PersonColumns`].
#[derive(Debug)]
struct PersonBatch {
    rows: usize,
    user_ids: Option<StringArray>,
    register_times: Option<TimestampMillisecondArray>,
}

/// The cells of one row in [`PersonColumns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersonCells<'a> {
    /// The user id.
    pub user_id: &'a str,
    /// When the account was activated.
    pub register_time: Option<Timestamp>,
}

impl ParquetDay {
    /// Reads the footer of a file. The other parts of the file are needed later, if at all.
    ///
    /// # Errors
    /// [`ParquetReadError`] if the footer shows that the file has a later schema version, is damaged, or does not
    /// contain the day `key`.
    pub fn new(file: impl Into<FileBytes>, key: &DayKey) -> Result<Self, ParquetReadError> {
        let file = file.into();
        let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default())?;
        let footer_with_pages = with_person_pages(&file, footer.metadata()).unwrap_or_else(|| footer.clone());
        let file_metadata = FileMetadata::read(key_values(&footer))?;
        if file_metadata.key != *key {
            return Err(ParquetReadError::damaged(format_args!("it contains {} instead of {key}", file_metadata.key)));
        }
        Ok(Self { file, footer, footer_with_pages, file_metadata })
    }

    /// The metadata of the file.
    #[must_use]
    pub const fn file_metadata(&self) -> &FileMetadata {
        &self.file_metadata
    }

    /// The bytes of the file that were read.
    pub const fn bytes_mut(&mut self) -> &mut FileBytes {
        &mut self.file
    }

    /// The position of the attachment, if the file has one. It lies within the file.
    #[must_use]
    pub fn attachment_range(&self) -> Option<Range<u64>> {
        let AttachmentRange { offset, length } = AttachmentRange::read(key_values(&self.footer))?;
        let end = offset.checked_add(length)? as u64;
        (end <= Length::len(&self.file)).then_some(offset as u64..end)
    }

    /// The attachment of the file. `None` if the file has none, or if it was not read.
    #[must_use]
    pub fn attachment(&self) -> Option<Bytes> {
        self.file.get(&self.attachment_range()?)
    }

    /// The positions of the columns that [`Self::person_columns`] reads.
    ///
    /// # Errors
    /// [`ParquetReadError`] if the footer gives positions outside the file.
    pub fn person_column_ranges(&self) -> Result<Vec<Range<u64>>, ParquetReadError> {
        person_columns(self.footer.metadata()).map(|(_, _, column)| self.column_range(column)).collect()
    }

    /// The positions of the pages that [`Self::person_columns`] reads for these rows, which are ascending. Those of whole columns if
    /// the file has no index of its pages, which is so for files of earlier versions.
    ///
    /// # Errors
    /// [`ParquetReadError`] if the footer gives positions outside the file.
    pub fn person_page_ranges(&self, rows: &[Range<usize>]) -> Result<Vec<Range<u64>>, ParquetReadError> {
        let selection = RowSelection::from_consecutive_ranges(rows.iter().cloned(), self.file_metadata.rows);
        let index = self.footer_with_pages.metadata().page_index();
        let mut ranges = Vec::new();
        for (row_group, position, column) in person_columns(self.footer.metadata()) {
            let whole = self.column_range(column)?;
            let pages = index.and_then(|index| index.page_locations(row_group, position));
            let Some(pages) = pages else {
                ranges.push(whole);
                continue;
            };
            ranges.extend(selection.scan_ranges(pages));
        }
        Ok(ranges)
    }

    fn column_range(&self, column: &ColumnChunkMetaData) -> Result<Range<u64>, ParquetReadError> {
        let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        let range = range(start, column.compressed_size()).filter(|range| range.end <= Length::len(&self.file));
        range.ok_or_else(|| ParquetReadError::damaged("a column lies outside the file"))
    }

    /// Decodes the rows. Their strings are added to `dictionary`.
    ///
    /// Verifies the row count and the content hash in the metadata. Takes tens of milliseconds for 20,000 rows, so it
    /// must not run on a thread that serves async tasks.
    ///
    /// # Errors
    /// [`ParquetReadError`] if the file is damaged.
    ///
    /// # Panics
    /// Parquet's reader may panic if the file is damaged.
    pub fn day(&self, dictionary: &Arc<Dictionary>) -> Result<DayTable, ParquetReadError> {
        let expected = &self.file_metadata;
        let builder = DayTableBuilder::new(expected.key.clone(), Arc::clone(dictionary)).keep_order();
        let mut builder = builder.quality(expected.quality);
        for batch in self.reader(&self.footer).with_batch_size(8192).build()? {
            let columns = BatchColumns::of(&batch?)?;
            (0..columns.rows).for_each(|row| builder.push(&columns.row(row)));
        }
        let day = builder.finish(expected.fetched_at);
        if day.row_count() != expected.rows {
            return Err(ParquetReadError::damaged(format_args!(
                "{} rows instead of {}",
                day.row_count(),
                expected.rows
            )));
        }
        if *day.hash() != expected.hash {
            return Err(ParquetReadError::damaged("its rows do not match its content hash"));
        }
        Ok(day)
    }

    /// Reads only the columns that describe the people, and only these rows. The ranges are ascending. Does not verify the content hash.
    ///
    /// # Errors
    /// [`ParquetReadError`] if these columns are damaged, or if the file has no such rows.
    ///
    /// # Panics
    /// If the ranges are not ascending. Parquet's reader may panic if the file is damaged.
    pub fn person_columns(&self, rows: &[Range<usize>]) -> Result<PersonColumns, ParquetReadError> {
        let count: usize = rows.iter().map(ExactSizeIterator::len).sum();
        if count == 0 {
            return Ok(PersonColumns::default());
        }
        if rows.last().is_some_and(|last| last.end > self.file_metadata.rows) {
            return Err(ParquetReadError::damaged("it has fewer rows"));
        }
        let mask = ProjectionMask::columns(self.footer.metadata().file_metadata().schema_descr(), PERSON_COLUMNS);
        let selection = RowSelection::from_consecutive_ranges(rows.iter().cloned(), self.file_metadata.rows);
        let reader = self
            .reader(&self.footer_with_pages)
            .with_projection(mask)
            .with_row_selection(selection)
            // The other policy also decodes the pages between the rows, which were not read.
            .with_row_selection_policy(RowSelectionPolicy::Selectors)
            .with_batch_size(count);
        let batch = |batch: RecordBatch| {
            let (user_ids, register_times) = (column(&batch, name::USER_ID)?, column(&batch, name::REGISTER_TIME)?);
            Ok(PersonBatch { rows: batch.num_rows(), user_ids, register_times })
        };
        Ok(PersonColumns {
            batches: reader.build()?.map(|read| batch(read?)).collect::<Result<_, ParquetReadError>>()?,
        })
    }

    fn reader(&self, footer: &ArrowReaderMetadata) -> ParquetRecordBatchReaderBuilder<FileBytes> {
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), footer.clone())
    }
}

impl PersonColumns {
    /// The cells of the row at this position among the rows that were read. `None` if there are fewer rows or if it has no user id.
    #[must_use]
    pub fn get(&self, mut position: usize) -> Option<PersonCells<'_>> {
        for batch in &self.batches {
            if position < batch.rows {
                let register_time = instant(batch.register_times.as_ref(), position);
                return Some(PersonCells { user_id: text(batch.user_ids.as_ref(), position)?, register_time });
            }
            position -= batch.rows;
        }
        None
    }
}

/// The columns that describe the people, each with its row group and its position in it.
fn person_columns(metadata: &ParquetMetaData) -> impl Iterator<Item = (usize, usize, &ColumnChunkMetaData)> {
    let columns = metadata.row_groups().iter().enumerate().flat_map(|(row_group, metadata)| {
        let columns = metadata.columns().iter().enumerate();
        columns.map(move |(position, column)| (row_group, position, column))
    });
    columns.filter(|(.., column)| PERSON_COLUMNS.iter().any(|name| column.column_path().string() == *name))
}

/// The footer with the index of the pages of the people's columns. `None` if the file has none, if its bytes were not read, or if it is
/// damaged.
fn with_person_pages(file: &FileBytes, metadata: &ParquetMetaData) -> Option<ArrowReaderMetadata> {
    for (.., column) in person_columns(metadata) {
        let index = file.get(&range(column.offset_index_offset()?, column.offset_index_length()?.into())?)?;
        if !declares_plausible_length(&index) {
            return None;
        }
    }
    let mask = ColumnChunkMask::columns(person_columns(metadata).map(|(_, position, _)| position));
    let mut reader = ParquetMetaDataReader::new_with_metadata(metadata.clone())
        .with_offset_index_policy(PageIndexPolicy::Optional)
        .with_offset_index_mask(mask);
    reader.read_page_indexes(file).ok()?;
    let indexed = reader.finish().ok()?;
    let is_sound = |(row_group, position, column): (usize, usize, &ColumnChunkMetaData)| {
        let whole = range(column.data_page_offset(), column.compressed_size());
        let pages = indexed.page_index().and_then(|index| index.page_locations(row_group, position));
        whole.zip(pages).is_some_and(|(whole, pages)| {
            let is_inside = |page: &PageLocation| {
                let page = range(page.offset, page.compressed_page_size.into());
                page.is_some_and(|page| whole.start <= page.start && page.end <= whole.end)
            };
            pages.first().is_some_and(|first| first.first_row_index == 0)
                && pages.is_sorted_by(|one, next| one.first_row_index < next.first_row_index)
                && pages.iter().all(is_inside)
        })
    };
    if !person_columns(&indexed).all(is_sound) {
        return None;
    }
    ArrowReaderMetadata::try_new(Arc::new(indexed), ArrowReaderOptions::default()).ok()
}

/// Whether the list at the start of an index of pages can have as many entries as it declares. Parquet's reader reserves memory for the
/// declared number, which can be any in a damaged file.
fn declares_plausible_length(index: &[u8]) -> bool {
    /// Three fields of a page, each with its header, and the end of the structure.
    const MIN_PAGE_BYTES: u64 = 7;
    /// The header of the first field, which is a list, in Thrift's compact encoding.
    const LIST: u8 = 0x19;
    let [LIST, header, rest @ ..] = index else { return false };
    let short = u64::from(header >> 4);
    // A longer list has its length as a number of seven bits a byte, the lowest first.
    let long = || {
        let end = rest.iter().take(9).position(|byte| byte & 0x80 == 0)?;
        let bits = rest[..=end].iter().zip((0..).step_by(7));
        Some(bits.fold(0, |length, (byte, shift)| length | u64::from(byte & 0x7f) << shift))
    };
    let length = if short < 15 { Some(short) } else { long() };
    length.is_some_and(|length| length.saturating_mul(MIN_PAGE_BYTES) <= index.len() as u64)
}

/// The range of this many bytes from `start` on. `None` if one of the numbers is negative.
fn range(start: i64, length: i64) -> Option<Range<u64>> {
    let start = u64::try_from(start).ok()?;
    Some(start..start.checked_add(u64::try_from(length).ok()?)?)
}

fn key_values(footer: &ArrowReaderMetadata) -> &[KeyValue] {
    footer.metadata().file_metadata().key_value_metadata().map_or(&[], Vec::as_slice)
}

/// Decodes the day `key` from a file. See [`ParquetDay::day`].
///
/// # Errors
/// [`ParquetReadError`] if the file has a later schema version, is damaged, or does not contain the day `key`.
///
/// # Panics
/// Parquet's reader may panic if the file is damaged.
pub fn decode(file: Bytes, key: &DayKey, dictionary: &Arc<Dictionary>) -> Result<DayTable, ParquetReadError> {
    ParquetDay::new(file, key)?.day(dictionary)
}

/// Reads the metadata from the end of a file. `tail` must contain at least the footer.
///
/// # Errors
/// [`ParquetReadError`] if the footer is incomplete or damaged, or if the file has a later schema version.
pub fn read_file_metadata(tail: &Bytes) -> Result<FileMetadata, ParquetReadError> {
    let (before, end) =
        tail.split_last_chunk::<8>().ok_or_else(|| ParquetReadError::damaged("it is shorter than a footer"))?;
    let start = before.len().checked_sub(FooterTail::try_new(end)?.metadata_length());
    let start = start.ok_or_else(|| ParquetReadError::damaged("its footer is longer than the bytes that were read"))?;
    let metadata = ParquetMetaDataReader::decode_metadata(&before[start..])?;
    FileMetadata::read(metadata.file_metadata().key_value_metadata().map_or(&[], Vec::as_slice))
}

/// The columns of a batch. A column is `None` if the file does not have it.
struct BatchColumns {
    rows: usize,
    user_id: Option<StringArray>,
    user_name: Option<StringArray>,
    department_name: Option<StringArray>,
    department_path: Option<StringArray>,
    create_time: Option<TimestampMillisecondArray>,
    register_time: Option<TimestampMillisecondArray>,
    last_active_time: Option<TimestampMillisecondArray>,
    flags: [Option<BooleanArray>; Flag::SENT.len()],
    counters: [Option<Int64Array>; Counter::COUNT],
    clients: Option<ListArray>,
    app_packages: Option<ListArray>,
    os_names: Option<ListArray>,
}

impl BatchColumns {
    fn of(batch: &RecordBatch) -> Result<Self, ParquetReadError> {
        let mut columns = Self {
            rows: batch.num_rows(),
            user_id: column(batch, name::USER_ID)?,
            user_name: column(batch, name::USER_NAME)?,
            department_name: column(batch, name::DEPARTMENT_NAME)?,
            department_path: column(batch, name::DEPARTMENT_PATH)?,
            create_time: column(batch, name::CREATE_TIME)?,
            register_time: column(batch, name::REGISTER_TIME)?,
            last_active_time: column(batch, name::LAST_ACTIVE_TIME)?,
            flags: Default::default(),
            counters: Default::default(),
            clients: column(batch, name::CLIENTS)?,
            app_packages: column(batch, name::APP_PACKAGES)?,
            os_names: column(batch, name::OS_NAMES)?,
        };
        for (index, flag) in Flag::SENT.into_iter().enumerate() {
            columns.flags[index] = column(batch, RowField::Flag(flag).name())?;
        }
        for counter in Counter::ALL {
            let counts: Option<Int64Array> = column(batch, counter.name())?;
            if counts.as_ref().is_some_and(|counts| counts.values().iter().any(|count| *count < 0)) {
                return Err(ParquetReadError::damaged(format_args!("{} is negative", counter.name())));
            }
            columns.counters[counter.index()] = counts;
        }
        Ok(columns)
    }

    fn row(&self, row: usize) -> Row {
        Row {
            user_id: text(self.user_id.as_ref(), row).map(str::to_owned),
            user_name: text(self.user_name.as_ref(), row).unwrap_or_default().to_owned(),
            department: Department {
                name: text(self.department_name.as_ref(), row).unwrap_or_default().into(),
                path: text(self.department_path.as_ref(), row).unwrap_or_default().into(),
            },
            create_time: instant(self.create_time.as_ref(), row),
            register_time: instant(self.register_time.as_ref(), row),
            last_active_time: instant(self.last_active_time.as_ref(), row),
            flags: self.flags_of(row),
            counters: std::array::from_fn(|counter| {
                self.counters[counter].as_ref().map_or(0, |counts| counts.value(row).cast_unsigned())
            }),
            devices: Devices {
                clients: clients(self.clients.as_ref(), row),
                app_packages: names(self.app_packages.as_ref(), row),
                os_names: names(self.os_names.as_ref(), row),
            },
        }
    }

    fn flags_of(&self, row: usize) -> Flags {
        let columns = Flag::SENT.into_iter().zip(&self.flags);
        columns.fold(Flags::default(), |flags, (flag, column)| {
            flags.with(flag, column.as_ref().is_some_and(|set| set.value(row)))
        })
    }
}

/// The column with this name. `None` if the file does not have it, which is valid for files of earlier versions.
fn column<T: Array + Clone + 'static>(batch: &RecordBatch, name: &str) -> Result<Option<T>, ParquetReadError> {
    let Some(column) = batch.column_by_name(name) else { return Ok(None) };
    let typed = column.as_any().downcast_ref::<T>().cloned();
    let wrong_type = || ParquetReadError::damaged(format_args!("column {name} is of type {}", column.data_type()));
    typed.map(Some).ok_or_else(wrong_type)
}

fn text(column: Option<&StringArray>, row: usize) -> Option<&str> {
    column.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row))
}

fn instant(column: Option<&TimestampMillisecondArray>, row: usize) -> Option<Timestamp> {
    let times = column.filter(|times| times.is_valid(row))?;
    Timestamp::from_millisecond(times.value(row)).ok()
}

fn names(column: Option<&ListArray>, row: usize) -> Vec<Arc<str>> {
    let Some(list) = column.map(|lists| lists.value(row)) else { return Vec::new() };
    let texts = list.as_any().downcast_ref::<StringArray>();
    texts.map_or_else(Vec::new, |texts| texts.iter().map(|name| name.unwrap_or_default().into()).collect())
}

fn clients(column: Option<&ListArray>, row: usize) -> Vec<Client> {
    let Some(list) = column.map(|lists| lists.value(row)) else { return Vec::new() };
    let Some(parts) = list.as_any().downcast_ref::<StructArray>() else { return Vec::new() };
    let part = |name| parts.column_by_name(name).and_then(|part| part.as_any().downcast_ref::<StringArray>());
    let (os, client) = (part(name::OS), part(name::CLIENT));
    let client = |index| Client { os: text(os, index).map(Into::into), client: text(client, index).map(Into::into) };
    (0..parts.len()).map(client).collect()
}
