//! `GET /v1/reports/activity`: active people, feature use and counters over time.

use std::{borrow::Cow, cell::LazyCell, collections::BTreeSet};

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    figures::{
        Counters, Features, PeopleFigures, RegularParams, TrailingFigures, read_regular_days, round_to_thousandths,
        withhold_small_cells,
    },
    trailing::{TrailingMode, TrailingParams},
};
use crate::{
    api::{
        compute::compute,
        data_request::{DataRequest, EarlyResponse, Loaded, RequestContext},
        list_response::ListResponse,
        meta::{Meta, SMALL_GROUPS_SUPPRESSED, TRAILING_FIGURES_SUPPRESSED},
        picture::{
            activity_chart::{ActivityChart, ActivityPoint},
            picture_response,
            style::PictureStyle,
        },
        problem::Problem,
        representation::Representation,
        responses::{CommonProblems, FormatProblems, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams},
    },
    model::{Day, DayRange},
    query::{Query, ReportInput},
    report::{
        ActivityBucket, Interval, TrailingCounts,
        activity::{self, ActivityFigures},
    },
    store::DayState,
    table::{DayMetadata as _, record},
};

/// The endpoint's own parameters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ActivityParams {
    /// Length of a bucket. Weeks begin on Monday. The first and the last bucket are cut to the selected range.
    #[param(inline)]
    interval: Option<BucketLength>,
}

/// Length of a bucket. Weeks begin on Monday.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Interval)]
#[expect(missing_docs, reason = "the names say it")]
pub enum BucketLength {
    #[default]
    Day,
    Week,
    Month,
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
        days_counted: usize,
        #[serde(flatten)]
        people: PeopleFigures,
        #[serde(flatten)]
        trailing: TrailingFigures,
        features: Features,
        counters: Option<Counters>,
    }
}

/// The parsed request.
struct ActivityRequest {
    data: DataRequest,
    interval: Interval,
    regular_days: Option<usize>,
    trailing: TrailingMode,
}

