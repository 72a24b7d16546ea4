//! Writes small files of the archive into a folder of seeds: those of the targets `archive_file` and `archive_digest`.
//!
//! The archive compresses its pages, and what is changed in one is then refused before it is read. So each file is there
//! a second time with plain pages.

#![no_main]

use std::{env, error::Error, fs, path::PathBuf, process::exit};

use ::parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder, arrow_writer::ArrowWriterOptions},
    file::properties::{EnabledStatistics, WriterProperties},
};
use bytes::Bytes;
use feishu_pulse::{report::digest, table::parquet};
use feishu_pulse_fuzz::{day, unpacked_digest};
use libfuzzer_sys::fuzz_target;

// Begun as a target, because whatever is built with its instruments has to be one.
fuzz_target!(
    init: begin(),
    |_seed: &[u8]| {}
);

fn begin() {
    if let Err(error) = write() {
        eprintln!("{error}");
        exit(1)
    }
    exit(0)
}

fn write() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::var_os("SEEDS").ok_or("SEEDS names no folder")?);
    for (name, rows, has_digest) in [("empty", 0, true), ("one", 1, false), ("few", 5, true)] {
        let day = day(rows);
        let attachment = if has_digest { digest::store(&day) } else { Vec::new() };
        let file = parquet::encode(&day, &attachment)?;
        fs::write(folder.join("archive_file").join(format!("{name}-plain")), plain(Bytes::from(file.clone()))?)?;
        fs::write(folder.join("archive_file").join(name), file)?;
    }
    fs::write(folder.join("archive_digest/few"), unpacked_digest(&day(5)).1)?;
    Ok(())
}

/// The same file, its pages not compressed.
fn plain(file: Bytes) -> Result<Vec<u8>, Box<dyn Error>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let pairs = reader.metadata().file_metadata().key_value_metadata().cloned();
    let properties = WriterProperties::builder()
        .set_key_value_metadata(pairs)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true);
    let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), reader.schema().clone(), options)?;
    for batch in reader.build()? {
        writer.write(&batch?)?;
    }
    Ok(writer.into_inner()?)
}
