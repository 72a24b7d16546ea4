//! Parquet: the file format of the archive and of exports, which `DuckDB`, Spark and pandas can read directly.
//!
//! A file of the archive is self-contained: each row has the names of the person and of the department as they were on
//! that day. Separate files for people and departments would save two thirds of the size, but every reader would need
//! two joins that select the right version of a person. `docs/archive.md` documents the schema for readers; the module
//! `schema` defines it.

mod encode;
mod file_bytes;
mod file_metadata;
mod parquet_day;
mod parquet_stream;
mod read_error;
pub mod record_columns;
pub mod row_columns;
mod schema;

pub use self::{
    encode::{encode, file_order},
    file_bytes::FileBytes,
    file_metadata::FileMetadata,
    parquet_day::{ParquetDay, PersonCells, PersonColumns, decode, read_file_metadata},
    parquet_stream::ParquetStream,
    read_error::ParquetReadError,
    schema::SCHEMA_VERSION,
};

#[cfg(test)]
mod tests {
    use std::{ops::Range, sync::Arc};

    use ::parquet::file::metadata::ParquetMetaDataReader;
    use bytes::Bytes;
    use jiff::Timestamp;
    use proptest::{array::UniformArrayStrategy, prelude::*};

    use super::*;
    use crate::{
        model::{DataScope, Day, DayKey, Geo, UserIdType},
        table::{
            Client, Counter, DayTable, DayTableBuilder, Department, Devices, Dictionary, FetchQuality, Flag, Flags,
            MAX_COUNT, Row,
        },
    };

    fn key() -> DayKey {
        let day = Day::new(2026, 11, 1).unwrap();
        DayKey { geo: Geo::Cn, user_id_type: UserIdType::UnionId, scope: DataScope::Everyone, day }
    }

    fn fetched_at() -> Timestamp {
        "2026-11-02T10:00:00.123456789Z".parse().unwrap()
    }

    fn instant() -> impl Strategy<Value = Option<Timestamp>> {
        proptest::option::of((0_i64..4_000_000_000).prop_map(|second| Timestamp::from_second(second).unwrap()))
    }

    fn names() -> impl Strategy<Value = Vec<Arc<str>>> {
        proptest::collection::vec("\\PC{0,6}".prop_map(Arc::from), 0..3)
    }

    fn devices() -> impl Strategy<Value = Devices> {
        let name = || proptest::option::of("\\PC{0,6}".prop_map(Arc::from));
        let client = (name(), name()).prop_map(|(os, client)| Client { os, client });
        (proptest::collection::vec(client, 0..3), names(), names())
            .prop_map(|(clients, app_packages, os_names)| Devices { clients, app_packages, os_names })
    }

    prop_compose! {
        fn row()(
            user_id in proptest::option::of("[a-z]{1,3}"),
            user_name in "\\PC{0,6}",
            (name, path) in ("\\PC{0,4}", "\\PC{0,4}"),
            (create_time, register_time, last_active_time) in (instant(), instant(), instant()),
            set in any::<[bool; 7]>(),
            counters in UniformArrayStrategy::<_, [u64; Counter::COUNT]>::new(
                (0..=MAX_COUNT, 0_u32..63).prop_map(|(value, shift)| value >> shift),
            ),
            devices in devices(),
        ) -> Row {
            let flags =
                Flag::SENT.into_iter().zip(set).fold(Flags::default(), |flags, (flag, set)| flags.with(flag, set));
            let department = Department { name: name.into(), path: path.into() };
            Row {
                user_id, user_name, department, create_time, register_time, last_active_time, flags, counters, devices,
            }
        }
    }

    fn build(rows: &[Row], quality: FetchQuality) -> DayTable {
        let mut builder = DayTableBuilder::new(key(), Arc::default()).quality(quality);
        for row in rows {
            builder.push(row);
        }
        builder.finish(fetched_at())
    }

    fn read(file: Vec<u8>) -> Result<DayTable, ParquetReadError> {
        decode(Bytes::from(file), &key(), &Arc::new(Dictionary::default()))
    }

    proptest! {
        #[test]
        fn a_decoded_day_equals_the_encoded_day(rows in proptest::collection::vec(row(), 0..20), unreadable_rows: u32) {
            let quality = FetchQuality { unreadable_rows, ..FetchQuality::default() };
            let day = build(&rows, quality);

            let file = encode(&day, &[]).unwrap();
            let metadata = read_file_metadata(&Bytes::from(file.clone())).unwrap();
            let decoded = read(file).unwrap();

            prop_assert_eq!(decoded.hash(), day.hash());
            prop_assert_eq!(decoded.key(), day.key());
            prop_assert_eq!(decoded.row_count(), day.row_count());
            prop_assert_eq!(decoded.fetched_at(), day.fetched_at());
            prop_assert_eq!(decoded.quality(), quality);
            prop_assert_eq!(metadata, FileMetadata::of(&day));
        }
    }

