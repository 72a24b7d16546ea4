//! Figures computed in the simplest possible way.

use std::collections::BTreeSet;

use feishu_pulse::{
    model::{Day, DayRange},
    table::{Counter, Flag},
};

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
    let rows: Vec<&PersonDay> = rows.map(|(_, row)| row).filter(|row| row.has(flag)).collect();
    if single {
        return Some(rows.len() as u64);
    }
    let ids: Option<BTreeSet<usize>> = rows.iter().map(|row| row.id).collect();
    ids.map(|ids| ids.len() as u64)
}

pub fn sum<'a>(rows: impl Iterator<Item = (Day, &'a PersonDay)>, counter: Counter) -> u64 {
    rows.map(|(_, row)| row.counter(counter)).sum()
}

/// Number of rows and of activated rows of one day.
pub fn headcount<'a>(rows: impl Iterator<Item = (Day, &'a PersonDay)>) -> (u64, u64) {
    let rows: Vec<_> = rows.collect();
    (rows.len() as u64, rows.iter().filter(|(_, row)| row.has(Flag::Activated)).count() as u64)
}
