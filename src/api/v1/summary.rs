//! `GET /v1/reports/summary`: the main figures of the range, compared with the range of equal length before it.

use std::borrow::Cow;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::figures::{Counters, Features, round_to_thousandths};
use crate::{
    api::{
        compute::compute,
        data_request::{DataRequest, EarlyResponse, Loaded, RequestContext},
        format::{Format, FormatParams},
        list_response::ListResponse,
        meta::{Meta, RANGES_OF_DIFFERENT_LENGTH, SMALL_GROUPS_SUPPRESSED},
        problem::Problem,
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams},
    },
    model::{Day, DayRange},
    query::{Query, ReportInput},
    report::summary::{self, relative_change, summarize},
    table::{Counter, Feature, MAX_COUNT, record},
};

/// The figures that do not grow with the number of dates of their range.
const INDEPENDENT_OF_LENGTH: [&str; 3] = ["users", "activated", "active_per_day"];

/// The figures of two ranges, and the change between them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SummaryAnswer)]
pub struct SummaryResponse {
    data: SummaryData,
    meta: Meta,
}

/// The figures of two ranges, and the change between them.
#[derive(Debug, Serialize, ToSchema)]
pub struct SummaryData {
    /// The selected range. Null if none of its dates counts, or if its figures are withheld (`meta.notes` says so).
    current: Option<RangeFigures>,
    /// The range of equal length before it. Null if none of its dates counts, or if its figures are withheld.
    previous: Option<RangeFigures>,
    /// Each figure: its value in both ranges, and the change.
    figures: Vec<SummaryFigure>,
}

/// The main figures of a range.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Headline)]
pub struct RangeFigures {
    /// First day of the range.
    #[schema(value_type = String, format = Date, example = "2026-11-01")]
    start_date: Day,
    /// Last day of the range.
    #[schema(value_type = String, format = Date, example = "2026-11-07")]
    end_date: Day,
    /// Number of dates of the range that count in the figures. Late, missing, empty and expired dates do not.
    #[schema(example = 7)]
    days_counted: usize,
    /// People in Feishu's data on the last date of the range that counts.
    #[schema(example = 2000)]
    users: u64,
    /// The number of these people whose account is activated.
    #[schema(example = 1950)]
    activated: u64,
    /// Distinct people who were active in the range. Null if Feishu withholds user ids and the range spans several days.
    #[schema(example = 1610)]
    active: Option<u64>,
    /// Active people per day, on average over the dates that count.
    #[schema(example = 1302.4)]
    active_per_day: f64,
    features: Features,
    counters: Counters,
}

record! {
    /// One figure of both ranges.
    #[derive(Debug, Serialize, ToSchema)]
    pub struct SummaryFigure {
        /// Name of the figure: `users`, `activated`, `active`, `active_per_day`, a feature such as `im_active`, or a counter.
        #[schema(value_type = String, example = "send_messenger_num")]
        figure: Cow<'static, str>,
        /// Value in the selected range. Null if unknown.
        #[schema(example = 51234)]
        #[serde(serialize_with = "serialize_whole_as_integer")]
        current: Option<f64>,
        /// Value in the range before it. Null if unknown.
        #[schema(example = 49876)]
        #[serde(serialize_with = "serialize_whole_as_integer")]
        previous: Option<f64>,
        /// Relative change from `previous` to `current`: 0.027 is an increase of 2.7 %. Null if `previous` is 0 or a value is
        /// unknown. Also null for sums and distinct people if the two ranges have different numbers of dates that count.
        #[schema(example = 0.027)]
        change: Option<f64>,
    }
}

/// Main figures and their change
///
/// The figures of the selected range, compared with those of the range of equal length that ends the day before it. Days
/// of the earlier range that are not available are fetched from Feishu. As CSV, NDJSON or Parquet: one row per figure.
#[utoipa::path(
    get, path = "/v1/reports/summary", tag = "reports", operation_id = "summaryReport",
    params(RangeParams, PeopleParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "The figures", content(
            (SummaryResponse = "application/json"), (String = "text/csv"), (ParquetFile = "application/vnd.apache.parquet"), (SummaryFigure = "application/x-ndjson"),
        ), headers(("Pulse-Missing-Days" = String, description = "Selected days whose rows are not in the file: late, \
                expired, or not loaded; separated by commas, as `geo:date` if there are several geos; at most \
                366, then `+` and the number of further days. Formats without `meta` only"))),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(context: RequestContext) -> Result<Response, EarlyResponse> {
    let request = parse(&context)?;
    let input = context.load(&request, context.engine().load_report_input(&request.query, request.options)).await?;
    let current = context.validate(&input, &request)?;
    let report = compute(move || report(&input, &request)).await?;
    context.respond(current, report).await
}

