//! User-days as a file of any length: lines of text, or Parquet.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::{
    api::{
        audit::Rows,
        work::{CHUNK, Chunks},
    },
    table::{
        Field, Lines, Partition, Selection, Syntax, csv,
        directory::Tables,
        parquet::{
            Stream,
            rows::{self, Part},
        },
    },
};

/// Rows that are looked at in one go, while rows that arrive wait.
const BATCH: usize = 4096;

/// Rows of the first chunk of text, before it is known how long they are.
const FIRST: usize = 512;

/// Rows of a row group of Parquet: enough for readers to skip and to compress, and a few megabytes while it is made.
const GROUP: usize = 65_536;

/// The selected rows of some days, in order.
#[derive(Debug)]
pub(super) struct SelectedRows {
    days: Vec<Arc<Partition>>,
    selection: Selection,
    day: usize,
    row: usize,
    counted: Rows,
}

/// Rows as lines of text.
#[derive(Debug)]
pub(super) struct TextExport {
    rows: SelectedRows,
    lines: Lines,
    /// What stands before the first row.
    head: Vec<u8>,
    /// Rows of the next chunk.
    most: usize,
}

/// Rows as Parquet.
pub(super) struct ParquetExport {
    rows: SelectedRows,
    fields: Vec<Field>,
    /// Until the end is written.
    stream: Option<Stream>,
}

impl SelectedRows {
    /// The rows of `days` that `selection` means.
    #[must_use]
    pub(super) fn new(days: Vec<Arc<Partition>>, selection: Selection) -> Self {
        Self { days, selection, day: 0, row: 0, counted: Rows::default() }
    }

    /// How many have been handed over, as it is told to the audit log.
    #[must_use]
    pub(super) fn counted(&self) -> Rows {
        self.counted.clone()
    }

    /// Hands over the next rows, all of one day and at most so many; `None` where there is none left.
    fn next<T>(&mut self, most: usize, take: impl FnOnce(&Tables, &Arc<Partition>, &[usize]) -> T) -> Option<T> {
        while let Some(day) = self.days.get(self.day) {
            let tables = day.directory().read();
            let selector = self.selection.against(&tables);
            let rows: Vec<usize> = selector.rows_from(day, self.row).take(most).collect();
            if let Some(last) = rows.last() {
                self.row = last + 1;
                self.counted.add(rows.len());
                return Some(take(&tables, day, &rows));
            }
            (self.day, self.row) = (self.day + 1, 0);
        }
        None
    }
}

impl TextExport {
    /// With these fields; `bom`: a CSV begins with a byte order mark.
    #[must_use]
    pub(super) fn new(rows: SelectedRows, fields: &[Field], syntax: Syntax, bom: bool) -> Self {
        let mut head = if bom { csv::BOM.to_vec() } else { Vec::new() };
        if syntax == Syntax::Csv {
            csv::push_header(&mut head, fields.iter().map(|field| field.name()));
        }
        Self { rows, lines: Lines::new(syntax, fields), head, most: FIRST }
    }
}

impl Chunks for TextExport {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let mut out = std::mem::take(&mut self.head);
        let lines = &mut self.lines;
        let written = self.rows.next(self.most, |tables, day, rows| {
            out.reserve(CHUNK + CHUNK / 4);
            for row in rows {
                lines.push(&mut out, tables, day, *row);
            }
            rows.len()
        });
        // The next rows will be about as long as these.
        self.most = (CHUNK * written.unwrap_or_default() / out.len().max(1)).clamp(1, BATCH);
        Ok((!out.is_empty()).then(|| out.into()))
    }
}

impl ParquetExport {
    /// With these fields.
    ///
    /// # Errors
    /// Where a field is wanted twice.
    pub(super) fn new(rows: SelectedRows, fields: Vec<Field>) -> io::Result<Self> {
        let stream = Stream::new(rows::columns(&fields))?;
        Ok(Self { rows, fields, stream: Some(stream) })
    }
}

impl Chunks for ParquetExport {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let (mut parts, mut taken) = (Vec::new(), 0);
        while taken < GROUP
            && let Some(part) = self.rows.next(BATCH, |_, day, rows| (Arc::clone(day), rows.to_vec()))
        {
            taken += part.1.len();
            parts.push(part);
        }
        if parts.is_empty() {
            return Ok(self.stream.take().map(Stream::finish).transpose()?.map(Bytes::from));
        }
        let fields = &self.fields;
        let group = stream.group(parts.len(), |column, part| {
            let (day, rows) = &parts[part];
            rows::values(fields[column], &day.directory().read(), &[Part { day, rows }])
        })?;
        Ok(Some(group.into()))
    }
}
