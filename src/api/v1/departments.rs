//! `GET /v1/reports/departments`: the figures of each department, rolled up along the department path.

use std::{num::NonZeroU64, sync::Arc};

use axum::response::Response;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::figures::{Counters, Features, round_to_thousandths};
use crate::{
    api::{
        compute::compute,
        data_request::{DataRequest, EarlyResponse},
        format::{Format, FormatParams, RequestedFormat},
        list_response::{self, ListResponse},
        meta::{DISTINCT_COUNTS_WITHHELD, Meta, SMALL_GROUPS_SUPPRESSED},
        params::parameter_names,
        problem::Problem,
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams, SharedParams},
    },
    query::ReportInput,
    report::{
        DayDigest, Suppressed,
        department_totals::{
            self, DepartmentTotals, complete_days, departments_with_rows, totals, totals_without_distinct,
        },
        department_tree::{DepartmentNode, DepartmentTree},
        ratio, trailing_counts,
    },
    table::{Cell, Column, ColumnKind, Feature, Flag, Record},
};

const MAX_DEPTH: usize = 64;

/// The endpoint's own parameters.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `DepartmentsRequest::parse` parses")]
pub struct DepartmentsParams {
    /// Number of levels to show, counted from the top of the company or from the selected department. The figures
    /// include departments below the last level. Default: all levels.
    #[param(minimum = 1, maximum = 64, example = 2)]
    depth: Option<usize>,
    /// `flat` (default): one list, in which each department precedes its sub-departments. `tree`: each department is in
    /// the `children` of its parent (JSON only).
    #[param(inline)]
    layout: Option<LayoutParam>,
    /// `false`: distinct people are not counted if the range spans several days (`active` and `features` are null),
    /// which is about ten times faster for a large company. Default: `true`.
    distinct: Option<bool>,
    /// Which days `wau`, `mau` and `stickiness` may use. `none` (default): the figures are null. `held`: selected days
    /// and days in memory; a figure is null if a day of its window is neither. `fetch`: missing days, up to 29 before
    /// the selected range, are fetched from Feishu.
    #[param(inline)]
    trailing: Option<TrailingParam>,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `DepartmentsRequest::parse` parses")]
enum TrailingParam {
    None,
    Held,
    Fetch,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `DepartmentsRequest::parse` parses")]
enum LayoutParam {
    Flat,
    Tree,
}

/// The figures of one department including its sub-departments. Distinct counts are exact.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepartmentItem {
    /// Path from the top of the company, separated by slashes.
    #[schema(value_type = String, example = "总部/研发")]
    department_path: Arc<str>,
    /// Name of the department.
    #[schema(value_type = String, example = "研发")]
    department_name: Arc<str>,
    /// Level in the path; the top level is 1.
    #[schema(example = 2)]
    depth: usize,
    /// People in the department on the last day of the range on which it has rows.
    #[schema(example = 640)]
    users: Option<u64>,
    /// The number of these people whose account is activated.
    #[schema(example = 630)]
    activated: Option<u64>,
    /// Distinct people who were active in the department. A person who was active in two departments counts in both, and
    /// once in their common parents. Null if Feishu withholds user ids and the range spans several days, and with
    /// `distinct=false`.
    #[schema(example = 480)]
    active: Option<u64>,
    /// Distinct people active in the department in the 7 days that end with the last available day of the range. Null
    /// without `trailing`, and if one of the 7 days is neither selected nor in memory.
    #[schema(example = 510)]
    wau: Option<u64>,
    /// The same as `wau`, over 30 days.
    #[schema(example = 580)]
    mau: Option<u64>,
    /// Active people of that last day divided by `mau`, 0 to 1.
    #[schema(example = 0.712)]
    stickiness: Option<f64>,
    features: Features,
    #[schema(required)]
    counters: Option<Counters>,
    /// Whether the figures are withheld (null), because the group of people is too small, or because the figures of a
    /// small group could be derived from them.
    #[schema(example = false)]
    withheld: bool,
    /// Direct sub-departments. Only with `layout=tree`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    children: Option<Vec<DepartmentItem>>,
}

/// The parsed request.
struct DepartmentsRequest {
    shared: SharedParams,
    depth: usize,
    tree: bool,
    /// Groups of fewer people are suppressed.
    min_group_size: Option<NonZeroU64>,
    distinct: bool,
    trailing: TrailingMode,
    requested: RequestedFormat,
}

/// Source of the days before the range that trailing figures need.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum TrailingMode {
    #[default]
    None,
    Held,
    Fetch,
}

