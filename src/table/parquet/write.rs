//! A day into the bytes of a file.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    builder::{ListBuilder, StringBuilder, StructBuilder},
};
use jiff::Timestamp;
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, Encoding, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};

use super::{
    label::{Label, Place},
    schema::{self, FLAGS, name},
};
use crate::table::{
    Counter, Partition,
    directory::{Department, Devices, Profile, Tables},
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

/// A row with what its numbers stand for.
struct Full<'a> {
    row: usize,
    profile: &'a Profile,
    department: &'a Department,
    devices: &'a Devices,
}

fn columns(day: &Partition) -> Vec<ArrayRef> {
    let tables = day.directory().read();
    let rows = in_file_order(day, &tables);
    let texts =
        |of: fn(&Full<'_>) -> Arc<str>| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(of))) };
    let times = |of: &dyn Fn(&Full<'_>) -> Option<Timestamp>| -> ArrayRef {
        let millis = rows.iter().map(|row| of(row).map(|time| time.as_second() * 1000));
        Arc::new(millis.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.profile.user_id.as_deref()).collect::<StringArray>()),
        texts(|row| Arc::clone(&row.profile.user_name)),
        texts(|row| Arc::clone(&row.department.name)),
        texts(|row| Arc::clone(&row.department.path)),
        times(&|row| row.profile.create_time),
        times(&|row| row.profile.register_time),
        times(&|row| day.last_active(row.row)),
    ];
    columns.extend(FLAGS.map(|flag| -> ArrayRef {
        let set = |row: &Full<'_>| Some(day.flags()[row.row].has(flag));
        Arc::new(rows.iter().map(set).collect::<BooleanArray>())
    }));
    columns.extend(Counter::ALL.map(|counter| -> ArrayRef {
        // As signed numbers, since Spark has no others. A count above 2^63 reads back exactly and looks negative to others.
        let count = |row: &Full<'_>| day.counter(counter).get(row.row).cast_signed();
        Arc::new(Int64Array::from_iter_values(rows.iter().map(count)))
    }));
    columns.push(clients(&rows));
    columns.push(names(&rows, |devices| &devices.app_packages));
    columns.push(names(&rows, |devices| &devices.os_names));
    columns
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
        let (department, devices) = (tables.department(profile.department), tables.devices(day.devices()[row]));
        Full { row, profile, department, devices }
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

fn clients(rows: &[Full<'_>]) -> ArrayRef {
    let element = StructBuilder::from_fields(schema::client_fields(), 0);
    let mut lists = ListBuilder::new(element).with_field(schema::client_element());
    for row in rows {
        for client in &row.devices.clients {
            let element = lists.values();
            for (part, value) in [&client.os, &client.client].into_iter().enumerate() {
                if let Some(texts) = element.field_builder::<StringBuilder>(part) {
                    texts.append_option(value.as_deref());
                }
            }
            element.append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn names(rows: &[Full<'_>], of: fn(&Devices) -> &Vec<Arc<str>>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(schema::text_element());
    for row in rows {
        for name in of(row.devices) {
            lists.values().append_value(name);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}