/// Activity over time
///
/// People, active people, the use of each feature and the sum of each counter, by day, week or month.
#[utoipa::path(
    get, path = "/v1/reports/activity", tag = "reports", operation_id = "activityReport",
    params(RangeParams, PeopleParams, ActivityParams, RegularParams, TrailingParams, PreferHeader),
    responses(
        (status = 200, description = "One item per bucket, in time order. The figures of a bucket without a date \
            that counts are null. If the figures are withheld, the list is empty and `meta.notes` says so.", body = ListResponse<ActivityItem>),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(context: RequestContext) -> Result<Response, EarlyResponse> {
    let request = ActivityRequest::parse(&context)?;
    let input = context.load(&request.data, request.trailing.load(context.engine(), &request.data)).await?;
    let current = Representation::validate(context, &input, &request.data)?;
    let report = compute(move || report(&input, &request)).await?;
    current.respond(report).await
}

impl ActivityRequest {
    fn parse(context: &RequestContext) -> Result<Self, Problem> {
        let mut params = context.params();
        let (mut data, ActivityParams { interval }) = shared_params::read(&mut params, context);
        let interval: Interval = interval.unwrap_or_default().into();
        let longest = |range| activity::buckets(range, interval).map(DayRange::len).max();
        let regular_days = read_regular_days(&mut params, context, &data, longest);
        let trailing = params.read::<TrailingParams>().apply_to(&mut data, TrailingMode::Auto);
        params.finish()?;
        Ok(Self { data, interval, regular_days, trailing })
    }
}

fn report(input: &Loaded<ReportInput>, request: &ActivityRequest) -> Response {
    let DataRequest { query: Query { selection, .. }, format, min_group_size, .. } = &request.data;
    let mut meta = Meta::from_report_figures(input, selection).with_notes(input.notes());
    let mut data = Vec::new();
    let suppressed = input.suppressed_days(selection, *min_group_size);
    let range = input.plan.range;
    if suppressed.cover(range) {
        meta = meta.with_withheld(Some(SMALL_GROUPS_SUPPRESSED), *min_group_size);
    } else {
        let people = LazyCell::new(|| input.people(selection));
        let trailing = match request.trailing {
            TrailingMode::None => TrailingCounts::default(),
            _ => TrailingCounts::new(&people, &input.empty_dates()),
        };
        let visible = suppressed.visible_counts(&trailing);
        let is_suppressed = |day: Day| visible.ending_on(day) != trailing.ending_on(day);
        let are_suppressed = matches!(visible, Cow::Owned(_)) && range.days().any(is_suppressed);
        meta = meta.with_withheld(are_suppressed.then_some(TRAILING_FIGURES_SUPPRESSED), *min_group_size);
        let sums = input.sums(selection);
        let buckets = activity::activity(range, request.interval, request.regular_days, &sums, &people, &visible);
        data.extend(buckets.iter().map(ActivityItem::from));
        let is_incomplete = data.iter().any(|item: &ActivityItem| item.trailing.mau.is_none());
        meta = request.trailing.with_notes(meta, input, is_incomplete);
        if let Some(min_group_size) = min_group_size {
            let withhold = |any, item: &mut ActivityItem| {
                let ActivityItem { people, trailing, features, .. } = item;
                withhold_small_cells(people, trailing, features, *min_group_size) || any
            };
            let are_withheld = data.iter_mut().fold(false, withhold);
            meta = meta.with_withheld(are_withheld.then_some(SMALL_GROUPS_SUPPRESSED), Some(*min_group_size));
        }
    }
    if let Some(style) = format.picture {
        return picture(input, request, &data, &meta, style);
    }
    ListResponse { data, meta }.into_format(*format, "activity")
}

/// The picture of the items.
fn picture(
    input: &Loaded<ReportInput>,
    request: &ActivityRequest,
    items: &[ActivityItem],
    meta: &Meta,
    style: PictureStyle,
) -> Response {
    let provisional: BTreeSet<Day> =
        input.selected().filter(|(_, state)| *state == DayState::Provisional).map(|(day, _)| day.key().day).collect();
    let point = |item: &ActivityItem| {
        let days = DayRange::new(item.start_date, item.end_date).unwrap_or(DayRange::single(item.start_date));
        ActivityPoint {
            days,
            is_provisional: provisional.range(days.first()..=days.last()).next().is_some(),
            counts: item.days_counted > 0,
            active: [item.people.active, item.trailing.wau, item.trailing.mau],
        }
    };
    let chart = ActivityChart {
        days: input.plan.range,
        interval: request.interval,
        department: request.data.query.selection.department_path.as_deref(),
        points: items.iter().map(point).collect(),
        are_figures_withheld: meta.notes.contains(&SMALL_GROUPS_SUPPRESSED),
        style,
    };
    picture_response(chart.draw())
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

impl From<&ActivityFigures> for TrailingFigures {
    fn from(figures: &ActivityFigures) -> Self {
        let stickiness = figures.stickiness.map(round_to_thousandths);
        Self { wau: figures.trailing.wau, mau: figures.trailing.mau, stickiness }
    }
}

impl From<&ActivityBucket> for ActivityItem {
    fn from(bucket: &ActivityBucket) -> Self {
        let figures = bucket.figures.as_ref();
        let range = figures.map(|figures| &figures.range);
        Self {
            start_date: bucket.days.first(),
            end_date: bucket.days.last(),
            days_counted: range.map_or(0, |range| range.days_counted),
            people: range.map(PeopleFigures::new).unwrap_or_default(),
            trailing: figures.map(TrailingFigures::from).unwrap_or_default(),
            features: range.map_or(Features::UNKNOWN, Features::new),
            counters: range.map(|range| Counters::new(range.counters)),
        }
    }
}
