//! Random questions: the URL of each, and the answer of the independent computation.

use std::collections::BTreeSet;

use fastrand::Rng;
use jiff::ToSpan as _;
use serde_json::Value;

use super::{
    oracle::{DepartmentsQuestion, Interval, Range, STATUSES, Selection, UsersQuestion},
    tenant::{COUNTERS, Tenant},
};

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    pub range: Range,
    pub selection: Selection,
    pub report: Report,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Report {
    /// With the number of days of regular use.
    Activity(Interval, Option<usize>),
    Summary,
    Departments(DepartmentsQuestion),
    Retention(Interval),
    Movement(Interval),
    Clients,
    /// With the number of days after which an account is dormant.
    Licences(Option<i32>),
    Users(UsersQuestion),
    User,
}

impl Question {
    /// A random question about a tenant.
    pub fn random(rng: &mut Rng, tenant: &Tenant) -> Self {
        let range = random_range(rng, tenant);
        let report = Report::random(rng, range);
        let mut geos = tenant.geos.clone();
        rng.shuffle(&mut geos);
        geos.truncate(rng.usize(1..=geos.len()));
        let pick = |rng: &mut Rng, texts: BTreeSet<String>| {
            let texts: Vec<String> = texts.into_iter().collect();
            (!texts.is_empty()).then(|| texts[rng.usize(..texts.len())].clone())
        };
        let (mut path, mut user_id) = (None, None);
        let report = match report {
            // Whether the days before the tenant's first one are empty or late depends on how many were fetched.
            Report::Movement(interval) if interval.first_of_movement(range) < tenant.first => {
                Report::Retention(interval)
            }
            report => report,
        };
        let report = if tenant.has_late_days && matches!(report, Report::User) { Report::Clients } else { report };
        let is_of_groups =
            matches!(report, Report::Departments(_) | Report::Retention(_) | Report::Movement(_) | Report::Licences(_));
        let takes_user_id = !tenant.has_late_days && !is_of_groups;
        match rng.u8(..4) {
            _ if matches!(report, Report::User) => user_id = pick(rng, tenant.user_ids(range, &geos)),
            0 if takes_user_id => user_id = pick(rng, tenant.user_ids(range, &geos)),
            1 | 2 => {
                path = pick(rng, tenant.paths(range, &geos).into_iter().filter(|path| !path.is_empty()).collect());
            }
            _ => {}
        }
        let report = if matches!(report, Report::User) && user_id.is_none() { Report::Summary } else { report };
        Self { range, selection: Selection { geos, path, user_id }, report }
    }

    /// Path and query of the request.
    pub fn url(&self) -> String {
        let Self { selection, report, .. } = self;
        let url = match report {
            Report::Activity(interval, regular_days) => {
                let regular_days = regular_query(*regular_days);
                format!("/v1/reports/activity?interval={}&trailing=fetch{regular_days}", interval.name())
            }
            Report::Summary => "/v1/reports/summary?".to_owned(),
            Report::Departments(question) => format!("/v1/reports/departments?{}", question.query()),
            Report::Retention(interval) => format!("/v1/reports/retention?interval={}", interval.name()),
            Report::Movement(interval) => format!("/v1/reports/movement?interval={}", interval.name()),
            Report::Clients => "/v1/reports/clients?".to_owned(),
            Report::Licences(days) => format!("/v1/reports/licences?{}", dormant_query(*days)),
            Report::Users(question) => format!("/v1/users?{}", question.query()),
            Report::User => format!("/v1/users/{}?", encoded(selection.user_id.as_deref().unwrap_or_default())),
        };
        let joint = if url.ends_with(['?', '&']) { "" } else { "&" };
        url + joint + &self.selection_query()
    }

    /// The parameters of the selection.
    pub fn selection_query(&self) -> String {
        let Self { range, selection, report } = self;
        let mut query = format!("start_date={}&end_date={}&geo={}", range.first, range.last, selection.geos.join(","));
        if let Some(path) = &selection.path {
            query = format!("{query}&department_path={}", encoded(path));
        }
        if let Some(user_id) = selection.user_id.as_deref().filter(|_| !matches!(report, Report::User)) {
            query = format!("{query}&user_id={}", encoded(user_id));
        }
        query
    }

    /// The expected `data`. For `/v1/users`, of all pages.
    pub fn answer(&self, tenant: &Tenant) -> Value {
        let Self { range, selection, report } = self;
        match *report {
            Report::Activity(interval, regular_days) => tenant.activity(*range, interval, regular_days, selection),
            Report::Summary => tenant.summary(*range, selection),
            Report::Departments(question) => tenant.departments(*range, selection, question),
            Report::Retention(interval) => tenant.retention(*range, interval, selection),
            Report::Movement(interval) => tenant.movement(*range, interval, selection),
            Report::Clients => tenant.clients(*range, selection),
            Report::Licences(dormant_after) => tenant.licences(*range, selection, dormant_after),
            Report::Users(question) => tenant.users(*range, selection, question).into(),
            Report::User => tenant.user(*range, selection),
        }
    }
}

