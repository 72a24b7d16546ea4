//! `GET /v1/reports/retention`: how many people of each activation cohort stayed active.

use std::num::NonZeroU64;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::figures::{round_to_thousandths, withhold_parts};
use crate::{
    api::{
        compute::compute,
        data_request::{DataRequest, EarlyResponse, Loaded, RequestContext},
        list_response::ListResponse,
        meta::{Meta, PEOPLE_WITHOUT_ID_OMITTED, SMALL_GROUPS_SUPPRESSED},
        problem::Problem,
        representation::Representation,
        responses::{CommonProblems, FormatProblems, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams},
    },
    model::Day,
    query::{Query, ReportInput},
    report::{
        Interval,
        retention::{self, Activations, Cohort, CohortPeriod},
    },
    table::record,
};

/// The endpoint's own parameters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RetentionParams {
    /// Length of a period. Weeks begin on Monday. The first and the last period are cut to the selected range. Default:
    /// `week`.
    #[param(inline)]
    interval: Option<PeriodLength>,
}

/// Length of a period. Weeks begin on Monday.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PeriodInterval)]
#[expect(missing_docs, reason = "the names say it")]
pub enum PeriodLength {
    #[default]
    Week,
    Month,
}

/// A cohort: the people who activated their account in the same period.
#[derive(Debug, Serialize, ToSchema)]
pub struct CohortItem {
    /// First day of the period.
    #[schema(value_type = String, format = Date, example = "2026-11-02")]
    start_date: Day,
    /// Last day of the period.
    #[schema(value_type = String, format = Date, example = "2026-11-08")]
    end_date: Day,
    /// Number of people who activated their account in the period.
    #[schema(example = 24)]
    people: u64,
    /// The activation period and each later period.
    periods: Vec<PeriodItem>,
}

record! {
    /// The activity of a cohort in one period.
    #[derive(Debug, Serialize, ToSchema)]
    pub struct PeriodItem {
        /// Number of weeks or months since the activation period. Those without a date that counts are omitted.
        #[schema(example = 1)]
        offset: usize,
        /// First day of the period.
        #[schema(value_type = String, format = Date, example = "2026-11-09")]
        start_date: Day,
        /// Last day of the period.
        #[schema(value_type = String, format = Date, example = "2026-11-15")]
        end_date: Day,
        /// Number of dates of the period that count in the figures. Late, missing, empty, expired and pending dates do not.
        #[schema(example = 7)]
        days_counted: usize,
        /// Whether the whole week or month is in the selected range, and each of its dates counts or is known to have no
        /// people. Do not compare the share of a period that is not complete with others.
        #[schema(example = true)]
        complete: bool,
        /// Distinct people of the cohort who were active in the period. Null if small groups are withheld and the number is
        /// small.
        #[schema(example = 21)]
        active: Option<u64>,
        /// `active` divided by the people of the cohort, 0 to 1. Null if the cohort is empty.
        #[schema(minimum = 0, maximum = 1, example = 0.875)]
        share: Option<f64>,
    }
}

record! {
    /// The activity of a cohort in one period, as one row of a table.
    #[derive(Debug, Serialize, ToSchema)]
    #[schema(as = RetentionLine)]
    pub struct RetentionRow {
        /// First day of the cohort's activation period.
        #[schema(value_type = String, format = Date, example = "2026-11-02")]
        cohort_start_date: Day,
        /// Last day of the cohort's activation period.
        #[schema(value_type = String, format = Date, example = "2026-11-08")]
        cohort_end_date: Day,
        /// Number of people in the cohort.
        #[schema(example = 24)]
        people: u64,
        #[serde(flatten)]
        period: PeriodItem,
    }
}

impl From<PeriodLength> for Interval {
    fn from(length: PeriodLength) -> Self {
        match length {
            PeriodLength::Week => Self::Week,
            PeriodLength::Month => Self::Month,
        }
    }
}

/// The parsed request.
struct RetentionRequest {
    data: DataRequest,
    interval: Interval,
}

