//! Every report in the plainest form: loops over the rows of a [`Tenant`]. Shares no code with the gateway.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BTreeSet},
};

use jiff::{
    ToSpan as _,
    civil::{Date, DateTime},
};
use serde_json::{Map, Value, json};

use super::tenant::{COUNTERS, FEATURES, FLAGGED_FEATURES, Tenant, UserDay};

/// Selected days, inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub first: Date,
    pub last: Date,
}

/// Selected rows.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// In the order of the request.
    pub geos: Vec<&'static str>,
    pub path: Option<String>,
    pub user_id: Option<String>,
}

/// The length of a bucket or period.
#[derive(Clone, Copy, Debug)]
pub enum Interval {
    Day,
    Week,
    Month,
}

/// The parameters of `/v1/users`.
#[derive(Clone, Copy, Debug)]
pub struct UsersQuestion {
    /// A counter or one of the other keys.
    pub sort: &'static str,
    pub descending: bool,
    pub active: Option<bool>,
    pub inactive_for: Option<i32>,
    pub status: Option<&'static str>,
    pub activated: Option<bool>,
    pub dormant_after: Option<i32>,
}

/// The statuses of accounts, in the order of sorting.
pub const STATUSES: [&str; 4] = ["left", "never_activated", "dormant", "active"];

/// The parameters of `/v1/reports/departments`.
#[derive(Clone, Copy, Debug)]
pub struct DepartmentsQuestion {
    pub trailing: bool,
    pub distinct: bool,
    pub regular_days: Option<usize>,
    pub depth: Option<usize>,
    pub is_tree: bool,
}

/// The totals of one person.
struct PersonTotals<'a> {
    /// The row of the latest day; of several on that day, that of the geo named last.
    latest: &'a UserDay,
    account: Account,
    active_days: BTreeSet<Date>,
    feature_days: [BTreeSet<Date>; FEATURES.len()],
    counters: [u64; COUNTERS.len()],
}

impl Range {
    pub fn days(self) -> impl DoubleEndedIterator<Item = Date> {
        let days: Vec<Date> = self.first.series(1.day()).take_while(|day| *day <= self.last).collect();
        days.into_iter()
    }

    /// The days that end with `last`.
    pub fn ending(last: Date, days: i32) -> Self {
        Self { first: last.checked_sub((days - 1).days()).expect("a date"), last }
    }

    pub fn buckets(self, interval: Interval) -> Vec<Self> {
        let key = |day: &Date| interval.whole(*day).first;
        let days: Vec<Date> = self.days().collect();
        let buckets = days.chunk_by(|one, other| key(one) == key(other));
        buckets.map(|days| Self { first: days[0], last: days[days.len() - 1] }).collect()
    }
}

impl Interval {
    /// The whole day, week or month that contains a date.
    fn whole(self, day: Date) -> Range {
        match self {
            Self::Day => Range { first: day, last: day },
            Self::Week => {
                let monday = day - i32::from(day.weekday().to_monday_zero_offset()).days();
                Range { first: monday, last: monday + 6.days() }
            }
            Self::Month => Range { first: day.first_of_month(), last: day.last_of_month() },
        }
    }

    /// The first date that the movement over `range` is computed from.
    pub fn first_of_movement(self, range: Range) -> Date {
        let first = self.whole(range.first).first;
        if first < range.first { first } else { self.whole(first - 1.day()).first }
    }
}

fn round(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}

fn ratio(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    Some(part? as f64 / whole.filter(|whole| *whole > 0)? as f64)
}

fn share(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    ratio(part, whole).map(round)
}

fn is_within(path: &str, above: &str) -> bool {
    path == above || path.starts_with(&format!("{above}/"))
}

/// Distinct people of these rows. Rows without an id cannot be matched: on one day each counts, and over several days
/// the number is unknown.
fn people<'a>(rows: impl IntoIterator<Item = &'a UserDay>, is_one_day: bool) -> Option<u64> {
    let (mut ids, mut without_id) = (BTreeSet::new(), 0);
    for row in rows {
        match &row.user_id {
            Some(id) => drop(ids.insert(id)),
            None => without_id += 1,
        }
    }
    (is_one_day || without_id == 0).then_some(ids.len() as u64 + without_id)
}

