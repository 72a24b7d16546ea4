//! `GET /v1/users/{user_id}`: the totals and the days of one person.

use std::sync::Arc;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    user_day::UserDay,
    user_item::{StatusParams, UserItem},
};
use crate::{
    api::{
        access_log::RowCount,
        compute::compute,
        data_request::{DataRequest, EarlyResponse, Loaded, RequestContext},
        format::{Format, Layout, RequestedFormat},
        list_response,
        meta::{Meta, SUMS_LIMITED},
        params::PathSegment,
        problem::Problem,
        representation::Representation,
        responses::{CommonProblems, FormatProblems, PreferHeader, UpstreamResponses},
        shared_params::{self, RangeParams},
    },
    model::DataScope,
    query::{LoadedDays, Query},
    report::{DayDigest, account_status::StatusRule, user_totals::PersonTotals},
    table::{
        Counter, Flag, MAX_COUNT, RowField, RowRef, RowSelection, RowSyntax, RowWriter, SelectedFields, csv,
        dictionary::DictionaryTables,
        parquet::row_columns::{self, DayRows},
        xlsx::XlsxWriter,
    },
};

/// Maximum length of a user id in bytes.
const MAX_ID_BYTES: usize = 512;

/// The endpoint's own parameters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UserParams {
    /// `true`: if some days cannot be fetched, or not within the wait (`Prefer: wait=N`), respond with the others and list the
    /// missing days in `meta.days.missing`. `Retry-After` estimates when days that are still being fetched are there.
    /// Default: `false`.
    allow_partial: Option<bool>,
}

/// One person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserReport)]
pub struct UserResponse<'a> {
    data: UserData<'a>,
    meta: Meta,
}

/// The activity of one person, in total and by day.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserData<'a> {
    /// Totals over the range. Null if the person has no row on the days that are there, while some selected days are not
    /// there.
    #[schema(required)]
    total: Option<UserItem>,
    /// The days on which the person has a row: date, geo, department, flags and counters.
    #[schema(value_type = Vec<UserDay>)]
    days: Vec<SelectedFields<'a>>,
}

/// One person
///
/// Totals over the range, and each day. If the days are not available, only the rows of this person are fetched from
/// Feishu. As a table: the days.
#[utoipa::path(
    get, path = "/v1/users/{user_id}", tag = "data", operation_id = "user",
    params(
        ("user_id" = String, Path, description = "Id of the person, of type `user_id_type`",
            example = "ou_0048db4f1eb5210fab8ae39635c948a9"),
        RangeParams, UserParams, StatusParams, PreferHeader,
    ),
    responses(
        (status = 200, description = "The totals and days of the person", body = UserResponse<'_>),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(
    PathSegment(user_id): PathSegment,
    context: RequestContext,
) -> Result<Response, EarlyResponse> {
    let (request, dormant_after) = parse(&context, user_id)?;
    let loaded = context.load(&request, context.engine().load_rows(&request.query, request.options)).await?;
    let current = Representation::validate(context, &loaded, &request)?;
    let person = compute(move || person(&loaded, &request, dormant_after)).await??;
    current.respond(person).await
}

fn parse(context: &RequestContext, user_id: String) -> Result<(DataRequest, u16), Problem> {
    let mut params = context.params();
    if user_id.is_empty() || user_id.len() > MAX_ID_BYTES || user_id.chars().any(char::is_control) {
        let detail = format!("is empty, longer than {MAX_ID_BYTES} bytes, or contains a control character");
        params.add_fault("user_id", detail);
    }
    let range = shared_params::read_range(&mut params, context.geos(), None);
    let UserParams { allow_partial } = params.read();
    let dormant_after = params.read::<StatusParams>().dormant_after();
    let scope = DataScope::User(user_id.as_str().into());
    let query = Query { scope, selection: RowSelection { user_id: Some(user_id), ..RowSelection::default() }, ..range };
    let request = context.data_request(&mut params, query, allow_partial.unwrap_or(false));
    params.finish().map(|()| (request, dormant_after))
}

fn person(loaded: &Loaded<LoadedDays>, request: &DataRequest, dormant_after: u16) -> Result<Response, Problem> {
    let DataRequest { query: Query { selection, .. }, format: requested, .. } = request;
    let shared_dictionary = loaded.days.first().map(|day| Arc::clone(day.dictionary())).unwrap_or_default();
    let dictionary = shared_dictionary.read();
    let total = PersonTotals::from_rows(&loaded.days, &selection.compile(&dictionary), &dictionary);
    let exceeds_max_sum = total.iter().any(|total| total.counters.iter().any(|sum| *sum > MAX_COUNT));
    let selector = selection.compile(&dictionary);
    let digests = loaded.selected().map(|(day, _)| Arc::new(DayDigest::from_selected_rows(day, &selector))).collect();
    let rule = loaded.newest_date().map(|newest| StatusRule::new(newest, digests, dormant_after));
    let total = total.map(|total| UserItem::new(&total, &dictionary, rule.as_ref()));
    let fields = day_fields();
    let items = day_items(loaded, selection, &dictionary);
    let rows = RowCount::of(items.len());
    if requested.format != Format::Json {
        let body = export_days(loaded, selection, &dictionary, *requested, &fields)?;
        return Ok(rows.attach_to(list_response::file_response(
            requested.format,
            "user",
            loaded.plan.range,
            body.into(),
        )));
    }
    let is_flat = requested.layout == Layout::Flat;
    let days = items.iter().map(|item| SelectedFields { row: item, fields: &fields, is_flat }).collect();
    let meta =
        Meta::from_loaded_days(loaded).with_notes(loaded.notes()).with_note(exceeds_max_sum.then_some(SUMS_LIMITED));
    let response = UserResponse { data: UserData { total, days }, meta };
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
        Format::Json | Format::Ndjson if requested.layout == Layout::Flat => RowSyntax::FlatNdjson,
        Format::Json | Format::Ndjson => RowSyntax::Ndjson,
        Format::Xlsx => return xlsx_days(loaded, selection, dictionary, fields),
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

fn xlsx_days(
    loaded: &LoadedDays,
    selection: &RowSelection,
    dictionary: &DictionaryTables,
    fields: &[RowField],
) -> Result<Bytes, Problem> {
    let items = day_items(loaded, selection, dictionary);
    let columns: Vec<_> = fields.iter().map(|field| field.column()).collect();
    let written = XlsxWriter::new(&columns, items.len()).and_then(|mut writer| {
        let mut values = items.iter().flat_map(|item| fields.iter().map(|field| item.value(*field)));
        values.try_for_each(|value| value.with_cell(|cell| writer.push(cell)))?;
        writer.finish()
    });
    written.map(Bytes::from).map_err(list_response::serialization_problem)
}
