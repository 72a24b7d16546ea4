//! `GET /v1/reports/licences`: accounts by status, for the company and each department.

use std::{num::NonZeroU64, sync::Arc};

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    figures::{round_to_thousandths, withhold_parts},
    user_item::StatusParams,
};
use crate::{
    api::{
        compute::compute,
        data_request::{DataRequest, EarlyResponse, Loaded, RequestContext},
        list_response::ListResponse,
        meta::{Meta, NO_ROWS_OF_INACTIVE_PEOPLE, SMALL_GROUPS_SUPPRESSED, UNKNOWN_LAST_ACTIVITY},
        params::WholeNumber,
        problem::Problem,
        representation::Representation,
        responses::{CommonProblems, FormatProblems, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams},
    },
    model::Day,
    query::UserRollups,
    report::{
        DayDigest,
        account_status::{DormantFor, StatusRule},
        department_totals::tree_of_days,
        department_tree::DepartmentNode,
        licences::{AccountCounts, licences},
        ratio,
    },
    table::{DayMetadata as _, record},
};

/// The endpoint's own parameters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LicencesParams {
    /// Number of levels of departments to list, counted from the top of the company or from the selected department. Default:
    /// all levels.
    #[param(inline, example = 2)]
    depth: Option<WholeNumber<1, 64>>,
}

record! {
    /// Accounts of the company, or of one department including its sub-departments.
    #[derive(Debug, Serialize, ToSchema)]
    pub struct LicencesItem {
        /// The date on which the accounts are judged: the newest date of the range that counts.
        #[schema(value_type = String, format = Date, example = "2026-11-20")]
        date: Day,
        /// Path of the department. Null: all selected people.
        #[schema(value_type = Option<String>, example = "总部/研发")]
        department_path: Option<Arc<str>>,
        /// Name of the department. Null: all selected people.
        #[schema(value_type = Option<String>, example = "研发")]
        department_name: Option<Arc<str>>,
        /// Level in the path; the top level is 1. Null: all selected people.
        #[schema(example = 2)]
        depth: Option<usize>,
        /// Accounts with a row on the date. People who have left are not among them.
        #[schema(example = 640)]
        accounts: Option<u64>,
        /// Accounts that are not activated on the date.
        #[schema(example = 19)]
        never_activated: Option<u64>,
        /// Accounts with activity within `dormant_after` days.
        #[schema(example = 582)]
        active: Option<u64>,
        /// The other activated accounts.
        #[schema(example = 39)]
        dormant: Option<u64>,
        /// Dormant accounts without activity for less than 30 days. Only if `dormant_after` is less.
        #[schema(example = 0)]
        dormant_under_30_days: Option<u64>,
        /// Dormant accounts without activity for 30 to 59 days.
        #[schema(example = 11)]
        dormant_30_to_59_days: Option<u64>,
        /// Dormant accounts without activity for 60 to 89 days.
        #[schema(example = 8)]
        dormant_60_to_89_days: Option<u64>,
        /// Dormant accounts without activity for 90 to 179 days.
        #[schema(example = 12)]
        dormant_90_to_179_days: Option<u64>,
        /// Dormant accounts without activity for 180 days or more.
        #[schema(example = 7)]
        dormant_180_days_or_more: Option<u64>,
        /// Dormant accounts of which Feishu names no last activity and that were not active in the range.
        #[schema(example = 1)]
        dormant_unknown: Option<u64>,
        /// `never_activated` and `dormant` together, divided by `accounts`. Null if there are no accounts.
        #[schema(example = 0.091, minimum = 0, maximum = 1)]
        unused_rate: Option<f64>,
    }
}

/// The parsed request.
struct LicencesRequest {
    data: DataRequest,
    /// Number of levels to list.
    depth: usize,
    dormant_after: u16,
}

/// Note: no departments are listed.
const NO_DEPARTMENTS: &str =
    "departments are not listed for callers without users:read, because small groups are withheld";

/// Note: some accounts are judged by one row.
const ROWS_WITHOUT_ID: &str =
    "Feishu withholds the ids of some people: their accounts are judged by the row of the newest date alone";

