//! Property tests: reports over random tenants equal the naive computation.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use feishu_pulse::{
    model::{Day, DayRange},
    report::{
        ActivityBucket, DayDigest, Interval, KnownDates, PeopleByDate, PersonSet, SumsByDay, TrailingCounts, activity,
        clients::{ClientDimension, ClientsReport, clients},
        department_totals::{DepartmentTotals, departments_with_rows, totals},
        department_tree::DepartmentTree,
        monthly_rollup::MonthlyRollup,
        retention::{Activations, retention},
        user_rollup::UserRollup,
        user_totals::{UserFilter, UserSort, UserSortKey, UserTotals},
    },
    table::{Counter, DayMetadata as _, Dictionary, Flag, RowSelection},
};
use fixedbitset::FixedBitSet;
use proptest::prelude::*;

use super::{
    naive,
    tenant::{PATHS, Tenant, digests, first, partitions, partitions_with, tenants, user_id},
};

fn range(tenant: &Tenant) -> DayRange {
    DayRange::new(first(), *tenant.keys().last().unwrap()).unwrap()
}

fn departments(digests: &[Arc<DayDigest>], path: Option<&str>) -> Option<FixedBitSet> {
    path.map(|path| digests[0].dictionary().read().departments_within(path))
}

fn within(digests: &[Arc<DayDigest>], path: Option<&str>) -> PeopleByDate {
    PeopleByDate::new(digests, departments(digests, path).as_ref())
}

fn sums_within(digests: &[Arc<DayDigest>], path: Option<&str>) -> SumsByDay {
    let within = departments(digests, path);
    digests.iter().map(|digest| (digest.key().day, digest.sums_of(within.as_ref()))).collect()
}

