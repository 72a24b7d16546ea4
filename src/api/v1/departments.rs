//! `GET /v1/reports/departments`: the figures of every department, rolled up along the path.

use std::{num::NonZeroU64, sync::Arc};

use axum::response::Response;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::figures::{Counters, Features, rounded};
use crate::{
    api::{
        answer::{self, Answer},
        data_request::{DataRequest, Early},
        envelope::{Meta, WITHHELD, WITHHELD_GROUPS},
        negotiate::{Format, FormatParams, Wanted},
        params::documented,
        problem::Problem,
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamAnswers},
        selection::{self, PeopleParams, RangeParams, Selected},
        work::compute,
    },
    query::Gathered,
    report::{
        Digest, Withheld,
        departments::{self, Rollup, present, rollups, sums, whole_days},
        share, trailing,
        tree::{Place, Tree},
    },
    table::{Cell, Column, Feature, Flag, Kind, Record},
};

const DEEPEST: usize = 64;

/// The parameters of this endpoint alone.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `get` reads")]
pub struct DepartmentsParams {
    /// How many levels are shown, from the top of the company, or from the department that was selected. Those below
    /// are part of the figures all the same. Default: all.
    #[param(minimum = 1, maximum = 64, example = 2)]
    depth: Option<usize>,
    /// `flat` (default): one list, each department before those below it. `tree`: each in `children` of the one above
    /// it (JSON only).
    #[param(inline)]
    layout: Option<LayoutParam>,
    /// `false`: different people are not counted where the range has several days (`active` and all of `features` are
    /// null), which makes a large company's answer ten times faster. Default: `true`.
    distinct: Option<bool>,
    /// `none` (default): `wau`, `mau` and `stickiness` are null. `held`: they are given where the days that they trail
    /// over are selected or in memory. `fetch`: the others, up to 29 before the selection, are fetched.
    #[param(inline)]
    trailing: Option<TrailingParam>,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `get` reads")]
enum TrailingParam {
    None,
    Held,
    Fetch,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `get` reads")]
enum LayoutParam {
    Flat,
    Tree,
}

/// The figures of one department and all below it. Distinct counts are exact.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepartmentItem {
    /// The path from the top, joined by slashes.
    #[schema(value_type = String, example = "总部/研发")]
    department_path: Arc<str>,
    /// Its own name.
    #[schema(value_type = String, example = "研发")]
    department_name: Arc<str>,
    /// How many steps down the path it stands; the top is 1.
    #[schema(example = 2)]
    depth: usize,
    /// People in it on the last day of the range on which it had any.
    #[schema(example = 640)]
    users: Option<u64>,
    /// Those of them whose account was activated.
    #[schema(example = 630)]
    activated: Option<u64>,
    /// Different people who were active in it. Whoever was active in two departments counts in both, and once above
    /// them. Null where Feishu withholds ids and the range has several days, and with `distinct=false`.
    #[schema(example = 480)]
    active: Option<u64>,
    /// Different people active in it in the 7 days that end with the last day of the range that is there. Null where
    /// one of the 7 is neither selected nor held, and without `trailing`.
    #[schema(example = 510)]
    wau: Option<u64>,
    /// The same over 30 days.
    #[schema(example = 580)]
    mau: Option<u64>,
    /// That last day's active people as a share of `mau`, 0 to 1.
    #[schema(example = 0.712)]
    stickiness: Option<f64>,
    features: Features,
    #[schema(required)]
    counters: Option<Counters>,
    /// Whether the figures are withheld, and so null: of too few people, or those of too few could be worked out from
    /// them.
    #[schema(example = false)]
    withheld: bool,
    /// The departments right below it. Only with `layout=tree`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    children: Option<Vec<DepartmentItem>>,
}

/// A request as it was understood.
struct Asked {
    selected: Selected,
    depth: usize,
    tree: bool,
    /// The smallest group of people that is told of.
    least: Option<NonZeroU64>,
    distinct: bool,
    trailing: Trail,
    wanted: Wanted,
}

/// Where the days come from that trailing figures look back over.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Trail {
    #[default]
    None,
    Held,
    Fetch,
}

