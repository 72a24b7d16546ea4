//! The query parameters that all data endpoints share: range of days, geos and people.

use utoipa::{IntoParams, ToSchema};

use super::{
    data_request::DataRequest,
    params::{Params, parameter_names},
    problem::Problem,
};
use crate::{
    access,
    model::{DataScope, Day, DayRange, DepartmentIdType, Geo},
    query::{Period, Query, QueryDates},
    table::RowSelection,
};

/// Maximum length of a range in days: ten years.
const MAX_RANGE_DAYS: usize = 3660;

/// The parameters of the range of days. Parsed by [`parse_range`].
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `parse_range` parses")]
pub struct RangeParams {
    /// First day, inclusive (`YYYY-MM-DD`, in the time zone of the geo). Requires `end_date`. Alternative: `period`.
    #[param(example = "2026-11-01", format = Date)]
    start_date: Option<String>,
    /// Last day, inclusive. The range can span up to ten years. Days that Feishu has not produced yet are listed in
    /// `meta.days.pending`.
    #[param(example = "2026-11-07", format = Date)]
    end_date: Option<String>,
    /// Instead of the two dates: `yesterday`, a number of days such as `7d`, `30d` or `365d` that ends with the latest
    /// day produced by Feishu, or a month such as `2026-10`.
    period: Option<String>,
    /// `cn`, `us`, `sg` or `jp`, or several of them separated by commas, which are merged. Default: the tenant's home
    /// geo.
    #[param(example = "cn")]
    geo: Option<String>,
    /// Type of the user ids in rows and of the parameter `user_id`. Default: `open_id`.
    #[param(inline)]
    user_id_type: Option<UserIdTypeParam>,
}

/// The parameters that select people. Parsed by [`parse`], together with the range.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `parse` parses")]
pub struct PeopleParams {
    /// A department and its sub-departments, by path (`总部/研发`). Whole path segments must match.
    department_path: Option<String>,
    /// A department and its sub-departments, by id. Feishu resolves the id, so these days are fetched separately.
    department_id: Option<String>,
    /// Type of `department_id`. Default: `open_department_id`.
    #[param(inline)]
    department_id_type: Option<DepartmentIdTypeParam>,
    /// One person. If the days are not available, only the rows of this person are fetched from Feishu.
    user_id: Option<String>,
    /// `true`: if some days cannot be fetched, respond with the others and list the failed days in `meta.days.missing`.
    /// Default: `false`.
    allow_partial: Option<bool>,
}

/// Type of user id.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, clippy::enum_variant_names, reason = "documents what `parse_range` parses; the names are Feishu's")]
enum UserIdTypeParam {
    OpenId,
    UnionId,
    UserId,
}

/// Type of department id.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `parse` parses")]
enum DepartmentIdTypeParam {
    OpenDepartmentId,
    DepartmentId,
}

/// Placeholder for a range with a faulty parameter.
const PLACEHOLDER_DATES: QueryDates = QueryDates::Days(DayRange::single(Day::from_date(jiff::civil::Date::ZERO)));

/// The parsed shared parameters.
#[derive(Debug)]
pub struct SharedParams {
    /// The days and rows that the request needs.
    pub query: Query,
    /// Whether the response may lack days that cannot be fetched.
    pub allow_partial: bool,
}

/// The names of the shared parameters.
#[must_use]
pub fn shared_names() -> Vec<String> {
    [parameter_names::<RangeParams>(), parameter_names::<PeopleParams>()].concat()
}

/// Parses the shared parameters. If one is faulty, the fault is recorded in `params` and the result must not be used
/// after [`Params::finish`].
pub fn parse(params: &mut Params, request: &DataRequest) -> SharedParams {
    reject_forbidden_selections(params, request);
    let range = parse_range(params, request.geos(), None);
    let user_id = params.text("user_id");
    let department_id_type: DepartmentIdType = params.parsed("department_id_type").unwrap_or_default();
    let department_id = params.text("department_id");
    let scope = match (&department_id, &user_id) {
        (Some(id), _) => DataScope::Department(department_id_type, id.as_str().into()),
        (None, Some(id)) => DataScope::User(id.as_str().into()),
        (None, None) => DataScope::Everyone,
    };
    let selection = RowSelection { department_path: parse_department_path(params), user_id, active: None };
    SharedParams {
        query: Query { scope, selection, ..range },
        allow_partial: params.flag("allow_partial").unwrap_or(false),
    }
}

