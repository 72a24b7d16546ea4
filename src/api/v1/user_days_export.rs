//! Streamed exports of user-days: CSV, NDJSON, Parquet or XLSX.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::{
    api::{
        access_log::RowCount,
        export_pool::{CHUNK_BYTES, ChunkSource},
    },
    table::{
        DayTable, RowField, RowPosition, RowRef, RowSelection, RowSort, RowSyntax, RowWriter, csv,
        dictionary::DictionaryTables,
        parquet::{
            ParquetStream,
            row_columns::{self, DayRows},
        },
        row_order::{RowRanking, TooManyRows},
        xlsx::XlsxWriter,
    },
};

/// Maximum number of rows read under one read lock of the dictionary. Writers of the dictionary wait for that time.
const MAX_BATCH_ROWS: usize = 4096;

/// Rows of the first text chunk, while the length of a row is unknown.
const FIRST_BATCH_ROWS: usize = 512;

/// Rows per Parquet row group: enough for readers to skip groups and for compression, at a few megabytes of memory.
const ROW_GROUP_ROWS: usize = 65_536;

/// Iterates over the selected rows of several days, in order.
pub(super) struct SelectedRows {
    days: Vec<Arc<DayTable>>,
    order: RowsInOrder,
    row_counter: RowCount,
}

/// The rows that follow.
enum RowsInOrder {
    /// By day and row: the selected rows from `next` on.
    ByDay { selection: RowSelection, next: RowPosition },
    /// In the order of a field: the remaining rows.
    Sorted { rows: Box<dyn Iterator<Item = RowPosition> + Send>, count: usize },
}

/// Rows as CSV or NDJSON.
pub(super) struct TextExport {
    rows: SelectedRows,
    writer: RowWriter,
    /// Bytes before the first row: byte order mark and CSV header.
    head: Vec<u8>,
    /// Maximum number of rows of the next chunk.
    batch_rows: usize,
}

/// Rows as XLSX.
pub(super) struct XlsxExport {
    rows: SelectedRows,
    fields: Vec<RowField>,
    /// `None` once the file is written.
    writer: Option<XlsxWriter>,
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
        let order = RowsInOrder::ByDay { selection, next: RowPosition::default() };
        Self { days, order, row_counter: RowCount::default() }
    }

    /// The rows of `days` that match `selection`, in the order of `sort`.
    ///
    /// # Errors
    /// [`TooManyRows`], if they cannot be sorted.
    pub(super) fn sorted(
        days: Vec<Arc<DayTable>>,
        selection: &RowSelection,
        sort: RowSort,
    ) -> Result<Self, TooManyRows> {
        let ranking = match days.first() {
            Some(first) => sort.rank(&days, &first.dictionary().read(), selection)?,
            None => RowRanking::default(),
        };
        let count = ranking.row_count();
        let order = RowsInOrder::Sorted { rows: Box::new(ranking.into_positions()), count };
        Ok(Self { days, order, row_counter: RowCount::default() })
    }

    /// The number of rows.
    #[must_use]
    pub(super) fn count_rows(&self) -> usize {
        match &self.order {
            RowsInOrder::Sorted { count, .. } => *count,
            RowsInOrder::ByDay { selection, .. } => {
                let dictionary = self.days.first().map(|day| day.dictionary().read());
                let selector = dictionary.as_ref().map(|dictionary| selection.compile(dictionary));
                selector.map_or(0, |selector| self.days.iter().map(|day| selector.rows(day).count()).sum())
            }
        }
    }

    /// The number of rows exported so far, for the access log.
    #[must_use]
    pub(super) fn row_count(&self) -> RowCount {
        self.row_counter.clone()
    }

    /// Calls `visit` with the days and the next rows, at most `max_rows`. `None` after the last row.
    fn visit_next<T>(
        &mut self,
        max_rows: usize,
        visit: impl FnOnce(&DictionaryTables, &[Arc<DayTable>], &[RowPosition]) -> T,
    ) -> Option<T> {
        let Self { days, order, row_counter } = self;
        let dictionary = days.first()?.dictionary().read();
        let rows = order.next_rows(max_rows, days, &dictionary);
        row_counter.add(rows.len());
        (!rows.is_empty()).then(|| visit(&dictionary, days, &rows))
    }
}

