//! `GET /v1/reports/activity`: active people, feature use and counters over time.

use std::{cell::LazyCell, num::NonZeroU64};

use axum::response::Response;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::figures::{Counters, Features, round_to_thousandths};
use crate::{
    api::{
        compute::compute,
        data_request::{DataRequest, EarlyResponse},
        format::FormatParams,
        list_response::ListResponse,
        meta::{Meta, SMALL_GROUPS_SUPPRESSED},
        params::{Params, parameter_names},
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams, SharedParams},
    },
    model::Day,
    query::{ReportInput, TrailingCountCache},
    report::{ActivityBucket, Interval, activity, trailing_counts},
    table::{Cell, Column, ColumnKind, Record, RowSelection},
};

/// The endpoint's own parameters.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `ActivityRequest::parse` parses")]
pub struct ActivityParams {
    /// Length of a bucket. Weeks begin on Monday. The first and the last bucket are cut to the selected range.
    #[param(inline)]
    interval: Option<IntervalParam>,
    /// Which days `wau` and `mau` may use. `held` (default): selected days and days in memory; a figure is null if a
    /// day of its window is neither. `fetch`: missing days, up to 29 before the selected range, are fetched from Feishu.
    #[param(inline)]
    trailing: Option<TrailingParam>,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `ActivityRequest::parse` parses")]
enum IntervalParam {
    Day,
    Week,
    Month,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `ActivityRequest::parse` parses")]
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
    /// People in Feishu's data on the last day of the bucket that has rows.
    #[schema(example = 2000)]
    users: u64,
    /// The number of these people whose account is activated.
    #[schema(example = 1950)]
    activated: u64,
    /// Distinct people who were active in the bucket. Null if Feishu withholds user ids and the bucket spans several
    /// days.
    #[schema(example = 1320)]
    active: Option<u64>,
    /// Distinct people active in the 7 days that end with the last available day of the bucket. Null if one of the 7
    /// days is neither selected nor in memory.
    #[schema(example = 1610)]
    wau: Option<u64>,
    /// The same as `wau`, over 30 days.
    #[schema(example = 1790)]
    mau: Option<u64>,
    /// Active people of that last day divided by `mau`, 0 to 1.
    #[schema(example = 0.737)]
    stickiness: Option<f64>,
    features: Features,
    counters: Counters,
}

/// The parsed request.
struct ActivityRequest {
    shared: SharedParams,
    interval: Interval,
}

/// The input of the report, once the days are loaded.
struct ActivityReport {
    input: ReportInput,
    selection: RowSelection,
    interval: Interval,
    /// Groups of fewer people are suppressed.
    min_group_size: Option<NonZeroU64>,
}

/// Activity over time
///
/// People, active people, the use of each feature and the sum of each counter, by day, week or month.
#[utoipa::path(
    get, path = "/v1/reports/activity", tag = "reports", operation_id = "activityReport",
    params(RangeParams, PeopleParams, ActivityParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "One item per bucket, in time order. A bucket whose days are all pending or \
            missing is omitted. If the figures are withheld, the list is empty and `meta.notes` says so.", content(
            (ListResponse<ActivityItem> = "application/json"), (String = "text/csv"),
            (ParquetFile = "application/vnd.apache.parquet"), (ActivityItem = "application/x-ndjson"),
        )),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(mut request: DataRequest) -> Result<Response, EarlyResponse> {
    let mut params = request.params(&[shared_params::shared_names(), parameter_names::<ActivityParams>()]);
    let parsed = ActivityRequest::parse(&mut params, &request);
    let requested = request.requested_format(&mut params);
    params.finish()?;
    let ActivityRequest { shared: SharedParams { query, allow_partial }, interval } = parsed;

    let loading = async {
        let mut input = request.engine().load_report_input(&query, request.load_options(allow_partial)).await?;
        request.engine().add_lead_days(&mut input, &query, trailing_counts::MONTH_DAYS - 1).await?;
        Ok(input)
    };
    let input = request.load_or_respond(&query, loading).await?;
    let trailing = request.engine().trailing_counts().clone();
    let report =
        ActivityReport { input, selection: query.selection, interval, min_group_size: request.min_group_size() };
    request.respond(compute(move || report.response(&trailing).into_format(requested, "activity")).await?).await
}

impl ActivityRequest {
    fn parse(params: &mut Params, request: &DataRequest) -> Self {
        let mut shared = shared_params::parse(params, request);
        let intervals = [("day", Interval::Day), ("week", Interval::Week), ("month", Interval::Month)];
        let interval = params.one_of("interval", &intervals).unwrap_or_default();
        let fetch = params.one_of("trailing", &[("held", false), ("fetch", true)]).unwrap_or(false);
        shared.query.lead_days = if fetch { trailing_counts::MONTH_DAYS - 1 } else { 0 };
        Self { shared, interval }
    }
}

impl ActivityReport {
    fn response(&self, trailing_counts: &TrailingCountCache) -> ListResponse<ActivityItem> {
        let Self { input, selection, interval, min_group_size } = self;
        let meta = Meta::from_report_figures(input, selection);
        if input.is_suppressed(selection, *min_group_size) {
            return ListResponse { data: Vec::new(), meta: meta.with_note(Some(SMALL_GROUPS_SUPPRESSED)) };
        }
        let figures = LazyCell::new(|| input.figures(selection));
        let trailing = trailing_counts.get_or_compute(input, selection, &figures);
        let sums = input.sums(selection);
        let buckets = activity::activity(input.plan.range, *interval, &sums, &figures, &trailing);
        ListResponse { data: buckets.iter().map(ActivityItem::from).collect(), meta }
    }
}

impl From<&ActivityBucket> for ActivityItem {
    fn from(bucket: &ActivityBucket) -> Self {
        Self {
            start_date: bucket.days.first(),
            end_date: bucket.days.last(),
            users: bucket.users,
            activated: bucket.activated,
            active: bucket.active,
            wau: bucket.wau,
            mau: bucket.mau,
            stickiness: bucket.stickiness.map(round_to_thousandths),
            features: Features::new(bucket.features, bucket.active),
            counters: Counters(bucket.counters),
        }
    }
}

impl Record for ActivityItem {
    fn columns() -> Vec<Column> {
        let days = ["start_date", "end_date"].map(|name| Column::new(name, ColumnKind::Day));
        let counts = ["users", "activated", "active", "wau", "mau"].map(|name| Column::new(name, ColumnKind::Count));
        let head = days.into_iter().chain(counts).chain([Column::new("stickiness", ColumnKind::Number)]);
        head.chain(Features::columns()).chain(Counters::columns()).collect()
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let days = [Cell::Day(self.start_date), Cell::Day(self.end_date)];
        let counts = [Some(self.users), Some(self.activated), self.active, self.wau, self.mau].map(Cell::from);
        let head = days.into_iter().chain(counts).chain([self.stickiness.into()]);
        head.chain(self.features.cells()).chain(self.counters.cells()).collect()
    }
}
