//! The bytes of a file, or of parts of it, as Parquet's reader receives them.

use std::{
    io::{self, Read},
    ops::Range,
};

use bytes::{Buf as _, Bytes, buf};
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

/// The parts of a file that were read. Reading other bytes is an error.
///
/// Parquet's reader skips unknown fields of page headers without noticing that the bytes have ended: a damaged header
/// that declares a list of 2³¹ numbers would occupy a thread for a minute. So reading past the end of a part is an error.
#[derive(Clone, Debug)]
pub struct FileBytes {
    size: u64,
    /// The first byte of each part, and its bytes.
    parts: Vec<(u64, Bytes)>,
}

/// Reads bytes. [`io::ErrorKind::UnexpectedEof`] at their end.
#[derive(Debug)]
pub struct StrictReader(buf::Reader<Bytes>);

impl FileBytes {
    /// A file of `size` bytes of which nothing was read.
    #[must_use]
    pub const fn unread(size: u64) -> Self {
        Self { size, parts: Vec::new() }
    }

    /// Adds a part that begins at `start`.
    pub fn insert(&mut self, start: u64, bytes: Bytes) {
        self.parts.push((start, bytes));
    }

    /// A range of the file; `None` if it was not read as one part.
    #[must_use]
    pub fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let length = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        let bytes = self.tail(range.start)?;
        (length <= bytes.len()).then(|| bytes.slice(..length))
    }

    /// The longest part from this position on.
    fn tail(&self, start: u64) -> Option<Bytes> {
        let parts = self.parts.iter().filter_map(|(first, bytes)| {
            let skipped = usize::try_from(start.checked_sub(*first)?).ok()?;
            (skipped <= bytes.len()).then(|| bytes.slice(skipped..))
        });
        parts.max_by_key(Bytes::len)
    }
}

impl From<Bytes> for FileBytes {
    fn from(file: Bytes) -> Self {
        Self { size: file.len() as u64, parts: vec![(0, file)] }
    }
}

impl Length for FileBytes {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for FileBytes {
    type T = StrictReader;

    fn get_read(&self, start: u64) -> parquet::errors::Result<StrictReader> {
        let bytes = self.tail(start).ok_or_else(|| not_read(start))?;
        Ok(StrictReader(bytes.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.get(&(start..start.saturating_add(length as u64))).ok_or_else(|| not_read(start))
    }
}

fn not_read(start: u64) -> ParquetError {
    ParquetError::EOF(format!("the bytes from {start} on were not read, or the file has fewer"))
}

impl Read for StrictReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.0.get_ref().has_remaining() && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_past_the_end_is_an_error() {
        let file = FileBytes::from(Bytes::from_static(b"12345"));
        let mut reader = file.get_read(2).unwrap();

        assert_eq!(io::copy(&mut reader.by_ref().take(3), &mut io::sink()).unwrap(), 3);
        let error = io::copy(&mut reader.by_ref().take(1), &mut io::sink()).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn only_the_parts_that_were_read_are_available() {
        let mut file = FileBytes::unread(10);
        file.insert(2, Bytes::from_static(b"23"));
        file.insert(8, Bytes::from_static(b"89"));

        assert_eq!(file.get(&(3..4)).as_deref(), Some(&b"3"[..]));
        assert_eq!(file.get(&(8..10)).as_deref(), Some(&b"89"[..]));
        assert!([0..1, 3..5, 7..9, 9..11].iter().all(|range| file.get(range).is_none()));
        assert!(file.get_read(5).is_err() && file.get_bytes(3, 2).is_err());
    }
}
