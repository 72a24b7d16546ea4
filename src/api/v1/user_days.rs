//! `GET /v1/user-days`: the rows, as pages of JSON or as an export.

use axum::{
    http::{HeaderValue, Uri, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    user_day::UserDay,
    user_days_export::{ParquetExport, SelectedRows, TextExport, XlsxExport},
};
use crate::{
    api::{
        access_log::RowCount,
        compute::compute,
        cursor::{self, Cursor, Offset},
        data_request::{DataRequest, EarlyResponse, Loaded, RequestContext},
        export_limits::ExportPermit,
        format::{Format, Layout, RequestedFormat},
        list_response,
        meta::Meta,
        params::WholeNumber,
        problem::{ParameterFault, Problem, ProblemCode},
        representation::Representation,
        responses::{CommonProblems, FormatProblems, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams},
    },
    query::LoadedDays,
    table::{
        RowField, RowPosition, RowRef, RowSort, RowSyntax, SelectedFields, dictionary::DictionaryTables,
        row_order::TooManyRows,
    },
};

const DEFAULT_LIMIT: usize = 100;

type PageSize = WholeNumber<1, 10_000>;

/// The endpoint's own parameters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UserDaysParams {
    /// Only rows of people who were active on that day (`true`), or who were not (`false`).
    active: Option<bool>,
    /// Fields of a row and their order, separated by commas. Default: all fields.
    #[param(example = "date,user_id,active,send_messenger_num")]
    fields: Option<String>,
    /// Sort key: a field of a row that is no list, such as `send_messenger_num`, `date`, `user_id` or
    /// `department_path`. A leading minus sign sorts in descending order. Ties are in the default order: day, geo, user
    /// id. A missing value is the smallest. At most 10,000,000 rows are sorted; a larger selection is `400`.
    #[param(example = "-send_messenger_num")]
    sort: Option<String>,
    /// Rows per page (JSON only). Default: 100.
    #[param(inline, example = 100)]
    limit: Option<PageSize>,
    /// `meta.next_cursor` of the previous page (JSON only).
    cursor: Option<String>,
}

/// A page of user-days.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserDayList)]
pub struct UserDaysResponse<'a> {
    /// One item per person and day, ordered by `sort`, then by day, geo and user id.
    #[schema(value_type = Vec<UserDay>)]
    data: Vec<SelectedFields<'a>>,
    meta: Meta,
}

/// The parsed request.
struct UserDaysRequest {
    data: DataRequest,
    fields: Vec<RowField>,
    sort: Option<RowSort>,
    limit: usize,
    start: PageStart,
}

/// Where a page starts.
enum PageStart {
    FirstRow,
    /// Without `sort`: the position of a row.
    Row(Cursor),
    /// With `sort`: the number of rows before the page.
    Offset(Offset),
}

/// User-days
///
/// One item per person and day. JSON is paged with a cursor. The other formats contain the whole
/// selection. In CSV, XLSX and with `layout=flat`, the items of a list are separated by `;`, and a client has Feishu's
/// notation: `ios 14.2,feishu 3.40.0`.
#[utoipa::path(
    get, path = "/v1/user-days", tag = "data", operation_id = "userDays",
    params(RangeParams, PeopleParams, UserDaysParams, PreferHeader),
    responses(
        (status = 200, description = "The rows", body = UserDaysResponse<'_>, headers(
            ("Link" = String, description = "The next page (`rel=\"next\"`), if there is one"),
        )),
        (status = 409, description = "`stale_cursor`: a provisional day has changed between two pages; restart without a cursor",
            body = Problem, content_type = "application/problem+json"),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(context: RequestContext) -> Result<Response, EarlyResponse> {
    let request = UserDaysRequest::parse(&context)?;
    let DataRequest { query, options, format, .. } = &request.data;
    let permit = (format.format != Format::Json).then(|| context.begin_export()).transpose()?;
    let loaded = context.load(&request.data, context.engine().load_rows(query, *options)).await?;
    let uri = context.uri().clone();
    let current = Representation::validate(context, &loaded, &request.data)?;
    if let Some(permit) = permit {
        return export(current, loaded.into_inner(), request, permit).await;
    }
    // Serializing a page of 10,000 rows takes tens of milliseconds.
    let page = compute(move || page(&loaded, &request, &uri)).await??;
    current.respond(page).await
}

