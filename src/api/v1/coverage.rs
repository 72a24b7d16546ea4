//! `GET /v1/coverage`: the state of each day, without a call to Feishu.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    access::Caller,
    api::{
        meta::{DaysByState, Meta},
        params::Params,
        problem::Problem,
        responses::CommonProblems,
        shared_params::{self, RangeParams},
        state::ApiState,
    },
    model::{Day, DayKey},
    query::{LoadedDays, Period, QueryError, QueryPlan, plan},
    store::DayState,
    table::{FetchQuality, parquet::FileMetadata},
};

/// The range if the request names none.
const DEFAULT_PERIOD: Period = Period::Latest(30);

/// The state of each day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CoverageAnswer)]
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
#[schema(as = Coverage)]
#[serde(rename_all = "snake_case")]
pub enum CoverageState {
    /// Available, and will not change any more.
    Final,
    /// Available, but Feishu may still change it.
    Provisional,
    /// Not produced by Feishu yet.
    Pending,
    /// Not available here. It is fetched from Feishu when a request needs it.
    Missing,
}

/// Where a day is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Held)]
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

    let plan = plan(&query, state.now());
    let archived = archived_days(&state, &plan).await;
    let pending =
        plan.pending.iter().map(|(geo, day)| CoverageItem::unavailable(geo.name(), *day, CoverageState::Pending));
    let mut data: Vec<_> = pending.collect();
    let mut loaded = LoadedDays::empty(plan);
    for key in &loaded.plan.keys.clone() {
        let metadata = archived.get(key);
        if let Some((day, day_state)) = state.data.views.unfiltered().cached_day(key).await {
            let location = if metadata.is_some() { StorageLocation::Both } else { StorageLocation::Memory };
            let item = CoverageItem::available(key, day.row_count(), day.fetched_at(), day_state, location);
            data.push(item.with_quality(day.quality()));
            loaded.days.push(day);
            loaded.states.push(day_state);
        } else if let Some(metadata) = metadata {
            let (rows, location) = (metadata.rows, StorageLocation::Archive);
            let item = CoverageItem::available(key, rows, metadata.fetched_at, DayState::Final, location);
            data.push(item.with_quality(metadata.quality));
        } else {
            data.push(CoverageItem::unavailable(key.geo.name(), key.day, CoverageState::Missing));
            loaded.missing.push((key.clone(), QueryError::DeadlineExceeded { remaining: None }));
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
    let meta = CoverageMeta { meta: meta_with_archived(&loaded, &data, &archived), upstream_calls };
    Ok(Json(CoverageResponse { data, meta }))
}

/// The days of `plan` that are in the archive.
async fn archived_days(state: &ApiState, plan: &QueryPlan) -> BTreeMap<DayKey, FileMetadata> {
    let mut found = BTreeMap::new();
    let (Some(archive), Some(key)) = (&state.data.archive, plan.keys.first()) else { return found };
    for geo in &plan.geos {
        let of_geo = archive.metadata_of_range(*geo, key.user_id_type, plan.range).await;
        found.extend(of_geo.into_values().map(|metadata| (metadata.key.clone(), metadata)));
    }
    found
}

/// The metadata of the days in memory, completed with the days that are only in the archive.
fn meta_with_archived(loaded: &LoadedDays, data: &[CoverageItem], archived: &BTreeMap<DayKey, FileMetadata>) -> Meta {
    let meta = Meta::from_loaded_days(loaded);
    let all_final =
        meta.days.r#final + data.iter().filter(|item| item.location == Some(StorageLocation::Archive)).count();
    let in_memory = loaded.days.iter().map(|day| (day.fetched_at(), day.key().geo));
    let latest = in_memory.chain(archived.values().map(|metadata| (metadata.fetched_at, metadata.key.geo))).max();
    Meta {
        days: DaysByState { r#final: all_final, ..meta.days },
        data_as_of: latest.map(|(fetched_at, geo)| geo.rfc3339(fetched_at)),
        ..meta
    }
}

impl CoverageItem {
    const fn unavailable(geo: &'static str, date: Day, state: CoverageState) -> Self {
        Self { geo, date, state, rows: None, unreadable_values: None, fetched_at: None, location: None }
    }

    fn available(key: &DayKey, rows: usize, fetched_at: Timestamp, state: DayState, location: StorageLocation) -> Self {
        Self {
            rows: Some(rows),
            fetched_at: Some(key.geo.rfc3339(fetched_at)),
            location: Some(location),
            ..Self::unavailable(key.geo.name(), key.day, state.into())
        }
    }

    fn with_quality(self, quality: FetchQuality) -> Self {
        Self { unreadable_values: Some(quality.unreadable_values), ..self }
    }
}

impl From<DayState> for CoverageState {
    fn from(state: DayState) -> Self {
        match state {
            DayState::Pending => Self::Pending,
            DayState::Provisional => Self::Provisional,
            DayState::Final => Self::Final,
        }
    }
}
