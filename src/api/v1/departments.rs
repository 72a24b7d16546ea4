//! `GET /v1/reports/departments`: the figures of each department, rolled up along the department path.

use std::{collections::BTreeSet, num::NonZeroU64, sync::Arc};

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

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
        format::Layout,
        list_response::{self, ListResponse},
        meta::{DISTINCT_COUNTS_WITHHELD, Meta, SMALL_GROUPS_SUPPRESSED, SUMS_LIMITED, TRAILING_FIGURES_SUPPRESSED},
        params::{WholeNumber, param_types::choice_schema},
        problem::Problem,
        representation::Representation,
        responses::{CommonProblems, FormatProblems, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams},
    },
    model::Day,
    query::ReportInput,
    report::{
        DayDigest, Suppressed,
        activity::mean_ratio,
        department_totals::{self, DepartmentTotals, totals, tree_of_days},
        department_tree::{DepartmentNode, DepartmentTree},
        trailing_counts,
    },
    table::record,
};

/// The endpoint's own parameters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DepartmentsParams {
    /// Number of levels to show, counted from the top of the company or from the selected department. The figures
    /// include departments below the last level. Default: all levels.
    #[param(inline, example = 2)]
    depth: Option<Depth>,
    /// `nested` (default): one list, in which each department precedes its sub-departments. `tree`: each department is in
    /// the `children` of its parent (JSON only).
    #[expect(dead_code, reason = "`RequestedFormat::read` reads it; this declaration makes it accept `tree`")]
    #[param(value_type = Option<DepartmentsLayout>)]
    layout: Option<Layout>,
    /// `false`: distinct people are not counted if the range spans several days: numbers of distinct people and their shares
    /// are null, means per day are not. `wau`, `mau` and `stickiness` are null unless `trailing` is given. About ten times
    /// faster for a large company. Default: `true`.
    distinct: Option<bool>,
}

type Depth = WholeNumber<1, 64>;

/// The form of the list of departments.
#[derive(Debug)]
pub struct DepartmentsLayout;

impl PartialSchema for DepartmentsLayout {
    fn schema() -> RefOr<Schema> {
        choice_schema("The form of the list of departments.", ["nested", "tree"])
    }
}

impl ToSchema for DepartmentsLayout {}

record! {
    /// The figures of one department including its sub-departments. Distinct counts are exact.
    #[derive(Debug, Serialize, ToSchema)]
    pub struct DepartmentItem {
        /// Path from the top of the company, separated by slashes.
        #[schema(value_type = String, example = "总部/研发")]
        department_path: Arc<str>,
        /// Name of the department: if its path has several, the one on the latest day of the range, and of several on that day
        /// the smallest text.
        #[schema(value_type = String, example = "研发")]
        department_name: Arc<str>,
        /// Level in the path; the top level is 1.
        #[schema(example = 2)]
        depth: usize,
        /// Number of dates of the range that count in the figures.
        #[schema(example = 30)]
        days_counted: usize,
        /// A person who was in two departments counts in both, and once in their common parents. With `distinct=false`,
        /// distinct counts are null if the range spans several dates.
        #[serde(flatten)]
        people: PeopleFigures,
        #[serde(flatten)]
        trailing: TrailingFigures,
        features: Features,
        counters: Option<Counters>,
        /// Whether figures are withheld (null), because the group of people is too small, or because the figures of a small
        /// group could be derived from them.
        #[schema(example = false)]
        withheld: bool,
    } json_only {
        /// Direct sub-departments. Only with `layout=tree`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(no_recursion, nullable = false)]
        children: Option<Vec<DepartmentItem>>,
    }
}

/// The parsed request.
struct DepartmentsRequest {
    data: DataRequest,
    /// Number of levels to show.
    depth: usize,
    distinct: bool,
    regular_days: Option<usize>,
    trailing: TrailingMode,
}

