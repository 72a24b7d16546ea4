//! The profile `story`: what a caller who reads all rows of its history sees.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::RangeInclusive,
    sync::LazyLock,
};

use feishu_simulator::{GroundTruthRow, SimulatorConfig, Tenant, TenantGeo, TenantProfile};
use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, DateTime, Weekday, date},
};
use proptest::prelude::*;

const USERS: u32 = 800;
const DAYS: u16 = 400;
const LAST_DAY: Date = date(2026, 11, 21);
const ROLLOUT_UNITS: [&str; 2] = ["销售部", "客户服务部"];

/// A history of 400 days, read once.
static HISTORY: LazyLock<History> = LazyLock::new(History::read);

/// The part of a row that the tests compare over many days.
#[derive(Clone, Debug)]
struct DayRow {
    unit: String,
    department: String,
    activated: bool,
    active: bool,
    docs: bool,
    last_active: Option<Date>,
    active_os: String,
}

/// The rows of each day, by person.
struct History(BTreeMap<Date, HashMap<u32, DayRow>>);

impl History {
    fn read() -> Self {
        let tenant = tenant(&config(USERS, DAYS));
        let first = tenant.first_day(TenantGeo::Cn).expect("the geo is enabled");
        let days = first.series(1.day()).take_while(|day| *day <= LAST_DAY);
        let rows = |day| tenant.rows_of(TenantGeo::Cn, day).iter().map(|row| (row.person, DayRow::of(row))).collect();
        Self(days.map(|day| (day, rows(day))).collect())
    }

    fn rows(&self, day: Date) -> &HashMap<u32, DayRow> {
        &self.0[&day]
    }

    fn last(&self) -> &HashMap<u32, DayRow> {
        self.rows(LAST_DAY)
    }

    fn range(&self, days: RangeInclusive<Date>) -> impl Iterator<Item = &DayRow> {
        self.0.range(days).flat_map(|(_, rows)| rows.values())
    }

    /// Active people as a share of activated people, over some days.
    fn active_rate(&self, days: RangeInclusive<Date>) -> f64 {
        share(self.range(days).filter(|row| row.activated), |row| row.active)
    }

    /// The days on which a person was active.
    fn active_days(&self, person: u32) -> Vec<Date> {
        let active = self.0.iter().filter(|(_, rows)| rows.get(&person).is_some_and(|row| row.active));
        active.map(|(day, _)| *day).collect()
    }

    /// People whose first row that is activated lies after the first day of the history, by that day.
    fn activation_days(&self) -> HashMap<u32, Date> {
        let first = self.0.values().next().expect("days");
        let mut activation_days = HashMap::new();
        for (day, rows) in &self.0 {
            for (person, _) in rows.iter().filter(|(_, row)| row.activated) {
                activation_days.entry(*person).or_insert(*day);
            }
        }
        activation_days.retain(|person, _| !first.get(person).is_some_and(|row| row.activated));
        activation_days
    }
}

impl DayRow {
    fn of(row: &GroundTruthRow) -> Self {
        Self {
            unit: row.department_path.split('/').next().unwrap_or_default().to_owned(),
            department: row.department_path.clone(),
            activated: row.user_active,
            active: row.suite_active,
            docs: row.docs_active,
            last_active: row.last_active_time.map(DateTime::date),
            active_os: row.active_os.clone(),
        }
    }
}

fn config(users: u32, days: u16) -> SimulatorConfig {
    SimulatorConfig { users, days, profile: TenantProfile::Story, ..SimulatorConfig::default() }
}

fn tenant(config: &SimulatorConfig) -> Tenant {
    Tenant::new(config, "2026-11-22T04:00:00Z".parse::<Timestamp>().expect("an instant"))
}

fn share<T>(items: impl IntoIterator<Item = T>, is_counted: impl Fn(&T) -> bool) -> f64 {
    let (mut counted, mut total) = (0_u32, 0_u32);
    for item in items {
        counted += u32::from(is_counted(&item));
        total += 1;
    }
    f64::from(counted) / f64::from(total.max(1))
}

