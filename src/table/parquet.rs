//! A day as a Parquet file: what the archive keeps, and what `DuckDB`, Spark or pandas read without asking us.
//!
//! The file is self-contained: names and departments stand in every row, as they were that day. Side tables would save
//! two thirds of the bytes and cost every reader two joins on the right version of a person.
//! `docs/archive.md` is the schema's reference for readers; `schema` its one definition.
//!
//! Answers are Parquet too: `rows` and `records` have the columns, and `stream` writes them while they are made.

mod label;
mod read;
pub mod records;
pub mod rows;
mod schema;
mod stream;
mod write;

use std::sync::Arc;

pub use self::{
    label::Label,
    read::{Opened, People, decode, read_label},
    schema::VERSION,
    stream::Stream,
    write::{encode, file_order},
};

/// Why a file gives no day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A later version of this program wrote it: nothing is wrong with the file.
    #[error("it has schema version {found}, and this version of feishu-pulse reads versions up to {VERSION}")]
    TooNew {
        /// The file's version.
        found: u32,
    },
    /// It is cut off, altered, of another day, or no such file at all.
    #[error("it is damaged: {reason}")]
    Damaged {
        /// What gave it away.
        reason: Arc<str>,
    },
}

impl Unreadable {
    /// A file that is not what it should be.
    pub fn damaged(reason: impl std::fmt::Display) -> Self {
        Self::Damaged { reason: reason.to_string().into() }
    }
}

impl From<parquet::errors::ParquetError> for Unreadable {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::damaged(error)
    }
}

impl From<arrow_schema::ArrowError> for Unreadable {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::damaged(error)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::{Day, DayKey, Geo, Scope, UserIdType},
        table::{
            Client, Counter, Department, Devices, Directory, Feature, Flag, Flags, Partition, PartitionBuilder, Row,
        },
    };

    fn key() -> DayKey {
        let day = Day::new(2026, 11, 1).unwrap();
        DayKey { geo: Geo::Cn, user_id_type: UserIdType::UnionId, scope: Scope::Everyone, day }
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
            sent in any::<[bool; 7]>(),
            counters in proptest::array::uniform15((any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift)),
            devices in devices(),
        ) -> Row {
            let kinds = [
                Flag::Activated, Flag::Active, Flag::Feature(Feature::Im), Flag::Feature(Feature::Docs),
                Flag::Feature(Feature::Cal), Flag::Feature(Feature::Vc), Flag::Feature(Feature::Search),
            ];
            let flags = kinds.into_iter().zip(sent).fold(Flags::default(), |flags, (flag, set)| flags.with(flag, set));
            let department = Department { name: name.into(), path: path.into() };
            Row {
                user_id, user_name, department, create_time, register_time, last_active_time, flags, counters, devices,
            }
        }
    }

    fn build(rows: &[Row], doubtful: bool) -> Partition {
        let mut builder = PartitionBuilder::new(key(), Arc::default()).doubtful(doubtful);
        for row in rows {
            builder.push(row);
        }
        builder.finish(fetched_at())
    }

    fn read(file: Vec<u8>) -> Result<Partition, Unreadable> {
        decode(Bytes::from(file), &key(), &Arc::new(Directory::default()))
    }

    proptest! {
        #[test]
        fn a_day_reads_back_as_it_was_written(rows in proptest::collection::vec(row(), 0..20), doubtful: bool) {
            let day = build(&rows, doubtful);

            let file = encode(&day, &[]).unwrap();
            let label = read_label(&Bytes::from(file.clone())).unwrap();
            let back = read(file).unwrap();

            prop_assert_eq!(back.hash(), day.hash());
            prop_assert_eq!((back.key(), back.rows(), back.fetched_at()), (day.key(), day.rows(), day.fetched_at()));
            prop_assert_eq!(back.is_doubtful(), doubtful);
            prop_assert_eq!(label, Label::of(&day));
        }
    }

    /// Different on every row, so that no part of the file goes without saying.
    fn some_rows() -> Vec<Row> {
        let row = |number: u32| {
            let mut row = Row { user_id: Some(format!("ou_{number:032x}")), ..Row::default() };
            row.user_name = format!("员工{number}");
            row.counters[Counter::SendMessengerNum.index()] = u64::from(number) * 7919 % 251;
            row
        };
        (0..300).map(row).collect()
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_refused() {
        let file = encode(&build(&some_rows(), false), b"attached").unwrap();
        for length in (0..file.len()).step_by(97) {
            assert!(matches!(read(file[..length].to_vec()), Err(Unreadable::Damaged { .. })), "cut at {length}");
        }
    }

    #[test]
    fn a_file_with_a_flipped_byte_never_gives_a_different_day() {
        let day = build(&some_rows(), false);
        let file = encode(&day, &[]).unwrap();
        for at in (0..file.len()).step_by(13) {
            let mut flipped = file.clone();
            flipped[at] ^= 0x40;
            // The reader may panic on nonsense; the archive decodes behind a task boundary, which turns that into damage.
            let back = std::panic::catch_unwind(|| read(flipped));
            if let Ok(Ok(back)) = back {
                assert_eq!((back.hash(), back.fetched_at()), (day.hash(), day.fetched_at()), "flipped at {at}");
            }
        }
    }

    #[test]
    fn a_file_of_another_day_is_refused() {
        let file = encode(&build(&some_rows(), false), b"attached").unwrap();
        let other = key().on(key().day.next());
        let refused = decode(Bytes::from(file), &other, &Arc::default());
        assert!(refused.unwrap_err().to_string().contains("2026-11-01"));
    }
}
