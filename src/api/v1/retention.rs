//! `GET /v1/reports/retention`: how many people of each activation cohort stayed active.

use std::{collections::BTreeMap, num::NonZeroU64};

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use fixedbitset::FixedBitSet;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::figures::round_to_thousandths;
use crate::{
    api::{
        compute::compute,
        data_request::{DataRequest, EarlyResponse},
        format::{Format, FormatParams, RequestedFormat},
        list_response::ListResponse,
        meta::{Meta, PEOPLE_WITHOUT_ID_OMITTED, SMALL_GROUPS_SUPPRESSED},
        params::parameter_names,
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams, SharedParams},
    },
    model::Day,
    query::{PersonNumbering, ReportInput},
    report::{
        FiguresByDay, Interval, PersonSet,
        retention::{self, Cohort, CohortPeriod, activation_days},
    },
    table::{Cell, Column, ColumnKind, PersonIndex, Record, RowSelection},
};

/// The endpoint's own parameters.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `get` parses")]
pub struct RetentionParams {
    /// Length of a period. Weeks begin on Monday. The first and the last period are cut to the selected range. Default:
    /// `week`.
    #[param(inline)]
    interval: Option<PeriodParam>,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `get` parses")]
enum PeriodParam {
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

/// The activity of a cohort in one period.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeriodItem {
    /// Number of periods since the activation period.
    #[schema(example = 1)]
    offset: usize,
    /// First day of the period.
    #[schema(value_type = String, format = Date, example = "2026-11-09")]
    start_date: Day,
    /// Last day of the period.
    #[schema(value_type = String, format = Date, example = "2026-11-15")]
    end_date: Day,
    /// Distinct people of the cohort who were active in the period.
    #[schema(example = 21)]
    active: u64,
    /// `active` divided by the people of the cohort, 0 to 1. Null if the cohort is empty.
    #[schema(example = 0.875)]
    share: Option<f64>,
}

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

/// Retention
///
/// A cohort is the people who activated their account (`register_time`) in the same week or month. For each cohort, the
/// report gives the number of people who were active in that period and in each later one. Only people who have a row in
/// the selection count. As CSV, NDJSON or Parquet: one row per cohort and period.
#[utoipa::path(
    get, path = "/v1/reports/retention", tag = "reports", operation_id = "retentionReport",
    params(RangeParams, PeopleParams, RetentionParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "The cohorts, earliest first", content(
            (ListResponse<CohortItem> = "application/json"), (String = "text/csv"), (ParquetFile = "application/vnd.apache.parquet"), (RetentionRow = "application/x-ndjson"),
        )),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(mut request: DataRequest) -> Result<Response, EarlyResponse> {
    let mut params = request.params(&[shared_params::shared_names(), parameter_names::<RetentionParams>()]);
    let SharedParams { query, allow_partial } = shared_params::parse_for_groups(&mut params, &request);
    let intervals = [("week", Interval::Week), ("month", Interval::Month)];
    shared_params::reject_department_path_if_suppressing(&mut params, &request);
    let interval = params.one_of("interval", &intervals).unwrap_or(Interval::Week);
    let requested = request.requested_format(&mut params);
    params.finish()?;

    let loaded = request.engine().load_report_input(&query, request.load_options(allow_partial));
    let loaded = request.load_or_respond(&query, loaded).await?;
    let min_group_size = request.min_group_size();
    let response = move || build_response(&loaded, &query.selection, interval, min_group_size, requested);
    request.respond(compute(response).await?).await
}

fn build_response(
    input: &ReportInput,
    selection: &RowSelection,
    interval: Interval,
    min_group_size: Option<NonZeroU64>,
    requested: RequestedFormat,
) -> Response {
    let meta = Meta::from_loaded_days(input);
    let range = input.plan.range;
    let activated = activation_days(&input.days);
    let (days, numbering) = input.figures_with_numbering(selection);
    let mut cohorts =
        retention::retention(range, interval, &cohorts_by_activation_day(&activated, &days, &numbering), &days);
    let total = cohorts.len();
    let is_suppressed = input.is_suppressed(selection, min_group_size);
    // An empty cohort reveals nothing about a person.
    let is_group = |cohort: &Cohort| {
        cohort.people == 0 || min_group_size.is_none_or(|min_group_size| cohort.people >= min_group_size.get())
    };
    cohorts.retain(|cohort| !is_suppressed && is_group(cohort));
    let are_suppressed = cohorts.len() < total;
    let ids_are_withheld = days.values().any(|figures| figures.present.unidentified > 0);
    let meta = meta
        .with_note(ids_are_withheld.then_some(PEOPLE_WITHOUT_ID_OMITTED))
        .with_note(are_suppressed.then_some(SMALL_GROUPS_SUPPRESSED));
    if requested.format == Format::Json {
        let data: Vec<CohortItem> = cohorts.iter().map(CohortItem::from).collect();
        return Json(ListResponse { data, meta }).into_response();
    }
    ListResponse { data: cohorts.iter().flat_map(rows_of).collect(), meta }.into_format(requested, "retention")
}

/// The selected people by activation day, as bit sets over the person numbers of the selection.
fn cohorts_by_activation_day(
    activated: &BTreeMap<PersonIndex, Day>,
    days: &FiguresByDay,
    numbering: &PersonNumbering,
) -> BTreeMap<Day, FixedBitSet> {
    let present = PersonSet::union_of(days.values().map(|figures| &figures.present));
    let mut cohorts: BTreeMap<Day, FixedBitSet> = BTreeMap::new();
    for (person, day) in activated {
        if let Some(number) = numbering.index_of(*person).filter(|number| present.contains(*number)) {
            cohorts.entry(*day).or_default().grow_and_insert(number as usize);
        }
    }
    cohorts
}

impl From<&Cohort> for CohortItem {
    fn from(cohort: &Cohort) -> Self {
        Self {
            start_date: cohort.days.first(),
            end_date: cohort.days.last(),
            people: cohort.people,
            periods: cohort.periods.iter().enumerate().map(PeriodItem::new).collect(),
        }
    }
}

impl PeriodItem {
    fn new((offset, period): (usize, &CohortPeriod)) -> Self {
        Self {
            offset,
            start_date: period.days.first(),
            end_date: period.days.last(),
            active: period.active,
            share: period.share.map(round_to_thousandths),
        }
    }
}

fn rows_of(cohort: &Cohort) -> impl Iterator<Item = RetentionRow> + '_ {
    cohort.periods.iter().enumerate().map(|period| RetentionRow {
        cohort_start_date: cohort.days.first(),
        cohort_end_date: cohort.days.last(),
        people: cohort.people,
        period: PeriodItem::new(period),
    })
}

impl Record for RetentionRow {
    fn columns() -> Vec<Column> {
        [
            ("cohort_start_date", ColumnKind::Day),
            ("cohort_end_date", ColumnKind::Day),
            ("people", ColumnKind::Count),
            ("offset", ColumnKind::Count),
            ("start_date", ColumnKind::Day),
            ("end_date", ColumnKind::Day),
            ("active", ColumnKind::Count),
            ("share", ColumnKind::Number),
        ]
        .map(|(name, kind)| Column::new(name, kind))
        .into()
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let PeriodItem { offset, start_date, end_date, active, share } = &self.period;
        vec![
            Cell::Day(self.cohort_start_date),
            Cell::Day(self.cohort_end_date),
            Cell::Count(self.people),
            Cell::Count(*offset as u64),
            Cell::Day(*start_date),
            Cell::Day(*end_date),
            Cell::Count(*active),
            (*share).into(),
        ]
    }
}