/// Departments
///
/// The figures of the range for each department, including its sub-departments. Activity of a day counts in the
/// department that the person was in on that day. A person who moved counts once in each of these departments and once
/// in each parent, so `active` of the sub-departments can add up to more than `active` of the parent.
#[utoipa::path(
    get, path = "/v1/reports/departments", tag = "reports", operation_id = "departmentsReport",
    params(
        RangeParams, PeopleParams, DepartmentsParams, RegularParams, TrailingParams, PreferHeader
    ),
    responses(
        (status = 200, description = "The departments; each precedes its sub-departments", body = ListResponse<DepartmentItem>),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(context: RequestContext) -> Result<Response, EarlyResponse> {
    let request = DepartmentsRequest::parse(&context)?;
    let loaded = context.load(&request.data, request.trailing.load(context.engine(), &request.data)).await?;
    let current = Representation::validate(context, &loaded, &request.data)?;
    let report = compute(move || report(&loaded, &request)).await?;
    current.respond(report).await
}

impl DepartmentsRequest {
    fn parse(context: &RequestContext) -> Result<Self, Problem> {
        let mut params = context.params();
        shared_params::reject_user_id(&mut params);
        let (mut data, own): (_, DepartmentsParams) = shared_params::read(&mut params, context);
        let regular_days = read_regular_days(&mut params, context, &data, |range| Some(range.len()));
        let distinct = own.distinct.unwrap_or(true);
        // Trailing figures are distinct counts.
        let default = if distinct { TrailingMode::Auto } else { TrailingMode::None };
        let trailing = params.read::<TrailingParams>().apply_to(&mut data, default);
        params.finish()?;
        let depth = own.depth.map_or(usize::MAX, |WholeNumber(depth)| depth);
        Ok(Self { data, depth, distinct, regular_days, trailing })
    }
}

fn report(loaded: &Loaded<ReportInput>, request: &DepartmentsRequest) -> Response {
    let days: Vec<Arc<DayDigest>> = loaded.selected().map(|(day, _)| Arc::clone(day)).collect();
    let (data, trailing_suppressed) = department_items(&days, loaded, request);
    let within = loaded.departments(&request.data.query.selection);
    let ids_are_withheld = loaded.days.iter().any(|day| day.has_unidentified(within.as_ref()));
    let are_suppressed = data.iter().any(|item| item.withheld);
    let is_incomplete = data.iter().any(|item| item.trailing.mau.is_none());
    let meta = Meta::from_loaded_days(loaded)
        .with_notes(loaded.notes())
        .with_note(ids_are_withheld.then_some(DISTINCT_COUNTS_WITHHELD))
        .with_withheld(are_suppressed.then_some(SMALL_GROUPS_SUPPRESSED), request.data.min_group_size)
        .with_note(loaded.exceeds_max_sum().then_some(SUMS_LIMITED))
        .with_withheld(trailing_suppressed.then_some(TRAILING_FIGURES_SUPPRESSED), request.data.min_group_size);
    let meta = request.trailing.with_notes(meta, loaded, is_incomplete);
    if request.data.format.layout == Layout::Tree {
        let items = data.len();
        return list_response::json_response(&ListResponse { data: nest(data), meta }, items);
    }
    ListResponse { data, meta }.into_format(request.data.format, "departments")
}

/// The departments that have rows on `days`, the selected days, and whether trailing figures of some are suppressed.
fn department_items(
    days: &[Arc<DayDigest>],
    loaded: &ReportInput,
    request: &DepartmentsRequest,
) -> (Vec<DepartmentItem>, bool) {
    let Some(first) = days.first() else { return (Vec::new(), false) };
    let top = request.data.query.selection.department_path.as_deref();
    let min_group_size = request.data.min_group_size;
    // The days of the trailing figures, which include the selected ones.
    let trailing_days = (request.trailing != TrailingMode::None).then(|| loaded.days_by_date());
    // People whose department has no rows on the selected days still count in the trailing figures of its ancestors, so
    // the tree has all departments.
    let tree = tree_of_days(trailing_days.as_deref().unwrap_or(days), days, &first.dictionary().read(), top);
    let all_totals = totals(days, &tree, request.regular_days, request.distinct);
    let has_rows: Vec<bool> = all_totals.iter().map(|totals| totals.rows > 0).collect();
    let mut items: Vec<_> = tree.nodes().iter().zip(all_totals).map(DepartmentItem::new).collect();
    if let Some(trailing_days) = &trailing_days {
        add_trailing(&mut items, trailing_days, days, &loaded.empty_dates(), &tree);
    }
    // A department without rows on the selected days is only part of the tree.
    let mut has_rows = has_rows.into_iter();
    items.retain(|_| has_rows.next() == Some(true));
    let top = items.iter().map(|item| item.depth).min().unwrap_or(1);
    items.retain(|item| item.depth - top < request.depth);
    let Some(min_group_size) = min_group_size else { return (items, false) };
    let suppressed = Suppressed::for_days(days, min_group_size);
    let shown =
        |item: DepartmentItem| if suppressed.covers(Some(&item.department_path)) { item.suppressed() } else { item };
    let mut items: Vec<_> = items.into_iter().map(shown).collect();
    let trailing_suppressed =
        suppress_trailing(&mut items, trailing_days.as_deref().unwrap_or_default(), min_group_size);
    for DepartmentItem { people, trailing, features, withheld, .. } in &mut items {
        *withheld |= withhold_small_cells(people, trailing, features, min_group_size);
    }
    (items, trailing_suppressed)
}

/// Adds the trailing figures of the last of `days`, which include the `selected` ones.
fn add_trailing(
    items: &mut [DepartmentItem],
    days: &[Arc<DayDigest>],
    selected: &[Arc<DayDigest>],
    empty_dates: &BTreeSet<Day>,
    tree: &DepartmentTree,
) {
    let [week, month] = [trailing_counts::WEEK_DAYS, trailing_counts::MONTH_DAYS]
        .map(|length| department_totals::trailing_active(days, empty_dates, tree, length));
    let in_window = department_totals::trailing_window(selected, trailing_counts::MONTH_DAYS);
    let active_by_node = department_totals::active_days(in_window, tree);
    for (((item, wau), mau), active_days) in items.iter_mut().zip(week).zip(month).zip(active_by_node) {
        let stickiness = mean_ratio(active_days, department_totals::day_count(in_window), mau);
        item.trailing = TrailingFigures { wau, mau, stickiness: stickiness.map(round_to_thousandths) };
    }
}

/// Removes the trailing figures whose window has a day on which the figures of the department are suppressed. Returns
/// whether there are any.
fn suppress_trailing(items: &mut [DepartmentItem], days: &[Arc<DayDigest>], min_group_size: NonZeroU64) -> bool {
    let [week, month] = [trailing_counts::WEEK_DAYS, trailing_counts::MONTH_DAYS]
        .map(|length| Suppressed::for_days(department_totals::trailing_window(days, length), min_group_size));
    let mut are_suppressed = false;
    for item in items {
        if week.covers(Some(&item.department_path)) {
            are_suppressed |= item.trailing.wau.take().is_some();
        }
        if month.covers(Some(&item.department_path)) {
            are_suppressed |= item.trailing.mau.take().is_some();
            item.trailing.stickiness = None;
        }
    }
    are_suppressed
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
        let range = &totals.figures;
        Self {
            department_path: Arc::clone(&node.path),
            department_name: Arc::clone(&node.name),
            depth: node.depth,
            days_counted: range.days_counted,
            people: PeopleFigures::new(range),
            trailing: TrailingFigures::default(),
            features: Features::new(range),
            counters: Some(Counters::new(range.counters)),
            withheld: false,
            children: None,
        }
    }

    /// The department with its figures suppressed.
    fn suppressed(self) -> Self {
        Self {
            people: PeopleFigures::default(),
            trailing: TrailingFigures::default(),
            features: Features::UNKNOWN,
            counters: None,
            withheld: true,
            ..self
        }
    }
}
