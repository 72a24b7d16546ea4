//! Responses that are lists of items, in all formats.

use std::{fmt::Display, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use parquet::errors::ParquetError;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    format::{Format, Layout, RequestedFormat},
    meta::Meta,
    problem::{ParameterFault, Problem, ProblemCode},
};
use crate::{
    model::DayRange,
    table::{
        FlatRecord, Record, csv, ndjson,
        parquet::{ParquetStream, record_columns},
        xlsx,
    },
};

/// Approximate size in bytes of an item with all counters, as JSON.
const BYTES_PER_ITEM: usize = 1024;

/// A list of items and its metadata.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = List)]
pub struct ListResponse<T> {
    /// The items.
    pub data: Vec<T>,
    /// Days that the items are based on.
    pub meta: Meta,
}

impl<T: Record + Serialize> ListResponse<T> {
    /// The response in the requested format. The name of a file contains `subject` and the range of days.
    #[must_use]
    pub fn into_format(self, requested: RequestedFormat, subject: &str) -> Response {
        let days = self.meta.range();
        let file = match requested.format {
            Format::Json => return self.into_json(requested.layout),
            Format::Ndjson => Ok(ndjson_lines(&self.data, requested.layout)),
            Format::Csv => Ok(csv_with_header(&self.data, requested.bom)),
            Format::Parquet => parquet_file(&self.data).map_err(serialization_problem),
            Format::Xlsx => check_xlsx_rows(self.data.len())
                .and_then(|()| xlsx::encode_records(&self.data).map_err(serialization_problem)),
        };
        match file {
            Ok(bytes) => file_response(requested.format, subject, days, bytes.into()),
            Err(problem) => problem.into_response(),
        }
    }

    /// The response as JSON.
    #[must_use]
    pub fn into_json(self, layout: Layout) -> Response {
        if layout != Layout::Flat {
            return json_response(&self, self.data.len());
        }
        let columns = T::columns();
        let data: Vec<_> = FlatRecord::all(&self.data, &columns).collect();
        json_response(&ListResponse { data, meta: self.meta }, self.data.len())
    }
}

/// Checks that a sheet can hold a number of rows.
///
/// # Errors
/// A problem (400) that names other formats.
pub fn check_xlsx_rows(rows: usize) -> Result<(), Problem> {
    if rows <= xlsx::MAX_ROWS {
        return Ok(());
    }
    let detail = format!(
        "the table has {rows} rows, but an XLSX sheet has at most {}; use CSV or Parquet, or a shorter range",
        xlsx::MAX_ROWS
    );
    Err(Problem::invalid_parameters(vec![ParameterFault { parameter: "format".to_owned(), detail }]))
}

/// A JSON response, with a buffer that is preallocated for `items` items. For large bodies: the growing buffer of
/// `axum::Json` takes twice as long.
pub fn json_response(value: &impl Serialize, items: usize) -> Response {
    let mut body: Vec<u8> = Vec::with_capacity((items + 1) * BYTES_PER_ITEM);
    match serde_json::to_writer(&mut body, value) {
        Ok(()) => {
            // The response cache accounts for the length of a body, not for its capacity.
            body.shrink_to_fit();
            ([(header::CONTENT_TYPE, HeaderValue::from_static(Format::Json.content_type()))], body).into_response()
        }
        Err(error) => serialization_problem(error).into_response(),
    }
}

/// The problem of a response body that could not be serialized.
#[must_use]
pub fn serialization_problem(error: impl Display) -> Problem {
    Problem::new(ProblemCode::Internal, format!("the response could not be written: {error}"))
}

/// A response with the content type of `format`, and with a file name if the format is usually saved to a file.
#[must_use]
pub fn file_response(format: Format, subject: &str, days: DayRange, body: Body) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    if let Some(extension) = format.extension() {
        let name = format!("feishu-{subject}_{}_{}.{extension}", days.first(), days.last());
        let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
        headers.extend(disposition.ok().map(|disposition| (header::CONTENT_DISPOSITION, disposition)));
    }
    (headers, body).into_response()
}

/// The items as NDJSON.
pub fn ndjson_lines<T: Record + Serialize>(items: &[T], layout: Layout) -> Vec<u8> {
    let mut out = Vec::new();
    if layout == Layout::Flat {
        FlatRecord::all(items, &T::columns()).for_each(|item| ndjson::push_line(&mut out, &item));
    } else {
        for item in items {
            ndjson::push_line(&mut out, item);
        }
    }
    out
}

/// The items as CSV with a header line.
pub fn csv_with_header<T: Record>(items: &[T], bom: bool) -> Vec<u8> {
    let mut out = if bom { csv::UTF8_BOM.to_vec() } else { Vec::new() };
    csv::push_header(&mut out, T::columns().iter().map(|column| &*column.name));
    push_csv_rows(&mut out, items);
    out
}

/// The items as Parquet.
///
/// # Errors
/// If the Parquet writer fails. No cause is known, because it writes to memory.
pub fn parquet_file<T: Record>(items: &[T]) -> Result<Vec<u8>, ParquetError> {
    let mut stream = ParquetStream::new(record_columns::columns::<T>())?;
    let columns = record_columns::cells(items);
    let mut file = stream.write_row_group(1, |column, _| Arc::clone(&columns[column]))?;
    file.append(&mut stream.finish()?);
    Ok(file)
}

/// Appends the items as CSV, without a header line.
pub fn push_csv_rows<T: Record>(out: &mut Vec<u8>, items: &[T]) {
    for item in items {
        csv::push_record(out, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_no_sheet_can_hold_is_rejected_with_other_formats() {
        assert!(check_xlsx_rows(1_048_575).is_ok());
        let problem = check_xlsx_rows(1_048_576).unwrap_err();
        assert_eq!(problem.code, ProblemCode::InvalidParameters);
        let document = serde_json::to_value(&problem).unwrap();
        let detail = document["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("CSV") && detail.contains("Parquet") && detail.contains("1048575"), "{detail}");
    }
}