/// Retention
///
/// A cohort is the people who activated their account (`register_time`) in the same week or month. For each cohort, the
/// report gives the number of people who were active in that period and in each later one. Only people who have a row in
/// the selection count. As a table: one row per cohort and period.
#[utoipa::path(
    get, path = "/v1/reports/retention", tag = "reports", operation_id = "retentionReport",
    params(RangeParams, PeopleParams, RetentionParams, PreferHeader),
    responses(
        (status = 200, description = "The cohorts, earliest first", body = ListResponse<CohortItem>),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(context: RequestContext) -> Result<Response, EarlyResponse> {
    let request = RetentionRequest::parse(&context)?;
    let DataRequest { query, options, .. } = &request.data;
    let loaded = context.load(&request.data, context.engine().load_report_input(query, *options)).await?;
    let current = Representation::validate(context, &loaded, &request.data)?;
    let report = compute(move || report(&loaded, &request)).await?;
    current.respond(report).await
}

impl RetentionRequest {
    fn parse(context: &RequestContext) -> Result<Self, Problem> {
        let mut params = context.params();
        shared_params::reject_user_id(&mut params);
        let (data, RetentionParams { interval }) = shared_params::read(&mut params, context);
        shared_params::reject_department_path_if_suppressing(&mut params, context);
        params.finish()?;
        Ok(Self { data, interval: interval.unwrap_or_default().into() })
    }
}

fn report(input: &Loaded<ReportInput>, request: &RetentionRequest) -> Response {
    let RetentionRequest { data: DataRequest { query: Query { selection, .. }, format, .. }, interval } = request;
    let min_group_size = request.data.min_group_size;
    let meta = Meta::from_loaded_days(input).with_notes(input.notes());
    let range = input.plan.range;
    let (activations, people) = (Activations::from_days(&input.days), input.people(selection));
    let mut cohorts = retention::retention(range, *interval, &activations, &people, &input.known_dates());
    let total = cohorts.len();
    let is_suppressed = input.suppressed_days(selection, min_group_size).cover(range);
    // An empty cohort reveals nothing about a person.
    let is_group = |cohort: &Cohort| {
        cohort.people == 0 || min_group_size.is_none_or(|min_group_size| cohort.people >= min_group_size.get())
    };
    cohorts.retain(|cohort| !is_suppressed && is_group(cohort));
    let mut are_cells_small = false;
    for (cohort, least) in cohorts.iter_mut().filter_map(|cohort| Some((cohort, min_group_size?))) {
        are_cells_small |= withhold_small_periods(cohort, least);
    }
    let are_suppressed = cohorts.len() < total || are_cells_small;
    let ids_are_withheld = people.dates().iter().any(|date| date.with_row().unidentified > 0);
    let meta = meta
        .with_note(ids_are_withheld.then_some(PEOPLE_WITHOUT_ID_OMITTED))
        .with_withheld(are_suppressed.then_some(SMALL_GROUPS_SUPPRESSED), min_group_size);
    if !format.has_rows() {
        let data: Vec<CohortItem> = cohorts.iter().map(CohortItem::from).collect();
        return Json(ListResponse { data, meta }).into_response();
    }
    ListResponse { data: cohorts.iter().flat_map(rows_of).collect(), meta }.into_format(*format, "retention")
}

/// Sets numbers from 1 to below the minimum to `None`, and the next smallest number too. Returns whether there was one.
fn withhold_small_periods(cohort: &mut Cohort, min_group_size: NonZeroU64) -> bool {
    let mut parts: Vec<&mut Option<u64>> = cohort.periods.iter_mut().map(|period| &mut period.active).collect();
    withhold_parts(&mut parts, min_group_size)
}

impl From<&Cohort> for CohortItem {
    fn from(cohort: &Cohort) -> Self {
        Self {
            start_date: cohort.days.first(),
            end_date: cohort.days.last(),
            people: cohort.people,
            periods: cohort.periods.iter().map(PeriodItem::new).collect(),
        }
    }
}

impl PeriodItem {
    fn new(period: &CohortPeriod) -> Self {
        Self {
            offset: period.offset,
            start_date: period.days.first(),
            end_date: period.days.last(),
            days_counted: period.days_counted,
            complete: period.is_complete,
            active: period.active,
            share: period.active.and(period.share).map(round_to_thousandths),
        }
    }
}

fn rows_of(cohort: &Cohort) -> impl Iterator<Item = RetentionRow> + '_ {
    cohort.periods.iter().map(|period| RetentionRow {
        cohort_start_date: cohort.days.first(),
        cohort_end_date: cohort.days.last(),
        people: cohort.people,
        period: PeriodItem::new(period),
    })
}
