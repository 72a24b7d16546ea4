//! `GET /v1/reports/activity`: who used what over time.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::HeaderMap,
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::figures::{Counters, Features, rounded};
use crate::{
    api::{
        envelope::Meta,
        negotiate::Format,
        params::{Params, documented},
        prefer::Wait,
        problem::{Problem, ProblemCode},
        responses::{CommonProblems, PreferHeader, UpstreamProblems},
        router::ApiState,
        selection::{self, PeopleParams, RangeParams, Selected},
    },
    model::{Day, DayKey, DayRange},
    query::Gathered,
    report::{Bucket, Digest, Interval, activity},
    table::{Partition, Selection},
};

/// The parameters of this endpoint alone.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Asked::read` reads")]
pub struct ActivityParams {
    /// How long a bucket is. Weeks begin on Monday; the first and the last bucket are cut to the selection.
    #[param(inline)]
    interval: Option<IntervalParam>,
    /// `held` (default): `wau` and `mau` are given where the days that they trail over are selected or in memory.
    /// `fetch`: the others, up to 29 before the selection, are fetched.
    #[param(inline)]
    trailing: Option<TrailingParam>,
    /// The format; overrides `Accept`.
    #[param(inline)]
    format: Option<FormatParam>,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `Asked::read` reads")]
enum IntervalParam {
    Day,
    Week,
    Month,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `Asked::read` reads")]
enum TrailingParam {
    Held,
    Fetch,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `Asked::read` reads")]
enum FormatParam {
    Json,
}

/// Activity over time.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActivityAnswer {
    /// One item per bucket, in time order. A bucket none of whose days is there (pending, missing) is left out.
    data: Vec<ActivityItem>,
    meta: Meta,
}

/// The figures of one bucket. Distinct counts are exact.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActivityItem {
    /// First day of the bucket.
    #[schema(value_type = String, format = Date, example = "2026-11-01")]
    start_date: Day,
    /// Last day of the bucket.
    #[schema(value_type = String, format = Date, example = "2026-11-01")]
    end_date: Day,
    /// People that Feishu knew on the bucket's last day that has rows.
    #[schema(example = 2000)]
    users: u64,
    /// Those of them whose account was activated.
    #[schema(example = 1950)]
    activated: u64,
    /// Different people who were active in the bucket. Null where Feishu withholds ids and the bucket has several days.
    #[schema(example = 1320)]
    active: Option<u64>,
    /// Different people active in the 7 days that end with the bucket's last day that is there. Null where one of the
    /// 7 is neither selected nor held.
    #[schema(example = 1610)]
    wau: Option<u64>,
    /// The same over 30 days.
    #[schema(example = 1790)]
    mau: Option<u64>,
    /// That last day's active people as a share of `mau`, 0 to 1.
    #[schema(example = 0.737)]
    stickiness: Option<f64>,
    features: Features,
    counters: Counters,
}

/// A request as it was understood.
struct Asked {
    selected: Selected,
    interval: Interval,
}

/// Activity over time
///
/// People, active people, use of each feature and every counter, by day, week or month.
#[utoipa::path(
    get, path = "/v1/reports/activity", tag = "reports", operation_id = "activityReport",
    params(RangeParams, PeopleParams, ActivityParams, PreferHeader),
    responses(
        (status = 200, description = "The figures", body = ActivityAnswer),
        (status = 406, description = "`not_acceptable`: no acceptable format", body = Problem,
            content_type = "application/problem+json"),
        CommonProblems, UpstreamProblems,
    ),
)]
pub(in crate::api) async fn get(
    State(state): State<ApiState>,
    OriginalUri(uri): OriginalUri,
    wait: Wait,
    headers: HeaderMap,
) -> Result<Json<ActivityAnswer>, Problem> {
    let known = [selection::shared(), documented::<ActivityParams>()].concat();
    let mut params = Params::of(&uri, &known);
    let asked = Asked::read(&mut params, &state);
    Format::wanted(&mut params, &headers, &[Format::Json])?;
    params.finish()?;
    let Asked { selected: Selected { query, allow_partial }, interval } = asked;

    let gathered = state.engine.gather(&query, state.asking(wait, allow_partial)).await;
    let gathered = gathered.map_err(|error| Problem::not_answered(&error, state.engine.now()))?;
    let before = held_before(&state, &gathered).await;

    // Digests of large days take milliseconds each.
    let answer = tokio::task::spawn_blocking(move || answer(&gathered, &before, &query.selection, interval));
    answer.await.map(Json).map_err(|_| Problem::new(ProblemCode::Internal, "the report broke off"))
}

