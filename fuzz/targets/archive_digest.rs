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
use feishu_pulse_fuzz::{UnpackedDigest, day, key};
use libfuzzer_sys::{Corpus, fuzz_target};

static DAY: LazyLock<DayTable> = LazyLock::new(|| day(5));

static DIGEST: LazyLock<UnpackedDigest> = LazyLock::new(|| UnpackedDigest::of(&DAY));

fuzz_target!(|departments: &[u8]| -> Corpus {
    let plain = [&DIGEST.day_fields, departments].concat();
    let Ok(packed) = zstd::encode_all(plain.as_slice(), 1) else { return Corpus::Reject };
    let attachment = [&DIGEST.versions, packed.as_slice()].concat();
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
