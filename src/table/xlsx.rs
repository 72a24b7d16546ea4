//! Writes tables as XLSX: a workbook with one sheet, typed cells, and a header line that stays visible.
//!
//! Text cells are never formulas, so no apostrophe is added. A text that is longer than a cell can hold is cut. Excel's numbers
//! have 15 decimal digits: larger counts are rounded.

use std::{borrow::Cow, io};

use jiff::{
    Timestamp,
    civil::{Date, DateTime, date},
};
use rust_xlsxwriter::{DocProperties, Format, Workbook, Worksheet, XlsxError};

use super::cell::{Cell, Column, ColumnKind, Record};
use crate::model::Geo;

/// Maximum number of rows below the header line.
pub const MAX_ROWS: usize = 1_048_575;

/// Maximum length of a text in UTF-16 code units.
const MAX_TEXT_UNITS: usize = 32_767;

/// Maximum number of cells of a sheet in memory, which takes about 20 MB. A larger sheet is written to a temporary file.
const MAX_CELLS_IN_MEMORY: usize = 200_000;

/// The time of creation that workbooks contain.
const CREATED_AT: Date = date(2000, 1, 1);

/// Widths of columns in characters.
const MIN_WIDTH: usize = 8;
const DATE_WIDTH: usize = 12;
const INSTANT_WIDTH: usize = 20;
const TEXT_WIDTH: usize = 24;

/// A workbook with one sheet. Cells are added in order.
pub struct XlsxWriter {
    workbook: Workbook,
    sheet: Worksheet,
    column_count: usize,
    /// The row and column of the next cell.
    row: u32,
    column: u16,
    date_format: Format,
    instant_format: Format,
    count_format: Format,
}

impl XlsxWriter {
    /// A workbook with these columns for this number of rows.
    ///
    /// # Errors
    /// If a temporary file is needed and cannot be created.
    pub fn new(columns: &[Column], rows: usize) -> io::Result<Self> {
        let mut workbook = Workbook::new();
        // The same table always gives the same file, as its ETag promises.
        workbook.set_properties(&DocProperties::new().set_creation_datetime(&CREATED_AT));
        let is_large = rows.saturating_mul(columns.len()) > MAX_CELLS_IN_MEMORY;
        let sheet = if is_large { workbook.new_worksheet_with_constant_memory() } else { Ok(Worksheet::new()) };
        let mut writer = Self {
            workbook,
            sheet: sheet.map_err(io::Error::other)?,
            column_count: columns.len(),
            row: 0,
            column: 0,
            date_format: Format::new().set_num_format("yyyy-mm-dd"),
            instant_format: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
            count_format: Format::new().set_num_format("0"),
        };
        writer.push_header(columns).map_err(io::Error::other)?;
        Ok(writer)
    }

    fn push_header(&mut self, columns: &[Column]) -> Result<(), XlsxError> {
        self.sheet.set_freeze_panes(1, 0)?;
        let bold = Format::new().set_bold();
        for (column, index) in columns.iter().zip(0_u16..) {
            let width = match column.kind {
                ColumnKind::Text => TEXT_WIDTH,
                ColumnKind::Day => DATE_WIDTH,
                ColumnKind::Instant => INSTANT_WIDTH,
                ColumnKind::Count | ColumnKind::Number | ColumnKind::Flag => MIN_WIDTH,
            };
            self.sheet.set_column_width(index, width.max(column.name.chars().count() + 2) as f64)?;
            self.sheet.write_string_with_format(0, index, &*column.name, &bold)?;
        }
        self.row = 1;
        Ok(())
    }

    /// Appends a cell. After the last column, the next row begins.
    ///
    /// # Errors
    /// If the sheet is full, or if its temporary file cannot be written.
    pub fn push(&mut self, cell: Cell<'_>) -> io::Result<()> {
        self.write(cell).map_err(io::Error::other)?;
        self.column += 1;
        if usize::from(self.column) == self.column_count {
            (self.row, self.column) = (self.row + 1, 0);
        }
        Ok(())
    }

    fn write(&mut self, cell: Cell<'_>) -> Result<(), XlsxError> {
        let Self { sheet, row, column, .. } = self;
        match cell {
            Cell::Empty => return Ok(()),
            Cell::Text(text) => sheet.write_string(*row, *column, truncate(text))?,
            Cell::Day(day) => sheet.write_datetime_with_format(*row, *column, day.date(), &self.date_format)?,
            Cell::Instant(instant, geo) => {
                sheet.write_datetime_with_format(*row, *column, local_time(instant, geo), &self.instant_format)?
            }
            Cell::Count(count) => sheet.write_number_with_format(*row, *column, count as f64, &self.count_format)?,
            Cell::Number(number) => sheet.write_number(*row, *column, number)?,
            Cell::Flag(flag) => sheet.write_boolean(*row, *column, flag)?,
        };
        Ok(())
    }

    /// Ends the workbook and returns the file.
    ///
    /// # Errors
    /// If a temporary file cannot be written or read.
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        self.workbook.push_worksheet(self.sheet);
        self.workbook.save_to_buffer().map_err(io::Error::other)
    }
}

/// The items as a workbook.
///
/// # Errors
/// If there are too many, or if a temporary file cannot be written.
pub fn encode_records<T: Record>(items: &[T]) -> io::Result<Vec<u8>> {
    let mut writer = XlsxWriter::new(&T::columns(), items.len())?;
    for item in items {
        item.cells().into_iter().try_for_each(|cell| writer.push(cell))?;
    }
    writer.finish()
}

/// The local time in the geo. A spreadsheet's times have no offset.
fn local_time(instant: Timestamp, geo: Geo) -> DateTime {
    geo.offset().to_datetime(instant)
}

/// The text, cut to the length that a cell can hold.
fn truncate(text: &str) -> Cow<'_, str> {
    // A UTF-8 text has at least as many bytes as UTF-16 code units.
    if text.len() <= MAX_TEXT_UNITS {
        return text.into();
    }
    let mut units = 0;
    let fits = |character: &char| {
        units += character.len_utf16();
        units <= MAX_TEXT_UNITS
    };
    text.chars().take_while(fits).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(truncate("张三"), "张三");
        let long = truncate(&"🎉".repeat(MAX_TEXT_UNITS)).encode_utf16().count();
        assert_eq!(long, MAX_TEXT_UNITS - 1);
    }
}