    #[test]
    fn a_file_with_rows_without_id_in_the_order_of_feishus_reply_is_decoded() {
        let row = |messages| {
            let mut row = Row { user_name: "张三".into(), ..Row::default() };
            row.counters[Counter::SendMessengerNum.index()] = messages;
            row
        };
        let mut builder = DayTableBuilder::new(key(), Arc::default()).keep_order();
        for messages in [2, 1] {
            builder.push(&row(messages));
        }
        let day = builder.finish(fetched_at());
        assert_ne!(day.hash(), build(&[row(2), row(1)], FetchQuality::default()).hash());

        let decoded = read(encode(&day, &[]).unwrap()).unwrap();

        assert_eq!(decoded.hash(), day.hash());
        let decoded_again = read(encode(&decoded, &[]).unwrap()).unwrap();
        assert_eq!(decoded_again.hash(), day.hash());
    }

    /// Rows that all differ, so that every part of the file matters for the content.
    fn distinct_rows() -> Vec<Row> {
        let row = |number: u32| {
            let mut row = Row { user_id: Some(format!("ou_{number:032x}")), ..Row::default() };
            row.user_name = format!("员工{number}");
            row.counters[Counter::SendMessengerNum.index()] = u64::from(number) * 7919 % 251;
            row
        };
        (0..300).map(row).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_people_of_some_rows_are_those_of_all_rows(
            mut bounds in proptest::collection::vec(0_usize..=5000, 0..8), without_id in 0_u32..5,
        ) {
            let file = file_of_5000(without_id);
            let whole = ParquetDay::new(file.clone(), &key()).unwrap();
            bounds.sort_unstable();
            let ranges: Vec<_> = bounds.chunks_exact(2).map(|bounds| bounds[0]..bounds[1]).collect();
            let mut pages = without_pages(&file);
            read_into(&mut pages, &file, whole.person_page_ranges(&ranges).unwrap());

            let all = whole.person_columns(std::slice::from_ref(&(0..5000))).unwrap();
            let some = pages.person_columns(&ranges).unwrap();

            let rows: Vec<usize> = ranges.into_iter().flatten().collect();
            for (position, row) in rows.iter().enumerate() {
                prop_assert_eq!(some.get(position), all.get(*row));
            }
            prop_assert_eq!(some.get(rows.len()), None);
            let identified = (0..5000).filter(|row| all.get(*row).is_some()).count();
            prop_assert_eq!(identified, 4000);
        }
    }

    /// A file of 5,000 people, of whom a fifth has no id.
    fn file_of_5000(without_id: u32) -> Bytes {
        let row = |number: u32| Row {
            user_id: (number % 5 != without_id).then(|| format!("ou_{number:04}")),
            register_time: Timestamp::from_second(number.into()).ok().filter(|_| !number.is_multiple_of(3)),
            department: Department { name: format!("{}", number % 7).into(), ..Department::default() },
            ..Row::default()
        };
        let day = build(&(0..5000).map(row).collect::<Vec<_>>(), FetchQuality::default());
        encode(&day, &[]).unwrap().into()
    }

    /// The file, of which only the bytes after the columns were read.
    fn without_pages(file: &Bytes) -> ParquetDay {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(file).unwrap();
        let columns = metadata.row_group(0).columns().iter();
        let end = columns.map(|column| column.byte_range().0 + column.byte_range().1).max().unwrap();
        let mut read = FileBytes::unread(file.len() as u64);
        read.insert(end, file.slice(usize::try_from(end).unwrap()..));
        ParquetDay::new(read, &key()).unwrap()
    }

    fn read_into(day: &mut ParquetDay, file: &Bytes, ranges: Vec<Range<u64>>) {
        for range in ranges {
            let [start, end] = [range.start, range.end].map(|byte| usize::try_from(byte).unwrap());
            day.bytes_mut().insert(range.start, file.slice(start..end));
        }
    }