impl UserDaysRequest {
    fn parse(context: &RequestContext) -> Result<Self, Problem> {
        let mut params = context.params();
        let (mut data, own): (_, UserDaysParams) = shared_params::read(&mut params, context);
        data.query.selection.active = own.active;
        if data.format.format != Format::Json {
            for name in ["limit", "cursor"].into_iter().filter(|name| params.has(name)).collect::<Vec<_>>() {
                params.add_fault(name, "is only valid with JSON; the other formats stream the whole selection");
            }
        }
        let field_by_name = |name: &str| {
            let names = || RowField::all().map(RowField::name).collect::<Vec<_>>().join(", ");
            RowField::by_name(name).ok_or_else(|| format!("{name:?} is not a field; expected any of {}", names()))
        };
        let fields = match own.fields {
            Some(names) => params.list("fields", &names, field_by_name),
            None => RowField::all().collect(),
        };
        let query_hash = cursor::query_hash(context.uri());
        // A cursor of an export is faulty already.
        let cursor = own.cursor.filter(|_| !params.is_any_faulty(&["cursor"]));
        let start = cursor.and_then(|text| match own.sort {
            None => params.check("cursor", Cursor::decode(&text, query_hash)).map(PageStart::Row),
            Some(_) => params.check("cursor", Offset::decode(&text, query_hash)).map(PageStart::Offset),
        });
        let sort = own.sort.and_then(|text| params.check("sort", parse_sort(&text)));
        params.finish()?;
        let limit = own.limit.map_or(DEFAULT_LIMIT, |WholeNumber(limit)| limit);
        Ok(Self { data, fields, sort, limit, start: start.unwrap_or(PageStart::FirstRow) })
    }
}

fn parse_sort(text: &str) -> Result<RowSort, String> {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let expected = || {
        let names = RowField::all().filter(|field| RowSort::new(*field, false).is_some()).map(RowField::name);
        format!("expected one of {}, optionally after a minus sign", names.collect::<Vec<_>>().join(", "))
    };
    RowField::by_name(name).and_then(|field| RowSort::new(field, descending)).ok_or_else(expected)
}

/// The problem of a selection that is too large to be sorted.
fn too_many_rows(error: TooManyRows) -> Problem {
    let detail = error.to_string();
    Problem::invalid_parameters(vec![ParameterFault { parameter: "sort".to_owned(), detail }])
}

/// The response in a format that streams the whole selection.
async fn export(
    current: Representation,
    loaded: LoadedDays,
    request: UserDaysRequest,
    permit: ExportPermit,
) -> Result<Response, EarlyResponse> {
    let UserDaysRequest {
        data: DataRequest { query, format: RequestedFormat { format, bom, layout, .. }, .. },
        fields,
        sort,
        ..
    } = request;
    let range = loaded.plan.range;
    let rows = match sort {
        None => SelectedRows::new(loaded.days, query.selection),
        Some(sort) => {
            let sorted = compute(move || SelectedRows::sorted(loaded.days, &query.selection, sort)).await?;
            sorted.map_err(too_many_rows)?
        }
    };
    let row_count = rows.row_count();
    let file = |body| row_count.attach_to(list_response::file_response(format, "user-days", range, body));
    let syntax = match format {
        Format::Parquet => {
            let export = ParquetExport::new(rows, fields).map_err(list_response::serialization_problem)?;
            return current.respond_with_export(export, permit, file).await;
        }
        Format::Xlsx => {
            let row_count = rows.count_rows();
            list_response::check_xlsx_rows(row_count)?;
            let export = XlsxExport::new(rows, fields, row_count).map_err(list_response::serialization_problem)?;
            return current.respond_with_export(export, permit, file).await;
        }
        Format::Csv => RowSyntax::Csv,
        Format::Json | Format::Ndjson if layout == Layout::Flat => RowSyntax::FlatNdjson,
        Format::Json | Format::Ndjson => RowSyntax::Ndjson,
    };
    current.respond_with_export(TextExport::new(rows, &fields, syntax, bom), permit, file).await
}