impl Report {
    fn random(rng: &mut Rng, range: Range) -> Self {
        let days = range.days().count();
        let dormant_after = |rng: &mut Rng| rng.bool().then(|| rng.i32(1..120));
        let week_or_month = |rng: &mut Rng| if rng.bool() { Interval::Week } else { Interval::Month };
        match rng.u8(..15) {
            0..3 => {
                let interval = [Interval::Day, Interval::Week, Interval::Month][rng.usize(..3)];
                let longest = range.buckets(interval).into_iter().map(|bucket| bucket.days().count()).max();
                Self::Activity(interval, rng.bool().then(|| rng.usize(1..=longest.unwrap_or(1))))
            }
            3 => Self::Summary,
            4..7 => Self::Departments(DepartmentsQuestion {
                trailing: rng.u8(..4) > 0,
                distinct: rng.u8(..4) > 0,
                regular_days: rng.bool().then(|| rng.usize(1..=days)),
                depth: rng.bool().then(|| rng.usize(1..4)),
                is_tree: rng.bool(),
            }),
            7 => Self::Retention(week_or_month(rng)),
            8 => Self::Clients,
            9..11 => Self::Users(UsersQuestion {
                sort: match rng.usize(..12) {
                    0 => "active_days",
                    1 => "last_active_date",
                    2 => "user_name",
                    3 => "user_id",
                    4 => "status",
                    5 => "activated",
                    6 => "register_time",
                    7 => "last_active_time",
                    _ => COUNTERS[rng.usize(..COUNTERS.len())],
                },
                descending: rng.bool(),
                active: rng.bool().then(|| rng.bool()),
                inactive_for: (rng.u8(..4) == 0).then(|| rng.i32(1..=30)),
                status: (rng.u8(..4) == 0).then(|| STATUSES[rng.usize(..STATUSES.len())]),
                activated: (rng.u8(..4) == 0).then(|| rng.bool()),
                dormant_after: dormant_after(rng),
            }),
            11..13 => Self::Movement(week_or_month(rng)),
            13 => Self::Licences(dormant_after(rng)),
            _ => Self::User,
        }
    }
}

impl Interval {
    const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

fn regular_query(days: Option<usize>) -> String {
    days.map(|days| format!("&regular_days={days}")).unwrap_or_default()
}

fn dormant_query(days: Option<i32>) -> String {
    days.map(|days| format!("dormant_after={days}d")).unwrap_or_default()
}

impl DepartmentsQuestion {
    fn query(self) -> String {
        let trailing = if self.trailing { "fetch" } else { "none" };
        let layout = if self.is_tree { "tree" } else { "nested" };
        let depth = self.depth.map(|depth| format!("&depth={depth}")).unwrap_or_default();
        let regular_days = regular_query(self.regular_days);
        format!("trailing={trailing}&layout={layout}&distinct={}{depth}{regular_days}", self.distinct)
    }
}

impl UsersQuestion {
    fn query(self) -> String {
        let order = if self.descending { "-" } else { "" };
        let active = self.active.map(|active| format!("&active={active}")).unwrap_or_default();
        let inactive_for = self.inactive_for.map(|days| format!("&inactive_for={days}d")).unwrap_or_default();
        let status = self.status.map(|status| format!("&status={status}")).unwrap_or_default();
        let activated = self.activated.map(|activated| format!("&activated={activated}")).unwrap_or_default();
        let account = format!("{status}{activated}&{}", dormant_query(self.dormant_after));
        format!("sort={order}{}{active}{inactive_for}{account}", self.sort)
    }
}

/// A range whose previous range and lead days are days of the tenant.
fn random_range(rng: &mut Rng, tenant: &Tenant) -> Range {
    let days: Vec<_> = Range { first: tenant.first, last: tenant.last }.days().collect();
    let last = rng.usize(days.len() * 2 / 3..days.len());
    let length = match rng.u8(..4) {
        0 => 1,
        1 => rng.usize(1..8),
        // Whole months have roll-ups of their own.
        2 if days[last].day() != days[last].days_in_month() => {
            let first = days[last].first_of_month().checked_sub(1.month()).expect("a date");
            let range = Range { first, last: first.last_of_month() };
            if range.first.checked_sub(31.days()).is_ok_and(|before| before >= tenant.first) {
                return range;
            }
            rng.usize(1..15)
        }
        _ => rng.usize(1..last / 2),
    };
    Range { first: days[last + 1 - length], last: days[last] }
}

/// Percent-encodes a text.
pub fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