/// The versions of clients on each system that these rows of active people name.
fn client_versions(rows: &[&UserDay], is_one_day: bool) -> Value {
    // Of the texts of the tenants, the last word is the version.
    let split = |text: &'static str| text.rsplit_once(' ').expect("a name and a version");
    let system = |os: Option<&'static str>| os.map(|os| split(os).0);
    let mut by_version: BTreeMap<_, Vec<&UserDay>> = BTreeMap::new();
    for row in rows {
        let clients = row.clients.iter().filter_map(|(os, client)| Some((system(*os), split((*client)?))));
        for (system, (client, version)) in clients.collect::<BTreeSet<_>>() {
            by_version.entry((system, client, version)).or_default().push(row);
        }
    }
    let users_of = |of: Option<&str>| {
        let uses = |row: &&UserDay| row.clients.iter().any(|(os, _)| system(*os) == of);
        people(rows.iter().copied().filter(uses), is_one_day)
    };
    let numbers = |version: &str| -> Vec<u64> {
        let release = version.split_once('-').map_or(version, |(release, _)| release);
        release.split('.').map(|number| number.parse().expect("a number")).collect()
    };
    let mut versions: Vec<_> =
        by_version.into_iter().map(|(version, rows)| (version, people(rows, is_one_day))).collect();
    versions.sort_by_key(|(version, users)| (Reverse(*users), *version));
    let newest = |system: Option<&str>, client: &str| {
        let all = users_of(system)?;
        let releases = versions.iter().filter(|((own, name, version), users)| {
            (*own, *name) == (system, client) && !version.contains('-') && users.is_some_and(|users| users * 100 >= all)
        });
        releases.map(|((.., version), _)| *version).max_by_key(|version| numbers(version))
    };
    let item = |((system, client, version), users): &((Option<&str>, &str, &str), Option<u64>)| {
        let newest = newest(*system, client);
        json!({
            "system": system, "client": client, "version": version, "users": users,
            "share": share(*users, users_of(*system)), "newest": users.map(|_| newest == Some(*version)),
            "outdated": newest.map(|newest| numbers(version)[..2] < numbers(newest)[..2]),
        })
    };
    versions.iter().map(item).collect()
}

fn counters<'a>(rows: impl IntoIterator<Item = &'a UserDay>) -> Value {
    let mut sums = [0; COUNTERS.len()];
    for row in rows {
        for (sum, count) in sums.iter_mut().zip(row.counters) {
            *sum += count;
        }
    }
    COUNTERS.iter().zip(sums).map(|(name, sum)| ((*name).to_owned(), sum.into())).collect::<Map<_, _>>().into()
}

/// `value` and the fields of `others`.
fn merged(mut value: Value, others: &Value) -> Value {
    let fields = others.as_object().expect("an object").clone();
    value.as_object_mut().expect("an object").extend(fields);
    value
}

/// The mean of daily numbers.
fn mean(daily: &[u64]) -> f64 {
    daily.iter().sum::<u64>() as f64 / daily.len() as f64
}