fn workdays(days: RangeInclusive<Date>) -> impl Iterator<Item = Date> {
    let weekend = [Weekday::Saturday, Weekday::Sunday];
    let end = *days.end();
    days.start().series(1.day()).take_while(move |day| *day <= end).filter(move |day| !weekend.contains(&day.weekday()))
}

#[test]
fn the_last_day_has_the_intended_shares_of_accounts() {
    let rows = HISTORY.last();
    let days_since = |row: &DayRow| row.last_active.map(|last| (LAST_DAY - last).get_days());

    let never = share(rows.values(), |row| !row.activated);
    let dormant = share(rows.values(), |row| row.activated && days_since(row).is_none_or(|days| days >= 30));

    assert!((0.022..=0.04).contains(&never), "{never}");
    assert!((0.048..=0.075).contains(&dormant), "{dormant}");
    assert!(rows.values().all(|row| row.activated == row.last_active.is_some()));
}

#[test]
fn shares_of_accounts_also_hold_in_small_tenants() {
    for seed in 1..=4 {
        let rows = tenant(&SimulatorConfig { seed, ..config(200, DAYS) }).rows_of(TenantGeo::Cn, LAST_DAY);

        let never = share(&rows, |row| !row.user_active);
        assert!((0.015..=0.055).contains(&never), "{never} with the seed {seed}");
    }
}

#[test]
fn headcount_grows_while_people_join_and_leave() {
    let (first, last) = (HISTORY.0.values().next().expect("days"), HISTORY.last());
    let headcounts: Vec<usize> = HISTORY.0.values().map(HashMap::len).collect();

    assert!(last.len() > first.len() * 11 / 10, "{} {}", first.len(), last.len());
    assert!(headcounts.windows(2).all(|days| days[0].abs_diff(days[1]) <= 12), "{headcounts:?}");
    assert!(first.keys().filter(|person| !last.contains_key(person)).count() > 20);
    assert!(last.keys().filter(|person| !first.contains_key(person)).count() > 100);
}

#[test]
fn the_rows_of_a_person_have_no_gap() {
    let mut last_seen: HashMap<u32, Date> = HashMap::new();

    for (day, rows) in &HISTORY.0 {
        for person in rows.keys() {
            let before = last_seen.insert(*person, *day);
            assert!(before.is_none_or(|before| before == *day - 1.day()), "person {person} on {day}");
        }
    }
    assert!(last_seen.len() > USERS as usize * 95 / 100);
}

#[test]
fn each_person_has_one_row_a_day() {
    let tenant = tenant(&config(300, DAYS));

    for offset in [0, 1, 100, 399] {
        let rows = tenant.rows_of(TenantGeo::Cn, LAST_DAY - offset.days());
        let ids: HashSet<&str> = rows.iter().map(|row| row.open_id.as_str()).collect();
        assert_eq!(ids.len(), rows.len());
    }
}

#[test]
fn some_people_change_the_department_and_some_return_after_months() {
    let transferred = (0..USERS).filter(|person| {
        let rows = HISTORY.0.values().filter_map(|rows| rows.get(person));
        rows.map(|row| row.department.as_str()).collect::<HashSet<_>>().len() == 2
    });
    let reactivated = (0..USERS)
        .filter(|person| HISTORY.active_days(*person).windows(2).any(|days| (days[1] - days[0]).get_days() > 60));

    assert!((20..100).contains(&transferred.count()));
    assert!((8..80).contains(&reactivated.count()));
}

#[test]
fn some_people_are_active_on_few_days() {
    let first = LAST_DAY - 29.days();
    let people = HISTORY.last().iter().filter(|(_, row)| row.last_active.is_some_and(|last| last >= first));
    let rare =
        share(people, |(person, _)| HISTORY.active_days(**person).iter().filter(|day| **day >= first).count() < 10);

    assert!((0.06..0.2).contains(&rare), "{rare}");
}

