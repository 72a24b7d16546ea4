//! Tabular answers: the same items as JSON, as lines of JSON, as CSV or as Parquet.

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
    envelope::Meta,
    negotiate::{Format, Wanted},
    problem::{Problem, ProblemCode},
};
use crate::{
    model::DayRange,
    table::{
        Record, csv,
        parquet::{Stream, records},
    },
};

/// Bytes of JSON that an item with all counters takes, more or less.
const WIDE: usize = 1024;

/// A list of items, and what it is based on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Answer<T> {
    /// The items.
    pub data: Vec<T>,
    /// What they are based on.
    pub meta: Meta,
}

impl<T: Record + Serialize> Answer<T> {
    /// The answer in the wanted format. As a file it is named after `subject` and the days it is about.
    #[must_use]
    pub fn written(self, wanted: Wanted, subject: &str) -> Response {
        let days = self.meta.range();
        match wanted.format {
            Format::Json => json(&self, self.data.len()),
            Format::Ndjson => file(wanted.format, subject, days, lines(&self.data).into()),
            Format::Csv => file(wanted.format, subject, days, table(&self.data, wanted.bom).into()),
            Format::Parquet => match columns(&self.data) {
                Ok(bytes) => file(wanted.format, subject, days, bytes.into()),
                Err(error) => unwritten(error).into_response(),
            },
        }
    }
}

/// The answer as JSON, with room for so many wide items. For large ones: `axum::Json` writes to a buffer that is half as
/// fast.
pub fn json(answer: &impl Serialize, items: usize) -> Response {
    let mut body: Vec<u8> = Vec::with_capacity((items + 1) * WIDE);
    match serde_json::to_writer(&mut body, answer) {
        Ok(()) => {
            // It may be kept, and is weighed by its length.
            body.shrink_to_fit();
            ([(header::CONTENT_TYPE, HeaderValue::from_static(Format::Json.content_type()))], body).into_response()
        }
        Err(error) => unwritten(error).into_response(),
    }
}

/// The problem that an answer could not be written.
#[must_use]
pub fn unwritten(error: impl Display) -> Problem {
    Problem::new(ProblemCode::Internal, format!("the answer could not be written: {error}"))
}

/// A body of that format, with a name to be saved under where the format is one of files.
#[must_use]
pub fn file(format: Format, subject: &str, days: DayRange, body: Body) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    if let Some(extension) = format.extension() {
        let name = format!("feishu-{subject}_{}_{}.{extension}", days.first(), days.last());
        let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
        headers.extend(disposition.ok().map(|disposition| (header::CONTENT_DISPOSITION, disposition)));
    }
    (headers, body).into_response()
}

/// The items as lines of JSON.
pub fn lines<T: Serialize>(items: &[T]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut out, item);
        out.push(b'\n');
    }
    out
}

/// The items as CSV, with a line of names.
pub fn table<T: Record>(items: &[T], bom: bool) -> Vec<u8> {
    let mut out = if bom { csv::BOM.to_vec() } else { Vec::new() };
    csv::push_header(&mut out, T::columns().iter().map(|column| &*column.name));
    push_rows(&mut out, items);
    out
}

/// The items as Parquet.
///
/// # Errors
/// None that is known: it is written to memory.
pub fn columns<T: Record>(items: &[T]) -> Result<Vec<u8>, ParquetError> {
    let mut stream = Stream::new(records::columns::<T>())?;
    let columns = records::cells(items);
    let mut file = stream.group(1, |column, _| Arc::clone(&columns[column]))?;
    file.append(&mut stream.finish()?);
    Ok(file)
}

/// Writes the items as CSV, without a line of names.
pub fn push_rows<T: Record>(out: &mut Vec<u8>, items: &[T]) {
    for item in items {
        csv::push_record(out, item);
    }
}
