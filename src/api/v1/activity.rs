//! `GET /v1/reports/activity`: who used what over time.

use std::{cell::LazyCell, num::NonZeroU64};

use axum::response::Response;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::figures::{Counters, Features, rounded};
use crate::{
    api::{
        answer::Answer,
        data_request::{DataRequest, Early},
        envelope::{Meta, WITHHELD_GROUPS},
        negotiate::FormatParams,
        params::{Params, documented},
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamAnswers},
        selection::{self, PeopleParams, RangeParams, Selected},
        work::compute,
    },
    model::Day,
    query::{Basis, Trails},
    report::{Bucket, Interval, activity, trailing},
    table::{Cell, Column, Kind, Record, Selection},
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
    params(RangeParams, PeopleParams, ActivityParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "One item per bucket, in time order. A bucket none of whose days is there \
            (pending, missing) is left out. None at all where the figures are withheld; then `meta.notes` says so.", content(
            (Answer<ActivityItem> = "application/json"), (String = "text/csv"),
            (ParquetFile = "application/vnd.apache.parquet"), (ActivityItem = "application/x-ndjson"),
        )),
        CommonProblems, FormatProblems, UpstreamAnswers,
    ),
)]
pub(in crate::api) async fn get(mut request: DataRequest) -> Result<Response, Early> {
    let mut params = request.params(&[selection::shared(), documented::<ActivityParams>()]);
    let asked = Asked::read(&mut params, &request);
    let wanted = request.wanted(&mut params);
    params.finish()?;
    let Asked { selected: Selected { query, allow_partial }, interval } = asked;

    let gathering = async {
        let mut basis = request.engine().basis(&query, request.asking(allow_partial)).await?;
        request.engine().look_back(&mut basis, trailing::MONTH - 1).await;
        Ok(basis)
    };
    let basis = request.gathered(&query, gathering).await?;
    let (least, trails) = (request.least_group(), request.engine().trails().clone());
    let answer = move || answer(&basis, &query.selection, interval, (least, &trails)).written(wanted, "activity");
    request.answered(compute(answer).await?).await
}

impl Asked {
    fn read(params: &mut Params, request: &DataRequest) -> Self {
        let mut selected = selection::read(params, request);
        let intervals = [("day", Interval::Day), ("week", Interval::Week), ("month", Interval::Month)];
        let interval = params.one_of("interval", &intervals).unwrap_or_default();
        let fetch = params.one_of("trailing", &[("held", false), ("fetch", true)]).unwrap_or(false);
        selected.query.lead = if fetch { trailing::MONTH - 1 } else { 0 };
        Self { selected, interval }
    }
}

fn answer(
    basis: &Basis,
    selection: &Selection,
    interval: Interval,
    (least, trails): (Option<NonZeroU64>, &Trails),
) -> Answer<ActivityItem> {
    let meta = Meta::of_figures(basis, selection);
    if basis.hides(selection, least) {
        return Answer { data: Vec::new(), meta: meta.noting(Some(WITHHELD_GROUPS)) };
    }
    let figures = LazyCell::new(|| basis.figures(selection));
    let trailing = trails.over(basis, selection, &figures);
    let buckets =
        activity::activity(basis.plan().range, interval, &basis.sums(selection, &figures), &figures, &trailing);
    Answer { data: buckets.iter().map(ActivityItem::from).collect(), meta }
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

impl Record for ActivityItem {
    fn columns() -> Vec<Column> {
        let days = ["start_date", "end_date"].map(|name| Column::new(name, Kind::Day));
        let counts = ["users", "activated", "active", "wau", "mau"].map(|name| Column::new(name, Kind::Count));
        let head = days.into_iter().chain(counts).chain([Column::new("stickiness", Kind::Number)]);
        head.chain(Features::columns()).chain(Counters::columns()).collect()
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let days = [Cell::Day(self.start_date), Cell::Day(self.end_date)];
        let counts = [Some(self.users), Some(self.activated), self.active, self.wau, self.mau].map(Cell::from);
        let head = days.into_iter().chain(counts).chain([self.stickiness.into()]);
        head.chain(self.features.cells()).chain(self.counters.cells()).collect()
    }
}
