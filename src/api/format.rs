//! Content negotiation: the format of a response, from the parameter `format` or the header `Accept`.

use axum::http::{HeaderMap, header};
use utoipa::{IntoParams, ToSchema};

use super::{
    caching::content_encoding,
    params::Params,
    problem::{Problem, ProblemCode},
};

/// A response format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON document; long lists are paged.
    #[default]
    Json,
    /// One JSON object per line, the whole selection as a stream.
    Ndjson,
    /// Comma-separated values with a header line.
    Csv,
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

/// The parameters of the format. Parsed by [`RequestedFormat::parse`].
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `RequestedFormat::parse` parses")]
pub struct FormatParams {
    /// Response format; overrides `Accept`. `csv` is RFC 4180 in UTF-8; text that a spreadsheet would run as a formula
    /// (it begins with `=`, `+`, `-`, `@`, a tab or a carriage return) is prefixed with an apostrophe. `ndjson` is one
    /// JSON object per line. `parquet` has typed columns: dates, timestamps in UTC, integers, booleans and lists.
    #[param(inline)]
    format: Option<FormatParam>,
    /// `true`: the CSV begins with a byte order mark, so that Excel detects UTF-8. Default: `false`.
    bom: Option<bool>,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `RequestedFormat::parse` parses")]
enum FormatParam {
    Json,
    Csv,
    Ndjson,
    Parquet,
}

impl RequestedFormat {
    /// The format that the caller prefers. If no format is acceptable (406) or a parameter is faulty, that is recorded in
    /// `params`.
    pub fn parse(params: &mut Params, headers: &HeaderMap) -> Self {
        let format = Format::negotiate(params, headers, &[Format::Json, Format::Csv, Format::Ndjson, Format::Parquet]);
        let format = format.unwrap_or_else(|problem| {
            params.reject(problem);
            Format::Json
        });
        let bom = params.flag("bom");
        if bom.is_some() && format != Format::Csv {
            params.add_fault("bom", "is only valid with CSV");
        }
        Self { format, bom: bom.unwrap_or(false) }
    }
}

impl Format {
    const ALL: [(&'static str, Self); 4] =
        [("json", Self::Json), ("csv", Self::Csv), ("ndjson", Self::Ndjson), ("parquet", Self::Parquet)];

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

    /// The format of `offered` that the caller prefers; the first one if the caller has no preference.
    ///
    /// # Errors
    /// A problem (406) if no offered format is acceptable. A faulty `format` is recorded in `params`.
    pub fn negotiate(params: &mut Params, headers: &HeaderMap, offered: &[Self]) -> Result<Self, Problem> {
        let names: Vec<_> = Self::ALL.into_iter().filter(|(_, format)| offered.contains(format)).collect();
        if params.has("format") {
            return Ok(params.one_of("format", &names).unwrap_or(Self::Json));
        }
        let accept: Vec<&str> =
            headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let accept = accept.join(",");
        // A missing `Accept` accepts every format (RFC 9110, section 12.5.1).
        if accept.trim().is_empty() {
            return Ok(offered[0]);
        }
        let preferred = offered.iter().rev().max_by(|a, b| {
            media_type_quality(&accept, a.media_type()).total_cmp(&media_type_quality(&accept, b.media_type()))
        });
        preferred.copied().filter(|format| media_type_quality(&accept, format.media_type()) > 0.0).ok_or_else(|| {
            let types: Vec<_> = offered.iter().map(|format| format.media_type()).collect();
            Problem::new(ProblemCode::NotAcceptable, format!("available media types: {}", types.join(", ")))
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
        let negotiated = Format::negotiate(&mut Params::default(), &headers, &[Format::Json, Format::Ndjson]);
        assert_eq!(negotiated.ok(), chosen);
    }
}