fn path() -> impl Strategy<Value = Option<&'static str>> {
    proptest::option::of(proptest::sample::select(PATHS[..5].to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Words of bitmaps are read in blocks of 4,096 people.
    #[test]
    fn department_totals_do_not_depend_on_the_indices_of_people(
        tenant in any::<bool>().prop_flat_map(tenants), apart in 1_usize..1500,
    ) {
        let of_dictionary = |dictionary: &Arc<Dictionary>| {
            let digests = digests(&partitions_with(&tenant, dictionary));
            let tree = DepartmentTree::new(&departments_with_rows(&digests), &dictionary.read(), None);
            totals(&digests, &tree, Some(2), true)
        };
        let apart_from_each_other = Arc::<Dictionary>::default();
        let of_others = (0..12 * apart).map(|other| {
            if other.is_multiple_of(apart) { user_id(other / apart) } else { format!("another {other}") }
        });
        let user_ids: Vec<String> = of_others.collect();
        apart_from_each_other.intern_people(user_ids.iter().map(String::as_str), &[]);

        prop_assert_eq!(of_dictionary(&apart_from_each_other), of_dictionary(&Arc::default()));
    }
}

proptest! {
    #[test]
    fn activity_equals_a_naive_computation(
        tenant in any::<bool>().prop_flat_map(tenants), path in path(),
        interval in proptest::sample::select(vec![Interval::Day, Interval::Week, Interval::Month]),
        regular_days in proptest::option::of(1_usize..10),
    ) {
        let digests = digests(&partitions(&tenant));

        let buckets = {
            let people = within(&digests, path);
            let trailing = TrailingCounts::new(&people, &BTreeSet::new());
            activity::activity(range(&tenant), interval, regular_days, &sums_within(&digests, path), &&people, &trailing)
        };

        for ActivityBucket { days, figures, .. } in buckets {
            let figures = figures.unwrap();
            let rows = |range| naive::rows(&tenant, range, path);
            naive::check_range_figures(&figures.range, &tenant, days, path, regular_days)?;
            let in_window = days.days().filter(|day| day.plus(29) >= days.last());
            let daily: Vec<u64> = in_window.map(|day| naive::distinct(rows(DayRange::single(day)), Flag::Active, true).unwrap()).collect();
            let mean = daily.iter().sum::<u64>() as f64 / daily.len() as f64;
            let stickiness = figures.trailing.mau.filter(|mau| *mau > 0).map(|mau| mean / mau as f64);
            prop_assert_eq!(figures.stickiness.is_some(), stickiness.is_some());
            prop_assert!(figures.stickiness.zip(stickiness).is_none_or(|(found, expected)| (found - expected).abs() < 1e-9 && found <= 1.0));
            for (length, figure) in [(7, figures.trailing.wau), (30, figures.trailing.mau)] {
                let window = DayRange::ending(days.last(), length);
                let is_complete = window.first() >= first();
                prop_assert_eq!(figure, is_complete.then(|| naive::distinct(rows(window), Flag::Active, false)).flatten());
            }
        }
    }

    #[test]
    fn a_digest_has_the_figures_of_the_rows(tenant in any::<bool>().prop_flat_map(tenants), path in path()) {
        let days = partitions(&tenant);
        let selection = RowSelection { department_path: path.map(str::to_owned), ..RowSelection::default() };
        let digests = digests(&days);
        for ((day, digest), people) in days.iter().zip(&digests).zip(within(&digests, path).dates()) {
            let dictionary = day.dictionary().read();
            let selected = DayDigest::from_selected_rows(day, &selection.compile(&dictionary));
            let row_figures = selected.figures();
            if let Some(path) = path {
                let departments = dictionary.departments_within(path);
                prop_assert_eq!(digest.sums_of(Some(&departments)), row_figures.sums);
                prop_assert_eq!(digest.has_unidentified(Some(&departments)), row_figures.present.unidentified > 0);
            }
            let row_counts = |flag| (row_figures.people_with(flag).count(), row_figures.people_with(flag).unidentified);
            let counts = |flag| (people.with_flag(flag).count(), people.with_flag(flag).unidentified);
            prop_assert_eq!(Flag::ALL.map(counts), Flag::ALL.map(row_counts));
            let with_row = people.with_row();
            prop_assert_eq!((with_row.count(), with_row.unidentified), (row_figures.sums.users, row_figures.present.unidentified));
        }
    }

    #[test]
    fn department_totals_equal_a_naive_computation(
        tenant in any::<bool>().prop_flat_map(tenants), top in path(), regular_days in proptest::option::of(1_usize..10),
    ) {
        let digests = digests(&partitions(&tenant));
        let tree = DepartmentTree::new(&departments_with_rows(&digests), &digests[0].dictionary().read(), top);

        let found = totals(&digests, &tree, regular_days, true);

        let sums_of = |totals: &DepartmentTotals| (totals.figures.users, totals.figures.suite.active_per_day.to_bits(), totals.figures.counters);
        prop_assert!(found.iter().map(sums_of).eq(totals(&digests, &tree, regular_days, false).iter().map(sums_of)));
        let range = range(&tenant);
        let paths: Vec<&str> = tree.nodes().iter().map(|node| &*node.path).collect();
        let expected: BTreeSet<&str> = tenant.values().flatten().flat_map(|row| {
            let path = row.path();
            path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]).collect::<Vec<_>>()
        }).filter(|path| top.is_none_or(|top| *path == top || path.starts_with(&format!("{top}/")))).collect();
        prop_assert_eq!(paths.iter().copied().collect::<BTreeSet<_>>(), expected);
        for (path, totals) in paths.into_iter().zip(found) {
            prop_assert_eq!(totals.rows, naive::rows(&tenant, range, Some(path)).count() as u64);
            naive::check_range_figures(&totals.figures, &tenant, range, Some(path), regular_days)?;
        }
    }

    #[test]
    fn every_page_of_users_equals_a_naive_sort(
        tenant in any::<bool>().prop_flat_map(tenants), path in path(), active in proptest::option::of(any::<bool>()),
        key in proptest::sample::select(vec![
            UserSortKey::Counter(Counter::SendMessengerNum), UserSortKey::Counter(Counter::VcDuration), UserSortKey::ActiveDays,
            UserSortKey::LastActiveDate, UserSortKey::UserName, UserSortKey::UserId,
        ]),
        descending: bool, skip in 0_usize..10, limit in 1_usize..10, months in 0_usize..4,
        activated in proptest::option::of(any::<bool>()),
    ) {
        let days = partitions(&tenant);
        let dictionary = days[0].dictionary().read();
        let rollups = rollups(&days, months * 9);
        let user_totals = UserTotals { rollups: &rollups, dictionary: &dictionary, status_rule: None };
        let selection = RowSelection { department_path: path.map(str::to_owned), ..RowSelection::default() };
        let present = || {
            let digests = digests(&days);
            PersonSet::union_of(digests.iter().map(|digest| &digest.figures().present)).identified
        };
        let candidates = path.is_none().then(present);
        let filter = UserFilter { selection: selection.clone(), active, candidates, activated, ..UserFilter::default() };

        let ranking = user_totals.ranking(&filter, UserSort { key, descending });
        let people = ranking.page(skip, limit);
        let totals = user_totals.totals(&people, &selection);

        let mut expected = expected_totals(&tenant, path);
        expected.retain(|total| active.is_none_or(|active| (total.active_days > 0) == active));
        // By the newest row in any department.
        let newest_rows: BTreeMap<String, bool> = tenant.values().flatten()
            .filter_map(|row| Some((user_id(row.id?), row.counts_with(Flag::Activated)))).collect();
        expected.retain(|total| activated.is_none_or(|activated| newest_rows[&total.id] == activated));
        prop_assert_eq!(ranking.count(), expected.len());
        expected.sort_by(|one, other| {
            let by_key = match key {
                UserSortKey::Counter(counter) => one.counters[counter.index()].cmp(&other.counters[counter.index()]),
                UserSortKey::ActiveDays => one.active_days.cmp(&other.active_days),
                UserSortKey::LastActiveDate => one.last_active.cmp(&other.last_active),
                UserSortKey::UserName => one.name.cmp(&other.name),
                UserSortKey::UserId => one.id.cmp(&other.id),
                // The differential test sorts by what the newest row says about the account.
                UserSortKey::Status | UserSortKey::Activated | UserSortKey::RegisterTime | UserSortKey::LastActiveTime => {
                    unreachable!("not selected above")
                }
            };
            if descending { by_key.reverse() } else { by_key }.then_with(|| one.id.cmp(&other.id))
        });
        let page: Vec<_> = expected.into_iter().skip(skip).take(limit).collect();
        let totals: Vec<_> = totals.iter().map(|total| Expected {
            id: total.profile.user_id.as_deref().unwrap().to_owned(),
            name: total.profile.user_name.to_string(),
            path: dictionary.department(total.profile.department).path.to_string(),
            active_days: total.active_days,
            last_active: total.last_active_date,
            im_days: total.feature_days[0],
            counters: total.counters,
        }).collect();
        prop_assert_eq!(totals, page);
    }

    #[test]
    fn retention_equals_a_naive_computation(
        tenant in any::<bool>().prop_flat_map(tenants), path in path(),
        interval in proptest::sample::select(vec![Interval::Week, Interval::Month]),
    ) {
        let digests = digests(&partitions(&tenant));
        let people = within(&digests, path);

        let dates = KnownDates { counted: tenant.keys().copied().collect(), ..KnownDates::default() };
        let cohorts = retention(range(&tenant), interval, &Activations::from_days(&digests), &people, &dates);

        for cohort in cohorts {
            let joined = |row: &super::tenant::PersonDay| {
                row.registered.is_some_and(|days| cohort.days.contains(first().plus(days)))
            };
            let joined: BTreeSet<usize> =
                naive::rows(&tenant, range(&tenant), None).filter(|(_, row)| joined(row)).filter_map(|(_, row)| row.id).collect();
            let selected = naive::rows(&tenant, range(&tenant), path).filter_map(|(_, row)| row.id);
            let people: BTreeSet<usize> = selected.filter(|id| joined.contains(id)).collect();
            prop_assert_eq!(cohort.people, people.len() as u64);
            for period in cohort.periods {
                let rows = naive::rows(&tenant, period.days, path);
                let active = rows.filter(|(_, row)| row.has(Flag::Active)).filter_map(|(_, row)| row.id);
                let active = active.filter(|id| people.contains(id)).collect::<BTreeSet<_>>();
                prop_assert_eq!(period.active, Some(active.len() as u64));
            }
        }
    }

    #[test]
    fn clients_equal_a_naive_computation(
        tenant in any::<bool>().prop_flat_map(tenants), path in path(), together in 0_usize..30,
    ) {
        let days = partitions(&tenant);
        let selection = RowSelection { department_path: path.map(str::to_owned), ..RowSelection::default() };

        let range = range(&tenant);
        // A month has several days.
        let rollups = rollups(&days, if range.len() == 1 { 0 } else { together });
        let ClientsReport { usage, active, .. } = clients(&rollups, &days[0].dictionary().read(), &selection);

        let rows = || naive::rows(&tenant, range, path);
        prop_assert_eq!(active, naive::distinct(rows(), Flag::Active, range.len() == 1));
        for (name, devices) in [("iOS", 0..2), ("Android", 2..4)] {
            let of = rows().filter(|(_, row)| row.has(Flag::Active) && devices.contains(&row.device)).map(|(_, row)| row.id);
            let ids: Vec<Option<usize>> = of.collect();
            let known: Option<BTreeSet<usize>> = ids.iter().copied().collect();
            let expected = if range.len() == 1 { Some(ids.len()) } else { known.map(|known| known.len()) };
            let found = usage.iter().find(|used| used.dimension == ClientDimension::OsName && &*used.name == name);
            prop_assert_eq!(found.map(|found| found.users), (!ids.is_empty()).then(|| expected.map(|count| count as u64)));
        }
    }
}