/// Departments
///
/// The figures of the range for each department, including its sub-departments. Activity of a day counts in the
/// department that the person was in on that day. A person who moved counts once in each of these departments and once
/// in each parent, so `active` of the sub-departments can add up to more than `active` of the parent.
#[utoipa::path(
    get, path = "/v1/reports/departments", tag = "reports", operation_id = "departmentsReport",
    params(RangeParams, PeopleParams, DepartmentsParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "The departments; each precedes its sub-departments", content(
            (ListResponse<DepartmentItem> = "application/json"), (String = "text/csv"), (ParquetFile = "application/vnd.apache.parquet"),
            (DepartmentItem = "application/x-ndjson"),
        )),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(mut request: DataRequest) -> Result<Response, EarlyResponse> {
    let parsed = DepartmentsRequest::parse(&mut request)?;
    let query = &parsed.shared.query;
    let loading = async {
        let mut loaded =
            request.engine().load_report_input(query, request.load_options(parsed.shared.allow_partial)).await?;
        if parsed.trailing != TrailingMode::None {
            request.engine().add_lead_days(&mut loaded, query, trailing_counts::MONTH_DAYS - 1).await?;
        }
        Ok(loaded)
    };
    let loaded = request.load_or_respond(query, loading).await?;
    request.respond(compute(move || build_response(&loaded, &parsed)).await?).await
}

impl DepartmentsRequest {
    fn parse(request: &mut DataRequest) -> Result<Self, Problem> {
        let mut params = request.params(&[shared_params::shared_names(), parameter_names::<DepartmentsParams>()]);
        let mut shared = shared_params::parse_for_groups(&mut params, request);
        let depth = params.number("depth", 1..=MAX_DEPTH).unwrap_or(usize::MAX);
        let tree = params.one_of("layout", &[("flat", false), ("tree", true)]).unwrap_or(false);
        let distinct = params.flag("distinct").unwrap_or(true);
        let modes = [("none", TrailingMode::None), ("held", TrailingMode::Held), ("fetch", TrailingMode::Fetch)];
        let trailing = params.one_of("trailing", &modes).unwrap_or_default();
        shared.query.lead_days = if trailing == TrailingMode::Fetch { trailing_counts::MONTH_DAYS - 1 } else { 0 };
        let requested = request.requested_format(&mut params);
        if tree && requested.format != Format::Json {
            params.add_fault("layout", "tree is only valid with JSON");
        }
        params.finish()?;
        let min_group_size = request.min_group_size();
        // Trailing figures would reveal figures of small groups outside the range.
        let trailing = if min_group_size.is_some() { TrailingMode::None } else { trailing };
        Ok(Self { shared, depth, tree, min_group_size, distinct, trailing, requested })
    }
}

fn build_response(loaded: &ReportInput, parsed: &DepartmentsRequest) -> Response {
    let geos = loaded.plan.geos.len();
    let days = complete_days(&loaded.days, |day| loaded.plan.range.contains(day), geos);
    let data = department_items(&days, loaded, parsed);
    let within = loaded.departments(&parsed.shared.query.selection);
    let ids_are_withheld = loaded.days_with_geos(geos).any(|day| day.has_unidentified(within.as_ref()));
    let are_suppressed = data.iter().any(|item| item.withheld);
    let meta = Meta::from_loaded_days(loaded)
        .with_note(ids_are_withheld.then_some(DISTINCT_COUNTS_WITHHELD))
        .with_note(are_suppressed.then_some(SMALL_GROUPS_SUPPRESSED));
    if parsed.tree {
        let items = data.len();
        return list_response::json_response(&ListResponse { data: nest(data), meta }, items);
    }
    ListResponse { data, meta }.into_format(parsed.requested, "departments")
}

