//! Tabular answers: the same items as JSON, as lines of JSON, or as CSV.

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    envelope::Meta,
    negotiate::{Format, Wanted},
};
use crate::{
    model::DayRange,
    table::{Record, csv},
};

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
            Format::Json => Json(self).into_response(),
            Format::Ndjson => file(wanted.format, subject, days, lines(&self.data).into()),
            Format::Csv => file(wanted.format, subject, days, table(&self.data, wanted.bom).into()),
        }
    }
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

/// Writes the items as CSV, without a line of names.
pub fn push_rows<T: Record>(out: &mut Vec<u8>, items: &[T]) {
    for item in items {
        csv::push_record(out, item);
    }
}
