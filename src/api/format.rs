//! Content negotiation: the format of a response, from the suffix of the path, the parameter `format` or the header
//! `Accept`.

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    caching::content_encoding,
    params::Params,
    picture::style::{PictureParams, PictureStyle},
    problem::{Problem, ProblemCode},
};

/// A response format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
    /// A workbook with one sheet, for spreadsheets.
    Xlsx,
}

/// The suffix of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathSuffix {
    /// A file in this format.
    Export(Format),
    /// A picture.
    Picture,
}

/// The form of the items in JSON and NDJSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// A list of items with nested objects and lists.
    #[default]
    Nested,
    /// A list of items with the columns of CSV.
    Flat,
    /// Items in the `children` of their parents. Only for items that form a tree.
    Tree,
}

/// The format of a response that is a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestedFormat {
    /// The format.
    pub format: Format,
    /// Whether a CSV begins with a byte order mark.
    pub bom: bool,
    /// The form of the items in JSON and NDJSON.
    pub layout: Layout,
    /// Colours and language, if the items are drawn instead of listed. The format is JSON then.
    pub picture: Option<PictureStyle>,
}

/// The parameters of the format. Read by [`RequestedFormat::read`]. The OpenAPI document has them as parameters of exports,
/// see [`exports`](super::exports).
#[derive(Debug, Default, Deserialize)]
struct FormatParams {
    bom: Option<bool>,
    layout: Option<Layout>,
}

/// The parameter that selects a format, on a path without a suffix.
#[derive(Debug, Default, Deserialize)]
struct FormatParam {
    format: Option<Format>,
}

/// The name of the parameter that selects the form of the items.
const LAYOUT: &str = "layout";

impl RequestedFormat {
    /// The format of the path's `suffix`, or else the one that the caller prefers. If no format is acceptable (406) or a
    /// parameter is faulty, that is recorded in `params`.
    ///
    /// An endpoint whose own parameters declare `layout`, and are read before, accepts [`Layout::Tree`].
    pub fn read(params: &mut Params, headers: &HeaderMap, suffix: Option<PathSuffix>) -> Self {
        let has_tree = params.accepts(LAYOUT);
        let format = match suffix {
            Some(PathSuffix::Picture) => {
                let style = params.read::<PictureParams>().style();
                return Self { picture: Some(style), ..Self::default() };
            }
            Some(PathSuffix::Export(format)) => format,
            None => Self::negotiated(params, headers),
        };
        let FormatParams { bom, layout } = params.read();
        if bom.is_some() && format != Format::Csv {
            params.add_fault("bom", "is only valid with CSV");
        }
        let layout = layout.unwrap_or_default();
        match (layout, format) {
            (Layout::Tree, _) if !has_tree => params.add_fault(LAYOUT, "expected one of nested, flat"),
            (Layout::Tree, Format::Csv | Format::Ndjson | Format::Parquet | Format::Xlsx) => {
                params.add_fault(LAYOUT, "tree is only valid with JSON");
            }
            _ => {}
        }
        Self { format, bom: bom.unwrap_or(false), layout, picture: None }
    }

    fn negotiated(params: &mut Params, headers: &HeaderMap) -> Format {
        let FormatParam { format } = params.read();
        if params.has("format") {
            return format.unwrap_or_default();
        }
        Format::negotiate(headers).unwrap_or_else(|problem| {
            params.reject(problem);
            Format::Json
        })
    }

    /// Whether the response has a part `meta`.
    #[must_use]
    pub fn has_meta(self) -> bool {
        self.format == Format::Json && self.picture.is_none()
    }

    /// Whether the items are rows of a table: in all formats but JSON, and in JSON with `layout=flat`.
    #[must_use]
    pub fn has_rows(self) -> bool {
        self.format != Format::Json || self.layout == Layout::Flat
    }
}

impl Format {
    /// All formats, the default first.
    const ALL: [Self; 5] = [Self::Json, Self::Csv, Self::Ndjson, Self::Parquet, Self::Xlsx];

    /// The formats of exports, with the suffix of the path.
    pub const EXPORTS: [(Self, &'static str); 4] =
        [(Self::Parquet, "parquet"), (Self::Xlsx, "xlsx"), (Self::Csv, "csv"), (Self::Ndjson, "ndjson")];

    /// The format with this suffix of the path.
    ///
    /// # Errors
    /// A problem (404) if there is none.
    pub fn by_suffix(suffix: &str) -> Result<Self, Problem> {
        let found = Self::EXPORTS.into_iter().find(|(_, known)| *known == suffix);
        found.map(|(format, _)| format).ok_or_else(|| {
            let known = Self::EXPORTS.map(|(_, known)| known).join(", ");
            let detail = format!("there is no export with this suffix; expected any of {known}; JSON has no suffix");
            Problem::new(ProblemCode::NotFound, detail)
        })
    }

    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// The media type with its parameters, for `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json | Self::Ndjson | Self::Parquet | Self::Xlsx => self.media_type(),
        }
    }

    /// Whether a file in this format is not a text.
    #[must_use]
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::Parquet | Self::Xlsx)
    }

    /// The file name extension, for formats that are usually saved to a file.
    #[must_use]
    pub const fn extension(self) -> Option<&'static str> {
        match self {
            Self::Csv => Some("csv"),
            Self::Parquet => Some("parquet"),
            Self::Xlsx => Some("xlsx"),
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
#[must_use]
pub fn media_type_quality(accept: &str, media_type: &str) -> f32 {
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