fn department_items(days: &[Arc<DayDigest>], loaded: &ReportInput, parsed: &DepartmentsRequest) -> Vec<DepartmentItem> {
    let Some(first) = days.first() else { return Vec::new() };
    let top = parsed.shared.query.selection.department_path.as_deref();
    let tree = DepartmentTree::new(&departments_with_rows(days), &first.dictionary().read(), top);
    let all_totals = if parsed.distinct { totals(days, &tree) } else { totals_without_distinct(days, &tree) };
    let mut items: Vec<_> = tree.nodes().iter().zip(all_totals).map(DepartmentItem::new).collect();
    if parsed.trailing != TrailingMode::None {
        let (last, geos) = (loaded.plan.range.last(), loaded.plan.geos.len());
        add_trailing(&mut items, &complete_days(&loaded.days, |day| day <= last, geos), &tree);
    }
    let top = items.iter().map(|item| item.depth).min().unwrap_or(1);
    items.retain(|item| item.depth - top < parsed.depth);
    let suppressed =
        parsed.min_group_size.map(|min_group_size| Suppressed::for_days(days, min_group_size)).unwrap_or_default();
    let shown =
        |item: DepartmentItem| if suppressed.covers(Some(&item.department_path)) { item.suppressed() } else { item };
    items.into_iter().map(shown).collect()
}

/// Adds the trailing figures of the last of `days`.
fn add_trailing(items: &mut [DepartmentItem], days: &[Arc<DayDigest>], tree: &DepartmentTree) {
    let [week, month] = [trailing_counts::WEEK_DAYS, trailing_counts::MONTH_DAYS]
        .map(|length| department_totals::trailing_active(days, tree, length));
    let last = department_totals::active_on_last_day(days, tree);
    for (((item, wau), mau), active) in items.iter_mut().zip(week).zip(month).zip(last) {
        (item.wau, item.mau) = (wau, mau);
        item.stickiness = ratio(active, mau).map(round_to_thousandths);
    }
}

/// Moves each department into the `children` of its parent.
fn nest(flat: Vec<DepartmentItem>) -> Vec<DepartmentItem> {
    let mut ancestors: Vec<DepartmentItem> = Vec::new();
    let mut roots = Vec::new();
    let close_last = |ancestors: &mut Vec<DepartmentItem>, roots: &mut Vec<DepartmentItem>| {
        if let Some(department) = ancestors.pop() {
            ancestors.last_mut().map_or(roots, |parent| parent.children.get_or_insert_default()).push(department);
        }
    };
    for item in flat {
        while ancestors.last().is_some_and(|parent| parent.depth >= item.depth) {
            close_last(&mut ancestors, &mut roots);
        }
        ancestors.push(DepartmentItem { children: Some(Vec::new()), ..item });
    }
    while !ancestors.is_empty() {
        close_last(&mut ancestors, &mut roots);
    }
    roots
}

impl DepartmentItem {
    fn new((node, totals): (&DepartmentNode, DepartmentTotals)) -> Self {
        let active = totals.people[Flag::Active.index()];
        let features = Feature::ALL.map(|feature| totals.people[Flag::Feature(feature).index()]);
        Self {
            department_path: Arc::clone(&node.path),
            department_name: Arc::clone(&node.name),
            depth: node.depth,
            users: Some(totals.users),
            activated: Some(totals.activated),
            active,
            wau: None,
            mau: None,
            stickiness: None,
            features: Features::new(features, active),
            counters: Some(Counters(totals.counters)),
            withheld: false,
            children: None,
        }
    }

    /// The department with its figures suppressed.
    fn suppressed(self) -> Self {
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
        let texts = ["department_path", "department_name"].map(|name| Column::new(name, ColumnKind::Text));
        let counts = ["depth", "users", "activated", "active", "wau", "mau"];
        let counts = counts.map(|name| Column::new(name, ColumnKind::Count));
        let head = texts.into_iter().chain(counts).chain([Column::new("stickiness", ColumnKind::Number)]);
        head.chain(Features::columns()).chain(Counters::columns()).collect()
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let texts = [&self.department_path, &self.department_name].map(|text| Cell::Text(text));
        let known = [Some(self.depth as u64), self.users, self.activated, self.active, self.wau, self.mau];
        let head = texts.into_iter().chain(known.map(Cell::from)).chain([self.stickiness.into()]);
        head.chain(self.features.cells()).chain(Counters::optional_cells(self.counters.as_ref())).collect()
    }
}