/// Departments
///
/// The figures of the range for every department, all below it included. What people did on a day counts in the
/// department they were in that day. Someone who moved counts once in every department they were in, and once in each
/// above: so `active` of the parts may add up to more than the whole.
#[utoipa::path(
    get, path = "/v1/reports/departments", tag = "reports", operation_id = "departmentsReport",
    params(RangeParams, PeopleParams, DepartmentsParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "The departments, each before those below it", content(
            (Answer<DepartmentItem> = "application/json"), (String = "text/csv"), (ParquetFile = "application/vnd.apache.parquet"),
            (DepartmentItem = "application/x-ndjson"),
        )),
        CommonProblems, FormatProblems, UpstreamAnswers,
    ),
)]
pub(in crate::api) async fn get(mut request: DataRequest) -> Result<Response, Early> {
    let asked = Asked::read(&mut request)?;
    let query = &asked.selected.query;
    let gathering = async {
        let mut gathered = request.engine().digests(query, request.asking(asked.selected.allow_partial)).await?;
        if asked.trailing != Trail::None {
            request.engine().look_back_over_digests(&mut gathered, trailing::MONTH - 1).await;
        }
        Ok(gathered)
    };
    let gathered = request.gathered(query, gathering).await?;
    request.answered(compute(move || answer(&gathered, &asked)).await?).await
}

impl Asked {
    fn read(request: &mut DataRequest) -> Result<Self, Problem> {
        let mut params = request.params(&[selection::shared(), documented::<DepartmentsParams>()]);
        let mut selected = selection::read_groups(&mut params, request);
        let depth = params.number("depth", 1..=DEEPEST).unwrap_or(usize::MAX);
        let tree = params.one_of("layout", &[("flat", false), ("tree", true)]).unwrap_or(false);
        let distinct = params.flag("distinct").unwrap_or(true);
        let trails = [("none", Trail::None), ("held", Trail::Held), ("fetch", Trail::Fetch)];
        let trailing = params.one_of("trailing", &trails).unwrap_or_default();
        selected.query.lead = if trailing == Trail::Fetch { trailing::MONTH - 1 } else { 0 };
        let wanted = request.wanted(&mut params);
        if tree && wanted.format != Format::Json {
            params.fault("layout", "a tree goes only with JSON");
        }
        params.finish()?;
        let least = request.least_group();
        // The people of other days could be told from those of the range.
        let trailing = if least.is_some() { Trail::None } else { trailing };
        Ok(Self { selected, depth, tree, least, distinct, trailing, wanted })
    }
}

fn answer(gathered: &Gathered<Digest>, asked: &Asked) -> Response {
    let geos = gathered.plan.geos.len();
    let days = whole_days(&gathered.days, |day| gathered.plan.range.contains(day), geos);
    let data = items(&days, gathered, asked);
    let within = gathered.departments(&asked.selected.query.selection);
    let withheld = gathered.days_in(geos).any(|day| day.withholds(within.as_ref()));
    let are_withheld = data.iter().any(|item| item.withheld);
    let meta = Meta::of(gathered).noting(withheld.then_some(WITHHELD)).noting(are_withheld.then_some(WITHHELD_GROUPS));
    if asked.tree {
        let items = data.len();
        return answer::json(&Answer { data: nested(data), meta }, items);
    }
    Answer { data, meta }.written(asked.wanted, "departments")
}

