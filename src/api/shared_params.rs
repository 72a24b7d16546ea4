//! The query parameters that all data endpoints share: range of days, geos and people.

use serde::{Deserialize, de::DeserializeOwned};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::{
    data_request::{DataRequest, RequestContext},
    params::{Params, param_types::choice_schema, parsed},
    problem::{Problem, ProblemCode},
};
use crate::{
    access,
    model::{DataScope, Day, DayRange, DepartmentIdType, Geo, UserIdType},
    query::{Period, Query, QueryDates},
    table::{RowSelection, dictionary::is_path_within},
};

/// Maximum length of a range in days: ten years.
const MAX_RANGE_DAYS: usize = 3660;

/// The parameters of the range of days. Read by [`read_range`].
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RangeParams {
    /// First day, inclusive (`YYYY-MM-DD`, in the time zone of the geo). Requires `end_date`. Alternative: `period`.
    #[param(value_type = Option<String>, format = Date)]
    #[serde(default, deserialize_with = "parsed")]
    start_date: Option<Day>,
    /// Last day, inclusive. The range can span up to ten years. Days that Feishu has not produced yet are listed in
    /// `meta.days.pending`.
    #[param(value_type = Option<String>, format = Date)]
    #[serde(default, deserialize_with = "parsed")]
    end_date: Option<Day>,
    /// Instead of the two dates: `yesterday`, a number of days such as `7d`, `30d` or `365d` that ends with the latest
    /// day produced by Feishu, or a month such as `2026-10`.
    #[param(value_type = Option<String>, example = "7d")]
    #[serde(default, deserialize_with = "parsed")]
    period: Option<Period>,
    /// `cn`, `us`, `sg` or `jp`, or several of them separated by commas, which are merged. Default: the tenant's home
    /// geo.
    #[param(example = "cn")]
    geo: Option<String>,
    /// Type of the user ids in rows and of the parameter `user_id`. Default: `open_id`.
    #[param(inline)]
    #[serde(default, deserialize_with = "parsed")]
    user_id_type: Option<UserIdType>,
}

/// The parameters that select people. Read by [`read`], together with the range.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PeopleParams {
    /// A department and its sub-departments, by its path as `/v1/reports/departments` lists it (`总部/研发`). Whole path
    /// segments must match. Empty: the people without a department path. A department that no row of the selected days
    /// has is `404`, with similar departments in `suggestions`; while selected days are not there, it is a note.
    department_path: Option<String>,
    /// A department and its sub-departments, by id. Feishu resolves the id, so these days are fetched separately.
    department_id: Option<String>,
    /// Type of `department_id`, which it requires. Default: `open_department_id`.
    #[param(inline)]
    #[serde(default, deserialize_with = "parsed")]
    department_id_type: Option<DepartmentIdType>,
    /// One person. If the days are not available, only the rows of this person are fetched from Feishu.
    user_id: Option<String>,
    /// `true`: if some days cannot be fetched, or not within the wait (`Prefer: wait=N`), respond with the others and list the
    /// missing days in `meta.days.missing`. `Retry-After` estimates when days that are still being fetched are there.
    /// Default: `false`.
    allow_partial: Option<bool>,
}

impl PartialSchema for UserIdType {
    fn schema() -> RefOr<Schema> {
        choice_schema("Type of user id.", Self::ALL.map(Self::name))
    }
}

impl ToSchema for UserIdType {}

impl PartialSchema for DepartmentIdType {
    fn schema() -> RefOr<Schema> {
        choice_schema("Type of department id.", Self::ALL.map(Self::name))
    }
}

impl ToSchema for DepartmentIdType {}

/// Placeholder for a range with a faulty parameter.
const PLACEHOLDER_DATES: QueryDates = QueryDates::Days(DayRange::single(Day::from_date(jiff::civil::Date::ZERO)));

/// Reads the parameters of an endpoint over days: the shared ones, the endpoint's `own`, and the format. If one is faulty,
/// the fault is recorded in `params` and the result must not be used after [`Params::finish`].
pub fn read<P: DeserializeOwned + Default>(params: &mut Params, context: &RequestContext) -> (DataRequest, P) {
    reject_forbidden_selections(params, context);
    let range = read_range(params, context.geos(), None);
    let people: PeopleParams = params.read();
    let scope = match (&people.department_id, &people.user_id) {
        (Some(id), _) => DataScope::Department(people.department_id_type.unwrap_or_default(), id.as_str().into()),
        (None, Some(id)) => DataScope::User(id.as_str().into()),
        (None, None) => DataScope::Everyone,
    };
    reject_id_type_without_id(params);
    reject_department_outside_view(params, context.caller(), people.department_path.as_deref());
    let selection = RowSelection { department_path: people.department_path, user_id: people.user_id, active: None };
    let own = params.read();
    let query = Query { scope, selection, ..range };
    (context.data_request(params, query, people.allow_partial.unwrap_or(false)), own)
}

