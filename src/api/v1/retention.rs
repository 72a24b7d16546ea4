//! `GET /v1/reports/retention`: of the people who began in a week or month, how many stayed active.

use std::{collections::BTreeMap, num::NonZeroU64};

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use fixedbitset::FixedBitSet;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::figures::rounded;
use crate::{
    api::{
        answer::Answer,
        data_request::{DataRequest, Early},
        envelope::{Meta, WITHHELD_GROUPS, WITHHELD_PEOPLE},
        negotiate::{Format, FormatParams, Wanted},
        params::documented,
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamAnswers},
        selection::{self, PeopleParams, RangeParams, Selected},
        work::compute,
    },
    model::Day,
    query::{Basis, Gathered, Numbers},
    report::{
        Digest, FiguresByDay, Interval, People,
        retention::{self, Cohort, Period, activations},
    },
    table::{Cell, Column, Kind, PersonNo, Record, Selection},
};

/// The parameters of this endpoint alone.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `get` reads")]
pub struct RetentionParams {
    /// How long a period is. Weeks begin on Monday; the first and the last period are cut to the selection. Default:
    /// `week`.
    #[param(inline)]
    interval: Option<PeriodParam>,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `get` reads")]
enum PeriodParam {
    Week,
    Month,
}

/// People who activated their account in the same period.
#[derive(Debug, Serialize, ToSchema)]
pub struct CohortItem {
    /// First day of the period.
    #[schema(value_type = String, format = Date, example = "2026-11-02")]
    start_date: Day,
    /// Last day of the period.
    #[schema(value_type = String, format = Date, example = "2026-11-08")]
    end_date: Day,
    /// How many people activated their account in it.
    #[schema(example = 24)]
    people: u64,
    /// That period and each later one.
    periods: Vec<PeriodItem>,
}

/// A cohort in one period.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeriodItem {
    /// How many periods after the first.
    #[schema(example = 1)]
    offset: usize,
    /// First day of the period.
    #[schema(value_type = String, format = Date, example = "2026-11-09")]
    start_date: Day,
    /// Last day of the period.
    #[schema(value_type = String, format = Date, example = "2026-11-15")]
    end_date: Day,
    /// How many of the cohort were active in it.
    #[schema(example = 21)]
    active: u64,
    /// Their share of the cohort, 0 to 1; null where the cohort is empty.
    #[schema(example = 0.875)]
    share: Option<f64>,
}

/// A cohort in one period, as a line of a table.
#[derive(Debug, Serialize, ToSchema)]
pub struct RetentionLine {
    /// First day of the period in which the cohort began.
    #[schema(value_type = String, format = Date, example = "2026-11-02")]
    cohort_start_date: Day,
    /// Last day of that period.
    #[schema(value_type = String, format = Date, example = "2026-11-08")]
    cohort_end_date: Day,
    /// How many people the cohort is.
    #[schema(example = 24)]
    people: u64,
    #[serde(flatten)]
    period: PeriodItem,
}

/// Retention
///
/// People are put together by the week or month in which they activated their account (`register_time`), and of each
/// cohort it is told how many were active in that period and in each later one. Only people who have a row in the
/// selection count. As CSV, NDJSON or Parquet: one line per cohort and period.
#[utoipa::path(
    get, path = "/v1/reports/retention", tag = "reports", operation_id = "retentionReport",
    params(RangeParams, PeopleParams, RetentionParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "The cohorts, the earliest first", content(
            (Answer<CohortItem> = "application/json"), (String = "text/csv"), (ParquetFile = "application/vnd.apache.parquet"), (RetentionLine = "application/x-ndjson"),
        )),
        CommonProblems, FormatProblems, UpstreamAnswers,
    ),
)]
pub(in crate::api) async fn get(mut request: DataRequest) -> Result<Response, Early> {
    let mut params = request.params(&[selection::shared(), documented::<RetentionParams>()]);
    let Selected { query, allow_partial } = selection::read_groups(&mut params, &request);
    let intervals = [("week", Interval::Week), ("month", Interval::Month)];
    selection::refuse_departments_of_small_groups(&mut params, &request);
    let interval = params.one_of("interval", &intervals).unwrap_or(Interval::Week);
    let wanted = request.wanted(&mut params);
    params.finish()?;

    let gathered = request.engine().digests(&query, request.asking(allow_partial));
    let gathered = request.gathered(&query, gathered).await?;
    let least = request.least_group();
    request.answered(compute(move || answer(gathered, &query.selection, interval, (least, wanted))).await?).await
}

fn answer(
    gathered: Gathered<Digest>,
    selection: &Selection,
    interval: Interval,
    (least, wanted): (Option<NonZeroU64>, Wanted),
) -> Response {
    let meta = Meta::of(&gathered);
    let range = gathered.plan.range;
    let (activated, basis) = (activations(&gathered.days), Basis::Digests(gathered));
    let (days, numbers) = basis.numbered_figures(selection);
    let mut cohorts = retention::retention(range, interval, &began(&activated, &days, &numbers), &days);
    let all = cohorts.len();
    let hidden = basis.hides(selection, least);
    // Nobody is nobody's secret.
    let is_group = |cohort: &Cohort| cohort.people == 0 || least.is_none_or(|least| cohort.people >= least.get());
    cohorts.retain(|cohort| !hidden && is_group(cohort));
    let are_withheld = cohorts.len() < all;
    let withheld = days.values().any(|figures| figures.present.unknown > 0);
    let meta = meta.noting(withheld.then_some(WITHHELD_PEOPLE)).noting(are_withheld.then_some(WITHHELD_GROUPS));
    if wanted.format == Format::Json {
        let data: Vec<CohortItem> = cohorts.iter().map(CohortItem::from).collect();
        return Json(Answer { data, meta }).into_response();
    }
    Answer { data: cohorts.iter().flat_map(lines).collect(), meta }.written(wanted, "retention")
}

/// Those of them who are selected, by the day on which they began and in the numbers of the selection.
fn began(activated: &BTreeMap<PersonNo, Day>, days: &FiguresByDay, numbers: &Numbers) -> BTreeMap<Day, FixedBitSet> {
    let present = People::united(days.values().map(|figures| &figures.present));
    let mut began: BTreeMap<Day, FixedBitSet> = BTreeMap::new();
    for (person, day) in activated {
        if let Some(number) = numbers.of(*person).filter(|number| present.has(*number)) {
            began.entry(*day).or_default().grow_and_insert(number as usize);
        }
    }
    began
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
    fn new((offset, period): (usize, &Period)) -> Self {
        Self {
            offset,
            start_date: period.days.first(),
            end_date: period.days.last(),
            active: period.active,
            share: period.share.map(rounded),
        }
    }
}

fn lines(cohort: &Cohort) -> impl Iterator<Item = RetentionLine> + '_ {
    cohort.periods.iter().enumerate().map(|period| RetentionLine {
        cohort_start_date: cohort.days.first(),
        cohort_end_date: cohort.days.last(),
        people: cohort.people,
        period: PeriodItem::new(period),
    })
}

impl Record for RetentionLine {
    fn columns() -> Vec<Column> {
        [
            ("cohort_start_date", Kind::Day),
            ("cohort_end_date", Kind::Day),
            ("people", Kind::Count),
            ("offset", Kind::Count),
            ("start_date", Kind::Day),
            ("end_date", Kind::Day),
            ("active", Kind::Count),
            ("share", Kind::Number),
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
