//! Fuzzes the digest in an archive file: it must be rejected or consistent with the rows.
//!
//! The input replaces the departments of a digest. The fields before them, which identify the day, stay unchanged, and
//! the digest is compressed after the change, because random changes would not pass the checks of these parts.

#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use feishu_pulse::{
    report::digest::{self, MembershipCache},
    table::{
        DayMetadata as _, DayTable, Dictionary,
        parquet::{self, ParquetDay},
    },
};
use feishu_pulse_fuzz::{day, key, unpacked_digest};
use libfuzzer_sys::{Corpus, fuzz_target};

/// The version of the digest layout.
const VERSION: u8 = 1;

static DAY: LazyLock<DayTable> = LazyLock::new(|| day(5));

/// The fields at the start of the digest, which identify the day.
static DAY_FIELDS: LazyLock<Vec<u8>> = LazyLock::new(|| unpacked_digest(&DAY).0);

fuzz_target!(|departments: &[u8]| -> Corpus {
    let plain = [&DAY_FIELDS, departments].concat();
    let Ok(packed) = zstd::encode_all(plain.as_slice(), 1) else { return Corpus::Reject };
    let attachment = [&[VERSION][..], &packed].concat();
    let file = parquet::encode(&DAY, &attachment).expect("encoding a day succeeds");
    let file = ParquetDay::new(Bytes::from(file), &key()).expect("an encoded file is valid");
    if let Ok(digest) = digest::decode_digest(&file, &Arc::<Dictionary>::default(), &MembershipCache::default()) {
        assert_eq!(digest.row_count(), DAY.row_count());
        let known = digest.departments().iter().map(|part| part.members.people().len()).sum::<usize>();
        assert!(known <= DAY.row_count(), "more people than rows");
        assert!(digest.figures().present.identified.count_ones(..) <= DAY.row_count(), "more people than rows");
    }
    Corpus::Keep
});
