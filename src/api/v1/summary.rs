//! `GET /v1/reports/summary`: the main figures of the range, compared with the range of equal length before it.

use std::{borrow::Cow, num::NonZeroU64};

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::figures::{
    Counters, Features, PeopleFigures, RegularParams, TrailingFigures, read_regular_days, round_to_thousandths,
    withhold_small_cells,
};
use crate::{
    api::{
        compute::compute,
        data_request::{DataRequest, EarlyResponse, Loaded, RequestContext},
        list_response::ListResponse,
        meta::{Meta, RANGES_OF_DIFFERENT_LENGTH, SMALL_GROUPS_SUPPRESSED},
        picture::{
            picture_response,
            summary::{HeadlineFigure, SummaryChart},
        },
        problem::Problem,
        representation::Representation,
        responses::{CommonProblems, FormatProblems, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams},
    },
    model::{Day, DayRange},
    query::{Query, ReportInput},
    report::{
        RangeFigures,
        activity::{days_within, figures_of_range},
        relative_change,
    },
    table::{Cell, Feature, Record, record},
};

/// Whether a figure does not grow with the number of dates of its range.
fn is_independent_of_length(figure: &str) -> bool {
    figure == "users" || figure.ends_with("_per_day")
}

/// The figures of two ranges, and the change between them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SummaryReport)]
pub struct SummaryResponse {
    data: SummaryData,
    meta: Meta,
}

/// The figures of two ranges, and the change between them.
#[derive(Debug, Serialize, ToSchema)]
pub struct SummaryData {
    /// The selected range. Null if none of its dates counts, or if its figures are withheld (`meta.notes` says so).
    current: Option<Headline>,
    /// The range of equal length before it. Null if none of its dates counts, or if its figures are withheld.
    previous: Option<Headline>,
    /// Each figure: its value in both ranges, and the change.
    figures: Vec<SummaryFigure>,
}

/// The main figures of a range.
#[derive(Debug, Serialize, ToSchema)]
pub struct Headline {
    /// First day of the range.
    #[schema(value_type = String, format = Date, example = "2026-11-01")]
    start_date: Day,
    /// Last day of the range.
    #[schema(value_type = String, format = Date, example = "2026-11-07")]
    end_date: Day,
    /// Number of dates of the range that count in the figures. Late, missing, empty and expired dates do not.
    #[schema(example = 7)]
    days_counted: usize,
    #[serde(flatten)]
    people: PeopleFigures,
    features: Features,
    counters: Counters,
}

record! {
    /// One figure of both ranges.
    #[derive(Debug, Serialize, ToSchema)]
    pub struct SummaryFigure {
        /// Name of the figure: a field of the ranges such as `active_rate_per_day`, one of a feature such as
        /// `im_active_per_day`, or a counter.
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
        /// unknown. If the two ranges have different numbers of dates that
        /// count, only `users` and figures per day have a change.
        #[schema(example = 0.027)]
        change: Option<f64>,
    }
}