/// One monthly roll-up of the first `together` days, and one roll-up for each of the other days.
fn rollups(days: &[Arc<feishu_pulse::table::DayTable>], together: usize) -> Vec<UserRollup> {
    let (month, rest) = days.split_at(together.min(days.len()));
    let month = MonthlyRollup::from_days(month).map(|month| UserRollup::Month(Arc::new(month)));
    month.into_iter().chain(rest.iter().map(|day| UserRollup::Day(Arc::clone(day)))).collect()
}

#[derive(Clone, Debug, PartialEq)]
struct Expected {
    id: String,
    name: String,
    path: String,
    active_days: u64,
    last_active: Option<Day>,
    im_days: u64,
    counters: [u64; Counter::COUNT],
}

fn expected_totals(tenant: &Tenant, path: Option<&str>) -> Vec<Expected> {
    let mut totals: BTreeMap<usize, Expected> = BTreeMap::new();
    for (day, row) in naive::rows(tenant, range(tenant), path) {
        let Some(person) = row.id else { continue };
        let total = totals.entry(person).or_insert_with(|| Expected {
            id: user_id(person),
            name: format!("Name {}", person % 5),
            path: String::new(),
            active_days: 0,
            last_active: None,
            im_days: 0,
            counters: [0; Counter::COUNT],
        });
        row.path().clone_into(&mut total.path);
        total.active_days += u64::from(row.has(Flag::Active));
        total.last_active = if row.has(Flag::Active) { Some(day) } else { total.last_active };
        total.im_days += u64::from(row.counts_with(Flag::ALL[2]));
        for counter in Counter::ALL {
            total.counters[counter.index()] += row.counter(counter);
        }
    }
    totals.into_values().collect()
}