/// Rejects a type of department id without an id.
fn reject_id_type_without_id(params: &mut Params) {
    if params.has("department_id_type") && !params.has("department_id") {
        params.add_fault("department_id_type", "is only valid with department_id");
    }
}

/// Rejects a department that is neither within nor above the departments of the caller. A department above them is in the
/// caller's department report, with the figures of the caller's part.
fn reject_department_outside_view(params: &mut Params, caller: &access::Caller, path: Option<&str>) {
    let (Some(path), Some(allowed)) = (path, caller.view().departments()) else { return };
    if !allowed.iter().any(|allowed| is_path_within(path, allowed) || is_path_within(allowed, path)) {
        let detail = format!("the caller is restricted to the departments {}", allowed.join(", "));
        params.reject(Problem::new(ProblemCode::DepartmentNotAllowed, detail));
    }
}

/// Rejects `user_id`. For reports on groups of people.
pub fn reject_user_id(params: &mut Params) {
    if params.has("user_id") {
        params.add_fault("user_id", "is not accepted by reports on groups of people; use /v1/users/{user_id}");
    }
}

/// Rejects `department_path` if small groups are suppressed for the caller. For reports that group people by more than
/// their department: the difference between the figures of all people and those of a department could be a small group.
pub fn reject_department_path_if_suppressing(params: &mut Params, context: &RequestContext) {
    if params.has("department_path") && context.min_group_size().is_some() {
        let detail = "department_path requires the scope users:read in this report, because small groups are withheld";
        params.reject(Problem::insufficient_scope(access::Scope::UsersRead, detail));
    }
}

/// Rejects the number of days `name` if small groups are suppressed for the caller: the difference between the answers to two
/// numbers could be a small group.
pub fn reject_days_if_suppressing(params: &mut Params, context: &RequestContext, name: &'static str) {
    if params.has(name) && context.min_group_size().is_some() {
        let detail = format!(
            "{name} requires the scope users:read, because small groups are withheld: the difference between two \
            values could be a small group"
        );
        params.reject(Problem::insufficient_scope(access::Scope::UsersRead, detail));
    }
}

/// Rejects selections that the caller is not allowed to make.
fn reject_forbidden_selections(params: &mut Params, context: &RequestContext) {
    let caller = context.caller();
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
    if params.has("department_id") && context.min_group_size().is_some() {
        let detail =
            "department_id requires the scope users:read, because small groups are withheld; use department_path";
        params.reject(Problem::insufficient_scope(access::Scope::UsersRead, detail));
    }
}

/// Reads the range and the geos. The query selects everyone. Without dates and period, the range is `default`, if there is
/// one.
pub fn read_range(params: &mut Params, served: &[Geo], default: Option<Period>) -> Query {
    let range: RangeParams = params.read();
    Query {
        dates: dates(params, &range, default),
        geos: range
            .geo
            .map_or_else(|| served.iter().take(1).copied().collect(), |names| parse_geos(params, &names, served)),
        user_id_type: range.user_id_type.unwrap_or_default(),
        scope: DataScope::Everyone,
        selection: RowSelection::default(),
        lead_days: 0,
    }
}

fn dates(params: &mut Params, range: &RangeParams, default: Option<Period>) -> QueryDates {
    let dates = ["start_date", "end_date"];
    let present = dates.map(|date| params.has(date));
    if params.has("period") {
        for (date, _) in dates.into_iter().zip(present).filter(|(_, present)| *present) {
            params.add_fault(date, "cannot be combined with period; use either the two dates or period");
        }
        return range.period.map_or(PLACEHOLDER_DATES, QueryDates::Period);
    }
    if let Some(default) = default.filter(|_| present == [false, false]) {
        return QueryDates::Period(default);
    }
    for (date, _) in dates.into_iter().zip(present).filter(|(_, present)| !present) {
        params.add_fault(date, "is missing; start_date and end_date, or period, are required");
    }
    let (Some(first), Some(last)) = (range.start_date, range.end_date) else { return PLACEHOLDER_DATES };
    let too_long = || format!("makes the range longer than {MAX_RANGE_DAYS} days");
    let days = DayRange::new(first, last).ok_or_else(|| "is before start_date".to_owned());
    let days = days.and_then(|days| if days.len() > MAX_RANGE_DAYS { Err(too_long()) } else { Ok(days) });
    params.check("end_date", days).map_or(PLACEHOLDER_DATES, QueryDates::Days)
}

/// Parses the names of served geos.
pub fn parse_geos(params: &mut Params, names: &str, served: &[Geo]) -> Vec<Geo> {
    params.list("geo", names, |text| {
        let geo: Geo = text.parse().map_err(|error: crate::model::geo::ParseGeoError| error.to_string())?;
        let expected = || served.iter().map(|geo| geo.name()).collect::<Vec<_>>().join(", ");
        let is_served = served.contains(&geo);
        is_served
            .then_some(geo)
            .ok_or_else(|| format!("{geo} is not served by this instance; expected any of {}", expected()))
    })
}