    #[test]
    fn a_few_people_are_in_a_few_pages() {
        let file = file_of_5000(0);
        let day = without_pages(&file);
        let length = |ranges: Vec<Range<u64>>| ranges.iter().map(|range| range.end - range.start).sum::<u64>();

        let (pages, columns) = (day.person_page_ranges(&[600..610, 3000..3001]), day.person_column_ranges());

        assert_eq!(pages.as_ref().unwrap().len(), 4);
        assert!(length(pages.unwrap()) < length(columns.unwrap()) / 3);
    }

    #[test]
    fn pages_between_the_rows_are_not_needed() {
        let file = file_of_5000(0);
        let rows: Vec<Range<usize>> =
            (0..200).map(|number| 6 * number..6 * number + 3).chain(std::iter::once(4500..4503)).collect();
        let mut day = without_pages(&file);
        let pages = day.person_page_ranges(&rows).unwrap();
        read_into(&mut day, &file, pages);

        let found = day.person_columns(&rows).unwrap();

        let all = ParquetDay::new(file, &key()).unwrap().person_columns(std::slice::from_ref(&(0..5000))).unwrap();
        for (position, row) in rows.into_iter().flatten().enumerate() {
            assert_eq!(found.get(position), all.get(row));
        }
    }

    #[test]
    fn people_are_read_from_whole_columns_if_the_index_of_the_pages_was_not_read() {
        let file = file_of_5000(0);
        let footer = file.len() - 8 - u32::from_le_bytes(*file[..file.len() - 4].last_chunk().unwrap()) as usize;
        let mut read = FileBytes::unread(file.len() as u64);
        read.insert(footer as u64, file.slice(footer..));
        let mut day = ParquetDay::new(read, &key()).unwrap();

        let ranges = day.person_page_ranges(std::slice::from_ref(&(600..610))).unwrap();
        read_into(&mut day, &file, ranges.clone());

        assert_eq!(ranges, day.person_column_ranges().unwrap());
        assert!(day.person_columns(std::slice::from_ref(&(600..610))).is_ok());
    }

    #[test]
    fn rows_are_read_although_the_index_of_the_pages_is_damaged() {
        let day = build(&distinct_rows(), FetchQuality::default());
        let file = encode(&day, &[]).unwrap();
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(file.clone())).unwrap();
        let columns = metadata.row_group(0).columns();
        let first = usize::try_from(columns[0].offset_index_offset().unwrap()).unwrap();
        let last = columns.last().unwrap();
        let end = usize::try_from(last.offset_index_offset().unwrap() + i64::from(last.offset_index_length().unwrap()));

        for at in first..end.unwrap() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x55;
            assert_eq!(read(damaged).unwrap().hash(), day.hash(), "flipped at {at}");
        }
    }

    #[test]
    fn rows_that_the_file_does_not_have_are_rejected() {
        let file = encode(&build(&distinct_rows(), FetchQuality::default()), &[]).unwrap();
        let file = ParquetDay::new(Bytes::from(file), &key()).unwrap();
        assert!(file.person_columns(&[0..1, 299..301]).is_err());
        assert!(file.person_columns(&[0..1, 299..300]).is_ok());
    }

    #[test]
    fn a_truncated_file_is_rejected() {
        let file = encode(&build(&distinct_rows(), FetchQuality::default()), b"attached").unwrap();
        for length in (0..file.len()).step_by(97) {
            assert!(
                matches!(read(file[..length].to_vec()), Err(ParquetReadError::Damaged { .. })),
                "truncated to {length} bytes"
            );
        }
    }

    #[test]
    fn a_file_with_a_flipped_bit_never_decodes_to_another_day() {
        let day = build(&distinct_rows(), FetchQuality::default());
        let file = encode(&day, &[]).unwrap();
        for offset in (0..file.len()).step_by(13) {
            let mut flipped = file.clone();
            flipped[offset] ^= 0x40;
            // Parquet's reader may panic. The archive decodes in a separate task, which turns a panic into an error.
            let decoded = std::panic::catch_unwind(|| read(flipped));
            if let Ok(Ok(decoded)) = decoded {
                assert_eq!(
                    (decoded.hash(), decoded.fetched_at()),
                    (day.hash(), day.fetched_at()),
                    "flipped at offset {offset}"
                );
            }
        }
    }

    #[test]
    fn a_file_of_another_day_is_rejected() {
        let file = encode(&build(&distinct_rows(), FetchQuality::default()), b"attached").unwrap();
        let other_key = key().with_day(key().day.next());
        let result = decode(Bytes::from(file), &other_key, &Arc::default());
        assert!(result.unwrap_err().to_string().contains("2026-11-01"));
    }
}