impl Asked {
    fn read(params: &mut Params, state: &ApiState) -> Self {
        let mut selected = selection::read(params, &state.geos);
        let intervals = [("day", Interval::Day), ("week", Interval::Week), ("month", Interval::Month)];
        let interval = params.one_of("interval", &intervals).unwrap_or_default();
        let fetch = params.one_of("trailing", &[("held", false), ("fetch", true)]).unwrap_or(false);
        selected.query.lead = if fetch { activity::LONGEST_TRAIL - 1 } else { 0 };
        Self { selected, interval }
    }
}

/// Days before the selection that trailing figures look back over and that happen to be held.
async fn held_before(state: &ApiState, gathered: &Gathered) -> Vec<Arc<Partition>> {
    let Some(first) = gathered.plan.keys.first() else { return Vec::new() };
    let lead = DayRange::ending(gathered.plan.range.first().plus(-1), activity::LONGEST_TRAIL - 1);
    let mut held = Vec::new();
    for day in lead.days().filter(|day| *day < first.day) {
        for geo in &gathered.plan.geos {
            let key = DayKey { geo: *geo, ..first.on(day) };
            held.extend(state.engine.held(&key).await.map(|(day, _)| day));
        }
    }
    held
}

fn answer(gathered: &Gathered, before: &[Arc<Partition>], selection: &Selection, interval: Interval) -> ActivityAnswer {
    let days = digests(before.iter().chain(&gathered.days), gathered.plan.geos.len(), selection);
    let buckets = activity::activity(gathered.plan.range, interval, &days);
    let mut meta = Meta::of(gathered);
    if days.values().any(|digest| digest.flags.iter().any(|people| people.unknown > 0)) {
        meta.notes.push(
            "Feishu withholds user_id from this app: distinct counts over several days (active, features, wau, mau) are null",
        );
    }
    ActivityAnswer { data: buckets.iter().map(ActivityItem::from).collect(), meta }
}

/// The digest of each day that is there in every geo. A day that lacks a geo is not there: it would look like a drop.
fn digests<'a>(
    days: impl Iterator<Item = &'a Arc<Partition>>,
    geos: usize,
    selection: &Selection,
) -> BTreeMap<Day, Digest> {
    let mut merged: BTreeMap<Day, (usize, Digest)> = BTreeMap::new();
    for day in days {
        let tables = day.directory().read();
        let digest = Digest::of(day, &selection.against(&tables));
        let (parts, all) = merged.entry(day.key().day).or_default();
        *parts += 1;
        all.merge(&digest);
    }
    merged.into_iter().filter(|(_, (parts, _))| *parts == geos).map(|(day, (_, digest))| (day, digest)).collect()
}

impl From<&Bucket> for ActivityItem {
    fn from(bucket: &Bucket) -> Self {
        Self {
            start_date: bucket.days.first(),
            end_date: bucket.days.last(),
            users: bucket.users,
            activated: bucket.activated,
            active: bucket.active,
            wau: bucket.wau,
            mau: bucket.mau,
            stickiness: bucket.stickiness.map(rounded),
            features: Features::new(bucket.features, bucket.active),
            counters: Counters(bucket.counters),
        }
    }
}
