//! `GET /v1/coverage`: which days are held, and how far they can be relied on. Asks nothing of Feishu.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::{
        envelope::{Days, Meta},
        params::{Params, documented},
        problem::Problem,
        responses::CommonProblems,
        selection::{self, RangeParams},
        state::ApiState,
    },
    model::{Day, DayKey},
    query::{Gathered, NotAnswered, Period, Plan, Supply, plan},
    store::State as DayState,
    table::parquet::Label,
};

/// What is shown where the caller names no range.
const DEFAULT: Period = Period::Latest(30);

/// The state of days.
#[derive(Debug, Serialize, ToSchema)]
pub struct CoverageAnswer {
    /// One item per geo and day, by day.
    data: Vec<CoverageItem>,
    meta: CoverageMeta,
}

/// What the answer is based on, and what it may still cost.
#[derive(Debug, Serialize, ToSchema)]
pub struct CoverageMeta {
    #[serde(flatten)]
    meta: Meta,
    upstream_calls: UpstreamCalls,
}

/// The calls of Feishu that this service has made this month. Feishu limits them per month and tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct UpstreamCalls {
    /// First day of the month, in UTC+8.
    #[schema(value_type = String, format = Date, example = "2026-11-01")]
    month: Day,
    /// Successful calls; Feishu counts no others.
    #[schema(example = 5168)]
    calls: u64,
    /// Calls that the operator allows this service; null where that is not limited.
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
    /// How far it can be relied on.
    state: Coverage,
    /// How many rows are held.
    #[schema(example = 2000)]
    rows: Option<usize>,
    /// When Feishu was asked. RFC 3339.
    #[schema(format = DateTime, example = "2026-11-02T16:12:00+08:00")]
    fetched_at: Option<String>,
    /// Where it is held.
    held: Option<Held>,
}

/// How far a day can be relied on.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// Held, and cannot change any more.
    Final,
    /// Held, and may still change.
    Provisional,
    /// Not produced yet by Feishu.
    Pending,
    /// Not held; it is fetched when it is asked for.
    Missing,
}

/// Where a day is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// In the memory of the process.
    Memory,
    /// In the archive.
    Archive,
    /// In both.
    Both,
}

/// Which days are held
///
/// Shows without asking Feishu for anything. Without a range, the latest 30 days. `meta.days.missing` lists the days
/// that are not held.
#[utoipa::path(
    get, path = "/v1/coverage", tag = "coverage", operation_id = "coverage",
    params(RangeParams),
    responses((status = 200, description = "The state of each day", body = CoverageAnswer), CommonProblems),
)]
pub(in crate::api) async fn get(
    State(state): State<ApiState>,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<CoverageAnswer>, Problem> {
    let mut params = Params::of(&uri, &documented::<RangeParams>());
    let query = selection::read_range(&mut params, &state.geos, Some(DEFAULT));
    params.finish()?;

    let plan = plan(&query, state.engine.now());
    let archived = archived(&state, &plan).await;
    let pending = plan.pending.iter().map(|(geo, day)| CoverageItem::without(geo.name(), *day, Coverage::Pending));
    let mut data: Vec<_> = pending.collect();
    let mut gathered =
        Gathered { plan, days: Vec::new(), missing: Vec::new(), states: Vec::new(), supply: Supply::HELD };
    for key in &gathered.plan.keys {
        let label = archived.get(key);
        if let Some((day, of)) = state.engine.held(key).await {
            let held = if label.is_some() { Held::Both } else { Held::Memory };
            data.push(CoverageItem::held(key, day.rows(), day.fetched_at(), of, held));
            gathered.days.push(day);
            gathered.states.push(of);
        } else if let Some(label) = label {
            data.push(CoverageItem::held(key, label.rows, label.fetched_at, DayState::Final, Held::Archive));
        } else {
            data.push(CoverageItem::without(key.geo.name(), key.day, Coverage::Missing));
            gathered.missing.push((key.clone(), NotAnswered::NotInTime { left: None }));
        }
    }
    data.sort_by_key(|item| item.date);
    let made = state.quota.made();
    let upstream_calls = UpstreamCalls { month: made.month, calls: made.calls, limit: state.quota.monthly() };
    let meta = CoverageMeta { meta: with_archived(&gathered, &data, &archived), upstream_calls };
    Ok(Json(CoverageAnswer { data, meta }))
}

/// What the archive holds of the planned days.
async fn archived(state: &ApiState, plan: &Plan) -> BTreeMap<DayKey, Label> {
    let mut labels = BTreeMap::new();
    let (Some(archive), Some(key)) = (&state.archive, plan.keys.first()) else { return labels };
    for geo in &plan.geos {
        let held = archive.held(*geo, key.user_id_type, plan.range).await;
        labels.extend(held.into_values().map(|label| (label.key.clone(), label)));
    }
    labels
}

/// Days that are held in the archive alone are no less held.
fn with_archived(gathered: &Gathered, data: &[CoverageItem], archived: &BTreeMap<DayKey, Label>) -> Meta {
    let meta = Meta::of(gathered);
    let all_final = meta.days.r#final + data.iter().filter(|item| item.held == Some(Held::Archive)).count();
    let remembered = gathered.days.iter().map(|day| (day.fetched_at(), day.key().geo));
    let latest = remembered.chain(archived.values().map(|label| (label.fetched_at, label.key.geo))).max();
    Meta {
        days: Days { r#final: all_final, ..meta.days },
        data_as_of: latest.map(|(fetched_at, geo)| geo.rfc3339(fetched_at)),
        ..meta
    }
}

impl CoverageItem {
    const fn without(geo: &'static str, date: Day, state: Coverage) -> Self {
        Self { geo, date, state, rows: None, fetched_at: None, held: None }
    }

    fn held(key: &DayKey, rows: usize, fetched_at: Timestamp, state: DayState, held: Held) -> Self {
        Self {
            rows: Some(rows),
            fetched_at: Some(key.geo.rfc3339(fetched_at)),
            held: Some(held),
            ..Self::without(key.geo.name(), key.day, state.into())
        }
    }
}

impl From<DayState> for Coverage {
    fn from(state: DayState) -> Self {
        match state {
            DayState::Pending => Self::Pending,
            DayState::Provisional => Self::Provisional,
            DayState::Final => Self::Final,
        }
    }
}
