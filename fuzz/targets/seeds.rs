//! Writes small archive files as seeds of the targets `archive_file` and `archive_digest`.
//!
//! Pages of archive files are compressed, so most mutations of a page are rejected during decompression. Each file is
//! therefore also written with uncompressed pages.

#![no_main]

use std::{env, error::Error, fs, path::PathBuf, process::exit};

use ::parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder, arrow_writer::ArrowWriterOptions},
    file::properties::{EnabledStatistics, WriterProperties},
};
use bytes::Bytes;
use feishu_pulse::{report::digest, table::parquet};
use feishu_pulse_fuzz::{UnpackedDigest, day};
use libfuzzer_sys::fuzz_target;

// This program is a fuzz target, because all programs built with the fuzzer's instrumentation must be.
fuzz_target!(
    init: run(),
    |_seed: &[u8]| {}
);

fn run() {
    if let Err(error) = write() {
        eprintln!("{error}");
        exit(1)
    }
    exit(0)
}

fn write() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::var_os("SEEDS").ok_or("SEEDS is not set")?);
    for (name, rows, has_digest) in [("empty", 0, true), ("one", 1, false), ("few", 5, true)] {
        let day = day(rows);
        let attachment = if has_digest { digest::encode_digest(&day) } else { Vec::new() };
        let file = parquet::encode(&day, &attachment)?;
        fs::write(folder.join("archive_file").join(format!("{name}-plain")), uncompressed(Bytes::from(file.clone()))?)?;
        fs::write(folder.join("archive_file").join(name), file)?;
    }
    fs::write(folder.join("archive_digest/few"), UnpackedDigest::of(&day(5)).departments)?;
    Ok(())
}

/// The same file with uncompressed pages.
fn uncompressed(file: Bytes) -> Result<Vec<u8>, Box<dyn Error>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let key_values = reader.metadata().file_metadata().key_value_metadata().cloned();
    let properties = WriterProperties::builder()
        .set_key_value_metadata(key_values)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true);
    let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), reader.schema().clone(), options)?;
    for batch in reader.build()? {
        writer.write(&batch?)?;
    }
    Ok(writer.into_inner()?)
}