#[test]
fn weekends_and_holidays_have_low_activity() {
    let workdays: Vec<f64> =
        workdays(date(2026, 6, 1)..=date(2026, 6, 26)).map(|day| HISTORY.active_rate(day..=day)).collect();
    let lowest = workdays.iter().copied().fold(1.0, f64::min);
    let highest = workdays.iter().copied().fold(0.0, f64::max);
    let weekend = HISTORY.active_rate(date(2026, 6, 6)..=date(2026, 6, 7));
    let national_day = HISTORY.active_rate(date(2026, 10, 1)..=date(2026, 10, 8));
    let spring_festival = HISTORY.active_rate(date(2026, 2, 16)..=date(2026, 2, 23));

    assert!(lowest > 0.6 && highest < 0.9 && highest > lowest, "{workdays:?}");
    assert!((0.08..lowest / 2.0).contains(&weekend), "{weekend}");
    for holiday in [national_day, spring_festival] {
        assert!((0.02..0.2).contains(&holiday), "{holiday}");
    }
}

#[test]
fn departments_differ_in_habits() {
    let tenant = tenant(&config(2000, DAYS));
    let rows = tenant.rows_of(TenantGeo::Cn, date(2026, 11, 18));
    let used = |unit: &str, flag: fn(&GroundTruthRow) -> bool| {
        let rows = rows.iter().filter(|row| row.suite_active && row.department_path.starts_with(unit));
        share(rows, |row| flag(row))
    };

    assert!(used("产品研发部", |row| row.docs_active) > 0.6);
    assert!(used("产品研发部", |row| row.search_active) > used("客户服务部", |row| row.search_active) + 0.2);
    assert!(used("销售部", |row| row.vc_active) > used("财务部", |row| row.vc_active) + 0.3);
    assert!(used("客户服务部", |row| row.im_active) > 0.9);
    assert!(used("财务部", |row| row.counters.email_send_count > 0) > 0.6);
    assert!(used("人力资源部", |row| row.cal_active) > used("客户服务部", |row| row.cal_active) + 0.4);
}

#[test]
fn the_use_of_documents_grows_in_two_units_only() {
    let docs = |unit: &str, days| {
        let rows = HISTORY.range(days).filter(|row| row.active && row.unit == unit);
        share(rows, |row| row.docs)
    };
    let units: HashSet<&str> = HISTORY.last().values().map(|row| row.unit.as_str()).collect();
    let first_weeks = date(2025, 10, 20)..=date(2025, 12, 14);
    let last_weeks = date(2026, 11, 9)..=date(2026, 11, 21);

    for unit in &units {
        let growth = docs(unit, last_weeks.clone()) - docs(unit, first_weeks.clone());
        if ROLLOUT_UNITS.contains(unit) {
            assert!(growth > 0.25, "{unit} {growth}");
        } else {
            assert!(growth.abs() < 0.15, "{unit} {growth}");
        }
    }
    assert_eq!(units.len(), 8);
}

#[test]
fn the_roll_out_is_an_s_curve() {
    let months = [(2025, 12), (2026, 2), (2026, 4), (2026, 5), (2026, 6), (2026, 8), (2026, 10)];
    let docs: Vec<f64> = months
        .map(|(year, month)| {
            let days = date(year, month, 1)..=date(year, month, 28);
            share(HISTORY.range(days).filter(|row| row.active && row.unit == "销售部"), |row| row.docs)
        })
        .to_vec();

    let steps: Vec<f64> = docs.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps[0].abs() < 0.06 && steps[5].abs() < 0.06, "{docs:?}");
    assert!(steps[2] > 0.05 && steps[3] > 0.05, "{docs:?}");
    assert!(steps.iter().all(|step| *step < 0.3), "{docs:?}");
}

#[test]
fn the_retention_of_new_people_decays_and_levels_off() {
    let activation_days = HISTORY.activation_days();
    let retained = |weeks_later: i32| {
        let people = activation_days.iter().filter(|(_, day)| **day + (7 * weeks_later + 6).days() <= LAST_DAY);
        share(people, |(person, day)| {
            (0..7).any(|offset| {
                let row = HISTORY.rows(**day + (7 * weeks_later + offset).days()).get(*person);
                row.is_some_and(|row| row.active)
            })
        })
    };
    let mean = |weeks: RangeInclusive<i32>| {
        let count = f64::from(weeks.end() - weeks.start() + 1);
        weeks.map(retained).sum::<f64>() / count
    };
    let (start, early, middle, late) = (retained(0), mean(1..=4), mean(9..=13), mean(18..=22));

    assert!((start - 1.0).abs() < 1e-9, "{start}");
    assert!(start > early && early > middle + 0.03, "{start} {early} {middle}");
    assert!((middle - late).abs() < early - middle + 0.02 && late > 0.65, "{early} {middle} {late}");
}

