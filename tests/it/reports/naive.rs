//! Figures computed in the simplest possible way.

use std::collections::{BTreeMap, BTreeSet};

use feishu_pulse::{
    model::{Day, DayRange},
    report::{RangeFigures, Use},
    table::{Counter, Feature, Flag},
};
use proptest::prelude::*;

use super::tenant::{PersonDay, Tenant};

/// The rows of a range in a department and its sub-departments, each with its day.
pub fn rows<'a>(
    tenant: &'a Tenant,
    range: DayRange,
    path: Option<&'a str>,
) -> impl Iterator<Item = (Day, &'a PersonDay)> {
    let within = move |row: &&PersonDay| {
        path.is_none_or(|path| row.path() == path || row.path().starts_with(&format!("{path}/")))
    };
    let days = tenant.range(range.first()..=range.last());
    days.flat_map(move |(day, rows)| rows.iter().filter(within).map(|row| (*day, row)))
}

/// Distinct people with a flag. `None` if there are several days and a person's id is missing.
pub fn distinct<'a>(rows: impl Iterator<Item = (Day, &'a PersonDay)>, flag: Flag, single: bool) -> Option<u64> {
    let rows: Vec<&PersonDay> = rows.map(|(_, row)| row).filter(|row| row.counts_with(flag)).collect();
    if single {
        return Some(rows.len() as u64);
    }
    let ids: Option<BTreeSet<usize>> = rows.iter().map(|row| row.id).collect();
    ids.map(|ids| ids.len() as u64)
}

pub fn sum<'a>(rows: impl Iterator<Item = (Day, &'a PersonDay)>, counter: Counter) -> u64 {
    rows.map(|(_, row)| row.counter(counter)).sum()
}

/// Distinct people with a flag on at least `least` days.
fn regular<'a>(rows: impl Iterator<Item = (Day, &'a PersonDay)>, flag: Flag, least: usize, days: usize) -> Option<u64> {
    let rows: Vec<_> = rows.filter(|(_, row)| row.counts_with(flag)).collect();
    if least > days {
        return None;
    }
    if days == 1 {
        return Some(rows.len() as u64);
    }
    let mut days_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (_, row) in rows {
        *days_of.entry(row.id?).or_default() += 1;
    }
    Some(days_of.values().filter(|days| **days >= least).count() as u64)
}

fn is_close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9
}

/// Compares the figures of a range of days, all of which count.
pub fn check_range_figures(
    found: &RangeFigures,
    tenant: &Tenant,
    range: DayRange,
    path: Option<&str>,
    regular_days: Option<usize>,
) -> Result<(), TestCaseError> {
    let rows = || rows(tenant, range, path);
    let of_day = |day: Day| self::rows(tenant, DayRange::single(day), path);
    let (days, is_single) = (range.len(), range.len() == 1);
    let least = regular_days.unwrap_or(days.div_ceil(4));
    let count = |day: Day, flag: Flag| of_day(day).filter(|(_, row)| row.counts_with(flag)).count();

    prop_assert_eq!((found.days_counted, found.regular_days), (days, least));
    prop_assert_eq!(found.users, of_day(range.last()).count() as u64);
    let ids: Option<BTreeSet<usize>> = rows().map(|(_, row)| row.id).collect();
    let people = if is_single { Some(rows().count()) } else { ids.map(|ids| ids.len()) };
    prop_assert_eq!(found.people, people.map(|people| people as u64));
    prop_assert_eq!(found.activated, distinct(rows(), Flag::Activated, is_single));
    let uses = [(Flag::Active, found.suite)].into_iter();
    let uses = uses.chain(Feature::ALL.into_iter().map(Flag::Feature).zip(found.features));
    for (flag, Use { active, active_per_day, regular: found }) in uses {
        prop_assert_eq!(active, distinct(rows(), flag, is_single), "{:?}", flag);
        let all: usize = range.days().map(|day| count(day, flag)).sum();
        prop_assert!(is_close(active_per_day, all as f64 / days as f64), "{:?}", flag);
        prop_assert_eq!(found, regular(rows(), flag, least, days), "{:?}", flag);
    }
    let rates = range.days().filter(|day| count(*day, Flag::Activated) > 0);
    let rates: Vec<f64> =
        rates.map(|day| count(day, Flag::Active) as f64 / count(day, Flag::Activated) as f64).collect();
    let mean = (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64);
    prop_assert_eq!(found.active_rate_per_day.is_some(), mean.is_some());
    prop_assert!(found.active_rate_per_day.zip(mean).is_none_or(|(found, mean)| is_close(found, mean)));
    for counter in Counter::ALL {
        prop_assert_eq!(found.counters[counter.index()], sum(rows(), counter));
    }
    check_that_parts_fit(found)
}

/// No part is above its whole.
fn check_that_parts_fit(found: &RangeFigures) -> Result<(), TestCaseError> {
    let chain = [found.people, found.activated, found.suite.active, found.suite.regular];
    let known: Vec<u64> = chain.into_iter().flatten().collect();
    prop_assert!(known.is_sorted_by(|whole, part| whole >= part), "{:?}", found);
    prop_assert!(found.active_rate_per_day.is_none_or(|rate| rate <= 1.0));
    for of in found.features {
        prop_assert!(of.active.zip(found.suite.active).is_none_or(|(part, whole)| part <= whole));
        prop_assert!(of.regular.zip(of.active).is_none_or(|(part, whole)| part <= whole));
        prop_assert!(of.regular.zip(found.suite.regular).is_none_or(|(part, whole)| part <= whole));
        prop_assert!(of.active_per_day <= found.suite.active_per_day);
    }
    Ok(())
}