/// Main figures and their change
///
/// The figures of the selected range, compared with those of the range of equal length that ends the day before it. Days
/// of the earlier range that are not available are fetched from Feishu. As a table: one row per figure.
#[utoipa::path(
    get, path = "/v1/reports/summary", tag = "reports", operation_id = "summaryReport",
    params(RangeParams, PeopleParams, RegularParams, PreferHeader),
    responses(
        (status = 200, description = "The figures", body = SummaryResponse),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(context: RequestContext) -> Result<Response, EarlyResponse> {
    let request = SummaryRequest::parse(&context)?;
    let DataRequest { query, options, .. } = &request.data;
    let input = context.load(&request.data, context.engine().load_report_input(query, *options)).await?;
    let current = Representation::validate(context, &input, &request.data)?;
    let report = compute(move || report(&input, &request)).await?;
    current.respond(report).await
}

/// The parsed request.
struct SummaryRequest {
    data: DataRequest,
    regular_days: Option<usize>,
}

impl SummaryRequest {
    fn parse(context: &RequestContext) -> Result<Self, Problem> {
        let mut params = context.params();
        let (mut data, ()) = shared_params::read(&mut params, context);
        let regular_days = read_regular_days(&mut params, context, &data, |range| Some(range.len()));
        params.finish()?;
        let length = data.query.dates.resolve(&data.query.geos, context.now()).len();
        data.query.lead_days = u16::try_from(length).unwrap_or(u16::MAX);
        Ok(Self { data, regular_days })
    }
}

fn report(input: &Loaded<ReportInput>, request: &SummaryRequest) -> Response {
    let DataRequest { query: Query { selection, .. }, format, min_group_size, .. } = &request.data;
    let range = input.plan.range;
    let length = u16::try_from(range.len()).unwrap_or(u16::MAX);
    let before = DayRange::ending(range.first().plus(-1), length);
    let (people, sums) = (input.people(selection), input.sums_with_lead_days(selection));
    let suppressed = input.suppressed_days(selection, *min_group_size);
    let summary = |range| {
        let inside = days_within(range, &sums);
        let is_shown = !inside.is_empty() && !suppressed.cover(range);
        is_shown.then(|| Headline::new(range, &figures_of_range(inside, request.regular_days, &&people)))
    };
    let (mut current, mut previous) = rayon::join(|| summary(range), || summary(before));
    let mut are_suppressed = suppressed.cover(range) || suppressed.cover(before);
    if let Some(min_group_size) = min_group_size {
        for headline in [&mut current, &mut previous].into_iter().flatten() {
            are_suppressed |= headline.withhold_small_cells(*min_group_size);
        }
    }
    let figures = changes(current.as_ref(), previous.as_ref());
    let are_unequal = current.iter().zip(&previous).any(|(one, other)| one.days_counted != other.days_counted);
    let meta = Meta::from_report_figures(input, selection)
        .with_notes(input.notes())
        .with_note(are_unequal.then_some(RANGES_OF_DIFFERENT_LENGTH))
        .with_withheld(are_suppressed.then_some(SMALL_GROUPS_SUPPRESSED), *min_group_size);
    if let Some(style) = format.picture {
        let figure = |name: &'static str, figure: &str| {
            let SummaryFigure { current, previous, change, .. } =
                figures.iter().find(|known| known.figure == figure)?;
            let is_share = figure.ends_with(RATE_PER_DAY);
            let difference = || Some(round_to_thousandths((*current)? - (*previous)?));
            let change = if is_share { &difference() } else { change };
            Some(HeadlineFigure { name, is_share, current: *current, previous: *previous, change: *change })
        };
        let chart = SummaryChart {
            days: range,
            before,
            department: selection.department_path.as_deref(),
            figures: PICTURED_FIGURES.into_iter().filter_map(|name| figure(name, name)).collect(),
            features: Feature::ALL
                .into_iter()
                .filter_map(|of| figure(of.name(), &format!("{}_active_per_day", of.name())))
                .collect(),
            are_figures_withheld: are_suppressed,
            style,
        };
        return picture_response(chart.draw());
    }
    if format.has_rows() {
        return ListResponse { data: figures, meta }.into_format(*format, "summary");
    }
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

/// Each figure of the two ranges. The share of active people on a day leads: it does not depend on the length of the range.
fn changes(current: Option<&Headline>, previous: Option<&Headline>) -> Vec<SummaryFigure> {
    let days_counted = |headline: Option<&Headline>| headline.map(|headline| headline.days_counted);
    let are_equally_long = days_counted(current) == days_counted(previous);
    let values = |headline: Option<&Headline>| headline.map(Headline::values);
    let (current, previous) = (values(current), values(previous));
    let value = |values: &Option<Vec<Option<f64>>>, index: usize| values.as_ref().and_then(|values| values[index]);
    let figure = |(index, name): (usize, Cow<'static, str>)| {
        let (current, previous) = (value(&current, index), value(&previous, index));
        let is_comparable = are_equally_long || is_independent_of_length(&name);
        let change = relative_change(current, previous).filter(|_| is_comparable).map(round_to_thousandths);
        SummaryFigure { figure: name, current, previous, change }
    };
    let figures = Headline::names().into_iter().enumerate().filter(|(_, name)| name != "regular_days");
    let mut figures: Vec<SummaryFigure> = figures.map(figure).collect();
    figures.sort_by_key(|figure| figure.figure != LEADING_FIGURE);
    figures
}

/// The figures of the picture.
const PICTURED_FIGURES: [&str; 5] = [LEADING_FIGURE, "people", "activated", "active_per_day", "regular"];

/// The end of the name of a share.
const RATE_PER_DAY: &str = "rate_per_day";

/// The first of the figures.
const LEADING_FIGURE: &str = "active_rate_per_day";

impl Headline {
    fn new(days: DayRange, range: &RangeFigures) -> Self {
        Self {
            start_date: days.first(),
            end_date: days.last(),
            days_counted: range.days_counted,
            people: PeopleFigures::new(range),
            features: Features::new(range),
            counters: Counters::new(range.counters),
        }
    }

    /// The names of all figures.
    fn names() -> Vec<Cow<'static, str>> {
        let columns = [<PeopleFigures as Record>::columns(), <Features as Record>::columns(), Counters::columns()];
        columns.concat().into_iter().map(|column| column.name).collect()
    }

    /// The values of all figures, in the order of the names.
    fn values(&self) -> Vec<Option<f64>> {
        let mut cells = Vec::new();
        Record::push_cells(&self.people, &mut cells);
        Record::push_cells(&self.features, &mut cells);
        Record::push_cells(&self.counters, &mut cells);
        let value = |cell: Cell<'_>| match cell {
            Cell::Count(count) => Some(count as f64),
            Cell::Number(number) => Some(number),
            Cell::Empty | Cell::Text(_) | Cell::Day(_) | Cell::Instant(..) | Cell::Flag(_) => None,
        };
        cells.into_iter().map(value).collect()
    }

    fn withhold_small_cells(&mut self, min_group_size: NonZeroU64) -> bool {
        let Self { people, features, .. } = self;
        withhold_small_cells(people, &mut TrailingFigures::default(), features, min_group_size)
    }
}