/// Parses the shared parameters for a report on groups of people, which does not accept `user_id`.
pub fn parse_for_groups(params: &mut Params, request: &DataRequest) -> SharedParams {
    if params.has("user_id") {
        params.add_fault("user_id", "is not accepted by reports on groups of people; use /v1/users/{user_id}");
    }
    parse(params, request)
}

/// Rejects `department_path` if small groups are suppressed for the caller. For reports that group people by more than
/// their department: the difference between the figures of all people and those of a department could be a small group.
pub fn reject_department_path_if_suppressing(params: &mut Params, request: &DataRequest) {
    if params.has("department_path") && request.min_group_size().is_some() {
        let detail = "department_path requires the scope users:read in this report, because small groups are withheld";
        params.reject(Problem::insufficient_scope(access::Scope::UsersRead, detail));
    }
}

/// Rejects selections that the caller is not allowed to make.
fn reject_forbidden_selections(params: &mut Params, request: &DataRequest) {
    let caller = request.caller();
    if params.has("user_id") && !caller.has_scope(access::Scope::UsersRead) {
        params.reject(Problem::insufficient_scope(
            access::Scope::UsersRead,
            "user_id selects one person, which requires the scope users:read",
        ));
    }
    if params.has("department_id") && caller.view().is_department_restricted() {
        let detail = "is not available to access keys that are restricted to departments: Feishu resolves the id, possibly \
            to people of other departments; use department_path";
        params.add_fault("department_id", detail);
    }
    if params.has("department_id") && request.min_group_size().is_some() {
        let detail =
            "department_id requires the scope users:read, because small groups are withheld; use department_path";
        params.reject(Problem::insufficient_scope(access::Scope::UsersRead, detail));
    }
}

/// Parses the range and the geos. The query selects everyone. Without dates and period, the range is `default`, if there
/// is one.
pub fn parse_range(params: &mut Params, served: &[Geo], default: Option<Period>) -> Query {
    Query {
        dates: parse_dates(params, default),
        geos: parse_geos(params, served),
        user_id_type: params.parsed("user_id_type").unwrap_or_default(),
        scope: DataScope::Everyone,
        selection: RowSelection::default(),
        lead_days: 0,
    }
}

fn parse_dates(params: &mut Params, default: Option<Period>) -> QueryDates {
    let dates = ["start_date", "end_date"];
    let present = dates.map(|date| params.has(date));
    if params.has("period") {
        for (date, _) in dates.into_iter().zip(present).filter(|(_, present)| *present) {
            params.add_fault(date, "cannot be combined with period; use either the two dates or period");
        }
        return params.parsed("period").map_or(PLACEHOLDER_DATES, QueryDates::Period);
    }
    if let Some(default) = default.filter(|_| present == [false, false]) {
        return QueryDates::Period(default);
    }
    for (date, _) in dates.into_iter().zip(present).filter(|(_, present)| !present) {
        params.add_fault(date, "is missing; start_date and end_date, or period, are required");
    }
    match (params.parsed("start_date"), params.parsed("end_date")) {
        (Some(first), Some(last)) => dates_between(params, first, last),
        _ => PLACEHOLDER_DATES,
    }
}

fn dates_between(params: &mut Params, first: Day, last: Day) -> QueryDates {
    match DayRange::new(first, last) {
        Some(range) if range.len() <= MAX_RANGE_DAYS => QueryDates::Days(range),
        Some(_) => {
            params.add_fault("end_date", format!("makes the range longer than {MAX_RANGE_DAYS} days"));
            PLACEHOLDER_DATES
        }
        None => {
            params.add_fault("end_date", "is before start_date");
            PLACEHOLDER_DATES
        }
    }
}

/// Parses the geos. Default: the tenant's home geo.
pub fn parse_geos(params: &mut Params, served: &[Geo]) -> Vec<Geo> {
    let parse_geo = |text: &str| {
        let geo: Geo = text.parse().map_err(|error: crate::model::geo::ParseGeoError| error.to_string())?;
        let names: Vec<&str> = served.iter().map(|geo| geo.name()).collect();
        let is_served = served.contains(&geo);
        is_served
            .then_some(geo)
            .ok_or_else(|| format!("{geo} is not served by this instance; expected any of {}", names.join(", ")))
    };
    params.list("geo", parse_geo).unwrap_or_else(|| served.iter().take(1).copied().collect())
}

fn parse_department_path(params: &mut Params) -> Option<String> {
    let path = params.text("department_path")?;
    let trimmed = path.trim_matches('/');
    if trimmed.is_empty() {
        params.add_fault("department_path", "does not name a department");
        return None;
    }
    Some(trimmed.to_owned())
}
