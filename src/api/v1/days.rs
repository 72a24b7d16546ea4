//! `DELETE /v1/days/{date}`: forget a day everywhere.

use axum::{
    extract::{OriginalUri, State},
    http::StatusCode,
};
use utoipa::IntoParams;

use crate::{
    api::{
        params::{Params, Segment, documented},
        problem::{Fault, Problem},
        responses::CommonProblems,
        selection,
        state::ApiState,
    },
    model::{Day, DayKey, Scope, UserIdType},
};

/// Which data of the day.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what is read")]
struct DayParams {
    /// `cn`, `us`, `sg`, `jp`, or several with commas. Default: all that are served.
    #[param(example = "cn")]
    geo: Option<String>,
}

/// Forget a day
///
/// Removes the day from memory and from the archive, for every kind of user id. It is fetched anew when it is next asked
/// for. A fetch that is under way at this moment brings it back.
#[utoipa::path(
    delete, path = "/v1/days/{date}", tag = "archive", operation_id = "forgetDay",
    params(("date" = String, Path, description = "The day (`YYYY-MM-DD`)", format = Date, example = "2026-11-01"), DayParams),
    responses(
        (status = 204, description = "It is forgotten, or was not held"),
        (status = 503, description = "`archive_unavailable`: the archive could not remove it; ask again",
            body = Problem, content_type = "application/problem+json"),
        CommonProblems,
    ),
)]
pub(in crate::api) async fn delete(
    State(state): State<ApiState>,
    OriginalUri(uri): OriginalUri,
    Segment(date): Segment,
) -> Result<StatusCode, Problem> {
    let mut params = Params::of(&uri, &documented::<DayParams>());
    let geos = if params.has("geo") { selection::geos(&mut params, &state.geos) } else { state.geos.to_vec() };
    params.finish()?;
    let day: Day = date.parse().map_err(|error: crate::model::day::ParseDayError| {
        Problem::faults(vec![Fault { parameter: "date".into(), detail: error.to_string() }])
    })?;

    for (geo, user_id_type) in geos.iter().flat_map(|geo| UserIdType::ALL.map(|kind| (*geo, kind))) {
        let key = DayKey { geo, user_id_type, scope: Scope::Everyone, day };
        if let Some(archive) = &state.archive {
            archive.forget(&key).await.map_err(|error| Problem::archive(&error))?;
        }
        state.views.whole().forget(&key).await;
    }
    tracing::info!(%day, ?geos, "a day was forgotten on request");
    Ok(StatusCode::NO_CONTENT)
}
