//! The bytes of a file, as Parquet's reader receives them.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes, buf::Reader};
use parquet::file::reader::{ChunkReader, Length};

/// The bytes of a file. Reading past their end is an error.
///
/// Parquet's reader skips unknown fields of page headers without noticing that the bytes have ended: a damaged header
/// that declares a list of 2³¹ numbers would occupy a thread for a minute.
#[derive(Clone, Debug)]
pub(super) struct FileBytes(pub(super) Bytes);

/// Reads bytes. [`io::ErrorKind::UnexpectedEof`] at their end.
pub(super) struct StrictReader(Reader<Bytes>);

impl Length for FileBytes {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for FileBytes {
    type T = StrictReader;

    fn get_read(&self, start: u64) -> parquet::errors::Result<StrictReader> {
        self.0.get_read(start).map(StrictReader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.0.get_bytes(start, length)
    }
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
        let file = FileBytes(Bytes::from_static(b"12345"));
        let mut reader = file.get_read(2).unwrap();

        assert_eq!(io::copy(&mut reader.by_ref().take(3), &mut io::sink()).unwrap(), 3);
        let error = io::copy(&mut reader.by_ref().take(1), &mut io::sink()).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