/// Licences: accounts by status
///
/// Accounts by status on the newest date of the range that counts: never activated, active, or dormant, and for how long.
/// The first item is all selected people, then each department with its sub-departments follows. Feishu does not tell which
/// accounts are paid: its rows list every account with a seat in the company. `/v1/users?status=dormant` lists the people.
#[utoipa::path(
    get, path = "/v1/reports/licences", tag = "reports", operation_id = "licencesReport",
    params(RangeParams, PeopleParams, LicencesParams, StatusParams, PreferHeader),
    responses(
        (status = 200, description = "All selected people, then the departments; each precedes its sub-departments. Empty if \
            no date of the range counts, or if the figures are withheld (`meta.notes` says so).", body = ListResponse<LicencesItem>),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(context: RequestContext) -> Result<Response, EarlyResponse> {
    let request = LicencesRequest::parse(&context)?;
    let DataRequest { query, options, .. } = &request.data;
    let newest = context.load(&request.data, UserRollups::load_newest_date(context.engine(), query, *options)).await?;
    let current = Representation::validate(context, &newest, &request.data)?;
    let report = compute(move || report(&newest, &request)).await?;
    current.respond(report).await
}

impl LicencesRequest {
    fn parse(context: &RequestContext) -> Result<Self, Problem> {
        let mut params = context.params();
        shared_params::reject_user_id(&mut params);
        let (data, LicencesParams { depth }) = shared_params::read(&mut params, context);
        let dormant_after = params.read::<StatusParams>().dormant_after();
        shared_params::reject_department_path_if_suppressing(&mut params, context);
        shared_params::reject_days_if_suppressing(&mut params, context, "dormant_after");
        params.finish()?;
        Ok(Self { data, depth: depth.map_or(usize::MAX, |WholeNumber(depth)| depth), dormant_after })
    }
}

fn report(newest: &Loaded<UserRollups>, request: &LicencesRequest) -> Response {
    let selection = &request.data.query.selection;
    let min_group_size = request.data.min_group_size;
    let input = &newest.input;
    let meta = Meta::from_loaded_days(input).with_notes(newest.notes());
    let suppressed = input.suppressed_days(selection, min_group_size).cover(input.plan.range);
    let rule = newest.status_rule(request.dormant_after).filter(|_| !suppressed);
    let mut data = Vec::new();
    if let Some((rule, dictionary)) = rule.as_ref().zip(newest.dictionary()) {
        let days: Vec<Arc<DayDigest>> = input.selected().map(|(day, _)| Arc::clone(day)).collect();
        let dictionary = dictionary.read();
        let tree = tree_of_days(&days, &days, &dictionary, selection.department_path.as_deref());
        let (all, by_node) = licences(&newest.day_rows(), rule, &dictionary, selection, &tree);
        drop(dictionary);
        // The tree also has departments that had rows before.
        let departments = tree.nodes().iter().zip(&by_node).filter(|(_, counts)| counts.accounts > 0);
        let top = departments.clone().map(|(node, _)| node.depth).min().unwrap_or(1);
        let departments = departments.filter(|(node, _)| node.depth - top < request.depth && min_group_size.is_none());
        data.push(LicencesItem::new(rule.newest(), None, &all));
        data.extend(departments.map(|(node, counts)| LicencesItem::new(rule.newest(), Some(node), counts)));
    }
    let is_short = input.plan.range.len() < usize::from(request.dormant_after);
    let is_unknown = is_short && data.first().is_some_and(|item| item.dormant_unknown > Some(0));
    let has_inactive_rows = rule.as_ref().is_none_or(StatusRule::has_inactive_rows);
    if !has_inactive_rows {
        for item in &mut data {
            item.unused_rate = None;
        }
    }
    let within = input.departments(selection);
    let newest_days =
        input.selected().filter(|(day, _)| rule.as_ref().is_some_and(|rule| day.key().day == rule.newest()));
    let lacks_ids = newest_days.map(|(day, _)| day).any(|day| day.has_unidentified(within.as_ref()));
    let mut are_small = false;
    for (item, least) in data.iter_mut().filter_map(|item| Some((item, min_group_size?))) {
        are_small |= item.withhold_small_cells(least);
    }
    let meta = meta
        .with_note(is_unknown.then_some(UNKNOWN_LAST_ACTIVITY))
        .with_note((!has_inactive_rows).then_some(NO_ROWS_OF_INACTIVE_PEOPLE))
        .with_note(lacks_ids.then_some(ROWS_WITHOUT_ID))
        .with_note(min_group_size.is_some().then_some(NO_DEPARTMENTS))
        .with_withheld((suppressed || are_small).then_some(SMALL_GROUPS_SUPPRESSED), min_group_size);
    ListResponse { data, meta }.into_format(request.data.format, "licences")
}

impl LicencesItem {
    fn new(date: Day, department: Option<&DepartmentNode>, counts: &AccountCounts) -> Self {
        let dormant: u64 = counts.dormant.iter().sum();
        let dormant_for = |duration: DormantFor| Some(counts.dormant[duration.index()]);
        Self {
            date,
            department_path: department.map(|node| Arc::clone(&node.path)),
            department_name: department.map(|node| Arc::clone(&node.name)),
            depth: department.map(|node| node.depth),
            accounts: Some(counts.accounts),
            never_activated: Some(counts.never_activated),
            active: Some(counts.active),
            dormant: Some(dormant),
            dormant_under_30_days: dormant_for(DormantFor::Under30Days),
            dormant_30_to_59_days: dormant_for(DormantFor::From30Days),
            dormant_60_to_89_days: dormant_for(DormantFor::From60Days),
            dormant_90_to_179_days: dormant_for(DormantFor::From90Days),
            dormant_180_days_or_more: dormant_for(DormantFor::From180Days),
            dormant_unknown: dormant_for(DormantFor::Unknown),
            unused_rate: ratio(counts.never_activated + dormant, Some(counts.accounts)).map(round_to_thousandths),
        }
    }

    /// Sets numbers from 1 to below the minimum to null, together with the next smallest: the accounts add up over the statuses,
    /// and dormant accounts add up over the durations. Returns whether a number was set to null.
    fn withhold_small_cells(&mut self, min_group_size: NonZeroU64) -> bool {
        let mut durations = [
            &mut self.dormant_under_30_days,
            &mut self.dormant_30_to_59_days,
            &mut self.dormant_60_to_89_days,
            &mut self.dormant_90_to_179_days,
            &mut self.dormant_180_days_or_more,
            &mut self.dormant_unknown,
        ];
        let are_durations_small = withhold_parts(&mut durations, min_group_size);
        let mut statuses = [&mut self.never_activated, &mut self.active, &mut self.dormant];
        let are_statuses_small = withhold_parts(&mut statuses, min_group_size);
        if self.dormant.is_none() {
            // Otherwise the durations would add up to the number that is withheld.
            for duration in durations {
                *duration = None;
            }
        }
        if are_statuses_small {
            self.unused_rate = None;
        }
        are_durations_small || are_statuses_small
    }
}
