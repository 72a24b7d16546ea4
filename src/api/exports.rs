//! Exports: the tables of the API as files, below the path of the JSON operation with the format as its suffix, such as
//! `/v1/reports/activity.csv`. Route and handler are those of the JSON operation; the suffix decides the format.

use axum::{
    extract::{FromRequestParts as _, RawPathParams},
    http::request::Parts,
};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, KnownFormat, ObjectBuilder, RefOr, Response, ResponseBuilder, Schema, SchemaFormat, Type,
        header::HeaderBuilder,
        path::{Operation, Parameter, Paths},
    },
};
use utoipa_axum::router::UtoipaMethodRouter;

use super::{
    format::{Format, Layout, PathSuffix},
    params::param_types::choice_schema,
    problem::Problem,
    state::ApiState,
};

/// The suffix of the path of an export, with the name of the path parameter.
const SUFFIX: &str = ".{format}";

/// The name of the path parameter.
const PATH_PARAMETER: &str = "format";

/// The status of a JSON operation that an operation with a suffix does not have, because the path decides the format.
pub(super) const NOT_ACCEPTABLE: &str = "406";

/// Statuses of the JSON operation that an export does not have. It has no pages, so no cursor becomes stale.
const JSON_STATUSES: [&str; 2] = [NOT_ACCEPTABLE, "409"];

/// Parameters of JSON operations that an export does not have in the same form.
const JSON_PARAMETERS: [&str; 2] = ["cursor", "layout"];

/// The path parameter of an export.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "documents what `suffix` reads")]
struct SuffixParam {
    /// Format of the file. `csv` is RFC 4180 in UTF-8; text that a spreadsheet would run as a formula (it begins with `=`,
    /// `+`, `-`, `@`, a tab or a carriage return) is prefixed with an apostrophe. `ndjson` is one JSON object per line.
    /// `parquet` has typed columns: dates, timestamps in UTC, integers, booleans and lists. `xlsx` is a workbook with typed
    /// cells; it has at most 1,048,575 rows, a larger table is `400`.
    #[param(example = "csv")]
    format: ExportFormat,
}

/// The query parameters of an export, in addition to those of its JSON operation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `RequestedFormat::read` reads")]
struct ExportParams {
    /// `true`: the CSV begins with a byte order mark, so that Excel detects UTF-8. Default: `false`.
    bom: Option<bool>,
    /// `flat`: the objects of NDJSON have the columns of CSV. The other formats always have these columns. Default:
    /// `nested`.
    #[param(value_type = Option<ExportLayout>)]
    layout: Option<Layout>,
}

/// The format of an export.
#[derive(ToSchema)]
#[schema(as = Format, rename_all = "snake_case")]
#[expect(dead_code, reason = "documents `Format::EXPORTS`")]
enum ExportFormat {
    Csv,
    Ndjson,
    Parquet,
    Xlsx,
}

/// The form of the objects in NDJSON.
pub(super) struct ExportLayout;

impl PartialSchema for ExportLayout {
    fn schema() -> RefOr<Schema> {
        choice_schema("The form of the objects in NDJSON.", ["nested", "flat"])
    }
}

impl ToSchema for ExportLayout {}

/// The format that the suffix of the path names; `None` on paths without a suffix. A route whose suffix is fixed has it
/// as an extension.
///
/// # Errors
/// A problem (404) if there is no such format.
pub(super) async fn suffix(parts: &mut Parts) -> Result<Option<PathSuffix>, Problem> {
    if let Some(suffix) = parts.extensions.get::<PathSuffix>() {
        return Ok(Some(*suffix));
    }
    // Only text that is not UTF-8 is an error here, and then the extractor of the path responds.
    let Ok(params) = RawPathParams::from_request_parts(parts, &()).await else { return Ok(None) };
    let suffix = params.iter().find(|(name, _)| *name == PATH_PARAMETER);
    suffix.map(|(_, suffix)| Format::by_suffix(suffix).map(PathSuffix::Export)).transpose()
}

