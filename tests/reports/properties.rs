//! Reports over random tenants equal the naive count.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use feishu_pulse::{
    model::{Day, DayRange},
    report::{
        Digest, Figures, FiguresByDay, Interval, Narrowed, People, SumsByDay, Trailing, activity,
        clients::{Kind, clients},
        departments::{Rollup, present, rollups, sums},
        month::Month,
        retention::{activations, retention},
        sheet::Sheet,
        summary::headline,
        tally::{Key, Sort, Tally, Wanted},
        tree::Tree,
    },
    table::{Counter, Flag, Origin as _, Selection},
};
use fixedbitset::FixedBitSet;
use proptest::prelude::*;

use super::{
    naive,
    tenant::{PATHS, Tenant, digests, first, partitions, tenants, user_id},
};

fn range(tenant: &Tenant) -> DayRange {
    DayRange::new(first(), *tenant.keys().last().unwrap()).unwrap()
}

fn departments(digests: &[Arc<Digest>], path: Option<&str>) -> Option<FixedBitSet> {
    path.map(|path| digests[0].directory().read().departments_within(path))
}

fn within(digests: &[Arc<Digest>], path: Option<&str>) -> FiguresByDay {
    match departments(digests, path).map(Narrowed::to) {
        None => digests.iter().map(|digest| (digest.key().day, Arc::clone(digest.whole()))).collect(),
        Some(mut narrowed) => {
            digests.iter().map(|digest| (digest.key().day, Arc::new(narrowed.figures(digest)))).collect()
        }
    }
}

fn sums_within(digests: &[Arc<Digest>], path: Option<&str>) -> SumsByDay {
    let within = departments(digests, path);
    digests.iter().map(|digest| (digest.key().day, digest.sums_of(within.as_ref()))).collect()
}

fn path() -> impl Strategy<Value = Option<&'static str>> {
    proptest::option::of(proptest::sample::select(PATHS[..5].to_vec()))
}

