//! The selection: the query parameters that every data endpoint shares.

use utoipa::{IntoParams, ToSchema};

use super::{
    data_request::DataRequest,
    params::{Params, documented},
    problem::Problem,
};
use crate::{
    access,
    model::{Day, DayRange, DepartmentIdType, Geo, Scope},
    query::{Period, Query, Span},
    table::Selection,
};

/// The longest range that one request may span: ten years.
const LONGEST_RANGE: usize = 3660;

/// Which days of which geos. Read by [`read_range`].
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what is read")]
pub struct RangeParams {
    /// First day, inclusive (`YYYY-MM-DD`, in the calendar of the geo). Give it with `end_date`, or give `period`.
    #[param(example = "2026-11-01", format = Date)]
    start_date: Option<String>,
    /// Last day, inclusive. Any length up to ten years; days that are not produced yet are listed in
    /// `meta.days.pending`.
    #[param(example = "2026-11-07", format = Date)]
    end_date: Option<String>,
    /// Instead of the two dates: `yesterday`, a number of days such as `7d`, `30d`, `365d` that end with the latest
    /// produced day, or a month such as `2026-10`.
    period: Option<String>,
    /// `cn`, `us`, `sg`, `jp`, or several with commas, merged. Default: the tenant's own.
    #[param(example = "cn")]
    geo: Option<String>,
    /// Which ids rows carry, and which kind `user_id` is. Default: `open_id`.
    #[param(inline)]
    user_id_type: Option<UserIdTypeParam>,
}

/// Whose rows. Read by [`read`], with the range.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what is read")]
pub struct PeopleParams {
    /// That department and all below it, by its path (`总部/研发`); matched on whole segments.
    department_path: Option<String>,
    /// A department and all below it, by its id, which only Feishu can resolve.
    department_id: Option<String>,
    /// What kind of id `department_id` is. Default: `open_department_id`.
    #[param(inline)]
    department_id_type: Option<DepartmentIdTypeParam>,
    /// One person. Feishu is asked for that person alone where the days are not held.
    user_id: Option<String>,
    /// `true`: answer with the days that could be had, and name the rest in `meta.days.missing`. Default: `false`.
    allow_partial: Option<bool>,
}

/// The kinds of user id, for the documentation.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, clippy::enum_variant_names, reason = "documents what is read; the names are upstream's")]
enum UserIdTypeParam {
    OpenId,
    UnionId,
    UserId,
}

/// The kinds of department id, for the documentation.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what is read")]
enum DepartmentIdTypeParam {
    OpenDepartmentId,
    DepartmentId,
}

/// Stands in for a span that could not be read.
const NOTHING: Span = Span::Days(DayRange::single(Day::from_date(jiff::civil::Date::ZERO)));

/// A selection as it was read.
#[derive(Debug)]
pub struct Selected {
    /// The question.
    pub query: Query,
    /// Whether an answer that lacks days is better than none.
    pub allow_partial: bool,
}

/// The names of the shared parameters.
#[must_use]
pub fn shared() -> Vec<String> {
    [documented::<RangeParams>(), documented::<PeopleParams>()].concat()
}

/// Reads the shared parameters. Where one is faulty, the result only serves to find further faults: `params` knows.
pub fn read(params: &mut Params, request: &DataRequest) -> Selected {
    heed_limits(params, request);
    let range = read_range(params, request.geos(), None);
    let user_id = params.text("user_id");
    let department_id_type: DepartmentIdType = params.parsed("department_id_type").unwrap_or_default();
    let department_id = params.text("department_id");
    let scope = match (&department_id, &user_id) {
        (Some(id), _) => Scope::Department(department_id_type, id.as_str().into()),
        (None, Some(id)) => Scope::User(id.as_str().into()),
        (None, None) => Scope::Everyone,
    };
    let selection = Selection { department_path: department_path(params), user_id, active: None };
    Selected {
        query: Query { scope, selection, ..range },
        allow_partial: params.flag("allow_partial").unwrap_or(false),
    }
}