#[test]
fn computers_and_phones_have_a_plausible_mix() {
    let rows = tenant(&config(2000, DAYS)).rows_of(TenantGeo::Cn, date(2026, 11, 18));
    let used = |name: &str| {
        share(rows.iter().filter(|row| row.suite_active), |row| row.os_name.split(',').any(|os| os == name))
    };

    assert!((0.4..0.7).contains(&used("Windows")), "{}", used("Windows"));
    assert!((0.15..0.4).contains(&used("macOS")), "{}", used("macOS"));
    assert!((0.01..0.08).contains(&used("Linux")), "{}", used("Linux"));
    assert!((0.2..0.5).contains(&used("iOS")), "{}", used("iOS"));
    assert!((0.2..0.5).contains(&used("Andorid")), "{}", used("Andorid"));
}

#[test]
fn client_versions_replace_each_other() {
    let version_of = |row: &DayRow| {
        let (_, client) = row.active_os.split_once("feishu 7.")?;
        client.split('.').next()?.parse::<u32>().ok()
    };
    let versions = |day: Date| -> Vec<u32> {
        let rows = HISTORY.range(day..=day + 6.days());
        rows.filter_map(version_of).collect()
    };
    let (before, after) = (versions(date(2026, 3, 2)), versions(date(2026, 11, 9)));
    let newest_before = before.iter().copied().max().expect("versions");
    let newest_after = after.iter().copied().max().expect("versions");

    let outdated = share(&after, |version| **version + 3 < newest_after);
    assert!(newest_after >= newest_before + 8, "{newest_before} {newest_after}");
    assert!(share(&after, |version| **version <= newest_before) < 0.05);
    assert!(share(&after, |version| **version + 1 >= newest_after) > 0.6);
    assert!((0.01..0.12).contains(&outdated), "{outdated}");
}

#[test]
fn the_version_of_a_computer_never_goes_back() {
    let mut versions: HashMap<u32, Vec<u32>> = HashMap::new();

    for (person, row) in HISTORY.0.values().flatten() {
        let windows = row.active_os.split("','").find(|item| item.trim_start_matches('\'').starts_with("windows"));
        let Some((_, client)) = windows.and_then(|item| item.split_once("feishu 7.")) else { continue };
        let numbers: Vec<u32> =
            client.trim_end_matches('\'').split('.').map(|part| part.parse().expect("a number")).collect();
        if let Some(before) = versions.insert(*person, numbers.clone()) {
            assert!(before <= numbers, "person {person}: {before:?} {numbers:?}");
        }
    }
    assert!(versions.len() > 100);
}

#[test]
fn the_last_activity_is_the_latest_active_day() {
    for person in 0..150 {
        let mut latest = None;
        for (day, rows) in &HISTORY.0 {
            let Some(row) = rows.get(&person) else { continue };
            latest = if row.active { Some(*day) } else { latest };
            if latest.is_some() {
                assert_eq!(row.last_active, latest, "person {person} on {day}");
            }
        }
    }
}

#[test]
fn counts_have_a_heavy_tail() {
    let rows = tenant(&config(2000, DAYS)).rows_of(TenantGeo::Cn, date(2026, 11, 18));
    let mut messages: Vec<u32> =
        rows.iter().filter(|row| row.im_active).map(|row| row.counters.send_messenger_num).collect();
    messages.sort_unstable();
    let (median, total) = (messages[messages.len() / 2], messages.iter().sum::<u32>());
    let top_tenth: u32 = messages[messages.len() * 9 / 10..].iter().sum();

    assert!((8..40).contains(&median), "{median}");
    assert!((0.25..0.6).contains(&(f64::from(top_tenth) / f64::from(total))), "{top_tenth} of {total}");
    assert!(messages.last().is_some_and(|most| *most < 3000), "{:?}", messages.last());
}

