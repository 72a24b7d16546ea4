//! `GET /v1/user-days`: the rows, as pages of JSON or as an export.

use axum::{
    http::{HeaderValue, Uri, header},
    response::Response,
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    user_day::UserDay,
    user_days_export::{ParquetExport, SelectedRows, TextExport},
};
use crate::{
    api::{
        access_log::RowCount,
        compute::compute,
        cursor::{self, Cursor, RowPosition},
        data_request::{DataRequest, EarlyResponse},
        format::{Format, FormatParams},
        list_response,
        meta::Meta,
        params::{Params, parameter_names},
        problem::{Problem, ProblemCode},
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams, SharedParams},
    },
    query::LoadedDays,
    table::{RowField, RowRef, RowSyntax, SelectedFields},
};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 10_000;

/// The endpoint's own parameters.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `UserDaysRequest::parse` parses")]
pub struct UserDaysParams {
    /// Only rows of people who were active on that day (`true`), or who were not (`false`).
    active: Option<bool>,
    /// Fields of a row and their order, separated by commas. Default: all fields.
    #[param(example = "date,user_id,active,send_messenger_num")]
    fields: Option<String>,
    /// Rows per page (JSON only). Default: 100.
    #[param(minimum = 1, maximum = 10_000, example = 100)]
    limit: Option<usize>,
    /// `meta.next_cursor` of the previous page (JSON only).
    cursor: Option<String>,
}

/// A page of user-days.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserDaysAnswer)]
pub struct UserDaysResponse<'a> {
    /// One item per person and day, ordered by day, geo and user id.
    #[schema(value_type = Vec<UserDay>)]
    data: Vec<SelectedFields<'a>>,
    meta: Meta,
}

/// The parsed request.
struct UserDaysRequest {
    shared: SharedParams,
    fields: Vec<RowField>,
    limit: usize,
    cursor: Option<Cursor>,
}