fn parse(context: &RequestContext) -> Result<DataRequest, Problem> {
    let mut params = context.params();
    let (mut data, ()) = shared_params::read(&mut params, context);
    params.finish()?;
    let length = data.query.dates.resolve(&data.query.geos, context.now()).len();
    data.query.lead_days = u16::try_from(length).unwrap_or(u16::MAX);
    Ok(data)
}

fn report(input: &Loaded<ReportInput>, request: &DataRequest) -> Response {
    let DataRequest { query: Query { selection, .. }, format, min_group_size, .. } = request;
    let range = input.plan.range;
    let length = u16::try_from(range.len()).unwrap_or(u16::MAX);
    let before = DayRange::ending(range.first().plus(-1), length);
    let days = input.figures(selection);
    let suppressed = input.suppressed_days(selection, *min_group_size);
    let summary = |range| if suppressed.cover(range) { None } else { summarize(range, &days) };
    let (current, previous) = (summary(range), summary(before));
    let figures = changes(current.as_ref(), previous.as_ref());
    let are_suppressed = suppressed.cover(range) || suppressed.cover(before);
    let are_unequal = current.iter().zip(&previous).any(|(one, other)| one.days_counted != other.days_counted);
    let meta = Meta::from_report_figures(input, selection)
        .with_note(input.selection_note())
        .with_note(are_unequal.then_some(RANGES_OF_DIFFERENT_LENGTH))
        .with_note(are_suppressed.then_some(SMALL_GROUPS_SUPPRESSED));
    if format.format != Format::Json {
        return ListResponse { data: figures, meta }.into_format(*format, "summary");
    }
    let (current, previous) = (current.map(RangeFigures::from), previous.map(RangeFigures::from));
    Json(SummaryResponse { data: SummaryData { current, previous, figures }, meta }).into_response()
}

/// Serializes a whole number as an integer (`170`, not `170.0`): most of these figures are counts, some are averages.
#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn serialize_whole_as_integer<S: Serializer>(figure: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number between 0 and 2^53")]
    match figure {
        Some(whole) if whole.fract() == 0.0 && (0.0..=2_f64.powi(53)).contains(whole) => {
            serializer.serialize_u64(*whole as u64)
        }
        figure => figure.serialize(serializer),
    }
}

/// The figures of a range, in the order of the names in [`changes`].
fn figures(of: &summary::RangeSummary) -> impl Iterator<Item = Option<f64>> {
    let count = |value: u64| Some(value as f64);
    let head = [count(of.users), count(of.activated), of.active.and_then(count), Some(of.active_per_day)];
    let features = of.features.map(|users| users.and_then(count));
    head.into_iter().chain(features).chain(of.counters.map(|sum| count(sum.min(MAX_COUNT))))
}

fn changes(current: Option<&summary::RangeSummary>, previous: Option<&summary::RangeSummary>) -> Vec<SummaryFigure> {
    let head = ["users", "activated", "active", "active_per_day"].map(Cow::from);
    let features = Feature::ALL.map(|feature| format!("{}_active", feature.name()).into());
    let days_counted = |summary: Option<&summary::RangeSummary>| summary.map(|summary| summary.days_counted);
    let are_equally_long = days_counted(current) == days_counted(previous);
    let names = head.into_iter().chain(features).chain(Counter::ALL.map(|counter| counter.name().into()));
    let values = |summary: Option<&summary::RangeSummary>| summary.map(|one| figures(one).collect::<Vec<_>>());
    let (current_values, previous_values) = (values(current), values(previous));
    let at = |values: &Option<Vec<Option<f64>>>, index: usize| values.as_ref().and_then(|values| values[index]);
    names
        .enumerate()
        .map(|(index, figure)| {
            let (current, previous) = (at(&current_values, index), at(&previous_values, index));
            let is_comparable = are_equally_long || INDEPENDENT_OF_LENGTH.contains(&&*figure);
            let change = relative_change(current, previous).filter(|_| is_comparable).map(round_to_thousandths);
            SummaryFigure {
                figure,
                current: current.map(round_to_thousandths),
                previous: previous.map(round_to_thousandths),
                change,
            }
        })
        .collect()
}

impl From<summary::RangeSummary> for RangeFigures {
    fn from(summary: summary::RangeSummary) -> Self {
        Self {
            start_date: summary.days.first(),
            end_date: summary.days.last(),
            days_counted: summary.days_counted,
            users: summary.users,
            activated: summary.activated,
            active: summary.active,
            active_per_day: round_to_thousandths(summary.active_per_day),
            features: Features::new(summary.features, summary.active),
            counters: Counters::new(summary.counters),
        }
    }
}