fn items(days: &[Arc<Digest>], gathered: &Gathered<Digest>, asked: &Asked) -> Vec<DepartmentItem> {
    let Some(first) = days.first() else { return Vec::new() };
    let top = asked.selected.query.selection.department_path.as_deref();
    let tree = Tree::of(&present(days), &first.directory().read(), top);
    let rollups = if asked.distinct { rollups(days, &tree) } else { sums(days, &tree) };
    let mut items: Vec<_> = tree.places().iter().zip(rollups).map(DepartmentItem::new).collect();
    if asked.trailing != Trail::None {
        let (last, geos) = (gathered.plan.range.last(), gathered.plan.geos.len());
        add_trailing(&mut items, &whole_days(&gathered.days, |day| day <= last, geos), &tree);
    }
    let top = items.iter().map(|item| item.depth).min().unwrap_or(1);
    items.retain(|item| item.depth - top < asked.depth);
    let hidden = asked.least.map(|least| Withheld::of(days, least)).unwrap_or_default();
    let shown = |item: DepartmentItem| if hidden.hides(Some(&item.department_path)) { item.withheld() } else { item };
    items.into_iter().map(shown).collect()
}

/// Adds what trails to the last of `days`.
fn add_trailing(items: &mut [DepartmentItem], days: &[Arc<Digest>], tree: &Tree) {
    let [week, month] = [trailing::WEEK, trailing::MONTH].map(|length| departments::trailing(days, tree, length));
    let last = departments::active_at_the_end(days, tree);
    for (((item, wau), mau), active) in items.iter_mut().zip(week).zip(month).zip(last) {
        (item.wau, item.mau) = (wau, mau);
        item.stickiness = share(active, mau).map(rounded);
    }
}

/// Puts each department into the one above it.
fn nested(flat: Vec<DepartmentItem>) -> Vec<DepartmentItem> {
    let mut open: Vec<DepartmentItem> = Vec::new();
    let mut roots = Vec::new();
    let close = |open: &mut Vec<DepartmentItem>, roots: &mut Vec<DepartmentItem>| {
        if let Some(closed) = open.pop() {
            open.last_mut().map_or(roots, |above| above.children.get_or_insert_default()).push(closed);
        }
    };
    for item in flat {
        while open.last().is_some_and(|above| above.depth >= item.depth) {
            close(&mut open, &mut roots);
        }
        open.push(DepartmentItem { children: Some(Vec::new()), ..item });
    }
    while !open.is_empty() {
        close(&mut open, &mut roots);
    }
    roots
}

impl DepartmentItem {
    fn new((place, rollup): (&Place, Rollup)) -> Self {
        let active = rollup.people[Flag::Active.index()];
        let features = Feature::ALL.map(|feature| rollup.people[Flag::Feature(feature).index()]);
        Self {
            department_path: Arc::clone(&place.path),
            department_name: Arc::clone(&place.name),
            depth: place.depth,
            users: Some(rollup.users),
            activated: Some(rollup.activated),
            active,
            wau: None,
            mau: None,
            stickiness: None,
            features: Features::new(features, active),
            counters: Some(Counters(rollup.counters)),
            withheld: false,
            children: None,
        }
    }

    /// The same, without figures.
    fn withheld(self) -> Self {
        Self {
            users: None,
            activated: None,
            active: None,
            wau: None,
            mau: None,
            stickiness: None,
            features: Features::new([None; Feature::COUNT], None),
            counters: None,
            withheld: true,
            ..self
        }
    }
}

impl Record for DepartmentItem {
    fn columns() -> Vec<Column> {
        let texts = ["department_path", "department_name"].map(|name| Column::new(name, Kind::Text));
        let counts = ["depth", "users", "activated", "active", "wau", "mau"];
        let counts = counts.map(|name| Column::new(name, Kind::Count));
        let head = texts.into_iter().chain(counts).chain([Column::new("stickiness", Kind::Number)]);
        head.chain(Features::columns()).chain(Counters::columns()).collect()
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let texts = [&self.department_path, &self.department_name].map(|text| Cell::Text(text));
        let known = [Some(self.depth as u64), self.users, self.activated, self.active, self.wau, self.mau];
        let head = texts.into_iter().chain(known.map(Cell::from)).chain([self.stickiness.into()]);
        head.chain(self.features.cells()).chain(Counters::cells_of(self.counters.as_ref())).collect()
    }
}