impl RowsInOrder {
    /// The next rows, at most `max_rows`. Empty after the last row.
    fn next_rows(
        &mut self,
        max_rows: usize,
        days: &[Arc<DayTable>],
        dictionary: &DictionaryTables,
    ) -> Vec<RowPosition> {
        let (selection, next) = match self {
            Self::Sorted { rows, .. } => return rows.take(max_rows).collect(),
            Self::ByDay { selection, next } => (selection, next),
        };
        let selector = selection.compile(dictionary);
        while let Some(day) = days.get(next.day) {
            let index = next.day;
            let rows = selector.rows_from(day, next.row).take(max_rows);
            let rows: Vec<_> = rows.map(|row| RowPosition { day: index, row }).collect();
            if let Some(last) = rows.last() {
                next.row = last.row + 1;
                return rows;
            }
            *next = RowPosition { day: index + 1, row: 0 };
        }
        Vec::new()
    }
}

/// Rows of several days. Consecutive rows of one day are a run.
struct RowRuns {
    rows: Vec<usize>,
    /// The day of each run and the end of the run in `rows`.
    ends: Vec<RunEnd>,
}

struct RunEnd {
    day: usize,
    end: usize,
}

impl RowRuns {
    fn new(positions: &[RowPosition]) -> Self {
        let mut ends: Vec<RunEnd> = Vec::new();
        for (index, position) in positions.iter().enumerate() {
            match ends.last_mut().filter(|run| run.day == position.day) {
                Some(run) => run.end = index + 1,
                None => ends.push(RunEnd { day: position.day, end: index + 1 }),
            }
        }
        Self { rows: positions.iter().map(|position| position.row).collect(), ends }
    }

    fn of_days<'a>(&'a self, days: &'a [Arc<DayTable>]) -> Vec<DayRows<'a>> {
        let starts = [0].into_iter().chain(self.ends.iter().map(|run| run.end));
        let runs = starts.zip(&self.ends);
        runs.map(|(start, RunEnd { day, end })| DayRows { day: &days[*day], rows: &self.rows[start..*end] }).collect()
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
        let row_count = self.rows.visit_next(self.batch_rows, |dictionary, days, rows| {
            out.reserve(CHUNK_BYTES + CHUNK_BYTES / 4);
            for RowPosition { day, row } in rows {
                writer.push(&mut out, dictionary, &days[*day], *row);
            }
            rows.len()
        });
        // Assumes that the next rows have about the same length.
        self.batch_rows = (CHUNK_BYTES * row_count.unwrap_or_default() / out.len().max(1)).clamp(1, MAX_BATCH_ROWS);
        Ok((!out.is_empty()).then(|| out.into()))
    }
}

impl XlsxExport {
    /// An export of `fields` with `row_count` rows.
    ///
    /// # Errors
    /// If a temporary file is needed and cannot be created.
    pub(super) fn new(rows: SelectedRows, fields: Vec<RowField>, row_count: usize) -> io::Result<Self> {
        let columns: Vec<_> = fields.iter().map(|field| field.column()).collect();
        Ok(Self { rows, fields, writer: Some(XlsxWriter::new(&columns, row_count)?) })
    }
}

impl ChunkSource for XlsxExport {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let Some(mut writer) = self.writer.take() else { return Ok(None) };
        let fields = &self.fields;
        while let Some(written) = self.rows.visit_next(MAX_BATCH_ROWS, |dictionary, days, rows| {
            rows.iter().try_for_each(|RowPosition { day, row }| {
                let row = RowRef::new(dictionary, &days[*day], *row);
                fields.iter().try_for_each(|field| row.value(*field).with_cell(|cell| writer.push(cell)))
            })
        }) {
            written?;
        }
        writer.finish().map(|file| Some(file.into()))
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
            && let Some(part) = self.rows.visit_next(MAX_BATCH_ROWS, |_, _, rows| RowRuns::new(rows))
        {
            row_count += part.rows.len();
            parts.push(part);
        }
        if parts.is_empty() {
            return Ok(self.stream.take().map(ParquetStream::finish).transpose()?.map(Bytes::from));
        }
        let (fields, days) = (&self.fields, &self.rows.days);
        let group = stream.write_row_group(parts.len(), |column, part| {
            row_columns::values(fields[column], &days[0].dictionary().read(), &parts[part].of_days(days))
        })?;
        Ok(Some(group.into()))
    }
}