/// Reads the shared parameters for a report on groups of people, which makes no sense of one person.
pub fn read_groups(params: &mut Params, request: &DataRequest) -> Selected {
    if params.has("user_id") {
        params.fault("user_id", "does not go with a report on groups of people; see /v1/users/{user_id}");
    }
    read(params, request)
}

/// For reports that tell people apart by more than their department: where small groups are withheld, what is shown of a
/// department could be taken from what is shown of all, and leave few.
pub fn refuse_departments_of_small_groups(params: &mut Params, request: &DataRequest) {
    if params.has("department_path") && request.least_group().is_some() {
        let why = "department_path takes users:read with this report where small groups are withheld";
        params.refuse(Problem::lacks(access::Scope::UsersRead, why));
    }
}

/// What the caller may not select by.
fn heed_limits(params: &mut Params, request: &DataRequest) {
    let caller = request.caller();
    if params.has("user_id") && !caller.may(access::Scope::UsersRead) {
        params
            .refuse(Problem::lacks(access::Scope::UsersRead, "user_id asks about one person, which takes users:read"));
    }
    if params.has("department_id") && caller.view().is_bound() {
        let why = "does not go with an access key that is bound to departments: only Feishu can say whom it means, and \
            that would tell of other departments; use department_path";
        params.fault("department_id", why);
    }
    if params.has("department_id") && request.least_group().is_some() {
        let why = "department_id takes users:read where small groups are withheld; use department_path";
        params.refuse(Problem::lacks(access::Scope::UsersRead, why));
    }
}

/// Reads the parameters of the range alone, about everyone. Without any, the range is `default`, if there is one.
pub fn read_range(params: &mut Params, served: &[Geo], default: Option<Period>) -> Query {
    Query {
        span: span(params, default),
        geos: geos(params, served),
        user_id_type: params.parsed("user_id_type").unwrap_or_default(),
        scope: Scope::Everyone,
        selection: Selection::default(),
        lead: 0,
    }
}

fn span(params: &mut Params, default: Option<Period>) -> Span {
    let dates = ["start_date", "end_date"];
    let given = dates.map(|date| params.has(date));
    if params.has("period") {
        for (date, _) in dates.into_iter().zip(given).filter(|(_, given)| *given) {
            params.fault(date, "does not go with period; give either the two dates or the period");
        }
        return params.parsed("period").map_or(NOTHING, Span::Period);
    }
    if let Some(default) = default.filter(|_| given == [false, false]) {
        return Span::Period(default);
    }
    for (date, _) in dates.into_iter().zip(given).filter(|(_, given)| !given) {
        params.fault(date, "is missing; give start_date and end_date, or period");
    }
    match (params.parsed("start_date"), params.parsed("end_date")) {
        (Some(first), Some(last)) => dates_span(params, first, last),
        _ => NOTHING,
    }
}

fn dates_span(params: &mut Params, first: Day, last: Day) -> Span {
    match DayRange::new(first, last) {
        Some(range) if range.len() <= LONGEST_RANGE => Span::Days(range),
        Some(_) => {
            params.fault("end_date", format!("lies more than {LONGEST_RANGE} days after start_date"));
            NOTHING
        }
        None => {
            params.fault("end_date", "comes before start_date");
            NOTHING
        }
    }
}

/// Reads the geos. Without any, the tenant's own.
pub fn geos(params: &mut Params, served: &[Geo]) -> Vec<Geo> {
    let known = |text: &str| {
        let geo: Geo = text.parse().map_err(|error: crate::model::geo::ParseGeoError| error.to_string())?;
        let names: Vec<&str> = served.iter().map(|geo| geo.name()).collect();
        let is_served = served.contains(&geo);
        is_served.then_some(geo).ok_or_else(|| format!("{geo} is not served here; served are {}", names.join(", ")))
    };
    params.list("geo", known).unwrap_or_else(|| served.iter().take(1).copied().collect())
}

fn department_path(params: &mut Params) -> Option<String> {
    let path = params.text("department_path")?;
    let trimmed = path.trim_matches('/');
    if trimmed.is_empty() {
        params.fault("department_path", "names no department");
        return None;
    }
    Some(trimmed.to_owned())
}