impl Tenant {
    /// Whether a date counts for these geos.
    fn counts(&self, day: Date, geos: &[&'static str]) -> bool {
        geos.iter().all(|geo| self.rows.contains_key(&(day, *geo)))
    }

    fn counted(&self, range: Range, selection: &Selection) -> Vec<Date> {
        range.days().filter(|day| self.counts(*day, &selection.geos)).collect()
    }

    /// The selected rows of the counted dates, by date, then geo.
    fn selected(&self, range: Range, selection: &Selection) -> Vec<&UserDay> {
        let days = self.counted(range, selection).into_iter();
        let rows = days.flat_map(|day| selection.geos.iter().flat_map(move |geo| &self.rows[&(day, *geo)]));
        let in_department =
            |row: &&UserDay| selection.path.as_ref().is_none_or(|path| is_within(&row.department_path, path));
        let of_person = |row: &&UserDay| selection.user_id.is_none() || row.user_id == selection.user_id;
        rows.filter(in_department).filter(of_person).collect()
    }

    /// The paths of all departments with rows in the range, and of those above them.
    pub fn paths(&self, range: Range, geos: &[&'static str]) -> BTreeSet<String> {
        let everyone = Selection { geos: geos.to_vec(), ..Selection::default() };
        let rows = self.selected(range, &everyone);
        let prefixes = rows.iter().flat_map(|row| {
            let path = &row.department_path;
            path.match_indices('/').map(|(end, _)| end).chain([path.len()]).map(|end| path[..end].to_owned())
        });
        prefixes.collect()
    }

    /// The ids of people with rows in the range.
    pub fn user_ids(&self, range: Range, geos: &[&'static str]) -> BTreeSet<String> {
        let everyone = Selection { geos: geos.to_vec(), ..Selection::default() };
        self.selected(range, &everyone).iter().filter_map(|row| row.user_id.clone()).collect()
    }

    /// Distinct people with such rows on at least `least` counted dates of the range.
    fn regular(&self, range: Range, selection: &Selection, least: usize, is: impl Fn(&UserDay) -> bool) -> Option<u64> {
        let counted = self.counted(range, selection).len();
        let rows: Vec<&UserDay> = self.selected(range, selection).into_iter().filter(|row| is(row)).collect();
        if least > counted {
            return None;
        }
        if counted == 1 {
            return people(rows, true);
        }
        let mut dates: BTreeMap<&str, BTreeSet<Date>> = BTreeMap::new();
        for row in rows {
            dates.entry(row.user_id.as_deref()?).or_default().insert(row.date);
        }
        Some(dates.values().filter(|dates| dates.len() >= least).count() as u64)
    }

    /// People, their activity and their use of features, as in the items of reports. Without `distinct`, no distinct people
    /// of several dates.
    fn people_figures(
        &self,
        range: Range,
        selection: &Selection,
        regular_days: Option<usize>,
        distinct: bool,
    ) -> Value {
        let counted = self.counted(range, selection);
        let Some(last) = counted.last().copied() else {
            let none = FEATURES.iter().map(|name| {
                let none = json!({
                    "active": null, "adoption": null, "active_per_day": null, "regular": null, "regular_rate": null,
                });
                ((*name).to_owned(), none)
            });
            return json!({
                "users": null, "people": null, "activated": null, "active": null, "active_rate": null,
                "active_per_day": null, "active_rate_per_day": null, "regular_days": null, "regular": null,
                "regular_rate": null, "features": none.collect::<Map<_, _>>(),
            });
        };
        let is_one_day = counted.len() == 1;
        let is_distinct = distinct || is_one_day;
        let rows = self.selected(range, selection);
        let distinct = |is: &dyn Fn(&UserDay) -> bool| {
            people(rows.iter().copied().filter(|row| is(row)), is_one_day).filter(|_| is_distinct)
        };
        let daily = |is: &dyn Fn(&UserDay) -> bool| -> Vec<u64> {
            let of = |day: &Date| people(rows.iter().copied().filter(|row| row.date == *day && is(row)), true);
            counted.iter().filter_map(of).collect()
        };
        let regular_days = regular_days.unwrap_or(counted.len().div_ceil(4));
        let regular =
            |is: &dyn Fn(&UserDay) -> bool| self.regular(range, selection, regular_days, is).filter(|_| is_distinct);
        let is_activated = |row: &UserDay| row.activated || row.active;
        let is_active = |row: &UserDay| row.active;
        let (activated, active) = (distinct(&is_activated), distinct(&is_active));
        let rates: Vec<f64> = daily(&is_active)
            .into_iter()
            .zip(daily(&is_activated))
            .filter(|(_, activated)| *activated > 0)
            .map(|(active, activated)| active as f64 / activated as f64)
            .collect();
        let rate = (!rates.is_empty()).then(|| round(rates.iter().sum::<f64>() / rates.len() as f64));
        let features = (0..FEATURES.len()).map(|feature| {
            let uses = move |row: &UserDay| row.active && row.uses(feature);
            let (people, regular) = (distinct(&uses), regular(&uses));
            let item = json!({
                "active": people, "adoption": share(people, active), "active_per_day": round(mean(&daily(&uses))),
                "regular": regular, "regular_rate": share(regular, active),
            });
            (FEATURES[feature].to_owned(), item)
        });
        let regular = regular(&is_active);
        json!({
            "users": people(rows.iter().copied().filter(|row| row.date == last), true),
            "people": distinct(&|_| true), "activated": activated, "active": active, "active_rate": share(active, activated),
            "active_per_day": round(mean(&daily(&is_active))), "active_rate_per_day": rate, "regular_days": regular_days,
            "regular": regular, "regular_rate": share(regular, activated), "features": features.collect::<Map<_, _>>(),
        })
    }

    fn active_on(&self, day: Date, selection: &Selection) -> Option<u64> {
        let rows = self.selected(Range { first: day, last: day }, selection);
        people(rows.into_iter().filter(|row| row.active), true)
    }

    /// `wau`, `mau` and stickiness of a bucket.
    fn trailing(&self, bucket: Range, selection: &Selection) -> Value {
        let Some(last) = self.counted(bucket, selection).last().copied() else {
            return json!({ "wau": null, "mau": null, "stickiness": null });
        };
        let distinct = |days: i32| {
            let window = Range::ending(last, days);
            let is_whole = window.days().all(|day| self.counts(day, &selection.geos));
            let rows = self.selected(window, selection);
            is_whole.then(|| people(rows.into_iter().filter(|row| row.active), false)).flatten()
        };
        let (week, month) = (distinct(7), distinct(30));
        let window = Range { first: bucket.first.max(Range::ending(last, 30).first), last };
        let days = self.counted(window, selection);
        let daily: Vec<u64> = days.iter().filter_map(|day| self.active_on(*day, selection)).collect();
        let stickiness = month.filter(|month| *month > 0).map(|month| {
            // One division, so that a ratio between two thousandths is rounded as people would.
            round(daily.iter().sum::<u64>() as f64 / (daily.len() as u64 * month) as f64)
        });
        json!({ "wau": week, "mau": month, "stickiness": stickiness })
    }

    /// `data` of `/v1/reports/activity` with `trailing=fetch`.
    pub fn activity(
        &self,
        range: Range,
        interval: Interval,
        regular_days: Option<usize>,
        selection: &Selection,
    ) -> Value {
        let bucket = |bucket: Range| {
            let counted = self.counted(bucket, selection).len();
            let figures = self.people_figures(bucket, selection, regular_days, true);
            let counters = if counted == 0 { Value::Null } else { counters(self.selected(bucket, selection)) };
            let item = json!({
                "start_date": bucket.first, "end_date": bucket.last, "days_counted": counted, "counters": counters,
            });
            merged(merged(item, &figures), &self.trailing(bucket, selection))
        };
        range.buckets(interval).into_iter().map(bucket).collect()
    }

    /// `data` of `/v1/reports/summary`.
    pub fn summary(&self, range: Range, selection: &Selection) -> Value {
        let length = i32::try_from(range.days().count()).expect("a short range");
        let before = Range::ending(range.first.yesterday().expect("a date"), length);
        let (current, previous) = (self.headline(range, selection), self.headline(before, selection));
        let of_suite = [
            "active_rate_per_day",
            "users",
            "people",
            "activated",
            "active",
            "active_rate",
            "active_per_day",
            "regular",
            "regular_rate",
        ];
        let of_feature = ["active", "adoption", "active_per_day", "regular", "regular_rate"];
        let features = FEATURES.iter().flat_map(|name| of_feature.map(|figure| (Some(*name), figure)));
        let names = of_suite.map(|figure| (None, figure)).into_iter().chain(features);
        let names = names.chain(COUNTERS.map(|name| (None, name)));
        let figure = |(feature, name): (Option<&str>, &str)| {
            let value = |of: &Option<Value>| -> Option<f64> {
                let of = of.as_ref()?;
                match feature {
                    Some(feature) => of["features"][feature][name].as_f64(),
                    None => of.get(name).unwrap_or(&of["counters"][name]).as_f64(),
                }
            };
            let (now, then) = (value(&current), value(&previous));
            let change = now.zip(then.filter(|then| *then > 0.0)).map(|(now, then)| round((now - then) / then));
            let days = |of: &Option<Value>| of.as_ref().map(|of| of["days_counted"].clone());
            let grows = name != "users" && !name.ends_with("_per_day");
            let change = change.filter(|_| !grows || days(&current) == days(&previous));
            let name = feature.map_or_else(|| name.to_owned(), |feature| format!("{feature}_{name}"));
            json!({ "figure": name, "current": now, "previous": then, "change": change })
        };
        let figures: Vec<Value> = names.map(figure).collect();
        json!({ "current": current, "previous": previous, "figures": figures })
    }

    fn headline(&self, range: Range, selection: &Selection) -> Option<Value> {
        let days = self.counted(range, selection);
        let item = json!({
            "start_date": range.first, "end_date": range.last, "days_counted": days.len(),
            "counters": counters(self.selected(range, selection)),
        });
        (!days.is_empty()).then(|| merged(item, &self.people_figures(range, selection, None, true)))
    }

    /// `data` of `/v1/reports/departments`.
    pub fn departments(&self, range: Range, selection: &Selection, question: DepartmentsQuestion) -> Value {
        let top = selection.path.as_deref();
        let mut paths: Vec<String> = self.paths(range, &selection.geos).into_iter().collect();
        paths.retain(|path| top.is_none_or(|top| is_within(path, top)));
        paths.sort_by(|one, other| one.split('/').cmp(other.split('/')));
        let depth = |path: &str| path.split('/').count();
        let highest = paths.iter().map(|path| depth(path)).min().unwrap_or(1);
        paths.retain(|path| question.depth.is_none_or(|levels| depth(path) - highest < levels));
        let items = paths.iter().map(|path| {
            let own = Selection { path: Some(path.clone()), ..selection.clone() };
            let trailing = json!({ "wau": null, "mau": null, "stickiness": null });
            let trailing = if question.trailing { self.trailing(range, &own) } else { trailing };
            let item = json!({
                "department_path": path, "department_name": self.name_of(path, range, selection), "depth": depth(path),
                "days_counted": self.counted(range, selection).len(),
                "counters": counters(self.selected(range, &own)), "withheld": false,
            });
            let figures = self.people_figures(range, &own, question.regular_days, question.distinct);
            merged(merged(item, &figures), &trailing)
        });
        let items: Vec<Value> = items.collect();
        if question.is_tree { nested(&items, None) } else { items.into() }
    }

    /// The name on the latest selected date; of several, the smallest.
    fn name_of(&self, path: &str, range: Range, selection: &Selection) -> String {
        let everyone = Selection { path: None, ..selection.clone() };
        let rows = self.selected(range, &everyone).into_iter().filter(|row| row.department_path == path);
        let latest = rows.max_by_key(|row| (row.date, Reverse(&row.department_name)));
        latest.map_or_else(|| path.rsplit('/').next().unwrap_or_default().to_owned(), |row| row.department_name.clone())
    }

    /// `data` of `/v1/reports/retention`.
    pub fn retention(&self, range: Range, interval: Interval, selection: &Selection) -> Value {
        let everyone = Selection { path: None, ..selection.clone() };
        let mut activated: BTreeMap<&str, Date> = BTreeMap::new();
        for row in self.selected(range, &everyone) {
            if let (Some(id), Some(time)) = (&row.user_id, row.register_time) {
                let earliest = activated.entry(id).or_insert_with(|| time.date());
                *earliest = time.date().min(*earliest);
            }
        }
        let rows = self.selected(range, selection);
        let present: BTreeSet<&str> = rows.iter().filter_map(|row| row.user_id.as_deref()).collect();
        // Each with its position among all weeks or months.
        let mut periods: Vec<(usize, Range)> = range.buckets(interval).into_iter().enumerate().collect();
        periods.retain(|(_, period)| !self.counted(*period, selection).is_empty());
        let cohort = |(index, (position, first)): (usize, &(usize, Range))| {
            let in_first = |day: &Date| (first.first..=first.last).contains(day);
            let people: BTreeSet<&str> =
                present.iter().copied().filter(|id| activated.get(id).is_some_and(in_first)).collect();
            let period = |(of_period, period): &(usize, Range)| {
                let inside = rows.iter().filter(|row| (period.first..=period.last).contains(&row.date) && row.active);
                let active: BTreeSet<&str> = inside.filter_map(|row| row.user_id.as_deref()).collect();
                let active = active.intersection(&people).count() as u64;
                let days_counted = self.counted(*period, selection).len();
                json!({
                    "offset": of_period - position, "start_date": period.first, "end_date": period.last, "active": active,
                    "days_counted": days_counted,
                    "complete": days_counted == interval.whole(period.first).days().count(),
                    "share": share(Some(active), Some(people.len() as u64)),
                })
            };
            let later: Vec<Value> = periods[index..].iter().map(period).collect();
            json!({ "start_date": first.first, "end_date": first.last, "people": people.len(), "periods": later })
        };
        periods.iter().enumerate().map(cohort).collect()
    }

    /// `data` of `/v1/reports/movement`.
    pub fn movement(&self, range: Range, interval: Interval, selection: &Selection) -> Value {
        let everyone = Selection { path: None, ..selection.clone() };
        let loaded = Range { first: interval.first_of_movement(range), last: range.last };
        let rows = self.selected(loaded, &everyone);
        let has_idle_rows = rows.iter().any(|row| !row.active);
        let activated = |id: &str| {
            let times =
                rows.iter().filter(|row| row.user_id.as_deref() == Some(id)).filter_map(|row| row.register_time);
            times.map(DateTime::date).min()
        };
        let is_known = |bucket: Range| self.counted(bucket, selection).len() == bucket.days().count();
        let has_ids = |bucket: Range, of: &Selection| self.selected(bucket, of).iter().all(|row| row.user_id.is_some());
        let ids =
            |rows: Vec<&UserDay>| -> BTreeSet<String> { rows.iter().filter_map(|row| row.user_id.clone()).collect() };
        let active =
            |bucket: Range| ids(self.selected(bucket, selection).into_iter().filter(|row| row.active).collect());
        let on_last = |bucket: Range, of: &Selection| ids(self.selected(Range { first: bucket.last, ..bucket }, of));
        let item = |bucket: Range| {
            let whole = interval.whole(bucket.first);
            let before = interval.whole(whole.first - 1.day());
            let is_cut = (whole.first, whole.last) != (bucket.first, bucket.last);
            let both = [before, whole];
            let is_null = is_cut || !both.iter().all(|bucket| is_known(*bucket) && has_ids(*bucket, selection));
            let with_rows = |count: usize| (!is_null && has_idle_rows).then_some(count);
            let everyone_has_ids = both.iter().all(|bucket| has_ids(*bucket, &everyone));
            let moved =
                |is_shown: bool, people: Vec<&String>| with_rows(people.len()).filter(|_| is_shown && everyone_has_ids);
            let (then, now) = (active(before), active(whole));
            let [here_then, here_now] = both.map(|bucket| on_last(bucket, selection));
            let [all_then, all_now] = both.map(|bucket| on_last(bucket, &everyone));
            let is_new = |id: &&String| activated(id).is_some_and(|day| (bucket.first..=bucket.last).contains(&day));
            let (new, back): (Vec<_>, Vec<_>) = now.difference(&then).partition(is_new);
            let (came, went) = (here_now.difference(&here_then), here_then.difference(&here_now));
            let (from_elsewhere, joined): (Vec<_>, Vec<_>) = came.partition(|id| all_then.contains(*id));
            let (to_elsewhere, left): (Vec<_>, Vec<_>) = went.partition(|id| all_now.contains(*id));
            let count = |count: usize| (!is_null).then_some(count);
            json!({
                "start_date": bucket.first, "end_date": bucket.last,
                "days_counted": self.counted(bucket, selection).len(), "complete": !is_cut && is_known(whole),
                "active": count(now.len()), "retained": count(now.intersection(&then).count()),
                "new": count(new.len()), "reactivated": count(back.len()),
                "newly_dormant": with_rows(then.difference(&now).filter(|id| here_now.contains(*id)).count()),
                "joined": moved(true, joined), "left": moved(true, left),
                "transferred_in": moved(selection.path.is_some(), from_elsewhere),
                "transferred_out": moved(selection.path.is_some(), to_elsewhere),
            })
        };
        range.buckets(interval).into_iter().map(item).collect()
    }

    /// `data` of `/v1/reports/clients`.
    pub fn clients(&self, range: Range, selection: &Selection) -> Value {
        let is_one_day = self.counted(range, selection).len() == 1;
        let rows: Vec<&UserDay> = self.selected(range, selection).into_iter().filter(|row| row.active).collect();
        let active = people(rows.iter().copied(), is_one_day);
        let list = |names: fn(&UserDay) -> Vec<&'static str>| -> Value {
            let mut by_name: BTreeMap<&str, Vec<&UserDay>> = BTreeMap::new();
            for row in &rows {
                for name in names(row).into_iter().collect::<BTreeSet<_>>() {
                    by_name.entry(name).or_default().push(row);
                }
            }
            let mut used: Vec<(&str, Option<u64>)> =
                by_name.into_iter().map(|(name, rows)| (name, people(rows, is_one_day))).collect();
            used.sort_by_key(|(name, users)| (Reverse(*users), *name));
            let item = |(name, users)| json!({ "name": name, "users": users, "share": share(users, active) });
            used.into_iter().map(item).collect()
        };
        json!({
            "os_names": list(|row| row.os_names.clone()),
            "operating_systems": list(|row| row.clients.iter().filter_map(|(os, _)| *os).collect()),
            "clients": list(|row| row.clients.iter().filter_map(|(_, client)| *client).collect()),
            "app_packages": list(|row| row.app_packages.clone()),
            "client_versions": client_versions(&rows, is_one_day),
        })
    }

    /// `data` of `/v1/users` on all pages.
    pub fn users(&self, range: Range, selection: &Selection, question: UsersQuestion) -> Vec<Value> {
        let mut totals: Vec<PersonTotals<'_>> = self.totals(range, selection).into_values().collect();
        if let Some(days) = question.inactive_for {
            let everyone = Selection { geos: selection.geos.clone(), ..Selection::default() };
            // The latest dates that count.
            let counted = self.counted(Range { first: self.first, last: range.last }, &everyone);
            let days = usize::try_from(days).expect("a number of days");
            let first = counted.iter().nth_back(days - 1).or(counted.first());
            let rows = first
                .map_or_else(Vec::new, |first| self.selected(Range { first: *first, last: range.last }, &everyone));
            let active: BTreeSet<&String> =
                rows.iter().filter(|row| row.active).filter_map(|row| row.user_id.as_ref()).collect();
            totals.retain(|total| total.latest.user_id.as_ref().is_none_or(|id| !active.contains(id)));
        }
        let newest = self.counted(range, selection).last().copied();
        let dates = self.active_dates(range, selection);
        self.judge_by_all_rows(range, selection, &mut totals);
        for total in &mut totals {
            total.account.judge(
                newest,
                dates.get(total.latest.user_id.as_ref().expect("an id")),
                question.dormant_after,
            );
        }
        let knows_who_left = self.knows_who_left(range, selection);
        for total in &mut totals {
            total.account.forget_who_left(knows_who_left);
        }
        totals.retain(|total| question.status.is_none_or(|status| total.account.status == Some(status)));
        totals.retain(|total| question.activated.is_none_or(|activated| total.account.activated == activated));
        totals.retain(|total| question.active.is_none_or(|active| active != total.active_days.is_empty()));
        totals.sort_by(|one, other| {
            let by_key = compare(question.sort, one, other);
            let by_key = if question.descending { by_key.reverse() } else { by_key };
            by_key.then_with(|| one.latest.user_id.cmp(&other.latest.user_id))
        });
        totals.iter().map(PersonTotals::json).collect()
    }

    /// `data` of `/v1/users/{user_id}`.
    pub fn user(&self, range: Range, selection: &Selection) -> Value {
        let days = self.selected(range, selection).into_iter().map(|row| {
            let mut day = Map::new();
            let mut set = |name: &str, value: Value| day.insert(name.to_owned(), value);
            set("date", row.date.to_string().into());
            set("geo", row.geo.into());
            set("department_path", row.department_path.as_str().into());
            set("activated", row.activated.into());
            set("active", row.active.into());
            for (name, flag) in FLAGGED_FEATURES.iter().zip(row.flags) {
                set(&format!("{name}_active"), flag.into());
            }
            for (name, count) in COUNTERS.iter().zip(row.counters) {
                set(name, count.into());
            }
            Value::from(day)
        });
        let newest = self.counted(range, selection).last().copied();
        let dates = self.active_dates(range, selection);
        let total = self.totals(range, selection).into_values().next().map(|mut total| {
            total.account.judge(newest, dates.get(total.latest.user_id.as_ref().expect("an id")), None);
            total.account.forget_who_left(self.knows_who_left(range, selection));
            total.json()
        });
        json!({ "total": total, "days": days.collect::<Vec<_>>() })
    }

    fn totals(&self, range: Range, selection: &Selection) -> BTreeMap<String, PersonTotals<'_>> {
        let mut totals: BTreeMap<String, PersonTotals<'_>> = BTreeMap::new();
        for row in self.selected(range, selection) {
            let Some(id) = &row.user_id else { continue };
            let total = totals.entry(id.clone()).or_insert_with(|| PersonTotals {
                latest: row,
                account: Account::of(row),
                active_days: BTreeSet::new(),
                feature_days: Default::default(),
                counters: [0; COUNTERS.len()],
            });
            total.latest = row;
            total.account.add(row);
            if row.active {
                total.active_days.insert(row.date);
            }
            for feature in (0..FEATURES.len()).filter(|feature| row.active && row.uses(*feature)) {
                total.feature_days[feature].insert(row.date);
            }
            for (sum, count) in total.counters.iter_mut().zip(row.counters) {
                *sum += count;
            }
        }
        totals
    }
}

impl PersonTotals<'_> {
    fn json(&self) -> Value {
        let days = FEATURES.iter().zip(&self.feature_days);
        let days: Map<_, _> =
            days.map(|(name, days)| ((*name).to_owned(), json!({ "active_days": days.len() }))).collect();
        let counters: Map<_, _> =
            COUNTERS.iter().zip(self.counters).map(|(name, sum)| ((*name).to_owned(), sum.into())).collect();
        json!({
            "user_id": self.latest.user_id, "user_name": self.latest.user_name,
            "department_path": self.latest.department_path, "status": self.account.status,
            "activated": self.account.activated, "register_time": rfc3339(self.latest.register_time, self.latest.geo),
            "last_active_time": rfc3339(self.account.last_active_time(), self.account.geo), "active_days": self.active_days.len(),
            "last_active_date": self.active_days.last(), "features": days, "counters": counters,
        })
    }
}

