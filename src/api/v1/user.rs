//! `GET /v1/users/{user_id}`: one person's totals and days.

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
        answer,
        audit::Rows,
        data_request::{DataRequest, Early},
        envelope::Meta,
        negotiate::{Format, FormatParams, Wanted},
        params::{Params, Segment, documented},
        problem::{Problem, ProblemCode},
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamAnswers},
        selection::{self, RangeParams},
        work::compute,
    },
    model::Scope,
    query::{Gathered, Query},
    report::tally::Total,
    table::{
        Counter, Feature, Field, Fields, Flag, Item, Lines, Selection, Syntax, csv,
        directory::Tables,
        parquet::rows::{self, Part},
    },
};

/// The parameters of this endpoint alone.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what is read")]
pub struct UserParams {
    /// `true`: answer with the days that could be had, and name the rest in `meta.days.missing`. Default: `false`.
    allow_partial: Option<bool>,
}

/// One person.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserAnswer<'a> {
    data: UserData<'a>,
    meta: Meta,
}

/// What one person did, altogether and day by day.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserData<'a> {
    /// Over the whole range.
    total: UserItem,
    /// Each day that has a row of the person: date, geo, department, flags and counters.
    #[schema(value_type = Vec<UserDay>)]
    days: Vec<Fields<'a>>,
}

/// One person
///
/// Totals over the range and each day. Where the days are not held, Feishu is asked for that person alone. As CSV,
/// NDJSON or Parquet: the days.
#[utoipa::path(
    get, path = "/v1/users/{user_id}", tag = "data", operation_id = "user",
    params(
        ("user_id" = String, Path, description = "The person's id, of the kind that `user_id_type` says",
            example = "ou_7dab8a3d3cdcc9da365777c7ad535d62"),
        RangeParams, UserParams, FormatParams, PreferHeader,
    ),
    responses(
        (status = 200, description = "What the person did", content(
            (UserAnswer<'_> = "application/json"), (String = "text/csv"), (ParquetFile = "application/vnd.apache.parquet"), (UserDay = "application/x-ndjson"),
        )),
        (status = 404, description = "`not_found`: the person has no row in the range", body = Problem,
            content_type = "application/problem+json"),
        CommonProblems, FormatProblems, UpstreamAnswers,
    ),
)]
pub(in crate::api) async fn get(Segment(user_id): Segment, mut request: DataRequest) -> Result<Response, Early> {
    let mut params = request.params(&[documented::<RangeParams>(), documented::<UserParams>()]);
    let query = asked(&mut params, &request, user_id);
    let allow_partial = params.flag("allow_partial").unwrap_or(false);
    let wanted = request.wanted(&mut params);
    params.finish()?;

    let gathered = request.engine().gather(&query, request.asking(allow_partial));
    let gathered = request.gathered(&query, gathered).await?;
    request.answered(compute(move || answer(&gathered, &query.selection, wanted)).await??).await
}

fn asked(params: &mut Params, request: &DataRequest, user_id: String) -> Query {
    if user_id.is_empty() || user_id.len() > 512 || user_id.chars().any(char::is_control) {
        params.fault("user_id", "is empty, longer than 512 bytes, or contains a control character");
    }
    let range = selection::read_range(params, request.geos(), None);
    let scope = Scope::User(user_id.as_str().into());
    Query { scope, selection: Selection { user_id: Some(user_id), ..Selection::default() }, ..range }
}

fn answer(gathered: &Gathered, selection: &Selection, wanted: Wanted) -> Result<Response, Problem> {
    let nobody = || Problem::new(ProblemCode::NotFound, "the person has no row in the range");
    let directory = gathered.days.first().map(|day| day.directory()).ok_or_else(nobody)?;
    let tables = directory.read();
    let total = Total::of_rows(&gathered.days, &selection.against(&tables), &tables).ok_or_else(nobody)?;
    let total = UserItem::new(&total, &tables);
    let fields = fields();
    let items = items(gathered, selection, &tables);
    let rows = Rows::of(items.len());
    if wanted.format != Format::Json {
        let body = written(gathered, selection, &tables, wanted, &fields)?;
        return Ok(rows.on(answer::file(wanted.format, "user", gathered.plan.range, body.into())));
    }
    let days = items.iter().map(|item| Fields { item, fields: &fields }).collect();
    let answer = UserAnswer { data: UserData { total, days }, meta: Meta::of(gathered) };
    Ok(rows.on(Json(answer).into_response()))
}

/// What is shown of each day.
fn fields() -> Vec<Field> {
    let sent = |flag: &Flag| !matches!(flag, Flag::Feature(Feature::Email | Feature::Task));
    let flags = Flag::ALL.into_iter().filter(sent).map(Field::Flag);
    [Field::Date, Field::Geo, Field::DepartmentPath]
        .into_iter()
        .chain(flags)
        .chain(Counter::ALL.map(Field::Counter))
        .collect()
}

fn items<'a>(gathered: &'a Gathered, selection: &Selection, tables: &'a Tables) -> Vec<Item<'a>> {
    let selector = selection.against(tables);
    let days = gathered.days.iter();
    days.flat_map(|day| selector.rows(day).map(|row| Item::new(tables, day, row)).collect::<Vec<_>>()).collect()
}

fn written(
    gathered: &Gathered,
    selection: &Selection,
    tables: &Tables,
    wanted: Wanted,
    fields: &[Field],
) -> Result<Bytes, Problem> {
    let syntax = match wanted.format {
        Format::Json | Format::Ndjson => Syntax::Ndjson,
        Format::Csv => Syntax::Csv,
        Format::Parquet => {
            let selector = selection.against(tables);
            let days = gathered.days.iter();
            let days: Vec<(_, Vec<usize>)> = days.map(|day| (&**day, selector.rows(day).collect())).collect();
            let parts: Vec<_> = days.iter().map(|(day, rows)| Part { day, rows }).collect();
            return rows::file(fields, tables, &parts).map(Bytes::from).map_err(answer::unwritten);
        }
    };
    let mut out = if wanted.bom { csv::BOM.to_vec() } else { Vec::new() };
    if syntax == Syntax::Csv {
        csv::push_header(&mut out, fields.iter().map(|field| field.name()));
    }
    let mut lines = Lines::new(syntax, fields);
    let selector = selection.against(tables);
    for day in &gathered.days {
        for row in selector.rows(day) {
            lines.push(&mut out, tables, day, row);
        }
    }
    Ok(out.into())
}
