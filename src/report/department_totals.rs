//! The figures of every department, rolled up along the path, with people counted once however often they moved.
//!
//! Sums add up. People do not, but nearly everyone stays in one department for the whole range, and of those it is
//! enough to know which: their flags are united over all days and counted where they belong. Those who moved are looked
//! at day by day.

use std::sync::Arc;

use fixedbitset::FixedBitSet;

use super::{digest::Digest, figures::Sums, homes::Homes, tree::Tree};
use crate::{
    model::{Day, DayRange},
    table::{Counter, Flag, Origin as _},
};

/// The figures of one department and all below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// People with a row on the last day on which the department has any.
    pub users: u64,
    /// Those of them whose account was activated.
    pub activated: u64,
    /// Different people who had each flag on any day, by [`Flag::index`]; `None` where an id was withheld and there is
    /// more than a day, and where they were not counted.
    pub people: [Option<u64>; Flag::COUNT],
    /// The sum of each counter, by [`Counter::index`]; saturates.
    pub counters: [u64; Counter::COUNT],
}

/// What adds up, for every place of `tree` in its order, from the digests of some days in order. Different people are
/// counted where there is a single day.
#[must_use]
pub fn sums(days: &[Arc<Digest>], tree: &Tree) -> Vec<Rollup> {
    let all = added_up(days, tree);
    if is_single(days) {
        let rollup = |sums: &Sums| Rollup { people: sums.flags.map(Some), ..Rollup::of(sums, sums) };
        return all.iter().map(rollup).collect();
    }
    let latest = latest(days, tree);
    all.iter().zip(latest).map(|(all, latest)| Rollup::of(all, &latest)).collect()
}

/// The same with different people counted over all days.
#[must_use]
pub fn rollups(days: &[Arc<Digest>], tree: &Tree) -> Vec<Rollup> {
    let mut rollups = sums(days, tree);
    if !is_single(days) {
        for (rollup, people) in rollups.iter_mut().zip(people(days, tree, Flag::ALL)) {
            rollup.people = people;
        }
    }
    rollups
}

/// Different people who had each of these flags on any of the days, for every place of `tree`; `None` where an id was
/// withheld.
#[must_use]
pub fn people<const N: usize>(days: &[Arc<Digest>], tree: &Tree, flags: [Flag; N]) -> Vec<[Option<u64>; N]> {
    let unknown = unknown(days, tree);
    let counts = Homes::of(days).counts(days, tree, flags).into_iter().zip(unknown);
    let known = |(counts, unknown): ([u64; N], [bool; Flag::COUNT])| {
        std::array::from_fn(|at| (!unknown[flags[at].index()]).then_some(counts[at]))
    };
    counts.map(known).collect()
}

/// Different people active in the `length` days that end with the last of `days`, for every place; `None` for all where
/// one of those days is not there.
#[must_use]
pub fn trailing(days: &[Arc<Digest>], tree: &Tree, length: u16) -> Vec<Option<u64>> {
    let window = days.last().map(|last| DayRange::ending(last.key().day, length));
    let inside = |digest: &Arc<Digest>| window.is_some_and(|window| window.contains(digest.key().day));
    let days = &days[days.partition_point(|digest| !inside(digest))..];
    let there = days.chunk_by(|one, other| one.key().day == other.key().day).count();
    if there < usize::from(length) {
        return vec![None; tree.len()];
    }
    people(days, tree, [Flag::Active]).into_iter().map(|[active]| active).collect()
}

/// People active on the last of `days`, for every place.
#[must_use]
pub fn active_at_the_end(days: &[Arc<Digest>], tree: &Tree) -> Vec<u64> {
    let last = days.chunk_by(|one, other| one.key().day == other.key().day).next_back().unwrap_or_default();
    added_up(last, tree).iter().map(|sums| sums.flag(Flag::Active)).collect()
}

/// The departments that have rows of their own on any of the days.
#[must_use]
pub fn present(days: &[Arc<Digest>]) -> FixedBitSet {
    let mut present = FixedBitSet::new();
    for part in days.iter().flat_map(|day| day.departments()) {
        present.grow_and_insert(part.department as usize);
    }
    present
}

/// The days that are there in every one of so many geos: a day that lacks one would look like a drop.
#[must_use]
pub fn whole_days(days: &[Arc<Digest>], wanted: impl Fn(Day) -> bool, geos: usize) -> Vec<Arc<Digest>> {
    let mut days: Vec<_> = days.iter().filter(|digest| wanted(digest.key().day)).cloned().collect();
    days.sort_by_key(|digest| digest.key().day);
    let whole = days.chunk_by(|one, other| one.key().day == other.key().day).filter(|day| day.len() == geos);
    whole.flatten().cloned().collect()
}

impl Rollup {
    fn of(all: &Sums, latest: &Sums) -> Self {
        let activated = latest.flag(Flag::Activated);
        Self { users: latest.users, activated, people: Default::default(), counters: all.counters }
    }
}

fn is_single(days: &[Arc<Digest>]) -> bool {
    days.first().map(|first| first.key().day) == days.last().map(|last| last.key().day)
}

/// The sums of all rows of these days, for every place. Departments come first and the tree once, at the end.
fn added_up(days: &[Arc<Digest>], tree: &Tree) -> Vec<Sums> {
    let mut own: Vec<Sums> = vec![Sums::default(); present(days).len()];
    for part in days.iter().flat_map(|digest| digest.departments()) {
        own[part.department as usize].add(&part.sums);
    }
    let mut all = vec![Sums::default(); tree.len()];
    for (department, own) in (0..).zip(&own) {
        for place in tree.upwards(department) {
            all[place].add(own);
        }
    }
    all
}

/// The sums of the last day on which each place has anybody.
fn latest(days: &[Arc<Digest>], tree: &Tree) -> Vec<Sums> {
    let mut latest = vec![Sums::default(); tree.len()];
    for day in days.chunk_by(|one, other| one.key().day == other.key().day).rev() {
        for (latest, sums) in latest.iter_mut().zip(added_up(day, tree)).filter(|(latest, _)| latest.users == 0) {
            *latest = sums;
        }
        if latest.iter().all(|sums| sums.users > 0) {
            break;
        }
    }
    latest
}

/// Where people without an id had a flag, by place.
fn unknown(days: &[Arc<Digest>], tree: &Tree) -> Vec<[bool; Flag::COUNT]> {
    let mut unknown = vec![[false; Flag::COUNT]; tree.len()];
    for digest in days.iter().filter(|digest| digest.whole().present.unknown > 0) {
        for part in digest.departments().iter().filter(|part| part.sums.users > part.crew.len() as u64) {
            for flag in Flag::ALL {
                let people = digest.whole().people(flag);
                let known = part.crew.people().iter().filter(|person| people.has(**person)).count() as u64;
                for place in tree.upwards(part.department) {
                    unknown[place][flag.index()] |= part.sums.flag(flag) > known;
                }
            }
        }
    }
    unknown
}
