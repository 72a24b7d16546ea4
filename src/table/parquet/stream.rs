//! A table as Parquet while it is being made: a row group at a time, so that it takes the memory of one, whatever its
//! length.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};

/// Writes the rows of one table. Row groups become bytes as soon as they are complete.
#[derive(Debug)]
pub struct Stream {
    schema: Arc<Schema>,
    writer: ArrowWriter<Vec<u8>>,
}

impl Stream {
    /// For a table with these columns.
    ///
    /// # Errors
    /// Where two columns have one name.
    pub fn new(columns: Vec<Field>) -> Result<Self, ParquetError> {
        let schema = Arc::new(Schema::new(columns));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("feishu-pulse ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        // Parquet's own types say everything; Arrow's schema would come on top of them in base64.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options)?;
        Ok(Self { schema, writer })
    }

    /// Adds rows to the row group that is open.
    ///
    /// # Errors
    /// Where they do not fit the columns.
    pub fn push(&mut self, columns: Vec<ArrayRef>) -> Result<(), ParquetError> {
        self.writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Ends the row group, and gives the bytes that are ready.
    ///
    /// # Errors
    /// None that is known: it is written to memory.
    pub fn end_group(&mut self) -> Result<Vec<u8>, ParquetError> {
        self.writer.flush()?;
        self.writer.sync()?;
        // The writer counts what it has written itself, and never looks back.
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    /// Ends the table, and gives the bytes that are left: the rows of the open row group, and the footer.
    ///
    /// # Errors
    /// As [`Self::end_group`].
    pub fn finish(self) -> Result<Vec<u8>, ParquetError> {
        self.writer.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use arrow_schema::DataType;
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn numbers(numbers: std::ops::Range<i64>) -> Vec<ArrayRef> {
        vec![Arc::new(Int64Array::from_iter_values(numbers))]
    }

    #[test]
    fn what_is_taken_out_group_by_group_makes_one_file() {
        let mut stream = Stream::new(vec![Field::new("number", DataType::Int64, false)]).unwrap();

        stream.push(numbers(0..60)).unwrap();
        stream.push(numbers(60..100)).unwrap();
        let first = stream.end_group().unwrap();
        stream.push(numbers(100..150)).unwrap();
        let second = stream.end_group().unwrap();
        let end = stream.finish().unwrap();

        assert!(!first.is_empty() && !second.is_empty());
        let file = Bytes::from([first, second, end].concat());
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let read = reader.build().unwrap().map(|batch| Arc::clone(batch.unwrap().column(0)));
        let read: Vec<i64> =
            read.flat_map(|column| column.as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()).collect();
        assert_eq!(read, (0..150).collect::<Vec<i64>>());
    }

    #[test]
    fn a_table_without_rows_is_a_file() {
        let stream = Stream::new(vec![Field::new("number", DataType::Int64, false)]).unwrap();
        let file = Bytes::from(stream.finish().unwrap());
        assert_eq!(ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().file_metadata().num_rows(), 0);
    }
}