/// User-days
///
/// One item per person and day. JSON is paged with a cursor. CSV, NDJSON and Parquet (`format=csv` or
/// `Accept: text/csv`, and so on) stream the whole selection. In CSV, the items of a list are separated by `;`, and a
/// client has Feishu's notation: `ios 14.2,feishu 3.40.0`.
#[utoipa::path(
    get, path = "/v1/user-days", tag = "data", operation_id = "userDays",
    params(RangeParams, PeopleParams, UserDaysParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "The rows", content(
            (UserDaysResponse<'_> = "application/json"),
            (String = "text/csv", example = "date,user_id,active\r\n2026-11-01,ou_1,true\r\n"),
            (ParquetFile = "application/vnd.apache.parquet"),
            (String = "application/x-ndjson", example = "{\"date\":\"2026-11-01\",\"user_id\":\"ou_1\",\"active\":true}\n"),
        ), headers(("Link" = String, description = "The next page (`rel=\"next\"`), if there is one"))),
        (status = 409, description = "`stale_cursor`: a provisional day has changed between two pages; restart without a cursor",
            body = Problem, content_type = "application/problem+json"),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(mut request: DataRequest) -> Result<Response, EarlyResponse> {
    let mut params = request.params(&[shared_params::shared_names(), parameter_names::<UserDaysParams>()]);
    let parsed = UserDaysRequest::parse(&mut params, &request);
    let requested = request.requested_format(&mut params);
    if requested.format != Format::Json {
        for name in ["limit", "cursor"].into_iter().filter(|name| params.has(name)).collect::<Vec<_>>() {
            params.add_fault(name, "is only valid with JSON; the other formats stream the whole selection");
        }
    }
    params.finish()?;

    let options = request.load_options(parsed.shared.allow_partial);
    let loaded = request.engine().load_rows(&parsed.shared.query, options);
    let loaded = request.load_or_respond(&parsed.shared.query, loaded).await?;
    if requested.format == Format::Json {
        let uri = request.uri().clone();
        // Serializing a page of 10,000 rows takes tens of milliseconds.
        let page = compute(move || page(&loaded, &parsed, &uri)).await??;
        return request.respond(page).await;
    }
    let range = loaded.plan.range;
    let rows = SelectedRows::new(loaded.days, parsed.shared.query.selection);
    let row_count = rows.row_count();
    let file = |body| row_count.attach_to(list_response::file_response(requested.format, "user-days", range, body));
    let (syntax, bom) = match requested.format {
        Format::Parquet => {
            return request.respond_with_export(
                ParquetExport::new(rows, parsed.fields).map_err(list_response::serialization_problem)?,
                file,
            );
        }
        Format::Csv => (RowSyntax::Csv, requested.bom),
        Format::Json | Format::Ndjson => (RowSyntax::Ndjson, false),
    };
    request.respond_with_export(TextExport::new(rows, &parsed.fields, syntax, bom), file)
}

impl UserDaysRequest {
    fn parse(params: &mut Params, request: &DataRequest) -> Self {
        let mut shared = shared_params::parse(params, request);
        shared.query.selection.active = params.flag("active");
        let field_by_name = |name: &str| {
            let names = || RowField::all().map(RowField::name).collect::<Vec<_>>().join(", ");
            RowField::by_name(name).ok_or_else(|| format!("{name:?} is not a field; expected any of {}", names()))
        };
        let fields = params.list("fields", field_by_name).unwrap_or_else(|| RowField::all().collect());
        let limit = params.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        let cursor = params.text("cursor").and_then(|text| {
            let cursor = Cursor::decode(&text).map_err(|error| error.to_string());
            let is_same_query = |cursor: &Cursor| cursor.query_hash == cursor::query_hash(request.uri());
            let cursor = cursor.and_then(|cursor| {
                is_same_query(&cursor).then_some(cursor).ok_or_else(|| "was issued for a different query".to_owned())
            });
            cursor.map_err(|detail| params.add_fault("cursor", detail)).ok()
        });
        Self { shared, fields, limit, cursor }
    }
}

/// One page as JSON, with a link to the next page.
fn page(loaded: &LoadedDays, parsed: &UserDaysRequest, uri: &Uri) -> Result<Response, Problem> {
    let start = page_start(loaded, parsed.cursor.as_ref())?;
    let days = &loaded.days;
    let dictionaries: Vec<_> = days.first().map(|day| day.dictionary().read()).into_iter().collect();
    let mut rows: Vec<RowPosition> = Vec::new();
    if let Some(dictionary) = dictionaries.first() {
        let selector = parsed.shared.query.selection.compile(dictionary);
        let positions = days.iter().enumerate().skip(start.day).flat_map(|(index, day)| {
            let from = if index == start.day { start.row } else { 0 };
            selector.rows_from(day, from).map(move |row| RowPosition { day: index, row })
        });
        // One row more than the page has: its position becomes the cursor of the next page.
        rows = positions.take(parsed.limit + 1).collect();
    }
    let next = (rows.len() > parsed.limit).then(|| rows.pop()).flatten();
    let next = next.map(|position| Cursor::at(&days[position.day], position.row, cursor::query_hash(uri)).encode());
    let items: Vec<_> = match dictionaries.first() {
        Some(dictionary) => {
            rows.iter().map(|position| RowRef::new(dictionary, &days[position.day], position.row)).collect()
        }
        None => Vec::new(),
    };
    let data = items.iter().map(|item| SelectedFields { row: item, fields: &parsed.fields }).collect();
    let meta = Meta { next_cursor: next.clone(), ..Meta::from_loaded_days(loaded) };
    let mut response = RowCount::of(items.len())
        .attach_to(list_response::json_response(&UserDaysResponse { data, meta }, items.len()));
    let link = next.and_then(|cursor| HeaderValue::from_str(&cursor::next_link(uri, &cursor)).ok());
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    Ok(response)
}

/// The position of the first row of the page.
///
/// # Errors
/// If the day of the cursor has changed or is not among the loaded days.
fn page_start(loaded: &LoadedDays, cursor: Option<&Cursor>) -> Result<RowPosition, Problem> {
    let Some(cursor) = cursor else { return Ok(RowPosition::default()) };
    cursor.find(&loaded.days).ok_or_else(|| {
        let detail = format!("the day {} has changed since the previous page", cursor.day);
        Problem::new(ProblemCode::StaleCursor, detail)
    })
}
