//! Responses that are lists of items, as JSON, NDJSON, CSV or Parquet.

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
    format::{Format, RequestedFormat},
    meta::Meta,
    problem::{Problem, ProblemCode},
};
use crate::{
    model::DayRange,
    table::{
        Record, csv,
        parquet::{ParquetStream, record_columns},
    },
};

/// Approximate size in bytes of an item with all counters, as JSON.
const BYTES_PER_ITEM: usize = 1024;

/// A list of items and its metadata.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Answer)]
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
        match requested.format {
            Format::Json => json_response(&self, self.data.len()),
            Format::Ndjson => file_response(requested.format, subject, days, ndjson(&self.data).into()),
            Format::Csv => {
                file_response(requested.format, subject, days, csv_with_header(&self.data, requested.bom).into())
            }
            Format::Parquet => match parquet_file(&self.data) {
                Ok(bytes) => file_response(requested.format, subject, days, bytes.into()),
                Err(error) => serialization_problem(error).into_response(),
            },
        }
    }
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
pub fn ndjson<T: Serialize>(items: &[T]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        // Writing to a `Vec` cannot fail.
        let _ = serde_json::to_writer(&mut out, item);
        out.push(b'\n');
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