fn compare(key: &str, one: &PersonTotals<'_>, other: &PersonTotals<'_>) -> Ordering {
    match key {
        "active_days" => one.active_days.len().cmp(&other.active_days.len()),
        "last_active_date" => one.active_days.last().cmp(&other.active_days.last()),
        "user_name" => one.latest.user_name.cmp(&other.latest.user_name),
        "status" => rank(one.account.status).cmp(&rank(other.account.status)),
        "activated" => one.account.activated.cmp(&other.account.activated),
        "register_time" => {
            let time = |total: &PersonTotals<'_>| total.latest.register_time.map(|time| utc(time, total.latest.geo));
            time(one).cmp(&time(other))
        }
        "last_active_time" => one.account.last_active.cmp(&other.account.last_active),
        "user_id" => one.latest.user_id.cmp(&other.latest.user_id),
        counter => {
            let index = COUNTERS.iter().position(|name| *name == counter).expect("a counter");
            one.counters[index].cmp(&other.counters[index])
        }
    }
}

fn rank(status: Option<&str>) -> Option<usize> {
    STATUSES.iter().position(|name| Some(*name) == status)
}

/// A time of a geo in UTC.
fn utc(time: DateTime, geo: &str) -> DateTime {
    time.checked_sub(if geo == "cn" { 8.hours() } else { 0.hours() }).expect("a time")
}

