//! `GET /v1/reports/activity`: active people, feature use and counters over time.

use std::{cell::LazyCell, sync::Arc};

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::figures::{Counters, Features, round_to_thousandths};
use crate::{
    api::{
        compute::compute,
        data_request::{DataRequest, EarlyResponse, Loaded, RequestContext},
        format::FormatParams,
        list_response::ListResponse,
        meta::{Meta, SMALL_GROUPS_SUPPRESSED, TRAILING_FIGURES_SUPPRESSED, trailing_note},
        problem::Problem,
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams},
    },
    model::Day,
    query::{Query, QueryEngine, QueryError, ReportInput, TrailingCountCache},
    report::{ActivityBucket, Interval, activity, trailing_counts},
    table::{Feature, record},
};

/// The endpoint's own parameters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ActivityParams {
    /// Length of a bucket. Weeks begin on Monday. The first and the last bucket are cut to the selected range.
    #[param(inline)]
    interval: Option<BucketLength>,
    /// Which days `wau` and `mau` may use. `held` (default): selected days and days in memory; a figure is null if a
    /// day of its window is neither. `fetch`: missing days, up to 29 before the selected range, are fetched from Feishu.
    #[param(inline)]
    trailing: Option<TrailingDays>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BucketLength {
    #[default]
    Day,
    Week,
    Month,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum TrailingDays {
    Held,
    Fetch,
}

record! {
    /// The figures of one bucket. Distinct counts are exact.
    #[derive(Debug, Serialize, ToSchema)]
    pub struct ActivityItem {
        /// First day of the bucket.
        #[schema(value_type = String, format = Date, example = "2026-11-01")]
        start_date: Day,
        /// Last day of the bucket.
        #[schema(value_type = String, format = Date, example = "2026-11-01")]
        end_date: Day,
        /// Number of dates of the bucket that count in the figures. Late, missing, empty, expired and pending dates do
        /// not. If it is 0, all figures are null.
        #[schema(example = 1)]
        days_counted: u64,
        /// People in Feishu's data on the last date of the bucket that counts.
        #[schema(example = 2000)]
        users: Option<u64>,
        /// The number of these people whose account is activated.
        #[schema(example = 1950)]
        activated: Option<u64>,
        /// Distinct people who were active in the bucket. Null if Feishu withholds user ids and the bucket spans several
        /// days.
        #[schema(example = 1320)]
        active: Option<u64>,
        /// Distinct people active in the 7 days that end with the last date of the bucket that counts. Null if one of
        /// the 7 days is late, missing or expired, or neither selected nor in memory.
        #[schema(example = 1610)]
        wau: Option<u64>,
        /// The same as `wau`, over 30 days.
        #[schema(example = 1790)]
        mau: Option<u64>,
        /// Active people of that last date divided by `mau`, 0 to 1.
        #[schema(example = 0.737)]
        stickiness: Option<f64>,
        features: Features,
        counters: Option<Counters>,
    }
}

/// The parsed request.
struct ActivityRequest {
    data: DataRequest,
    interval: Interval,
}

/// Activity over time
///
/// People, active people, the use of each feature and the sum of each counter, by day, week or month.
#[utoipa::path(
    get, path = "/v1/reports/activity", tag = "reports", operation_id = "activityReport",
    params(RangeParams, PeopleParams, ActivityParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "One item per bucket, in time order. The figures of a bucket without a date \
            that counts are null. If the figures are withheld, the list is empty and `meta.notes` says so.", content(
            (ListResponse<ActivityItem> = "application/json"), (String = "text/csv"),
            (ParquetFile = "application/vnd.apache.parquet"), (ActivityItem = "application/x-ndjson"),
        ), headers(("Pulse-Missing-Days" = String, description = "Selected days whose rows are not in the file: late, \
                expired, or not loaded; separated by commas, as `geo:date` if there are several geos; at most \
                366, then `+` and the number of further days. Formats without `meta` only"))),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(context: RequestContext) -> Result<Response, EarlyResponse> {
    let request = ActivityRequest::parse(&context)?;
    let input = context.load(&request.data, load(context.engine(), &request.data)).await?;
    let current = context.validate(&input, &request.data)?;
    let trailing = context.engine().trailing_counts().clone();
    let report = compute(move || report(&input, &request, &trailing)).await?;
    context.respond(current, report).await
}

async fn load(engine: &QueryEngine, request: &DataRequest) -> Result<ReportInput, QueryError> {
    let mut input = engine.load_report_input(&request.query, request.options).await?;
    engine.add_lead_days(&mut input, &request.query, trailing_counts::MONTH_DAYS - 1).await?;
    Ok(input)
}

impl ActivityRequest {
    fn parse(context: &RequestContext) -> Result<Self, Problem> {
        let mut params = context.params();
        let (mut data, own): (_, ActivityParams) = shared_params::read(&mut params, context);
        params.finish()?;
        let fetch = own.trailing == Some(TrailingDays::Fetch);
        data.query.lead_days = if fetch { trailing_counts::MONTH_DAYS - 1 } else { 0 };
        Ok(Self { data, interval: own.interval.unwrap_or_default().into() })
    }
}

fn report(input: &Loaded<ReportInput>, request: &ActivityRequest, trailing_counts: &TrailingCountCache) -> Response {
    let DataRequest { query: Query { selection, .. }, format, min_group_size, .. } = &request.data;
    let mut meta = Meta::from_report_figures(input, selection).with_note(input.selection_note());
    let mut data = Vec::new();
    let suppressed = input.suppressed_days(selection, *min_group_size);
    let range = input.plan.range;
    if suppressed.cover(range) {
        meta = meta.with_note(Some(SMALL_GROUPS_SUPPRESSED));
    } else {
        let figures = LazyCell::new(|| input.figures(selection));
        let trailing = trailing_counts.get_or_compute(input, selection, &figures);
        let visible = suppressed.visible_counts(&trailing);
        let is_suppressed = |day: Day| visible.ending_on(day) != trailing.ending_on(day);
        let are_suppressed = !Arc::ptr_eq(&visible, &trailing) && range.days().any(is_suppressed);
        meta = meta.with_note(are_suppressed.then_some(TRAILING_FIGURES_SUPPRESSED));
        let sums = input.sums(selection);
        let buckets = activity::activity(range, request.interval, &sums, &figures, &visible);
        data.extend(buckets.iter().map(ActivityItem::from));
        let is_incomplete = data.iter().any(|item: &ActivityItem| item.mau.is_none());
        meta = meta.with_note(trailing_note(input, is_incomplete));
    }
    ListResponse { data, meta }.into_format(*format, "activity")
}

impl From<BucketLength> for Interval {
    fn from(length: BucketLength) -> Self {
        match length {
            BucketLength::Day => Self::Day,
            BucketLength::Week => Self::Week,
            BucketLength::Month => Self::Month,
        }
    }
}

impl From<&ActivityBucket> for ActivityItem {
    fn from(bucket: &ActivityBucket) -> Self {
        let figures = bucket.figures.as_ref();
        let active = figures.and_then(|figures| figures.active);
        Self {
            start_date: bucket.days.first(),
            end_date: bucket.days.last(),
            days_counted: bucket.days_counted as u64,
            users: figures.map(|figures| figures.users),
            activated: figures.map(|figures| figures.activated),
            active,
            wau: figures.and_then(|figures| figures.trailing.wau),
            mau: figures.and_then(|figures| figures.trailing.mau),
            stickiness: figures.and_then(|figures| figures.stickiness).map(round_to_thousandths),
            features: Features::new(figures.map_or([None; Feature::COUNT], |figures| figures.features), active),
            counters: figures.map(|figures| Counters::new(figures.counters)),
        }
    }
}
