//! `GET /v1/coverage`: the state of each day, without a call to Feishu.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    access::Caller,
    api::{
        meta::Meta,
        params::Params,
        problem::Problem,
        responses::CommonProblems,
        shared_params::{self, RangeParams},
        state::ApiState,
    },
    model::{Day, DayKey, Geo},
    query::{LoadedDays, Period, QueryError, QueryPlan},
    store::{DayState, RecordedDay},
    table::DayTable,
};

/// The range if the request names none.
const DEFAULT_PERIOD: Period = Period::Latest(30);

/// The state of each day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CoverageReport)]
pub struct CoverageResponse {
    /// One item per geo and day, ordered by day.
    data: Vec<CoverageItem>,
    meta: CoverageMeta,
}

/// The response metadata, with the calls to Feishu of this month.
#[derive(Debug, Serialize, ToSchema)]
pub struct CoverageMeta {
    #[serde(flatten)]
    meta: Meta,
    /// Null for callers that are restricted to departments, because it reveals how many people the tenant has.
    upstream_calls: Option<UpstreamCalls>,
}

/// Calls to Feishu that this service has made this month. Feishu limits the calls of a tenant per month.
#[derive(Debug, Serialize, ToSchema)]
pub struct UpstreamCalls {
    /// First day of the month (UTC+8).
    #[schema(value_type = String, format = Date, example = "2026-11-01")]
    month: Day,
    /// Successful calls. Feishu counts only these.
    #[schema(example = 5168)]
    calls: u64,
    /// Calls per month that the operator allows this service. Null if there is no limit.
    #[schema(example = 50_000)]
    limit: Option<u64>,
}

/// The state of one day of one geo.
#[derive(Debug, Serialize, ToSchema)]
pub struct CoverageItem {
    /// The geo.
    #[schema(example = "cn")]
    geo: &'static str,
    /// The day.
    #[schema(value_type = String, format = Date, example = "2026-11-01")]
    date: Day,
    /// State of the day.
    state: CoverageState,
    /// Number of rows. Null for callers that are restricted to departments, and for days that are not available.
    #[schema(example = 2000)]
    rows: Option<usize>,
    /// Number of values that are not counts. Null whenever `rows` is.
    #[schema(example = 0)]
    unreadable_values: Option<u32>,
    /// When the day was fetched from Feishu (RFC 3339).
    #[schema(format = DateTime, example = "2026-11-02T16:12:00+08:00")]
    fetched_at: Option<String>,
    /// Where the day is stored. Null if it is stored nowhere.
    #[serde(rename = "held")]
    location: Option<StorageLocation>,
}

/// The state of a day.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = DayState)]
#[serde(rename_all = "snake_case")]
pub enum CoverageState {
    /// Available, and will not change any more.
    Final,
    /// Available, but Feishu may still change it.
    Provisional,
    /// Feishu has sent no rows, unusually few, or rows may be missing. It does not count until two
    /// fetches return the same rows.
    Late,
    /// Without rows, which will not change any more. It does not count.
    Empty,
    /// Not produced by Feishu yet.
    Pending,
    /// Not available here. It is fetched from Feishu when a request needs it.
    Missing,
    /// Older than the retention of this service. It is not fetched.
    Expired,
}

/// Where a day is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StorageLocation {
    /// In the memory cache of the process.
    Memory,
    /// In the archive.
    Archive,
    /// In the memory cache and in the archive.
    Both,
}

