//! `GET /open-apis/admin/v1/admin_user_stats`: Feishu's endpoint, answered by the query engine.

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
    FeishuError,
    admin_user_stat::AdminUserStat,
    authenticate::SdkCaller,
    feishu_error::FeishuErrorBody,
    page_token,
    stats_query::{DropInSettings, ExtendedHeader, StatsParams, StatsQuery},
};
use crate::{
    api::{
        access_log::RowCount, compute::compute, cursor::Cursor, prefer::Preference, problem::Problem,
        responses::PreferHeader, state::ApiState,
    },
    model::DataScope,
    table::{DayTable, RowRef},
};

/// A page of rows in Feishu's format.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminUserStats)]
pub struct StatsResponse<'a> {
    /// Always 0.
    #[schema(example = 0)]
    code: i64,
    /// Always `success`.
    #[schema(example = "success")]
    msg: &'static str,
    data: StatsPage<'a>,
}

/// The rows of a page.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatsPage<'a> {
    /// Whether there is a next page.
    has_more: bool,
    /// Value of `page_token` for the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    page_token: Option<String>,
    /// The rows, ordered by day and user id.
    #[schema(value_type = Vec<AdminUserStat<'_>>)]
    items: Vec<AdminUserStat<'a>>,
}

/// Feishu's `admin_user_stats`
///
/// The parameters, limits, rows and errors are those of Feishu's `admin_user_stats`. Days that are not available are
/// fetched from Feishu once. All pages show the same version of a day: if a provisional day changes between two pages, the
/// page token is rejected (`1051001`, `page_token`) and the caller starts again. If fetching takes longer than the request
/// timeout, the response is `99991400` with the estimate in `x-ogw-ratelimit-reset`; days of everyone are fetched meanwhile.
#[utoipa::path(
    get, path = "/open-apis/admin/v1/admin_user_stats", tag = "drop-in", operation_id = "adminUserStats",
    security(("tenant_access_token" = [])),
    params(StatsParams, ExtendedHeader, PreferHeader),
    responses(
        (status = 200, description = "A page of rows", body = StatsResponse<'_>,
            headers(("X-Tt-Logid" = String, description = "Id of the request in the log"))),
        (status = 400, description = "`99991661`: the token is missing; `99991663`: the token is invalid; `1051002` and \
            others: Feishu denies access to this service", body = FeishuErrorBody),
        (status = 429, description = "`99991400`: rate limited, or the days could not be fetched in time; `99991403`: \
            the monthly quota is exhausted", body = FeishuErrorBody,
            headers(("x-ogw-ratelimit-reset" = u64, description = "Seconds to wait before a retry"))),
        (status = 500, description = "`1051001`: a parameter is invalid; `2200`: Feishu or this service failed",
            body = FeishuErrorBody),
    ),
)]
pub(in crate::api) async fn get(
    State(state): State<ApiState>,
    SdkCaller(caller): SdkCaller,
    OriginalUri(uri): OriginalUri,
    preference: Preference,
    headers: HeaderMap,
) -> Result<Response, FeishuError> {
    let request = StatsQuery::parse(
        &uri,
        &headers,
        &DropInSettings { geos: &state.data.geos, extended: state.data.drop_in_extended },
    )?;
    if caller.view().is_department_restricted() && matches!(request.query.scope, DataScope::Department(..)) {
        return Err(FeishuError::department_id_not_allowed());
    }
    let options = state.load_options(Preference { respond_async: false, ..preference }, false);
    let loaded = state.engine(&caller).await.load_rows(&request.query, options).await;
    let loaded = loaded.map_err(|error| Problem::from_query_error(&error, state.now()))?;
    // Serializing a page of 10,000 rows takes tens of milliseconds.
    compute(move || page(&loaded.days, &request)).await?
}

/// One page of the rows of `days`.
fn page(days: &[Arc<DayTable>], request: &StatsQuery) -> Result<Response, FeishuError> {
    let start = page_token::page_start(request.start.as_ref(), days)?;
    // All days have the same geo and type of id, so they share one dictionary.
    let Some(dictionary) = days.first().map(|day| day.dictionary().read()) else {
        return Ok(page_response(None, Vec::new()));
    };
    let selector = request.query.selection.compile(&dictionary);
    let positions = days.iter().enumerate().skip(start.day).flat_map(|(index, day)| {
        let from = if index == start.day { start.row } else { 0 };
        selector.rows_from(day, from).map(move |row| (day, row))
    });
    // One row more than the page has: its position becomes the token of the next page.
    let mut rows: Vec<(&Arc<DayTable>, usize)> = positions.take(request.page_size + 1).collect();
    let next = (rows.len() > request.page_size).then(|| rows.pop()).flatten();
    let next = next.map(|(day, row)| Cursor::at(day, row, request.query_hash).encode());
    Ok(page_response(
        next,
        rows.into_iter().map(|(day, row)| AdminUserStat(RowRef::new(&dictionary, day, row))).collect(),
    ))
}

fn page_response(page_token: Option<String>, items: Vec<AdminUserStat<'_>>) -> Response {
    let rows = RowCount::of(items.len());
    let data = StatsPage { has_more: page_token.is_some(), page_token, items };
    rows.attach_to(Json(StatsResponse { code: 0, msg: "success", data }).into_response())
}
