//! Content negotiation: the format of a response, from the parameter `format` or the header `Accept`.

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    caching::content_encoding,
    params::Params,
    problem::{Problem, ProblemCode},
};

/// A response format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON document; long lists are paged.
    #[default]
    Json,
    /// Comma-separated values with a header line.
    Csv,
    /// One JSON object per line, the whole selection as a stream.
    Ndjson,
    /// Typed columns, for data frames and databases.
    Parquet,
}

/// The format of a response that is a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestedFormat {
    /// The format.
    pub format: Format,
    /// Whether a CSV begins with a byte order mark.
    pub bom: bool,
}

/// The parameters of the format. Read by [`RequestedFormat::read`].
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FormatParams {
    /// Response format; overrides `Accept`. `csv` is RFC 4180 in UTF-8; text that a spreadsheet would run as a formula
    /// (it begins with `=`, `+`, `-`, `@`, a tab or a carriage return) is prefixed with an apostrophe. `ndjson` is one
    /// JSON object per line. `parquet` has typed columns: dates, timestamps in UTC, integers, booleans and lists.
    #[param(inline)]
    format: Option<Format>,
    /// `true`: the CSV begins with a byte order mark, so that Excel detects UTF-8. Default: `false`.
    bom: Option<bool>,
}

impl RequestedFormat {
    /// The format that the caller prefers. If no format is acceptable (406) or a parameter is faulty, that is recorded in
    /// `params`.
    pub fn read(params: &mut Params, headers: &HeaderMap) -> Self {
        let FormatParams { format, bom } = params.read();
        let negotiated = if params.has("format") { Ok(format.unwrap_or_default()) } else { Format::negotiate(headers) };
        let format = negotiated.unwrap_or_else(|problem| {
            params.reject(problem);
            Format::Json
        });
        if bom.is_some() && format != Format::Csv {
            params.add_fault("bom", "is only valid with CSV");
        }
        Self { format, bom: bom.unwrap_or(false) }
    }
}

impl Format {
    /// All formats, the default first.
    const ALL: [Self; 4] = [Self::Json, Self::Csv, Self::Ndjson, Self::Parquet];

    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The media type with its parameters, for `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json | Self::Ndjson | Self::Parquet => self.media_type(),
        }
    }

    /// The file name extension, for formats that are usually saved to a file.
    #[must_use]
    pub const fn extension(self) -> Option<&'static str> {
        match self {
            Self::Csv => Some("csv"),
            Self::Parquet => Some("parquet"),
            Self::Json | Self::Ndjson => None,
        }
    }

    /// The format that `Accept` prefers; JSON if it prefers none.
    ///
    /// # Errors
    /// A problem (406) if no format is acceptable.
    fn negotiate(headers: &HeaderMap) -> Result<Self, Problem> {
        let accept: Vec<&str> =
            headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let accept = accept.join(",");
        // A missing `Accept` accepts every format (RFC 9110, section 12.5.1).
        if accept.trim().is_empty() {
            return Ok(Self::default());
        }
        let quality = |format: Self| media_type_quality(&accept, format.media_type());
        let preferred = Self::ALL.into_iter().rev().max_by(|a, b| quality(*a).total_cmp(&quality(*b)));
        preferred.filter(|format| quality(*format) > 0.0).ok_or_else(|| {
            let types = Self::ALL.map(Self::media_type).join(", ");
            Problem::new(ProblemCode::NotAcceptable, format!("available media types: {types}"))
        })
    }
}

/// The quality of a media type, 0 to 1: that of the most specific matching range (RFC 9110, section 12.5.1).
fn media_type_quality(accept: &str, media_type: &str) -> f32 {
    let main_type = media_type.split('/').next().unwrap_or_default();
    let matching = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let range = parts.next()?.to_ascii_lowercase();
        let specificity = match range.as_str() {
            "*/*" | "*" => 0,
            range if range.strip_suffix("/*") == Some(main_type) => 1,
            range if range == media_type => 2,
            _ => return None,
        };
        let q = parts.filter_map(content_encoding::quality).next_back();
        Some((specificity, q.map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0))))
    });
    matching.max_by_key(|(specificity, _)| *specificity).map_or(0.0, |(_, q)| q)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("*/*", Some(Format::Json))]
    #[case("application/json", Some(Format::Json))]
    #[case("application/x-ndjson", Some(Format::Ndjson))]
    #[case("application/json;q=0.5, application/x-ndjson", Some(Format::Ndjson))]
    #[case("application/x-ndjson;q=0.1, */*;q=0.5", Some(Format::Json))]
    #[case("text/html,application/xhtml+xml,*/*;q=0.8", Some(Format::Json))]
    #[case("Application/JSON", Some(Format::Json))]
    #[case("application/*", Some(Format::Json))]
    #[case("application/json;q=0, application/*", Some(Format::Ndjson))]
    #[case("", Some(Format::Json))]
    #[case("application/json;Q=0.1, application/x-ndjson", Some(Format::Ndjson))]
    #[case("text/html", None)]
    #[case("application/json;q=0", None)]
    fn the_preferred_format_is_chosen(#[case] accept: &str, #[case] chosen: Option<Format>) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        assert_eq!(Format::negotiate(&headers).ok(), chosen);
    }
}
