//! A Parquet writer that returns each row group as soon as it is complete, so that only one row group is in memory.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{Field, Schema};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_writer::{
            ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
        },
    },
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::types::ColumnPath,
};
use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};

use super::schema::name;

/// Columns whose values seldom repeat within a row group.
const HIGH_CARDINALITY_COLUMNS: [&str; 2] = [name::USER_ID, name::USER_NAME];

/// Writes one Parquet file as a stream of bytes.
pub struct ParquetStream {
    schema: Arc<Schema>,
    file: SerializedFileWriter<Vec<u8>>,
    row_group_factory: ArrowRowGroupWriterFactory,
    /// The number of row groups written.
    row_groups_written: usize,
}

impl ParquetStream {
    /// A stream with these columns.
    ///
    /// # Errors
    /// If two columns have the same name.
    pub fn new(columns: Vec<Field>) -> Result<Self, ParquetError> {
        let schema = Arc::new(Schema::new(columns));
        // Parquet's own types are sufficient, so Arrow's schema is not stored in the file.
        let options = ArrowWriterOptions::new().with_properties(properties(&schema)).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options)?;
        let (file, row_group_factory) = writer.into_serialized_writer()?;
        Ok(Self { schema, file, row_group_factory, row_groups_written: 0 })
    }

    /// Writes a row group and returns its bytes.
    ///
    /// The row group consists of `parts` parts. `values(column, part)` creates the values of a column in a part. On a
    /// thread of a rayon pool, columns are created in parallel.
    ///
    /// # Errors
    /// If the values do not have the type of the column.
    pub fn write_row_group(
        &mut self,
        parts: usize,
        values: impl Fn(usize, usize) -> ArrayRef + Sync,
    ) -> Result<Vec<u8>, ParquetError> {
        let write = |(column, mut writers): (usize, Vec<ArrowColumnWriter>)| {
            let field = self.schema.field(column);
            for part in 0..parts {
                for (leaf, writer) in compute_leaves(field, &values(column, part))?.iter().zip(&mut writers) {
                    writer.write(leaf)?;
                }
            }
            writers.into_iter().map(ArrowColumnWriter::close).collect()
        };
        let columns = self.column_writers()?;
        let columns: Vec<Vec<ArrowColumnChunk>> = if rayon::current_thread_index().is_some() {
            columns.into_par_iter().enumerate().map(write).collect::<Result<_, ParquetError>>()?
        } else {
            columns.into_iter().enumerate().map(write).collect::<Result<_, ParquetError>>()?
        };
        // Some readers do not support a row group without rows.
        if columns.iter().flatten().any(|chunk| chunk.close().rows_written > 0) {
            let mut group = self.file.next_row_group()?;
            for chunk in columns.into_iter().flatten() {
                chunk.append_to_row_group(&mut group)?;
            }
            group.close()?;
            self.row_groups_written += 1;
        }
        self.file.flush()?;
        // The writer counts its bytes separately and does not read the buffer, so the buffer can be taken.
        Ok(std::mem::take(self.file.inner_mut()))
    }

    /// Ends the file and returns the remaining bytes, which are the footer.
    ///
    /// # Errors
    /// If Parquet's writer fails. It writes to memory, so no case is known.
    pub fn finish(self) -> Result<Vec<u8>, ParquetError> {
        self.file.into_inner()
    }

    /// The writers of the next row group: for each column, one writer for each of its leaf columns.
    fn column_writers(&self) -> Result<Vec<Vec<ArrowColumnWriter>>, ParquetError> {
        let mut columns: Vec<_> = self.schema.fields().iter().map(|_| Vec::new()).collect();
        for (leaf, writer) in
            self.row_group_factory.create_column_writers(self.row_groups_written)?.into_iter().enumerate()
        {
            columns[self.file.schema_descr().get_column_root_idx(leaf)].push(writer);
        }
        Ok(columns)
    }
}

fn properties(schema: &Schema) -> WriterProperties {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // Row groups are small and are read in order, so page indexes would not be used.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_created_by(concat!("feishu-pulse ", env!("CARGO_PKG_VERSION")).to_owned());
    // A dictionary of these columns would grow too large, and the writer would fall back to plain encoding.
    let high_cardinality =
        schema.fields().iter().filter(|field| HIGH_CARDINALITY_COLUMNS.contains(&field.name().as_str()));
    let columns = high_cardinality.map(|field| ColumnPath::from(field.name().as_str()));
    columns.fold(properties, |properties, column| properties.set_column_dictionary_enabled(column, false)).build()
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use arrow_schema::DataType;
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn numbers(numbers: std::ops::Range<i64>) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(numbers))
    }

    #[test]
    fn the_bytes_of_all_row_groups_are_one_file() {
        let mut stream = ParquetStream::new(vec![Field::new("number", DataType::Int64, false)]).unwrap();

        let parts = [numbers(0..60), numbers(60..100)];
        let threads = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let first = threads.install(|| stream.write_row_group(2, |_, part| Arc::clone(&parts[part]))).unwrap();
        let second = stream.write_row_group(1, |_, _| numbers(100..150)).unwrap();
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
    fn a_file_without_rows_is_valid() {
        let mut stream = ParquetStream::new(vec![Field::new("number", DataType::Int64, false)]).unwrap();
        let group = stream.write_row_group(1, |_, _| numbers(0..0)).unwrap();
        let file = Bytes::from([group, stream.finish().unwrap()].concat());
        assert_eq!(ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().num_row_groups(), 0);
    }
}
