//! Which format an answer is written in: `format=` where it is given, else the header `Accept` with its q-values.

use axum::http::{HeaderMap, header};
use utoipa::{IntoParams, ToSchema};

use super::{
    caching::encoding,
    params::Params,
    problem::{Problem, ProblemCode},
};

/// A format of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON document, in pages where it is long.
    #[default]
    Json,
    /// A JSON object a line, the whole selection as a stream.
    Ndjson,
    /// Comma-separated values with a line of names.
    Csv,
    /// Columns with types, for data frames and databases.
    Parquet,
}

/// How a table is to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The format.
    pub format: Format,
    /// Whether a CSV begins with a byte order mark.
    pub bom: bool,
}

/// The format of a table. Read by [`Wanted::read`].
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what is read")]
pub struct FormatParams {
    /// The format; overrides `Accept`. `csv` is RFC 4180 in UTF-8; texts that a spreadsheet would run as a formula
    /// (they begin with `=`, `+`, `-`, `@`, a tab or a carriage return) get an apostrophe in front. `ndjson` is one
    /// JSON object a line. `parquet` has typed columns: days, instants in UTC, integers, booleans and lists.
    #[param(inline)]
    format: Option<FormatParam>,
    /// `true`: the CSV begins with a byte order mark, by which Excel knows UTF-8. Default: `false`.
    bom: Option<bool>,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what is read")]
enum FormatParam {
    Json,
    Csv,
    Ndjson,
    Parquet,
}

impl Wanted {
    /// The format of a table that the caller wants most. Where nothing on offer is acceptable (406), or a parameter is
    /// faulty, `params` knows.
    pub fn read(params: &mut Params, headers: &HeaderMap) -> Self {
        let format = Format::wanted(params, headers, &[Format::Json, Format::Csv, Format::Ndjson, Format::Parquet]);
        let format = format.unwrap_or_else(|problem| {
            params.refuse(problem);
            Format::Json
        });
        let bom = params.flag("bom");
        if bom.is_some() && format != Format::Csv {
            params.fault("bom", "goes only with CSV");
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

    /// The media type with its parameters, as an answer names it.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json | Self::Ndjson | Self::Parquet => self.media_type(),
        }
    }

    /// How the name of a file ends, for the formats that are saved rather than read.
    #[must_use]
    pub const fn extension(self) -> Option<&'static str> {
        match self {
            Self::Csv => Some("csv"),
            Self::Parquet => Some("parquet"),
            Self::Json | Self::Ndjson => None,
        }
    }

    /// The format that the caller wants most, where it is served; the first of `offered` where the caller does not care.
    ///
    /// # Errors
    /// A problem (406) where nothing on offer is acceptable. A faulty `format` is a fault of `params`.
    pub fn wanted(params: &mut Params, headers: &HeaderMap, offered: &[Self]) -> Result<Self, Problem> {
        let words: Vec<_> = Self::ALL.into_iter().filter(|(_, format)| offered.contains(format)).collect();
        if params.has("format") {
            return Ok(params.one_of("format", &words).unwrap_or(Self::Json));
        }
        let accept: Vec<&str> =
            headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let accept = accept.join(",");
        // Who names nothing takes anything.
        if accept.trim().is_empty() {
            return Ok(offered[0]);
        }
        let best = offered
            .iter()
            .rev()
            .max_by(|one, other| quality(&accept, one.media_type()).total_cmp(&quality(&accept, other.media_type())));
        best.copied().filter(|format| quality(&accept, format.media_type()) > 0.0).ok_or_else(|| {
            let types: Vec<_> = offered.iter().map(|format| format.media_type()).collect();
            Problem::new(ProblemCode::NotAcceptable, format!("served here are {}", types.join(", ")))
        })
    }
}

/// How much a media type is wanted, 0 to 1: the most specific range of the header counts (RFC 9110, section 12.5.1).
fn quality(accept: &str, media_type: &str) -> f32 {
    let kind = media_type.split('/').next().unwrap_or_default();
    let matching = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let range = parts.next()?.to_ascii_lowercase();
        let specificity = match range.as_str() {
            "*/*" | "*" => 0,
            range if range.strip_suffix("/*") == Some(kind) => 1,
            range if range == media_type => 2,
            _ => return None,
        };
        let q = parts.filter_map(encoding::quality).next_back();
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
    fn the_most_wanted_format_is_chosen(#[case] accept: &str, #[case] chosen: Option<Format>) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        let wanted = Format::wanted(&mut Params::default(), &headers, &[Format::Json, Format::Ndjson]);
        assert_eq!(wanted.ok(), chosen);
    }
}
