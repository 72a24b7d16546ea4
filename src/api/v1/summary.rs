//! `GET /v1/reports/summary`: the headline figures of the range and of the equally long range before it.

use std::{borrow::Cow, num::NonZeroU64};

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::figures::{Counters, Features, rounded};
use crate::{
    api::{
        answer::Answer,
        data_request::{DataRequest, Early},
        envelope::{Meta, WITHHELD_GROUPS},
        negotiate::{Format, FormatParams, Wanted},
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamAnswers},
        selection::{self, PeopleParams, RangeParams, Selected},
        work::compute,
    },
    model::{Day, DayRange},
    query::Basis,
    report::summary::{self, change, headline},
    table::{Cell, Column, Counter, Feature, Kind, Record, Selection},
};

/// Two ranges and what lies between them.
#[derive(Debug, Serialize, ToSchema)]
pub struct SummaryAnswer {
    data: SummaryData,
    meta: Meta,
}

/// Two ranges and what lies between them.
#[derive(Debug, Serialize, ToSchema)]
pub struct SummaryData {
    /// The selected range; null where it has no rows, or is withheld (`meta.notes` says so).
    current: Option<Headline>,
    /// The equally long range before it; null where it has no rows, or is withheld.
    previous: Option<Headline>,
    /// Each figure: now, before, and the change.
    figures: Vec<SummaryFigure>,
}

/// The headline figures of a range.
#[derive(Debug, Serialize, ToSchema)]
pub struct Headline {
    /// First day of the range.
    #[schema(value_type = String, format = Date, example = "2026-11-01")]
    start_date: Day,
    /// Last day of the range.
    #[schema(value_type = String, format = Date, example = "2026-11-07")]
    end_date: Day,
    /// People that Feishu knew on the range's last day that has rows.
    #[schema(example = 2000)]
    users: u64,
    /// Those of them whose account was activated.
    #[schema(example = 1950)]
    activated: u64,
    /// Different people who were active in the range. Null where Feishu withholds ids and the range has several days.
    #[schema(example = 1610)]
    active: Option<u64>,
    /// Active people a day, on average over the days that are there.
    #[schema(example = 1302.4)]
    active_per_day: f64,
    features: Features,
    counters: Counters,
}

/// One figure of both ranges.
#[derive(Debug, Serialize, ToSchema)]
pub struct SummaryFigure {
    /// Which figure: `users`, `activated`, `active`, `active_per_day`, `im_active` and so on, or a counter.
    #[schema(value_type = String, example = "send_messenger_num")]
    figure: Cow<'static, str>,
    /// Its value in the selected range; null where it is not known.
    #[schema(example = 51234)]
    #[serde(serialize_with = "plainly")]
    current: Option<f64>,
    /// Its value in the range before; null where it is not known.
    #[schema(example = 49876)]
    #[serde(serialize_with = "plainly")]
    previous: Option<f64>,
    /// How much larger it is now, as a share of what it was: 0.027 is 2.7 %. Null where it was nothing or is not known.
    #[schema(example = 0.027)]
    change: Option<f64>,
}

/// Headline figures, and their change
///
/// The figures of the selected range beside those of the equally long range that ends the day before it, which is
/// fetched where it is not held. As CSV, NDJSON or Parquet: one line a figure.
#[utoipa::path(
    get, path = "/v1/reports/summary", tag = "reports", operation_id = "summaryReport",
    params(RangeParams, PeopleParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "The figures", content(
            (SummaryAnswer = "application/json"), (String = "text/csv"), (ParquetFile = "application/vnd.apache.parquet"), (SummaryFigure = "application/x-ndjson"),
        )),
        CommonProblems, FormatProblems, UpstreamAnswers,
    ),
)]
pub(in crate::api) async fn get(mut request: DataRequest) -> Result<Response, Early> {
    let mut params = request.params(&[selection::shared()]);
    let Selected { mut query, allow_partial } = selection::read(&mut params, &request);
    let wanted = request.wanted(&mut params);
    params.finish()?;
    let length = query.span.days(&query.geos, request.engine().now()).len();
    query.lead = u16::try_from(length).unwrap_or(u16::MAX);

    let basis = request.engine().basis(&query, request.asking(allow_partial));
    let basis = request.gathered(&query, basis).await?;
    let least = request.least_group();
    request.answered(compute(move || answer(&basis, &query.selection, least, wanted)).await?).await
}