#[test]
fn names_need_no_special_handling() {
    let rows = tenant(&config(2000, 1)).rows_of(TenantGeo::Cn, LAST_DAY);

    for row in &rows {
        assert!(row.user_name.chars().all(|char| char.is_alphabetic() || char == ' '), "{}", row.user_name);
        assert!(row.department_path.chars().all(|char| char.is_alphabetic() || char == '/'), "{}", row.department_path);
    }
    let names: HashSet<&str> = rows.iter().map(|row| row.user_name.as_str()).collect();
    assert!(names.len() > rows.len() * 3 / 4, "{}", names.len());
}

#[test]
fn a_simulator_that_starts_a_day_later_has_nearly_the_same_rows() {
    let config = config(400, DAYS);
    let later = Tenant::new(&config, "2026-11-23T04:00:00Z".parse().expect("an instant"));
    let day = date(2026, 9, 16);

    let (rows, same_day_later) = (tenant(&config).rows_of(TenantGeo::Cn, day), later.rows_of(TenantGeo::Cn, day));

    let same = rows.iter().filter(|row| same_day_later.contains(row)).count();
    assert!(same * 100 > rows.len() * 95, "{same} of {}", rows.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn flags_counters_and_times_agree_in_any_tenant(
        users in 1_u32..60,
        days in prop_oneof![1_u16..40, 300_u16..1500],
        seed: u64,
        offset in 0_i32..1500,
        geo in prop::sample::select(TenantGeo::ALL.to_vec()),
    ) {
        let config = SimulatorConfig { seed, geos: vec![geo], ..config(users, days) };
        let (one, other) = (tenant(&config), tenant(&config));
        let day = LAST_DAY - (offset % i32::from(days)).days();
        let rows = one.rows_of(geo, day);

        prop_assert_eq!(&rows, &other.rows_of(geo, day));
        prop_assert!(rows.len() <= users as usize);
        for row in &rows {
            assert_consistent(row);
        }
    }
}

fn assert_consistent(row: &GroundTruthRow) {
    let (day, n) = (row.day, &row.counters);
    let features = [row.im_active, row.docs_active, row.cal_active, row.vc_active, row.search_active];
    assert_eq!(row.user_active, row.register_time.is_some(), "{row:?}");
    assert_eq!(row.user_active, row.last_active_time.is_some(), "{row:?}");
    assert_eq!(row.suite_active, row.last_active_time.is_some_and(|time| time.date() == day), "{row:?}");
    assert_eq!(row.suite_active, features.contains(&true), "{row:?}");
    assert!(row.register_time.is_none_or(|time| row.create_time <= time && time.date() <= day), "{row:?}");
    assert!(row.last_active_time.is_none_or(|time| row.register_time.is_some_and(|first| first <= time)), "{row:?}");
    assert!(row.create_time.date() <= day, "{row:?}");
    assert_eq!(row.im_active, n.send_messenger_num > 0, "{row:?}");
    assert_eq!(row.vc_active, n.vc_num > 0, "{row:?}");
    assert!(n.vc_duration >= n.vc_num && (row.vc_active || n.vc_duration == 0), "{row:?}");
    assert!(row.docs_active || n.create_docs_num == 0, "{row:?}");
    assert!(row.cal_active || n.create_cal_num == 0, "{row:?}");
    assert_eq!(row.search_active, n.total_search_count > 0, "{row:?}");
    assert_eq!(n.total_search_count, n.quick_search_count + n.tab_search_count, "{row:?}");
    assert_eq!(n.email_send_count, n.email_send_in_count + n.email_send_ext_count, "{row:?}");
    assert_eq!(n.email_receive_count, n.email_receive_in_count + n.email_receive_ext_count, "{row:?}");
    assert!(row.suite_active || n.email_send_count == 0 && n.create_task_num == 0, "{row:?}");
    assert!(row.user_active || n.email_receive_count == 0, "{row:?}");
    for device in [&row.active_os, &row.app_package_type, &row.os_name] {
        assert_eq!(row.suite_active, !device.is_empty(), "{row:?}");
    }
    if row.suite_active {
        assert_eq!(row.active_os.split("','").count(), row.os_name.split(',').count(), "{row:?}");
    }
}
