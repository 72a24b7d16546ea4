//! Streamed exports of user-days: CSV, NDJSON or Parquet.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::{
    api::{
        access_log::RowCount,
        export_pool::{CHUNK_BYTES, ChunkSource},
    },
    table::{
        DayTable, RowField, RowSelection, RowSyntax, RowWriter, csv,
        dictionary::DictionaryTables,
        parquet::{
            ParquetStream,
            row_columns::{self, DayRows},
        },
    },
};

/// Maximum number of rows read under one read lock of the dictionary. Writers of the dictionary wait for that time.
const MAX_BATCH_ROWS: usize = 4096;

/// Rows of the first text chunk, while the length of a row is unknown.
const FIRST_BATCH_ROWS: usize = 512;

/// Rows per Parquet row group: enough for readers to skip groups and for compression, at a few megabytes of memory.
const ROW_GROUP_ROWS: usize = 65_536;

/// Iterates over the selected rows of several days, in order.
#[derive(Debug)]
pub(super) struct SelectedRows {
    days: Vec<Arc<DayTable>>,
    selection: RowSelection,
    day: usize,
    row: usize,
    row_counter: RowCount,
}

/// Rows as CSV or NDJSON.
#[derive(Debug)]
pub(super) struct TextExport {
    rows: SelectedRows,
    writer: RowWriter,
    /// Bytes before the first row: byte order mark and CSV header.
    head: Vec<u8>,
    /// Maximum number of rows of the next chunk.
    batch_rows: usize,
}

/// Rows as Parquet.
pub(super) struct ParquetExport {
    rows: SelectedRows,
    fields: Vec<RowField>,
    /// `None` once the footer is written.
    stream: Option<ParquetStream>,
}

impl SelectedRows {
    /// The rows of `days` that match `selection`.
    #[must_use]
    pub(super) fn new(days: Vec<Arc<DayTable>>, selection: RowSelection) -> Self {
        Self { days, selection, day: 0, row: 0, row_counter: RowCount::default() }
    }

    /// The number of rows exported so far, for the access log.
    #[must_use]
    pub(super) fn row_count(&self) -> RowCount {
        self.row_counter.clone()
    }

    /// Calls `visit` with the next rows, at most `max_rows` and all of one day. `None` after the last row.
    fn visit_next<T>(
        &mut self,
        max_rows: usize,
        visit: impl FnOnce(&DictionaryTables, &Arc<DayTable>, &[usize]) -> T,
    ) -> Option<T> {
        while let Some(day) = self.days.get(self.day) {
            let dictionary = day.dictionary().read();
            let selector = self.selection.compile(&dictionary);
            let rows: Vec<usize> = selector.rows_from(day, self.row).take(max_rows).collect();
            if let Some(last) = rows.last() {
                self.row = last + 1;
                self.row_counter.add(rows.len());
                return Some(visit(&dictionary, day, &rows));
            }
            (self.day, self.row) = (self.day + 1, 0);
        }
        None
    }
}

impl TextExport {
    /// An export of `fields`. `bom`: a CSV begins with a byte order mark.
    #[must_use]
    pub(super) fn new(rows: SelectedRows, fields: &[RowField], syntax: RowSyntax, bom: bool) -> Self {
        let mut head = if bom { csv::UTF8_BOM.to_vec() } else { Vec::new() };
        if syntax == RowSyntax::Csv {
            csv::push_header(&mut head, fields.iter().map(|field| field.name()));
        }
        Self { rows, writer: RowWriter::new(syntax, fields), head, batch_rows: FIRST_BATCH_ROWS }
    }
}

impl ChunkSource for TextExport {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let mut out = std::mem::take(&mut self.head);
        let writer = &mut self.writer;
        let row_count = self.rows.visit_next(self.batch_rows, |dictionary, day, rows| {
            out.reserve(CHUNK_BYTES + CHUNK_BYTES / 4);
            for row in rows {
                writer.push(&mut out, dictionary, day, *row);
            }
            rows.len()
        });
        // Assumes that the next rows have about the same length.
        self.batch_rows = (CHUNK_BYTES * row_count.unwrap_or_default() / out.len().max(1)).clamp(1, MAX_BATCH_ROWS);
        Ok((!out.is_empty()).then(|| out.into()))
    }
}

impl ParquetExport {
    /// An export of `fields`.
    ///
    /// # Errors
    /// If `fields` contains a field twice.
    pub(super) fn new(rows: SelectedRows, fields: Vec<RowField>) -> io::Result<Self> {
        let stream = ParquetStream::new(row_columns::columns(&fields))?;
        Ok(Self { rows, fields, stream: Some(stream) })
    }
}

impl ChunkSource for ParquetExport {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let (mut parts, mut row_count) = (Vec::new(), 0);
        while row_count < ROW_GROUP_ROWS
            && let Some(part) = self.rows.visit_next(MAX_BATCH_ROWS, |_, day, rows| (Arc::clone(day), rows.to_vec()))
        {
            row_count += part.1.len();
            parts.push(part);
        }
        if parts.is_empty() {
            return Ok(self.stream.take().map(ParquetStream::finish).transpose()?.map(Bytes::from));
        }
        let fields = &self.fields;
        let group = stream.write_row_group(parts.len(), |column, part| {
            let (day, rows) = &parts[part];
            row_columns::values(fields[column], &day.dictionary().read(), &[DayRows { day, rows }])
        })?;
        Ok(Some(group.into()))
    }
}
