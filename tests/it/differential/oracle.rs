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
}

/// The parameters of `/v1/reports/departments`.
#[derive(Clone, Copy, Debug)]
pub struct DepartmentsQuestion {
    pub trailing: bool,
    pub distinct: bool,
    pub depth: Option<usize>,
    pub is_tree: bool,
}

/// The totals of one person.
struct PersonTotals<'a> {
    /// The row of the latest day; of several on that day, that of the geo named last.
    latest: &'a UserDay,
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

    fn buckets(self, interval: Interval) -> Vec<Self> {
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

fn features(users: [Option<u64>; FEATURES.len()], active: Option<u64>) -> Value {
    let item = |users: Option<u64>| json!({ "active": users, "adoption": share(users, active) });
    FEATURES.iter().zip(users).map(|(name, users)| ((*name).to_owned(), item(users))).collect::<Map<_, _>>().into()
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

    /// People in the range who were active, and who used each feature.
    fn use_of(&self, range: Range, selection: &Selection) -> (Option<u64>, [Option<u64>; FEATURES.len()]) {
        let is_one_day = self.counted(range, selection).len() == 1;
        let rows = self.selected(range, selection);
        let active = people(rows.iter().copied().filter(|row| row.active), is_one_day);
        let users = |feature| people(rows.iter().copied().filter(|row| row.uses(feature)), is_one_day);
        (active, std::array::from_fn(users))
    }

    /// People, and activated people, on the last date that counts.
    fn headcount(&self, range: Range, selection: &Selection) -> (u64, u64) {
        let rows = self.selected(range, selection);
        let last = self.counted(range, selection).last().copied();
        let on_last = || rows.iter().copied().filter(|row| Some(row.date) == last);
        let count = |people: Option<u64>| people.unwrap_or_default();
        (count(people(on_last(), true)), count(people(on_last().filter(|row| row.activated), true)))
    }

    fn active_on(&self, day: Date, selection: &Selection) -> Option<u64> {
        let rows = self.selected(Range { first: day, last: day }, selection);
        people(rows.into_iter().filter(|row| row.active), true)
    }

    /// `wau`, `mau` and stickiness at a date.
    fn trailing(&self, last: Date, selection: &Selection) -> (Option<u64>, Option<u64>, Option<f64>) {
        let distinct = |days: i32| {
            let window = Range::ending(last, days);
            let is_whole = window.days().all(|day| self.counts(day, &selection.geos));
            let rows = self.selected(window, selection);
            is_whole.then(|| people(rows.into_iter().filter(|row| row.active), false)).flatten()
        };
        let (week, month) = (distinct(7), distinct(30));
        (week, month, share(self.active_on(last, selection), month))
    }

    /// `data` of `/v1/reports/activity` with `trailing=fetch`.
    pub fn activity(&self, range: Range, interval: Interval, selection: &Selection) -> Value {
        let bucket = |bucket: Range| {
            let counted = self.counted(bucket, selection);
            let Some(last) = counted.last().copied() else {
                return json!({
                    "start_date": bucket.first, "end_date": bucket.last, "days_counted": 0, "users": null,
                    "activated": null, "active": null, "wau": null, "mau": null, "stickiness": null,
                    "features": features([None; FEATURES.len()], None), "counters": null,
                });
            };
            let (users, activated) = self.headcount(bucket, selection);
            let (active, used) = self.use_of(bucket, selection);
            let (wau, mau, stickiness) = self.trailing(last, selection);
            json!({
                "start_date": bucket.first, "end_date": bucket.last, "days_counted": counted.len(), "users": users,
                "activated": activated,
                "active": active, "wau": wau, "mau": mau, "stickiness": stickiness,
                "features": features(used, active), "counters": counters(self.selected(bucket, selection)),
            })
        };
        range.buckets(interval).into_iter().map(bucket).collect()
    }

    /// `data` of `/v1/reports/summary`.
    pub fn summary(&self, range: Range, selection: &Selection) -> Value {
        let length = i32::try_from(range.days().count()).expect("a short range");
        let before = Range::ending(range.first.yesterday().expect("a date"), length);
        let (current, previous) = (self.headline(range, selection), self.headline(before, selection));
        let names = ["users", "activated", "active", "active_per_day"].map(str::to_owned).into_iter();
        let names = names.chain(FEATURES.map(|name| format!("{name}_active"))).chain(COUNTERS.map(str::to_owned));
        let figure = |name: String| {
            let value = |of: &Option<Map<String, Value>>| -> Option<f64> {
                let of = of.as_ref()?;
                let feature = name.strip_suffix("_active").filter(|name| FEATURES.contains(name));
                match feature {
                    Some(feature) => of["features"][feature]["active"].as_f64(),
                    None => of.get(&name).unwrap_or(&of["counters"][&name]).as_f64(),
                }
            };
            let (now, then) = (value(&current), value(&previous));
            let change = now.zip(then.filter(|then| *then > 0.0)).map(|(now, then)| round((now - then) / then));
            let days = |of: &Option<Map<String, Value>>| of.as_ref().map(|of| of["days_counted"].clone());
            let grows = !["users", "activated", "active_per_day"].contains(&name.as_str());
            let change = change.filter(|_| !grows || days(&current) == days(&previous));
            json!({ "figure": name, "current": now.map(round), "previous": then.map(round), "change": change })
        };
        let figures: Vec<Value> = names.map(figure).collect();
        let rounded = |of: &Option<Map<String, Value>>| {
            let mut of = of.clone()?;
            of["active_per_day"] = of["active_per_day"].as_f64().map(round).into();
            Some(of)
        };
        json!({ "current": rounded(&current), "previous": rounded(&previous), "figures": figures })
    }

    fn headline(&self, range: Range, selection: &Selection) -> Option<Map<String, Value>> {
        let days = self.counted(range, selection);
        if days.is_empty() {
            return None;
        }
        let (users, activated) = self.headcount(range, selection);
        let (active, used) = self.use_of(range, selection);
        let active_days: u64 = days.iter().filter_map(|day| self.active_on(*day, selection)).sum();
        let item = json!({
            "start_date": range.first, "end_date": range.last, "days_counted": days.len(), "users": users,
            "activated": activated, "active": active,
            "active_per_day": active_days as f64 / days.len() as f64, "features": features(used, active),
            "counters": counters(self.selected(range, selection)),
        });
        item.as_object().cloned()
    }

    /// `data` of `/v1/reports/departments`.
    pub fn departments(&self, range: Range, selection: &Selection, question: DepartmentsQuestion) -> Value {
        let is_one_day = self.counted(range, selection).len() == 1;
        let top = selection.path.as_deref();
        let mut paths: Vec<String> = self.paths(range, &selection.geos).into_iter().collect();
        paths.retain(|path| top.is_none_or(|top| is_within(path, top)));
        paths.sort_by(|one, other| one.split('/').cmp(other.split('/')));
        let depth = |path: &str| path.split('/').count();
        let highest = paths.iter().map(|path| depth(path)).min().unwrap_or(1);
        paths.retain(|path| question.depth.is_none_or(|levels| depth(path) - highest < levels));
        let items = paths.iter().map(|path| {
            let own = Selection { path: Some(path.clone()), ..selection.clone() };
            let (users, activated) = self.headcount(range, &own);
            let (active, used) = self.use_of(range, &own);
            let is_counted = question.distinct || is_one_day;
            let (active, used) = if is_counted { (active, used) } else { (None, [None; FEATURES.len()]) };
            let last = self.counted(range, selection).last().copied().filter(|_| question.trailing);
            let (wau, mau, stickiness) = last.map_or((None, None, None), |last| self.trailing(last, &own));
            json!({
                "department_path": path, "department_name": self.name_of(path, range, selection), "depth": depth(path),
                "users": users, "activated": activated, "active": active, "wau": wau, "mau": mau, "stickiness": stickiness,
                "features": features(used, active), "counters": counters(self.selected(range, &own)), "withheld": false,
            })
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
        let periods: Vec<Range> =
            range.buckets(interval).into_iter().filter(|period| !self.counted(*period, selection).is_empty()).collect();
        let cohort = |(index, first): (usize, &Range)| {
            let in_first = |day: &Date| (first.first..=first.last).contains(day);
            let people: BTreeSet<&str> =
                present.iter().copied().filter(|id| activated.get(id).is_some_and(in_first)).collect();
            let period = |(offset, period): (usize, &Range)| {
                let inside = rows.iter().filter(|row| (period.first..=period.last).contains(&row.date) && row.active);
                let active: BTreeSet<&str> = inside.filter_map(|row| row.user_id.as_deref()).collect();
                let active = active.intersection(&people).count() as u64;
                let days_counted = self.counted(*period, selection).len();
                json!({
                    "offset": offset, "start_date": period.first, "end_date": period.last, "active": active,
                    "days_counted": days_counted,
                    "complete": days_counted == interval.whole(period.first).days().count(),
                    "share": share(Some(active), Some(people.len() as u64)),
                })
            };
            let later: Vec<Value> = periods[index..].iter().enumerate().map(period).collect();
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
        let total = self.totals(range, selection).into_values().next().map(|total| total.json());
        json!({ "total": total, "days": days.collect::<Vec<_>>() })
    }

    fn totals(&self, range: Range, selection: &Selection) -> BTreeMap<String, PersonTotals<'_>> {
        let mut totals: BTreeMap<String, PersonTotals<'_>> = BTreeMap::new();
        for row in self.selected(range, selection) {
            let Some(id) = &row.user_id else { continue };
            let total = totals.entry(id.clone()).or_insert_with(|| PersonTotals {
                latest: row,
                active_days: BTreeSet::new(),
                feature_days: Default::default(),
                counters: [0; COUNTERS.len()],
            });
            total.latest = row;
            if row.active {
                total.active_days.insert(row.date);
            }
            for feature in (0..FEATURES.len()).filter(|feature| row.uses(*feature)) {
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
            "department_path": self.latest.department_path, "active_days": self.active_days.len(),
            "last_active_date": self.active_days.last(), "features": days, "counters": counters,
        })
    }
}

fn compare(key: &str, one: &PersonTotals<'_>, other: &PersonTotals<'_>) -> Ordering {
    match key {
        "active_days" => one.active_days.len().cmp(&other.active_days.len()),
        "last_active_date" => one.active_days.last().cmp(&other.active_days.last()),
        "user_name" => one.latest.user_name.cmp(&other.latest.user_name),
        "user_id" => one.latest.user_id.cmp(&other.latest.user_id),
        counter => {
            let index = COUNTERS.iter().position(|name| *name == counter).expect("a counter");
            one.counters[index].cmp(&other.counters[index])
        }
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
