//! `GET /open-apis/admin/v1/admin_user_stats`: upstream's endpoint, answered from the days that we hold.

use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Failure,
    failure::FailureBody,
    item::AdminUserStat,
    page_token,
    query::{ExtendedHeader, Served, StatsParams, StatsQuery},
};
use crate::{
    access::Caller,
    api::{
        audit::Rows,
        cursor::Cursor,
        prefer::Preference,
        problem::{Problem, ProblemCode},
        responses::PreferHeader,
        state::ApiState,
    },
    model::Scope,
    table::{Item, Partition},
};

/// A page, as upstream replies.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatsAnswer<'a> {
    /// 0.
    #[schema(example = 0)]
    code: i64,
    /// `success`.
    #[schema(example = "success")]
    msg: &'static str,
    data: StatsPage<'a>,
}

/// The rows of a page.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatsPage<'a> {
    /// Whether there is another page.
    has_more: bool,
    /// Asks for it; only where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    page_token: Option<String>,
    /// By day, then by user id.
    #[schema(value_type = Vec<AdminUserStat<'_>>)]
    items: Vec<AdminUserStat<'a>>,
}

/// Feishu's own endpoint
///
/// The parameters, limits, rows and errors are those of Feishu's `admin_user_stats`; the rows come from the days that
/// this service holds, and are fetched once where it does not. Pages show one version of each day: where a provisional
/// day changes between two pages, the token is refused (`1051001`, `page_token`), and the caller begins again. A wait
/// beyond the time that a request has ends as `99991400` with the estimate in `x-ogw-ratelimit-reset`; the fetch goes on.
#[utoipa::path(
    get, path = "/open-apis/admin/v1/admin_user_stats", tag = "drop-in", operation_id = "adminUserStats",
    security(("tenant_access_token" = [])),
    params(StatsParams, ExtendedHeader, PreferHeader),
    responses(
        (status = 200, description = "A page of rows", body = StatsAnswer<'_>,
            headers(("X-Tt-Logid" = String, description = "Finds the request in the log"))),
        (status = 400, description = "`99991661`, `99991663`: no token, or no valid one; `1051002` and others: Feishu \
            denies this service access", body = FailureBody),
        (status = 429, description = "`99991400`: ask again after so many seconds; `99991403`: the month's calls are \
            spent", body = FailureBody,
            headers(("x-ogw-ratelimit-reset" = u64, description = "Seconds after which asking again makes sense"))),
        (status = 500, description = "`1051001`: a parameter is invalid; `2200`: Feishu or this service failed",
            body = FailureBody),
    ),
)]
pub(in crate::api) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    preference: Preference,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let asked = StatsQuery::read(&uri, &headers, &Served { geos: &state.geos, extended: state.drop_in_extended })?;
    if caller.view().is_bound() && matches!(asked.query.scope, Scope::Department(..)) {
        return Err(Failure::department_not_known());
    }
    let asking = state.asking(Preference { respond_async: false, ..preference }, false);
    let gathered = state.engine(&caller).await.gather(&asked.query, asking).await;
    let gathered = gathered.map_err(|error| Problem::not_answered(&error, state.now()))?;
    // A page of 10,000 rows takes tens of milliseconds to write.
    let page = tokio::task::spawn_blocking(move || page(&gathered.days, &asked)).await;
    page.unwrap_or_else(|_| Err(Problem::new(ProblemCode::Internal, "the page broke off").into()))
}

/// One page of the rows of `days`.
fn page(days: &[Arc<Partition>], asked: &StatsQuery) -> Result<Response, Failure> {
    let (first, row) = page_token::start(asked.from.as_ref(), days)?;
    // All days are of one geo and one kind of id, so they share a directory.
    let Some(tables) = days.first().map(|day| day.directory().read()) else { return Ok(written(None, Vec::new())) };
    let selector = asked.query.selection.against(&tables);
    let places = days.iter().enumerate().skip(first).flat_map(|(at, day)| {
        let from = if at == first { row } else { 0 };
        selector.rows_from(day, from).map(move |row| (day, row))
    });
    // One more than the page holds: where the next one begins.
    let mut rows: Vec<(&Arc<Partition>, usize)> = places.take(asked.page_size + 1).collect();
    let next = (rows.len() > asked.page_size).then(|| rows.pop()).flatten();
    let next = next.map(|(day, row)| Cursor::at(day, row, asked.question).encode());
    Ok(written(next, rows.into_iter().map(|(day, row)| AdminUserStat(Item::new(&tables, day, row))).collect()))
}

fn written(page_token: Option<String>, items: Vec<AdminUserStat<'_>>) -> Response {
    let rows = Rows::of(items.len());
    let data = StatsPage { has_more: page_token.is_some(), page_token, items };
    rows.on(Json(StatsAnswer { code: 0, msg: "success", data }).into_response())
}
