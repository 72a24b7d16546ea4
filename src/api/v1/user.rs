//! `GET /v1/users/{user_id}`: the totals and the days of one person.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{user_day::UserDay, user_item::UserItem};
use crate::{
    api::{
        access_log::RowCount,
        compute::compute,
        data_request::{DataRequest, EarlyResponse},
        format::{Format, FormatParams, RequestedFormat},
        list_response,
        meta::Meta,
        params::{Params, PathSegment, parameter_names},
        problem::{Problem, ProblemCode},
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamResponses},
        shared_params::{self, RangeParams},
    },
    model::DataScope,
    query::{LoadedDays, Query},
    report::user_totals::PersonTotals,
    table::{
        Counter, Flag, RowField, RowRef, RowSelection, RowSyntax, RowWriter, SelectedFields, csv,
        dictionary::DictionaryTables,
        parquet::row_columns::{self, DayRows},
    },
};

/// The endpoint's own parameters.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `get` parses")]
pub struct UserParams {
    /// `true`: if some days cannot be fetched, respond with the others and list the failed days in `meta.days.missing`.
    /// Default: `false`.
    allow_partial: Option<bool>,
}

/// One person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserAnswer)]
pub struct UserResponse<'a> {
    data: UserData<'a>,
    meta: Meta,
}

/// The activity of one person, in total and by day.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserData<'a> {
    /// Totals over the range.
    total: UserItem,
    /// The days on which the person has a row: date, geo, department, flags and counters.
    #[schema(value_type = Vec<UserDay>)]
    days: Vec<SelectedFields<'a>>,
}

/// One person
///
/// Totals over the range, and each day. If the days are not available, only the rows of this person are fetched from
/// Feishu. As CSV, NDJSON or Parquet: the days.
#[utoipa::path(
    get, path = "/v1/users/{user_id}", tag = "data", operation_id = "user",
    params(
        ("user_id" = String, Path, description = "Id of the person, of type `user_id_type`",
            example = "ou_7dab8a3d3cdcc9da365777c7ad535d62"),
        RangeParams, UserParams, FormatParams, PreferHeader,
    ),
    responses(
        (status = 200, description = "The totals and days of the person", content(
            (UserResponse<'_> = "application/json"), (String = "text/csv"), (ParquetFile = "application/vnd.apache.parquet"), (UserDay = "application/x-ndjson"),
        )),
        (status = 404, description = "`not_found`: the person has no row in the range", body = Problem,
            content_type = "application/problem+json"),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(
    PathSegment(user_id): PathSegment,
    mut request: DataRequest,
) -> Result<Response, EarlyResponse> {
    let mut params = request.params(&[parameter_names::<RangeParams>(), parameter_names::<UserParams>()]);
    let query = parse_query(&mut params, &request, user_id);
    let allow_partial = params.flag("allow_partial").unwrap_or(false);
    let requested = request.requested_format(&mut params);
    params.finish()?;

    let loaded = request.engine().load_rows(&query, request.load_options(allow_partial));
    let loaded = request.load_or_respond(&query, loaded).await?;
    request.respond(compute(move || build_response(&loaded, &query.selection, requested)).await??).await
}

fn parse_query(params: &mut Params, request: &DataRequest, user_id: String) -> Query {
    if user_id.is_empty() || user_id.len() > 512 || user_id.chars().any(char::is_control) {
        params.add_fault("user_id", "is empty, longer than 512 bytes, or contains a control character");
    }
    let range = shared_params::parse_range(params, request.geos(), None);
    let scope = DataScope::User(user_id.as_str().into());
    Query { scope, selection: RowSelection { user_id: Some(user_id), ..RowSelection::default() }, ..range }
}

fn build_response(
    loaded: &LoadedDays,
    selection: &RowSelection,
    requested: RequestedFormat,
) -> Result<Response, Problem> {
    let not_found = || Problem::new(ProblemCode::NotFound, "the person has no row in the range");
    let shared_dictionary = loaded.days.first().map(|day| day.dictionary()).ok_or_else(not_found)?;
    let dictionary = shared_dictionary.read();
    let total =
        PersonTotals::from_rows(&loaded.days, &selection.compile(&dictionary), &dictionary).ok_or_else(not_found)?;
    let total = UserItem::new(&total, &dictionary);
    let fields = day_fields();
    let items = day_items(loaded, selection, &dictionary);
    let rows = RowCount::of(items.len());
    if requested.format != Format::Json {
        let body = export_days(loaded, selection, &dictionary, requested, &fields)?;
        return Ok(rows.attach_to(list_response::file_response(
            requested.format,
            "user",
            loaded.plan.range,
            body.into(),
        )));
    }
    let days = items.iter().map(|item| SelectedFields { row: item, fields: &fields }).collect();
    let response = UserResponse { data: UserData { total, days }, meta: Meta::from_loaded_days(loaded) };
    Ok(rows.attach_to(Json(response).into_response()))
}

/// The fields of a day in the response.
fn day_fields() -> Vec<RowField> {
    [RowField::Date, RowField::Geo, RowField::DepartmentPath]
        .into_iter()
        .chain(Flag::SENT.map(RowField::Flag))
        .chain(Counter::ALL.map(RowField::Counter))
        .collect()
}

fn day_items<'a>(
    loaded: &'a LoadedDays,
    selection: &RowSelection,
    dictionary: &'a DictionaryTables,
) -> Vec<RowRef<'a>> {
    let selector = selection.compile(dictionary);
    let days = loaded.days.iter();
    days.flat_map(|day| selector.rows(day).map(|row| RowRef::new(dictionary, day, row)).collect::<Vec<_>>()).collect()
}

fn export_days(
    loaded: &LoadedDays,
    selection: &RowSelection,
    dictionary: &DictionaryTables,
    requested: RequestedFormat,
    fields: &[RowField],
) -> Result<Bytes, Problem> {
    let syntax = match requested.format {
        Format::Json | Format::Ndjson => RowSyntax::Ndjson,
        Format::Csv => RowSyntax::Csv,
        Format::Parquet => {
            let selector = selection.compile(dictionary);
            let days = loaded.days.iter();
            let days: Vec<(_, Vec<usize>)> = days.map(|day| (&**day, selector.rows(day).collect())).collect();
            let parts: Vec<_> = days.iter().map(|(day, rows)| DayRows { day, rows }).collect();
            return row_columns::encode_rows(fields, dictionary, &parts)
                .map(Bytes::from)
                .map_err(list_response::serialization_problem);
        }
    };
    let mut out = if requested.bom { csv::UTF8_BOM.to_vec() } else { Vec::new() };
    if syntax == RowSyntax::Csv {
        csv::push_header(&mut out, fields.iter().map(|field| field.name()));
    }
    let mut writer = RowWriter::new(syntax, fields);
    let selector = selection.compile(dictionary);
    for day in &loaded.days {
        for row in selector.rows(day) {
            writer.push(&mut out, dictionary, day, row);
        }
    }
    Ok(out.into())
}
