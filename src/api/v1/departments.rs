//! `GET /v1/reports/departments`: the figures of every department, rolled up along the path.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::figures::{Counters, Features};
use crate::{
    api::{
        answer::{self, Answer},
        data_request::{DataRequest, Early},
        envelope::{Meta, WITHHELD},
        negotiate::{Format, FormatParams, Wanted},
        params::documented,
        responses::{CommonProblems, FormatProblems, PreferHeader, UpstreamAnswers},
        selection::{self, PeopleParams, RangeParams, Selected},
        work::compute,
    },
    query::Gathered,
    report::{
        Digest,
        departments::{Rollup, present, rollups, whole_days},
        tree::{Place, Tree},
    },
    table::{Cell, Column, Feature, Flag, Kind, Record, Selection},
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
    #[schema(example = "总部/研发")]
    department_path: String,
    /// Its own name.
    #[schema(example = "研发")]
    department_name: String,
    /// How many steps down the path it stands; the top is 1.
    #[schema(example = 2)]
    depth: usize,
    /// People in it on the last day of the range on which it had any.
    #[schema(example = 640)]
    users: u64,
    /// Those of them whose account was activated.
    #[schema(example = 630)]
    activated: u64,
    /// Different people who were active in it. Whoever was active in two departments counts in both, and once above
    /// them. Null where Feishu withholds ids and the range has several days.
    #[schema(example = 480)]
    active: Option<u64>,
    features: Features,
    counters: Counters,
    /// The departments right below it. Only with `layout=tree`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    children: Option<Vec<DepartmentItem>>,
}

/// How the departments are shown.
#[derive(Clone, Copy)]
struct Shown {
    depth: usize,
    tree: bool,
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
            (Answer<DepartmentItem> = "application/json"), (String = "text/csv"),
            (DepartmentItem = "application/x-ndjson"),
        )),
        CommonProblems, FormatProblems, UpstreamAnswers,
    ),
)]
pub(in crate::api) async fn get(request: DataRequest) -> Result<Response, Early> {
    let mut params = request.params(&[selection::shared(), documented::<DepartmentsParams>()]);
    let Selected { query, allow_partial } = selection::read_groups(&mut params, request.geos());
    let depth = params.number("depth", 1..=DEEPEST).unwrap_or(usize::MAX);
    let tree = params.one_of("layout", &[("flat", false), ("tree", true)]).unwrap_or(false);
    let wanted = request.wanted(&mut params);
    if tree && wanted.format != Format::Json {
        params.fault("layout", "a tree goes only with JSON");
    }
    params.finish()?;

    let gathered = request.engine().digests(&query, request.asking(allow_partial));
    let gathered = request.gathered(&query, gathered).await?;
    Ok(compute(move || answer(&gathered, &query.selection, Shown { depth, tree }, wanted)).await?)
}

fn answer(gathered: &Gathered<Digest>, selection: &Selection, shown: Shown, wanted: Wanted) -> Response {
    let range = gathered.plan.range;
    let days = whole_days(&gathered.days, |day| range.contains(day), gathered.plan.geos.len());
    let data = days.first().map_or_else(Vec::new, |first| {
        let tree = Tree::of(&present(&days), &first.directory().read(), selection.department_path.as_deref());
        let all = tree.places().iter().zip(rollups(&days, &tree));
        let top = tree.places().iter().map(|place| place.depth).min().unwrap_or(1);
        all.filter(|(place, _)| place.depth - top < shown.depth).map(DepartmentItem::new).collect()
    });
    let withheld = days.iter().any(|day| day.whole().present.unknown > 0);
    let meta = Meta::of(gathered).noting(withheld.then_some(WITHHELD));
    if shown.tree {
        return answer::negotiated(Json(Answer { data: nested(data), meta }).into_response());
    }
    Answer { data, meta }.written(wanted, "departments")
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
            department_path: place.path.clone(),
            department_name: place.name.clone(),
            depth: place.depth,
            users: rollup.users,
            activated: rollup.activated,
            active,
            features: Features::new(features, active),
            counters: Counters(rollup.counters),
            children: None,
        }
    }
}

impl Record for DepartmentItem {
    fn columns() -> Vec<Column> {
        let texts = ["department_path", "department_name"].map(|name| Column::new(name, Kind::Text));
        let counts = ["depth", "users", "activated", "active"].map(|name| Column::new(name, Kind::Count));
        texts.into_iter().chain(counts).chain(Features::columns()).chain(Counters::columns()).collect()
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let texts = [&self.department_path, &self.department_name].map(|text| Cell::Text(text));
        let counts = [Some(self.depth as u64), Some(self.users), Some(self.activated), self.active].map(Cell::from);
        texts.into_iter().chain(counts).chain(self.features.cells()).chain(self.counters.cells()).collect()
    }
}