/// The routes of a JSON operation, and those of its export. `json_only` are the operation's own parameters that exports do
/// not have.
pub(super) fn with_export(
    (schemas, paths, handlers): UtoipaMethodRouter<ApiState>,
    json_only: &[&str],
) -> [UtoipaMethodRouter<ApiState>; 2] {
    let mut json_paths = Paths::new();
    let mut export_paths = Paths::new();
    for (path, mut item) in paths.paths {
        let mut export = item.clone();
        let export_path = format!("{path}{SUFFIX}");
        if let Some(operation) = &mut item.get {
            append(
                &mut operation.description,
                &format!(
                    "As a file: `{export_path}`. `format` (`csv`, `ndjson`, `parquet`, `xlsx`) or `Accept` on this path give the \
                 same; `layout=flat` gives the items the columns of CSV.",
                ),
            );
        }
        if let Some(operation) = &mut export.get {
            describe_export(operation, json_only);
        }
        json_paths.paths.insert(path, item);
        export_paths.paths.insert(export_path, export);
    }
    let mut export_schemas = schemas.clone();
    export_schemas.push((ExportFormat::name().into_owned(), ExportFormat::schema()));
    [(schemas, json_paths, handlers.clone()), (export_schemas, export_paths, handlers)]
}

/// Turns the description of a JSON operation into that of its export.
fn describe_export(operation: &mut Operation, json_only: &[&str]) {
    operation.tags = Some(vec!["exports".to_owned()]);
    operation.operation_id = operation.operation_id.as_ref().map(|id| format!("{id}Export"));
    operation.summary = operation.summary.as_ref().map(|summary| format!("{summary}, as a file"));
    append(
        &mut operation.description,
        "A response of up to 64 MiB has `Content-Length` and supports range requests \
        (`Range`, `If-Range`); a longer one is streamed.",
    );
    let mut parameters = operation.parameters.take().unwrap_or_default();
    parameters.retain(|parameter| {
        let RefOr::T(Parameter { name, .. }) = parameter else { return true };
        !JSON_PARAMETERS.iter().chain(json_only).any(|other| other == name)
    });
    let export = SuffixParam::into_params(|| None).into_iter().chain(ExportParams::into_params(|| None));
    parameters.extend(export.map(RefOr::T));
    operation.parameters = Some(parameters);
    let responses = &mut operation.responses.responses;
    responses.retain(|status, _| !JSON_STATUSES.contains(&status.as_str()));
    if let Some(RefOr::T(json)) = responses.get("200") {
        let export = file_response(&json.description);
        responses.insert("200".to_owned(), RefOr::T(export));
    }
}

/// The response with a file. Generators of clients that have one type for all formats take the first one, so formats of bytes
/// precede those of text.
fn file_response(description: &str) -> Response {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let header = |description: &str| HeaderBuilder::new().schema(Some(text())).description(Some(description)).build();
    let response = ResponseBuilder::new().description(description).header(
        "Pulse-Missing-Days",
        header(
            "Selected days whose rows are not in the file: late, expired, or not loaded; separated by commas, as `geo:date` \
             if there are several geos; at most 366, then `+` and the number of further days",
        ),
    );
    let response = response.header("Content-Disposition", header("The name of the file. CSV, Parquet and XLSX only"));
    let contents = Format::EXPORTS.map(|(format, _)| {
        let bytes = format.is_binary().then_some(SchemaFormat::KnownFormat(KnownFormat::Binary));
        (format.media_type(), ContentBuilder::new().schema(Some(text().format(bytes))).build())
    });
    let response =
        contents.into_iter().fold(response, |response, (media_type, content)| response.content(media_type, content));
    response.build()
}

/// Appends a paragraph.
pub(super) fn append(text: &mut Option<String>, paragraph: &str) {
    let text = text.get_or_insert_default();
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(paragraph);
}