/// Which days are available
///
/// The state of each day of the range, without a call to Feishu. Default range: the latest 30 days. `meta.days.missing`
/// lists the days that are neither in memory nor in the archive.
#[utoipa::path(
    get, path = "/v1/coverage", tag = "coverage", operation_id = "coverage",
    params(RangeParams),
    responses((status = 200, description = "The state of each day", body = CoverageResponse), CommonProblems),
)]
pub(in crate::api) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<CoverageResponse>, Problem> {
    let mut params = Params::parse(&uri);
    let query = shared_params::read_range(&mut params, &state.data.geos, Some(DEFAULT_PERIOD));
    params.finish()?;

    let engine = state.data.views.unfiltered();
    let mut loaded = LoadedDays::empty(engine.plan(&query));
    let archived = archived_days(&state, &loaded.plan).await;
    let unavailable = |days: &[(Geo, Day)], state| {
        days.iter().map(|(geo, day)| CoverageItem::unavailable(*geo, *day, state)).collect::<Vec<_>>()
    };
    let mut data = unavailable(&loaded.plan.pending, CoverageState::Pending);
    data.extend(unavailable(&loaded.plan.expired, CoverageState::Expired));
    for key in &loaded.plan.keys.clone() {
        let is_cached = engine.is_cached(key).await;
        let location = StorageLocation::of(is_cached, archived.contains(key));
        let recorded = engine.recorded_day(key).filter(|day| location.is_some() || !day.state.counts());
        if let Some(recorded) = recorded {
            data.push(CoverageItem::recorded(&recorded, location));
            loaded.uncounted.push(recorded.into());
        } else {
            data.push(CoverageItem::unavailable(key.geo, key.day, CoverageState::Missing));
            loaded
                .missing
                .push((key.clone(), QueryError::DeadlineExceeded { remaining: None, fetch_continues: false }));
        }
    }
    data.sort_by_key(|item| item.date);
    let month_calls = state.data.quota.calls_this_month();
    let upstream_calls =
        UpstreamCalls { month: month_calls.month, calls: month_calls.calls, limit: state.data.quota.monthly_limit() };
    if caller.view().is_department_restricted() {
        for item in &mut data {
            (item.rows, item.unreadable_values) = (None, None);
        }
    }
    let upstream_calls = (!caller.view().is_department_restricted()).then_some(upstream_calls);
    let meta = CoverageMeta { meta: Meta::from_loaded_days::<DayTable>(&loaded), upstream_calls };
    Ok(Json(CoverageResponse { data, meta }))
}

/// The days of `plan` that are in the archive. Their fetches are recorded, so that their states are known.
async fn archived_days(state: &ApiState, plan: &QueryPlan) -> BTreeSet<DayKey> {
    let mut found = BTreeSet::new();
    let (Some(archive), Some(key)) = (&state.data.archive, plan.keys.first()) else { return found };
    for geo in &plan.geos {
        for metadata in archive.metadata_of_range(*geo, key.user_id_type, plan.range).await.into_values() {
            state.data.views.unfiltered().record_fetch(&metadata);
            found.insert(metadata.key);
        }
    }
    found
}

impl CoverageItem {
    const fn unavailable(geo: Geo, date: Day, state: CoverageState) -> Self {
        Self { geo: geo.name(), date, state, rows: None, unreadable_values: None, fetched_at: None, location: None }
    }

    fn recorded(day: &RecordedDay, location: Option<StorageLocation>) -> Self {
        let key = &day.key;
        Self {
            rows: Some(day.rows),
            unreadable_values: Some(day.quality.unreadable_values),
            fetched_at: Some(key.geo.rfc3339(day.fetched_at)),
            location,
            ..Self::unavailable(key.geo, key.day, day.state.into())
        }
    }
}

impl StorageLocation {
    const fn of(in_memory: bool, in_archive: bool) -> Option<Self> {
        match (in_memory, in_archive) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Memory),
            (false, true) => Some(Self::Archive),
            (false, false) => None,
        }
    }
}

impl From<DayState> for CoverageState {
    fn from(state: DayState) -> Self {
        match state {
            DayState::Pending => Self::Pending,
            DayState::Late => Self::Late,
            DayState::Provisional => Self::Provisional,
            DayState::Final => Self::Final,
            DayState::Empty => Self::Empty,
        }
    }
}
