//! `DELETE /v1/days/{date}`: deletes a day from the memory cache and from the archive.

use axum::{
    extract::{OriginalUri, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    api::{
        params::{Params, PathSegment},
        problem::{ParameterFault, Problem},
        responses::CommonProblems,
        shared_params,
        state::ApiState,
    },
    model::{DataScope, Day, DayKey, UserIdType},
};

/// The endpoint's own parameters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DayParams {
    /// `cn`, `us`, `sg` or `jp`, or several of them separated by commas. Default: all geos that are served.
    #[param(example = "cn")]
    geo: Option<String>,
}

/// Delete a day
///
/// Deletes the day from memory and from the archive, for all types of user id. It is fetched from Feishu again when a
/// request needs it. A fetch that is in progress at this moment stores the day again. With several replicas, the others
/// remove it from memory within a few seconds.
#[utoipa::path(
    delete, path = "/v1/days/{date}", tag = "archive", operation_id = "deleteDay",
    params(("date" = String, Path, description = "The day (`YYYY-MM-DD`)", format = Date, example = "2026-11-01"), DayParams),
    responses(
        (status = 204, description = "The day is deleted, or was not stored"),
        (status = 503, description = "`archive_unavailable`: the archive could not delete the day; retry later",
            body = Problem, content_type = "application/problem+json"),
        CommonProblems,
    ),
)]
pub(in crate::api) async fn delete(
    State(state): State<ApiState>,
    OriginalUri(uri): OriginalUri,
    PathSegment(date): PathSegment,
) -> Result<StatusCode, Problem> {
    let mut params = Params::parse(&uri);
    let DayParams { geo } = params.read();
    let geos = match geo {
        Some(names) => shared_params::parse_geos(&mut params, &names, &state.data.geos),
        None => state.data.geos.to_vec(),
    };
    params.finish()?;
    let day: Day = date.parse().map_err(|error: crate::model::day::ParseDayError| {
        Problem::invalid_parameters(vec![ParameterFault { parameter: "date".into(), detail: error.to_string() }])
    })?;

    let series = geos.iter().flat_map(|geo| UserIdType::ALL.map(|kind| (*geo, kind)));
    let key = |(geo, user_id_type)| DayKey { geo, user_id_type, scope: DataScope::Everyone, day };
    let keys: Vec<DayKey> = series.map(key).collect();
    let removed = match &state.data.archive {
        Some(archive) => archive.remove(&keys).await,
        None => Ok(()),
    };
    for key in &keys {
        state.data.views.remove_day(key);
    }
    removed.map_err(|error| Problem::archive_unavailable(&error))?;
    if let Some(fleet) = &state.data.fleet {
        let days = geos.iter().map(|geo| (*geo, day));
        if !fleet.member.record_deletions(days, fleet.patience).await {
            return Err(Problem::no_leader());
        }
    }
    tracing::info!(%day, ?geos, "a day was deleted on request");
    Ok(StatusCode::NO_CONTENT)
}
