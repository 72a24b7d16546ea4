//! A table as Parquet while it is being made: a row group at a time, so that it takes the memory of one, whatever its
//! length.

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

/// Columns whose values seldom come twice in a row group.
const PEOPLE: [&str; 2] = [name::USER_ID, name::USER_NAME];

/// Writes the rows of one table. Row groups become bytes as soon as they are complete.
pub struct Stream {
    schema: Arc<Schema>,
    file: SerializedFileWriter<Vec<u8>>,
    groups: ArrowRowGroupWriterFactory,
    /// Row groups that were written.
    written: usize,
}

impl Stream {
    /// For a table with these columns.
    ///
    /// # Errors
    /// Where two columns have one name.
    pub fn new(columns: Vec<Field>) -> Result<Self, ParquetError> {
        let schema = Arc::new(Schema::new(columns));
        // Parquet's own types say everything; Arrow's schema would come on top of them in base64.
        let options = ArrowWriterOptions::new().with_properties(properties(&schema)).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options)?;
        let (file, groups) = writer.into_serialized_writer()?;
        Ok(Self { schema, file, groups, written: 0 })
    }

    /// Writes a row group, and gives the bytes that are ready. `values` makes the values of a column in one of so many
    /// parts, one part after the other. On threads of a pool columns are made side by side.
    ///
    /// # Errors
    /// Where the values do not fit the column.
    pub fn group(
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
        let columns = self.writers()?;
        let columns: Vec<Vec<ArrowColumnChunk>> = if rayon::current_thread_index().is_some() {
            columns.into_par_iter().enumerate().map(write).collect::<Result<_, ParquetError>>()?
        } else {
            columns.into_iter().enumerate().map(write).collect::<Result<_, ParquetError>>()?
        };
        // Not every reader expects a row group without rows.
        if columns.iter().flatten().any(|chunk| chunk.close().rows_written > 0) {
            let mut group = self.file.next_row_group()?;
            for chunk in columns.into_iter().flatten() {
                chunk.append_to_row_group(&mut group)?;
            }
            group.close()?;
            self.written += 1;
        }
        self.file.flush()?;
        // The writer counts what it has written itself, and never looks back.
        Ok(std::mem::take(self.file.inner_mut()))
    }

    /// Ends the table, and gives the bytes that are left: the footer.
    ///
    /// # Errors
    /// None that is known: it is written to memory.
    pub fn finish(self) -> Result<Vec<u8>, ParquetError> {
        self.file.into_inner()
    }

    /// What writes the next row group: for each column, one for each of its leaves.
    fn writers(&self) -> Result<Vec<Vec<ArrowColumnWriter>>, ParquetError> {
        let mut columns: Vec<_> = self.schema.fields().iter().map(|_| Vec::new()).collect();
        for (leaf, writer) in self.groups.create_column_writers(self.written)?.into_iter().enumerate() {
            columns[self.file.schema_descr().get_column_root_idx(leaf)].push(writer);
        }
        Ok(columns)
    }
}

fn properties(schema: &Schema) -> WriterProperties {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // Row groups are short and in order: indexes of their pages would serve nobody.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_created_by(concat!("feishu-pulse ", env!("CARGO_PKG_VERSION")).to_owned());
    // Of people there are as many as rows: a dictionary would be tried, grow too large and be given up.
    let of_people = schema.fields().iter().filter(|field| PEOPLE.contains(&field.name().as_str()));
    let of_people = of_people.map(|field| ColumnPath::from(field.name().as_str()));
    of_people.fold(properties, |properties, column| properties.set_column_dictionary_enabled(column, false)).build()
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
    fn what_is_taken_out_group_by_group_makes_one_file() {
        let mut stream = Stream::new(vec![Field::new("number", DataType::Int64, false)]).unwrap();

        let parts = [numbers(0..60), numbers(60..100)];
        let threads = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let first = threads.install(|| stream.group(2, |_, part| Arc::clone(&parts[part]))).unwrap();
        let second = stream.group(1, |_, _| numbers(100..150)).unwrap();
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
        let mut stream = Stream::new(vec![Field::new("number", DataType::Int64, false)]).unwrap();
        let group = stream.group(1, |_, _| numbers(0..0)).unwrap();
        let file = Bytes::from([group, stream.finish().unwrap()].concat());
        assert_eq!(ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().num_row_groups(), 0);
    }
}
