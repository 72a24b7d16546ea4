//! Digests beside the rows of a file: whatever is packed into one is the digest of those rows, or is refused.
//!
//! The input is what is packed into the digest but for the beginning, which says of which day it is: past that, and past the
//! checksum around it, no fuzzer finds its way by itself.

#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use feishu_pulse::{
    report::digest::{self, Crews},
    table::{Directory, Origin as _, Partition, parquet},
};
use feishu_pulse_fuzz::{day, key, unpacked_digest};
use libfuzzer_sys::{Corpus, fuzz_target};

/// The layout of digests that is read.
const VERSION: u8 = 1;

static DAY: LazyLock<Partition> = LazyLock::new(|| day(5));

/// How the digest of that day begins: one that begins otherwise is not of it.
static BEGIN: LazyLock<Vec<u8>> = LazyLock::new(|| unpacked_digest(&DAY).0);

fuzz_target!(|departments: &[u8]| -> Corpus {
    let plain = [&BEGIN, departments].concat();
    let Ok(packed) = zstd::encode_all(plain.as_slice(), 1) else { return Corpus::Reject };
    let attachment = [&[VERSION][..], &packed].concat();
    let file = parquet::encode(&DAY, &attachment).expect("a day is always written");
    let file = parquet::Opened::new(Bytes::from(file), &key()).expect("what was written is read");
    if let Ok(digest) = digest::restore(&file, &Arc::<Directory>::default(), &Crews::default()) {
        assert_eq!(digest.rows(), DAY.rows());
        let known = digest.departments().iter().map(|part| part.crew.people().len()).sum::<usize>();
        assert!(known <= DAY.rows(), "more people than rows");
        assert!(digest.whole().present.known.count_ones(..) <= DAY.rows(), "more people than rows");
    }
    Corpus::Keep
});
