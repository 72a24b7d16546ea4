//! `GET /v1/user-days`: the rows themselves, in pages of JSON or as a stream of lines.

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
        answer,
        audit::Rows,
        cursor::{self, Cursor},
        data_request::{DataRequest, Early},
        envelope::Meta,
        negotiate::{Format, FormatParams},
        params::{Params, documented},
        problem::{Problem, ProblemCode},
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamAnswers},
        selection::{self, PeopleParams, RangeParams, Selected},
        work::compute,
    },
    query::Gathered,
    table::{Field, Fields, Item, Syntax},
};

const DEFAULT_LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 10_000;

/// The parameters of this endpoint alone.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Asked::read` reads")]
pub struct UserDaysParams {
    /// Only people who were active that day (`true`), or who were not (`false`).
    active: Option<bool>,
    /// Only these fields, with commas, in this order. Default: all.
    #[param(example = "date,user_id,active,send_messenger_num")]
    fields: Option<String>,
    /// Rows a page (JSON only). Default: 100.
    #[param(minimum = 1, maximum = 10_000, example = 100)]
    limit: Option<usize>,
    /// The `next_cursor` of the page before (JSON only).
    cursor: Option<String>,
}

/// A page of user-days.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserDaysAnswer<'a> {
    /// One item per person and day: by day, then geo, then user id.
    #[schema(value_type = Vec<UserDay>)]
    data: Vec<Fields<'a>>,
    meta: Meta,
}

/// A request as it was understood.
struct Asked {
    selected: Selected,
    fields: Vec<Field>,
    limit: usize,
    cursor: Option<Cursor>,
}

/// A place among the rows of the gathered days.
#[derive(Clone, Copy)]
struct Place {
    day: usize,
    row: usize,
}

/// User-days
///
/// One item per person and day. As JSON in pages, with a cursor; as CSV, NDJSON or Parquet (`format=csv` or
/// `Accept: text/csv`, and so on) the whole selection as a stream. In CSV the items of a list are joined by `;`, and a
/// client is written as Feishu does: `ios 14.2,feishu 3.40.0`.
#[utoipa::path(
    get, path = "/v1/user-days", tag = "data", operation_id = "userDays",
    params(RangeParams, PeopleParams, UserDaysParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "The rows", content(
            (UserDaysAnswer<'_> = "application/json"),
            (String = "text/csv", example = "date,user_id,active\r\n2026-11-01,ou_1,true\r\n"),
            (ParquetFile = "application/vnd.apache.parquet"),
            (String = "application/x-ndjson", example = "{\"date\":\"2026-11-01\",\"user_id\":\"ou_1\",\"active\":true}\n"),
        ), headers(("Link" = String, description = "The next page (`rel=\"next\"`), where there is one"))),
        (status = 409, description = "`stale_cursor`: a provisional day has changed between two pages; begin again",
            body = Problem, content_type = "application/problem+json"),
        CommonProblems, FormatProblems, UpstreamAnswers,
    ),
)]
pub(in crate::api) async fn get(mut request: DataRequest) -> Result<Response, Early> {
    let mut params = request.params(&[selection::shared(), documented::<UserDaysParams>()]);
    let asked = Asked::read(&mut params, &request);
    let wanted = request.wanted(&mut params);
    if wanted.format != Format::Json {
        for name in ["limit", "cursor"].into_iter().filter(|name| params.has(name)).collect::<Vec<_>>() {
            params.fault(name, "goes only with JSON; the other formats are streams of the whole selection");
        }
    }
    params.finish()?;

    let asking = request.asking(asked.selected.allow_partial);
    let gathered = request.engine().gather(&asked.selected.query, asking);
    let gathered = request.gathered(&asked.selected.query, gathered).await?;
    if wanted.format == Format::Json {
        let uri = request.uri().clone();
        // A page of 10,000 rows takes tens of milliseconds to write.
        let page = compute(move || page(&gathered, &asked, &uri)).await??;
        return request.answered(page).await;
    }
    let range = gathered.plan.range;
    let rows = SelectedRows::new(gathered.days, asked.selected.query.selection);
    let counted = rows.counted();
    let file = |body| counted.on(answer::file(wanted.format, "user-days", range, body));
    let (syntax, bom) = match wanted.format {
        Format::Parquet => {
            return request.exported(ParquetExport::new(rows, asked.fields).map_err(answer::unwritten)?, file);
        }
        Format::Csv => (Syntax::Csv, wanted.bom),
        Format::Json | Format::Ndjson => (Syntax::Ndjson, false),
    };
    request.exported(TextExport::new(rows, &asked.fields, syntax, bom), file)
}