fn answer(basis: &Basis, selection: &Selection, least: Option<NonZeroU64>, wanted: Wanted) -> Response {
    let range = basis.plan().range;
    let length = u16::try_from(range.len()).unwrap_or(u16::MAX);
    let before = DayRange::ending(range.first().plus(-1), length);
    let days = basis.figures(selection);
    let hidden = basis.hides(selection, least);
    let (current, previous) = if hidden { (None, None) } else { (headline(range, &days), headline(before, &days)) };
    let figures = changes(current.as_ref(), previous.as_ref());
    let meta = Meta::of_figures(basis, selection).noting(hidden.then_some(WITHHELD_GROUPS));
    if wanted.format != Format::Json {
        return Answer { data: figures, meta }.written(wanted, "summary");
    }
    let (current, previous) = (current.map(Headline::from), previous.map(Headline::from));
    Json(SummaryAnswer { data: SummaryData { current, previous, figures }, meta }).into_response()
}

/// Writes a count as a count, `170` and not `170.0`, though others of these figures are averages.
#[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
fn plainly<S: Serializer>(figure: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number between 0 and 2^53")]
    match figure {
        Some(whole) if whole.fract() == 0.0 && (0.0..=2_f64.powi(53)).contains(whole) => {
            serializer.serialize_u64(*whole as u64)
        }
        figure => figure.serialize(serializer),
    }
}

/// Every figure of a headline, by name.
fn figures(of: &summary::Headline) -> impl Iterator<Item = Option<f64>> {
    let known = |count: u64| Some(count as f64);
    let head = [known(of.users), known(of.activated), of.active.and_then(known), Some(of.active_per_day)];
    let features = of.features.map(|users| users.and_then(known));
    head.into_iter().chain(features).chain(of.counters.map(known))
}

fn changes(current: Option<&summary::Headline>, previous: Option<&summary::Headline>) -> Vec<SummaryFigure> {
    let head = ["users", "activated", "active", "active_per_day"].map(Into::into);
    let features = Feature::ALL.map(|feature| format!("{}_active", feature.name()).into());
    let names = head.into_iter().chain(features).chain(Counter::ALL.map(|counter| counter.name().into()));
    let values = |headline: Option<&summary::Headline>| headline.map(|one| figures(one).collect::<Vec<_>>());
    let (now, before) = (values(current), values(previous));
    let at = |values: &Option<Vec<Option<f64>>>, at: usize| values.as_ref().and_then(|values| values[at]);
    names
        .enumerate()
        .map(|(place, figure)| {
            let (current, previous) = (at(&now, place), at(&before, place));
            let change = change(current, previous).map(rounded);
            SummaryFigure { figure, current: current.map(rounded), previous: previous.map(rounded), change }
        })
        .collect()
}

impl From<summary::Headline> for Headline {
    fn from(headline: summary::Headline) -> Self {
        Self {
            start_date: headline.days.first(),
            end_date: headline.days.last(),
            users: headline.users,
            activated: headline.activated,
            active: headline.active,
            active_per_day: rounded(headline.active_per_day),
            features: Features::new(headline.features, headline.active),
            counters: Counters(headline.counters),
        }
    }
}

impl Record for SummaryFigure {
    fn columns() -> Vec<Column> {
        let numbers = ["current", "previous", "change"].map(|name| Column::new(name, Kind::Number));
        [Column::new("figure", Kind::Text)].into_iter().chain(numbers).collect()
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![Cell::Text(&self.figure), self.current.into(), self.previous.into(), self.change.into()]
    }
}