fn rfc3339(time: Option<DateTime>, geo: &str) -> Option<String> {
    let offset = if geo == "cn" { "+08:00" } else { "+00:00" };
    time.map(|time| format!("{}{offset}", time.strftime("%Y-%m-%dT%H:%M:%S")))
}

/// What the rows of a person's latest day say about the account.
struct Account {
    date: Date,
    geo: &'static str,
    activated: bool,
    /// In UTC.
    last_active: Option<DateTime>,
    status: Option<&'static str>,
    /// Days without activity, of a dormant account. `None` if it is unknown.
    idle_days: Option<i32>,
}

impl Account {
    fn of(row: &UserDay) -> Self {
        Self {
            date: row.date,
            geo: row.geo,
            activated: row.activated || row.active,
            last_active: row.last_active_time.map(|time| utc(time, row.geo)),
            status: None,
            idle_days: None,
        }
    }

    /// Adds a row, which is not older than those before.
    fn add(&mut self, row: &UserDay) {
        let other = Self::of(row);
        let is_same_date = other.date == self.date;
        *self = Self {
            activated: other.activated || (is_same_date && self.activated),
            last_active: other.last_active.max(self.last_active.filter(|_| is_same_date)),
            ..other
        };
    }

    /// In the time of the geo.
    fn last_active_time(&self) -> Option<DateTime> {
        let offset = if self.geo == "cn" { 8.hours() } else { 0.hours() };
        self.last_active.map(|time| time.checked_add(offset).expect("a time"))
    }

