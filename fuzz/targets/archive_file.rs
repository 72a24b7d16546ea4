//! Fuzzes archive files: a file must be rejected, or its rows must match its metadata.
//!
//! The mutator changes either the pages or the metadata and keeps the structure of the file, so that the footer is
//! found and the offsets in it stay correct.

#![no_main]

use std::{
    panic::{AssertUnwindSafe, catch_unwind, set_hook},
    sync::Arc,
};

use bytes::Bytes;
use feishu_pulse::{
    report::digest::{self, MembershipCache},
    table::{
        DayMetadata as _, Dictionary,
        parquet::{self, FileMetadata, ParquetDay},
    },
};
use feishu_pulse_fuzz::key;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// The last four bytes of a Parquet file.
const MAGIC: &[u8; 4] = b"PAR1";
/// The size of the length of the metadata and of [`MAGIC`], which end a file.
const TAIL_BYTES: usize = 8;

fuzz_target!(
    init: set_hook(Box::new(|panic| {
        // Parquet's reader may panic, because the archive reads in a separate task. Other code must not panic.
        if panic.location().is_none_or(|location| !location.file().contains("registry")) {
            eprintln!("{panic}");
            std::process::abort();
        }
    })),
    |file: &[u8]| {
        let file = Bytes::copy_from_slice(file);
        let metadata = parquet::read_file_metadata(&file);
        let _ = catch_unwind(AssertUnwindSafe(|| read(&file))).map(|read| {
            if read.is_some() {
                assert_eq!(metadata.ok(), read, "both functions read the same metadata");
            }
        });
    }
);

/// Reads all parts of a file. Returns its metadata if it contains a valid day.
fn read(file: &Bytes) -> Option<FileMetadata> {
    let dictionary = Arc::<Dictionary>::default();
    let parquet_day = ParquetDay::new(file.clone(), &key()).ok()?;
    if let Ok(digest) = digest::decode_digest(&parquet_day, &dictionary, &MembershipCache::default()) {
        assert_eq!(digest.row_count(), parquet_day.file_metadata().rows);
    }
    let rows = parquet_day.file_metadata().rows;
    let _ = parquet_day.person_page_ranges(&[0..rows / 3, rows / 2..rows]);
    let people = parquet_day.person_columns(std::slice::from_ref(&(0..rows))).ok();
    let day = parquet_day.day(&dictionary).ok()?;
    assert_eq!(FileMetadata::of(&day), *parquet_day.file_metadata(), "the metadata describes the day");
    assert!(people.is_some_and(|people| people.get(day.row_count()).is_none()));

    let encoded = parquet::encode(&day, &digest::encode_digest(&day)).expect("encoding a day succeeds");
    let encoded = ParquetDay::new(Bytes::from(encoded), &key()).expect("an encoded file is valid");
    assert_eq!(encoded.file_metadata(), parquet_day.file_metadata());
    assert!(encoded.day(&dictionary).is_ok());
    assert!(digest::decode_digest(&encoded, &dictionary, &MembershipCache::default()).is_ok());
    Some(parquet_day.file_metadata().clone())
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let Some((pages, metadata)) = split_file(&data[..size]) else { return fuzzer_mutate(data, size, max_size) };
    let (pages, metadata) = (pages.to_vec(), metadata.to_vec());
    let max_metadata_bytes = max_size.saturating_sub(pages.len() + TAIL_BYTES);
    let (pages, metadata) = match seed % 4 {
        // Mutations of the whole file.
        0 => return fuzzer_mutate(data, size, max_size),
        1 => {
            let mut changed = mutate(&pages, pages.len());
            changed.resize(pages.len(), 0);
            (changed, metadata)
        }
        _ => (pages, mutate(&metadata, max_metadata_bytes)),
    };
    let length = u32::try_from(metadata.len()).unwrap_or(u32::MAX);
    let file = [&pages[..], &metadata, &length.to_le_bytes(), MAGIC].concat();
    let size = file.len().min(max_size);
    data[..size].copy_from_slice(&file[..size]);
    size
});

/// The part of a file before its metadata, and the metadata.
fn split_file(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, tail) = file.split_last_chunk::<TAIL_BYTES>()?;
    let [a, b, c, d, magic @ ..] = *tail;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    (magic == *MAGIC).then(|| before.split_at_checked(before.len().checked_sub(length)?)).flatten()
}

/// A mutation of the bytes, at most `max_bytes` long unless `bytes` is longer.
fn mutate(bytes: &[u8], max_bytes: usize) -> Vec<u8> {
    let mut buffer = bytes.to_vec();
    buffer.resize(max_bytes.max(bytes.len()).max(1), 0);
    let capacity = buffer.len();
    let size = fuzzer_mutate(&mut buffer, bytes.len(), capacity);
    buffer.truncate(size);
    buffer
}
