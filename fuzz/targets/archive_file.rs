//! Files of the archive: any bytes are the day that was archived, or are refused.
//!
//! Mutations keep a file a file: its footer is found, and its pages stay where the footer says that they are.

#![no_main]

use std::{
    panic::{AssertUnwindSafe, catch_unwind, set_hook},
    sync::Arc,
};

use bytes::Bytes;
use feishu_pulse::{
    report::digest::{self, Crews},
    table::{
        Directory, Origin as _,
        parquet::{self, Label, Opened},
    },
};
use feishu_pulse_fuzz::key;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// What a file ends with: the length of its metadata, and this.
const MAGIC: &[u8; 4] = b"PAR1";
const TAIL: usize = 8;

fuzz_target!(
    init: set_hook(Box::new(|panic| {
        // The archive reads behind a task boundary, because Parquet's reader may panic on nonsense. Our own code may not.
        if panic.location().is_none_or(|place| !place.file().contains("registry")) {
            eprintln!("{panic}");
            std::process::abort();
        }
    })),
    |file: &[u8]| {
        let file = Bytes::copy_from_slice(file);
        let label = parquet::read_label(&file);
        let _ = catch_unwind(AssertUnwindSafe(|| read(&file))).map(|read| {
            if read.is_some() {
                assert_eq!(label.ok(), read, "what is listed is what is read");
            }
        });
    }
);

/// Reads all there is of a file. Gives its label where it holds a day.
fn read(file: &Bytes) -> Option<Label> {
    let directory = Arc::<Directory>::default();
    let opened = Opened::new(file.clone(), &key()).ok()?;
    if let Ok(digest) = digest::restore(&opened, &directory, &Crews::default()) {
        assert_eq!(digest.rows(), opened.label().rows);
    }
    let people = opened.people().ok();
    let day = opened.day(&directory).ok()?;
    assert_eq!(Label::of(&day), *opened.label(), "a day is what its file says");
    assert!(people.is_some_and(|people| people.of(day.rows()).is_none()));

    let again = parquet::encode(&day, &digest::store(&day)).expect("a day is always written");
    let again = Opened::new(Bytes::from(again), &key()).expect("what was written is read");
    assert_eq!(again.label(), opened.label());
    assert!(again.day(&directory).is_ok() && digest::restore(&again, &directory, &Crews::default()).is_ok());
    Some(opened.label().clone())
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let Some((pages, metadata)) = parts(&data[..size]) else { return fuzzer_mutate(data, size, max_size) };
    let (pages, metadata) = (pages.to_vec(), metadata.to_vec());
    let room = max_size.saturating_sub(pages.len() + TAIL);
    let (pages, metadata) = match seed % 4 {
        // Anything goes.
        0 => return fuzzer_mutate(data, size, max_size),
        1 => {
            let mut changed = mutated(&pages, pages.len());
            changed.resize(pages.len(), 0);
            (changed, metadata)
        }
        _ => (pages, mutated(&metadata, room)),
    };
    let length = u32::try_from(metadata.len()).unwrap_or(u32::MAX);
    let file = [&pages[..], &metadata, &length.to_le_bytes(), MAGIC].concat();
    let size = file.len().min(max_size);
    data[..size].copy_from_slice(&file[..size]);
    size
});

/// What stands before the metadata of a file, and the metadata.
fn parts(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, tail) = file.split_last_chunk::<TAIL>()?;
    let [a, b, c, d, magic @ ..] = *tail;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    (magic == *MAGIC).then(|| before.split_at_checked(before.len().checked_sub(length)?)).flatten()
}

/// The bytes with some of them changed, and at most so many of them.
fn mutated(bytes: &[u8], most: usize) -> Vec<u8> {
    let mut room = bytes.to_vec();
    room.resize(most.max(bytes.len()).max(1), 0);
    let most = room.len();
    let size = fuzzer_mutate(&mut room, bytes.len(), most);
    room.truncate(size);
    room
}