    /// Removes the status of people without a row on the newest date, if it is not known who has left.
    fn forget_who_left(&mut self, knows_who_left: bool) {
        self.status = self.status.filter(|status| knows_who_left || *status != "left");
    }

    fn judge(&mut self, newest: Option<Date>, active_dates: Option<&BTreeSet<Date>>, dormant_after: Option<i32>) {
        let Some(newest) = newest else { return };
        let last = active_dates.and_then(|dates| dates.last().copied());
        let last = last.max(self.last_active_time().map(DateTime::date));
        let idle = |last: Date| newest.since((jiff::Unit::Day, last)).expect("a span").get_days();
        self.status = Some(if self.date != newest {
            "left"
        } else if !self.activated {
            "never_activated"
        } else if last.is_some_and(|last| idle(last) < dormant_after.unwrap_or(30)) {
            "active"
        } else {
            self.idle_days = last.map(idle);
            "dormant"
        });
    }
}

impl Tenant {
    /// Replaces the accounts by those of all rows of each person, in any department.
    fn judge_by_all_rows(&self, range: Range, selection: &Selection, totals: &mut [PersonTotals<'_>]) {
        let everywhere = Selection { path: None, ..selection.clone() };
        let mut all = self.totals(range, &everywhere);
        for total in totals {
            let id = total.latest.user_id.as_ref().expect("an id");
            total.account = all.remove(id).expect("a row").account;
        }
    }

    /// Whether it is known who has left: all rows of the newest date have ids, and some row is of an inactive person.
    fn knows_who_left(&self, range: Range, selection: &Selection) -> bool {
        let everywhere = Selection { path: None, ..selection.clone() };
        let Some(newest) = self.counted(range, &everywhere).last().copied() else { return false };
        let rows = self.selected(range, &everywhere);
        let are_identified = rows.iter().filter(|row| row.date == newest).all(|row| row.user_id.is_some());
        are_identified && rows.iter().any(|row| !row.active)
    }

    /// The dates of the range on which each person was active, in any department.
    fn active_dates(&self, range: Range, selection: &Selection) -> BTreeMap<String, BTreeSet<Date>> {
        let everyone = Selection { geos: selection.geos.clone(), ..Selection::default() };
        let mut dates: BTreeMap<String, BTreeSet<Date>> = BTreeMap::new();
        for row in self.selected(range, &everyone).into_iter().filter(|row| row.active) {
            dates.entry(row.user_id.clone().unwrap_or_default()).or_default().insert(row.date);
        }
        dates
    }

    /// `data` of `/v1/reports/licences`.
    pub fn licences(&self, range: Range, selection: &Selection, dormant_after: Option<i32>) -> Value {
        let Some(newest) = self.counted(range, selection).last().copied() else { return json!([]) };
        let mut dates = self.active_dates(range, selection);
        // People without an id cannot be found on other days.
        dates.remove("");
        let date = Range { first: newest, last: newest };
        let top = selection.path.as_deref();
        let mut paths: Vec<String> = self.paths(date, &selection.geos).into_iter().collect();
        paths.retain(|path| top.is_none_or(|top| is_within(path, top)));
        paths.sort_by(|one, other| one.split('/').cmp(other.split('/')));
        let item = |path: Option<&String>| {
            let selection = Selection { path: path.cloned().or_else(|| selection.path.clone()), ..selection.clone() };
            let mut accounts: Vec<Account> = Vec::new();
            let mut known: BTreeMap<&str, usize> = BTreeMap::new();
            let selected: BTreeSet<Option<&str>> =
                self.selected(date, &selection).iter().map(|row| row.user_id.as_deref()).collect();
            // An account is judged by all its rows. Rows without an id are accounts of their own.
            let everyone = Selection { path: None, ..selection.clone() };
            let in_path =
                |row: &UserDay| selection.path.as_ref().is_none_or(|path| is_within(&row.department_path, path));
            let rows = self.selected(date, &everyone).into_iter();
            for row in rows
                .filter(|row| selected.contains(&row.user_id.as_deref()))
                .filter(|row| row.user_id.is_some() || in_path(row))
            {
                if let Some(position) = row.user_id.as_deref().and_then(|id| known.get(id)) {
                    accounts[*position].add(row);
                } else {
                    known.extend(row.user_id.as_deref().map(|id| (id, accounts.len())));
                    accounts.push(Account::of(row));
                }
            }
            let ids: BTreeMap<usize, &str> = known.iter().map(|(id, position)| (*position, *id)).collect();
            for (position, account) in accounts.iter_mut().enumerate() {
                account.judge(Some(newest), ids.get(&position).and_then(|id| dates.get(*id)), dormant_after);
            }
            let with = |status: &str| accounts.iter().filter(|account| account.status == Some(status)).count();
            let idle = |days: std::ops::Range<i32>| {
                accounts.iter().filter(|account| account.idle_days.is_some_and(|idle| days.contains(&idle))).count()
            };
            let unknown = accounts.iter().filter(|of| of.status == Some("dormant") && of.idle_days.is_none()).count();
            let unused = with("never_activated") + with("dormant");
            let everyone = Selection { geos: selection.geos.clone(), ..Selection::default() };
            let has_inactive_rows = self.selected(range, &everyone).iter().any(|row| !row.active);
            let unused_rate = share(Some(unused as u64), Some(accounts.len() as u64)).filter(|_| has_inactive_rows);
            json!({
                "date": newest, "department_path": path, "depth": path.map(|path| path.split('/').count()),
                "department_name": path.map(|path| self.name_of(path, range, &selection)),
                "accounts": accounts.len(), "never_activated": with("never_activated"), "active": with("active"),
                "dormant": with("dormant"), "dormant_under_30_days": idle(i32::MIN..30),
                "dormant_30_to_59_days": idle(30..60), "dormant_60_to_89_days": idle(60..90),
                "dormant_90_to_179_days": idle(90..180), "dormant_180_days_or_more": idle(180..i32::MAX),
                "dormant_unknown": unknown, "unused_rate": unused_rate,
            })
        };
        let all = std::iter::once(item(None));
        all.chain(paths.iter().map(|path| item(Some(path)))).collect()
    }
}

/// The items below `parent`, each in the `children` of the department above it.
fn nested(items: &[Value], parent: Option<&str>) -> Value {
    let path = |item: &Value| item["department_path"].as_str().unwrap_or_default().to_owned();
    let paths: BTreeSet<String> = items.iter().map(path).collect();
    let above =
        |path: &str| path.rsplit_once('/').map(|(above, _)| above.to_owned()).filter(|above| paths.contains(above));
    let children = items.iter().filter(|item| above(&path(item)).as_deref() == parent);
    let with_children = children.map(|item| {
        let mut item = item.clone();
        item["children"] = nested(items, Some(&path(&item)));
        item
    });
    with_children.collect()
}