impl Asked {
    fn read(params: &mut Params, request: &DataRequest) -> Self {
        let mut selected = selection::read(params, request);
        selected.query.selection.active = params.flag("active");
        let known = |name: &str| {
            let names = || Field::all().map(Field::name).collect::<Vec<_>>().join(", ");
            Field::by_name(name).ok_or_else(|| format!("{name:?} is no field; there are {}", names()))
        };
        let fields = params.list("fields", known).unwrap_or_else(|| Field::all().collect());
        let limit = params.number("limit", 1..=LARGEST_LIMIT).unwrap_or(DEFAULT_LIMIT);
        let cursor = params.text("cursor").and_then(|text| {
            let cursor = Cursor::decode(&text).map_err(|error| error.to_string());
            let same = |cursor: &Cursor| cursor.question == cursor::question(request.uri());
            let cursor = cursor
                .and_then(|cursor| same(&cursor).then_some(cursor).ok_or_else(|| "is of another question".to_owned()));
            cursor.map_err(|detail| params.fault("cursor", detail)).ok()
        });
        Self { selected, fields, limit, cursor }
    }
}

/// One page as JSON, with the way to the next.
fn page(gathered: &Gathered, asked: &Asked, uri: &Uri) -> Result<Response, Problem> {
    let start = start(gathered, asked.cursor.as_ref())?;
    let days = &gathered.days;
    let tables: Vec<_> = days.first().map(|day| day.directory().read()).into_iter().collect();
    let mut rows: Vec<Place> = Vec::new();
    if let Some(tables) = tables.first() {
        let selector = asked.selected.query.selection.against(tables);
        let places = days.iter().enumerate().skip(start.day).flat_map(|(at, day)| {
            let from = if at == start.day { start.row } else { 0 };
            selector.rows_from(day, from).map(move |row| Place { day: at, row })
        });
        // One more than the page holds: where the next one begins.
        rows = places.take(asked.limit + 1).collect();
    }
    let next = (rows.len() > asked.limit).then(|| rows.pop()).flatten();
    let next = next.map(|place| Cursor::at(&days[place.day], place.row, cursor::question(uri)).encode());
    let items: Vec<_> = match tables.first() {
        Some(tables) => rows.iter().map(|place| Item::new(tables, &days[place.day], place.row)).collect(),
        None => Vec::new(),
    };
    let data = items.iter().map(|item| Fields { item, fields: &asked.fields }).collect();
    let meta = Meta { next_cursor: next.clone(), ..Meta::of(gathered) };
    let mut response = Rows::of(items.len()).on(answer::json(&UserDaysAnswer { data, meta }, items.len()));
    let link = next.and_then(|cursor| HeaderValue::from_str(&cursor::next_link(uri, &cursor)).ok());
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    Ok(response)
}

/// Where the cursor says the page begins.
fn start(gathered: &Gathered, cursor: Option<&Cursor>) -> Result<Place, Problem> {
    let Some(cursor) = cursor else { return Ok(Place { day: 0, row: 0 }) };
    match cursor.find(&gathered.days) {
        Some(day) => Ok(Place { day, row: cursor.row }),
        None => Err(Problem::new(ProblemCode::StaleCursor, format!("{} has changed since", cursor.day))),
    }
}