proptest! {
    #[test]
    fn activity_of_the_company_and_of_a_department(
        tenant in any::<bool>().prop_flat_map(tenants), path in path(),
        interval in proptest::sample::select(vec![Interval::Day, Interval::Week, Interval::Month]),
    ) {
        let digests = digests(&partitions(&tenant));

        let buckets = {
            let days = within(&digests, path);
            activity::activity(range(&tenant), interval, &sums_within(&digests, path), &&days, &Trailing::over(&days))
        };

        for bucket in buckets {
            let single = bucket.days.len() == 1;
            let rows = |range| naive::rows(&tenant, range, path);
            prop_assert_eq!(bucket.active, naive::distinct(rows(bucket.days), Flag::Active, single));
            for (flag, users) in Flag::ALL[2..].iter().zip(bucket.features) {
                prop_assert_eq!(users, naive::distinct(rows(bucket.days), *flag, single));
            }
            for counter in Counter::ALL {
                prop_assert_eq!(bucket.counters[counter.index()], naive::sum(rows(bucket.days), counter));
            }
            prop_assert_eq!((bucket.users, bucket.activated), naive::at_the_end(rows(bucket.days)));
            for (length, figure) in [(7, bucket.wau), (30, bucket.mau)] {
                let trail = DayRange::ending(bucket.days.last(), length);
                let whole = trail.first() >= first();
                prop_assert_eq!(figure, whole.then(|| naive::distinct(rows(trail), Flag::Active, false)).flatten());
            }
        }
    }

    #[test]
    fn a_digest_gives_the_figures_of_the_rows(tenant in any::<bool>().prop_flat_map(tenants), path in path()) {
        let days = partitions(&tenant);
        let selection = Selection { department_path: path.map(str::to_owned), ..Selection::default() };
        let digests = digests(&days);
        for ((day, digest), (_, figures)) in days.iter().zip(&digests).zip(within(&digests, path)) {
            let tables = day.directory().read();
            let of_rows = Figures::of(day, &selection.against(&tables));
            if let Some(path) = path {
                let departments = tables.departments_within(path);
                prop_assert_eq!(digest.sums_of(Some(&departments)), of_rows.sums);
                prop_assert_eq!(digest.withholds(Some(&departments)), of_rows.present.unknown > 0);
            }
            prop_assert_eq!(of_rows.sums, figures.sums);
            let counts = |figures: &Figures| Flag::ALL.map(|flag| (figures.people(flag).count(), figures.people(flag).unknown));
            prop_assert_eq!(counts(&of_rows), counts(&figures));
        }
    }

    #[test]
    fn departments_rolled_up_along_the_path(tenant in any::<bool>().prop_flat_map(tenants), top in path()) {
        let digests = digests(&partitions(&tenant));
        let tree = Tree::of(&present(&digests), &digests[0].directory().read(), top);

        let rollups = rollups(&digests, &tree);

        let adding_up = |rollup: &Rollup| (rollup.users, rollup.activated, rollup.counters);
        prop_assert!(rollups.iter().map(adding_up).eq(sums(&digests, &tree).iter().map(adding_up)));
        let range = range(&tenant);
        let paths: Vec<&str> = tree.places().iter().map(|place| &*place.path).collect();
        let expected: BTreeSet<&str> = tenant.values().flatten().flat_map(|row| {
            let path = row.path();
            path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]).collect::<Vec<_>>()
        }).filter(|path| top.is_none_or(|top| *path == top || path.starts_with(&format!("{top}/")))).collect();
        prop_assert_eq!(paths.iter().copied().collect::<BTreeSet<_>>(), expected);
        for (path, rollup) in paths.into_iter().zip(rollups) {
            let rows = || naive::rows(&tenant, range, Some(path));
            prop_assert_eq!((rollup.users, rollup.activated), naive::at_the_end(rows()), "{}", path);
            for flag in Flag::ALL {
                let people = rollup.people[flag.index()];
                prop_assert_eq!(people, naive::distinct(rows(), flag, range.len() == 1), "{:?} in {}", flag, path);
            }
            for counter in Counter::ALL {
                prop_assert_eq!(rollup.counters[counter.index()], naive::sum(rows(), counter));
            }
        }
    }

    #[test]
    fn the_headline_of_a_range(tenant in any::<bool>().prop_flat_map(tenants), path in path()) {
        let digests = digests(&partitions(&tenant));
        let range = range(&tenant);
        let rows = || naive::rows(&tenant, range, path);

        let headline = headline(range, &within(&digests, path));

        prop_assert_eq!(headline.is_some(), rows().next().is_some());
        if let Some(headline) = headline {
            prop_assert_eq!(headline.active, naive::distinct(rows(), Flag::Active, range.len() == 1));
            prop_assert_eq!((headline.users, headline.activated), naive::at_the_end(rows()));
            let actives = rows().filter(|(_, row)| row.has(Flag::Active)).count();
            prop_assert!((headline.active_per_day - actives as f64 / range.len() as f64).abs() < 1e-9);
            prop_assert_eq!(headline.counters[0], naive::sum(rows(), Counter::SendMessengerNum));
        }
    }

    #[test]
    fn users_in_every_order_and_on_every_page(
        tenant in any::<bool>().prop_flat_map(tenants), path in path(), active in proptest::option::of(any::<bool>()),
        key in proptest::sample::select(vec![
            Key::Counter(Counter::SendMessengerNum), Key::Counter(Counter::VcDuration), Key::ActiveDays,
            Key::LastActiveDate, Key::UserName, Key::UserId,
        ]),
        descending: bool, skip in 0_usize..10, limit in 1_usize..10, months in 0_usize..4,
    ) {
        let days = partitions(&tenant);
        let tables = days[0].directory().read();
        let sheets = added_up(&days, months * 9);
        let tally = Tally { sheets: &sheets, tables: &tables };
        let selection = Selection { department_path: path.map(str::to_owned), ..Selection::default() };
        let present = || {
            let digests = digests(&days);
            People::united(digests.iter().map(|digest| &digest.whole().present)).known
        };
        let wanted = Wanted { selection: selection.clone(), active, among: path.is_none().then(present), except: None };

        let ranking = tally.ranking(&wanted, Sort { key, descending });
        let people = ranking.page(skip, limit);
        let totals = tally.totals(&people, &selection);

        let mut expected = expected_totals(&tenant, path);
        expected.retain(|total| active.is_none_or(|active| (total.active_days > 0) == active));
        prop_assert_eq!(ranking.total(), expected.len());
        expected.sort_by(|one, other| {
            let by_key = match key {
                Key::Counter(counter) => one.counters[counter.index()].cmp(&other.counters[counter.index()]),
                Key::ActiveDays => one.active_days.cmp(&other.active_days),
                Key::LastActiveDate => one.last_active.cmp(&other.last_active),
                Key::UserName => one.name.cmp(&other.name),
                Key::UserId => one.id.cmp(&other.id),
            };
            if descending { by_key.reverse() } else { by_key }.then_with(|| one.id.cmp(&other.id))
        });
        let page: Vec<_> = expected.into_iter().skip(skip).take(limit).collect();
        let totals: Vec<_> = totals.iter().map(|total| Expected {
            id: total.profile.user_id.as_deref().unwrap().to_owned(),
            name: total.profile.user_name.to_string(),
            path: tables.department(total.profile.department).path.to_string(),
            active_days: total.active_days,
            last_active: total.last_active_date,
            im_days: total.feature_days[0],
            counters: total.counters,
        }).collect();
        prop_assert_eq!(totals, page);
    }

    #[test]
    fn retention_by_cohorts(
        tenant in any::<bool>().prop_flat_map(tenants),
        interval in proptest::sample::select(vec![Interval::Week, Interval::Month]),
    ) {
        let digests = digests(&partitions(&tenant));
        let days = within(&digests, None);
        let mut began: BTreeMap<Day, FixedBitSet> = BTreeMap::new();
        for (person, day) in activations(&digests) {
            began.entry(day).or_default().grow_and_insert(person as usize);
        }

        let cohorts = retention(range(&tenant), interval, &began, &days);

        for cohort in cohorts {
            let joined = |row: &super::tenant::PersonDay| {
                row.registered.is_some_and(|days| cohort.days.contains(first().plus(days)))
            };
            let all = naive::rows(&tenant, range(&tenant), None);
            let people: BTreeSet<usize> = all.filter(|(_, row)| joined(row)).filter_map(|(_, row)| row.id).collect();
            prop_assert_eq!(cohort.people, people.len() as u64);
            for period in cohort.periods {
                let rows = naive::rows(&tenant, period.days, None);
                let active = rows.filter(|(_, row)| row.has(Flag::Active)).filter_map(|(_, row)| row.id);
                let active = active.filter(|id| people.contains(id)).collect::<BTreeSet<_>>();
                prop_assert_eq!(period.active, active.len() as u64);
            }
        }
    }

    #[test]
    fn clients_by_their_different_users(tenant in any::<bool>().prop_flat_map(tenants), path in path()) {
        let days = partitions(&tenant);
        let selection = Selection { department_path: path.map(str::to_owned), ..Selection::default() };

        let (used, active) = clients(&days, &days[0].directory().read(), &selection);

        let range = range(&tenant);
        let rows = || naive::rows(&tenant, range, path);
        prop_assert_eq!(active, naive::distinct(rows(), Flag::Active, range.len() == 1));
        for (name, devices) in [("iOS", 0..2), ("Android", 2..4)] {
            let of = rows().filter(|(_, row)| devices.contains(&row.device)).map(|(_, row)| row.id);
            let ids: Vec<Option<usize>> = of.collect();
            let known: Option<BTreeSet<usize>> = ids.iter().copied().collect();
            let expected = if range.len() == 1 { Some(ids.len()) } else { known.map(|known| known.len()) };
            let found = used.iter().find(|used| used.kind == Kind::OsName && &*used.name == name);
            prop_assert_eq!(found.map(|found| found.users), (!ids.is_empty()).then(|| expected.map(|count| count as u64)));
        }
    }
}

/// The first so many days as one sheet, the others each as its own.
fn added_up(days: &[Arc<feishu_pulse::table::Partition>], together: usize) -> Vec<Sheet> {
    let (month, rest) = days.split_at(together.min(days.len()));
    let month = Month::of(month).map(|month| Sheet::Month(Arc::new(month)));
    month.into_iter().chain(rest.iter().map(|day| Sheet::Day(Arc::clone(day)))).collect()
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
        total.im_days += u64::from(row.has(Flag::ALL[2]));
        for counter in Counter::ALL {
            total.counters[counter.index()] += row.counter(counter);
        }
    }
    totals.into_values().collect()
}