/// One page as JSON, with a link to the next page.
fn page(loaded: &Loaded<LoadedDays>, request: &UserDaysRequest, uri: &Uri) -> Result<Response, Problem> {
    let days = &loaded.days;
    let dictionaries: Vec<_> = days.first().map(|day| day.dictionary().read()).into_iter().collect();
    let dictionary = dictionaries.first().map(|dictionary| &**dictionary);
    let (rows, next) = match request.sort {
        None => rows_by_day(loaded, request, dictionary, uri)?,
        Some(sort) => rows_by_field(loaded, request, dictionary, sort, uri)?,
    };
    let items: Vec<_> = match dictionary {
        Some(dictionary) => {
            rows.iter().map(|position| RowRef::new(dictionary, &days[position.day], position.row)).collect()
        }
        None => Vec::new(),
    };
    let is_flat = request.data.format.layout == Layout::Flat;
    let data = items.iter().map(|item| SelectedFields { row: item, fields: &request.fields, is_flat }).collect();
    let meta = Meta { next_cursor: next.clone(), ..Meta::from_loaded_days(loaded) }.with_notes(loaded.notes());
    let mut response = RowCount::of(items.len())
        .attach_to(list_response::json_response(&UserDaysResponse { data, meta }, items.len()));
    let link = next.and_then(|cursor| HeaderValue::from_str(&cursor::next_link(uri, &cursor)).ok());
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    Ok(response)
}

/// The rows of a page by day, and the cursor of the next page.
///
/// # Errors
/// If the day of the cursor has changed or is not among the loaded days.
fn rows_by_day(
    loaded: &LoadedDays,
    request: &UserDaysRequest,
    dictionary: Option<&DictionaryTables>,
    uri: &Uri,
) -> Result<(Vec<RowPosition>, Option<String>), Problem> {
    let days = &loaded.days;
    let start = match &request.start {
        PageStart::Row(cursor) => cursor.find(days).ok_or_else(|| {
            let detail = format!("the day {} has changed since the previous page", cursor.day);
            Problem::new(ProblemCode::StaleCursor, detail)
        })?,
        PageStart::FirstRow | PageStart::Offset(_) => RowPosition::default(),
    };
    let Some(dictionary) = dictionary else { return Ok((Vec::new(), None)) };
    let selector = request.data.query.selection.compile(dictionary);
    let positions = days.iter().enumerate().skip(start.day).flat_map(|(index, day)| {
        let from = if index == start.day { start.row } else { 0 };
        selector.rows_from(day, from).map(move |row| RowPosition { day: index, row })
    });
    // One row more than the page has: its position becomes the cursor of the next page.
    let mut rows: Vec<RowPosition> = positions.take(request.limit + 1).collect();
    let next = (rows.len() > request.limit).then(|| rows.pop()).flatten();
    let next = next.map(|position| Cursor::at(&days[position.day], position.row, cursor::query_hash(uri)).encode());
    Ok((rows, next))
}

/// The rows of a page in the order of a field, and the cursor of the next page.
///
/// # Errors
/// If a day has changed since the previous page, or if there are too many rows.
fn rows_by_field(
    loaded: &LoadedDays,
    request: &UserDaysRequest,
    dictionary: Option<&DictionaryTables>,
    sort: RowSort,
    uri: &Uri,
) -> Result<(Vec<RowPosition>, Option<String>), Problem> {
    let version = loaded.version();
    let skip = match &request.start {
        PageStart::Offset(offset) if offset.version != version => {
            let detail = "a day of the range has changed since the previous page";
            return Err(Problem::new(ProblemCode::StaleCursor, detail));
        }
        PageStart::Offset(offset) => offset.skip,
        PageStart::FirstRow | PageStart::Row(_) => 0,
    };
    let ranking = dictionary.map(|dictionary| sort.rank(&loaded.days, dictionary, &request.data.query.selection));
    let ranking = ranking.transpose().map_err(too_many_rows)?.unwrap_or_default();
    let next = skip.checked_add(request.limit).filter(|next| *next < ranking.row_count());
    let next = next.map(|skip| Offset { skip, version, query_hash: cursor::query_hash(uri) }.encode());
    Ok((ranking.page(skip, request.limit), next))
}
