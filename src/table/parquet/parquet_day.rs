//! The bytes of a file into a day.

use std::sync::Arc;

use arrow_array::{
    Array, BooleanArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
};
use bytes::Bytes;
use jiff::Timestamp;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    file::metadata::{FooterTail, KeyValue, ParquetMetaDataReader},
};

use super::{
    Unreadable,
    label::{Label, Place},
    schema::{FLAGS, name},
};
use crate::{
    model::DayKey,
    table::{Client, Counter, Department, Devices, Directory, Flags, Partition, PartitionBuilder, Row, item},
};

/// A file whose footer has been read.
#[derive(Clone, Debug)]
pub struct Opened {
    file: Bytes,
    metadata: ArrowReaderMetadata,
    label: Label,
}

/// Who the rows of a file are about, in its order.
#[derive(Debug)]
pub struct People {
    ids: Option<StringArray>,
    registered: Option<TimestampMillisecondArray>,
}

impl Opened {
    /// Reads the footer of a file.
    ///
    /// # Errors
    /// [`Unreadable`] where the file is of a later version, damaged, or not of the day `key`, as far as the footer shows.
    pub fn new(file: Bytes, key: &DayKey) -> Result<Self, Unreadable> {
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default())?;
        let label = Label::read(pairs(&metadata))?;
        if label.key != *key {
            return Err(Unreadable::damaged(format_args!("it holds {} instead of {key}", label.key)));
        }
        Ok(Self { file, metadata, label })
    }

    /// What the file says of itself.
    #[must_use]
    pub const fn label(&self) -> &Label {
        &self.label
    }

    /// What was attached to the rows.
    #[must_use]
    pub fn attachment(&self) -> Option<&[u8]> {
        let place = Place::read(pairs(&self.metadata))?;
        self.file.get(place.offset..place.offset.checked_add(place.length)?)
    }

    /// The day, its strings numbered in `directory`. Takes tens of milliseconds for 20,000 rows: keep it off the async
    /// threads.
    ///
    /// What comes back has been checked against the number of rows and the content hash that the file was written with.
    ///
    /// # Errors
    /// [`Unreadable`] where the file is damaged.
    ///
    /// # Panics
    /// Perhaps, where the file is damaged in a way that Parquet's reader does not expect. That goes for all that is read
    /// from its columns.
    pub fn day(&self, directory: &Arc<Directory>) -> Result<Partition, Unreadable> {
        let label = &self.label;
        let mut builder = PartitionBuilder::new(label.key.clone(), Arc::clone(directory)).doubtful(label.doubtful);
        for batch in self.reader().with_batch_size(8192).build()? {
            let columns = Columns::of(&batch?)?;
            (0..columns.rows).for_each(|row| builder.push(&columns.row(row)));
        }
        let day = builder.finish(label.fetched_at);
        if day.rows() != label.rows {
            return Err(Unreadable::damaged(format_args!("{} rows instead of {}", day.rows(), label.rows)));
        }
        if *day.hash() != label.hash {
            return Err(Unreadable::damaged("its rows are not those it was written with"));
        }
        Ok(day)
    }

    /// Who the rows are about, without anything else of them.
    ///
    /// # Errors
    /// [`Unreadable`] where that shows the file to be damaged. It is not checked against the content hash.
    pub fn people(&self) -> Result<People, Unreadable> {
        let columns = [name::USER_ID, name::REGISTER_TIME];
        let mask = ProjectionMask::columns(self.metadata.metadata().file_metadata().schema_descr(), columns);
        let mut batches = self.reader().with_projection(mask).with_batch_size(self.label.rows.max(1)).build()?;
        let Some(batch) = batches.next().transpose()? else { return Ok(People { ids: None, registered: None }) };
        Ok(People { ids: column(&batch, name::USER_ID)?, registered: column(&batch, name::REGISTER_TIME)? })
    }

    fn reader(&self) -> ParquetRecordBatchReaderBuilder<Bytes> {
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
    }
}

impl People {
    /// The id in a row, and when its account was activated; `None` where there is no such row or it has no id.
    #[must_use]
    pub fn of(&self, row: usize) -> Option<(&str, Option<Timestamp>)> {
        let ids = self.ids.as_ref().filter(|ids| row < ids.len());
        Some((text(ids, row)?, instant(self.registered.as_ref(), row)))
    }
}

fn pairs(metadata: &ArrowReaderMetadata) -> &[KeyValue] {
    metadata.metadata().file_metadata().key_value_metadata().map_or(&[], Vec::as_slice)
}

/// The day in a file: [`Opened::day`] in one step.
///
/// # Errors
/// [`Unreadable`] where the file is of a later version, damaged, or not of the day `key`.
pub fn decode(file: Bytes, key: &DayKey, directory: &Arc<Directory>) -> Result<Partition, Unreadable> {
    Opened::new(file, key)?.day(directory)
}

/// The label of a file, from its end alone: `tail` holds the last bytes, at least the footer.
///
/// # Errors
/// As [`decode`], as far as that shows.
pub fn read_label(tail: &Bytes) -> Result<Label, Unreadable> {
    let (before, end) =
        tail.split_last_chunk::<8>().ok_or_else(|| Unreadable::damaged("it is shorter than a footer"))?;
    let from = before.len().checked_sub(FooterTail::try_new(end)?.metadata_length());
    let from = from.ok_or_else(|| Unreadable::damaged("its footer is longer than what was read of it"))?;
    let metadata = ParquetMetaDataReader::decode_metadata(&before[from..])?;
    Label::read(metadata.file_metadata().key_value_metadata().map_or(&[], Vec::as_slice))
}

/// The columns of a batch, each where the file has it.
struct Columns {
    rows: usize,
    user_id: Option<StringArray>,
    user_name: Option<StringArray>,
    department_name: Option<StringArray>,
    department_path: Option<StringArray>,
    create_time: Option<TimestampMillisecondArray>,
    register_time: Option<TimestampMillisecondArray>,
    last_active_time: Option<TimestampMillisecondArray>,
    flags: [Option<BooleanArray>; FLAGS.len()],
    counters: [Option<Int64Array>; Counter::COUNT],
    clients: Option<ListArray>,
    app_packages: Option<ListArray>,
    os_names: Option<ListArray>,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Result<Self, Unreadable> {
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
        for (at, flag) in FLAGS.into_iter().enumerate() {
            columns.flags[at] = column(batch, item::Field::Flag(flag).name())?;
        }
        for counter in Counter::ALL {
            columns.counters[counter.index()] = column(batch, counter.name())?;
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
        let columns = FLAGS.into_iter().zip(&self.flags);
        columns.fold(Flags::default(), |flags, (flag, column)| {
            flags.with(flag, column.as_ref().is_some_and(|set| set.value(row)))
        })
    }
}

/// The column of that name; `None` where the file has no such column, as one of an earlier version may.
fn column<T: Array + Clone + 'static>(batch: &RecordBatch, name: &str) -> Result<Option<T>, Unreadable> {
    let Some(column) = batch.column_by_name(name) else { return Ok(None) };
    let typed = column.as_any().downcast_ref::<T>().cloned();
    let wrong = || Unreadable::damaged(format_args!("column {name} is of type {}", column.data_type()));
    typed.map(Some).ok_or_else(wrong)
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
    let client = |at| Client { os: text(os, at).map(Into::into), client: text(client, at).map(Into::into) };
    (0..parts.len()).map(client).collect()
}
