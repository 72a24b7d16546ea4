//! The figures of every department, rolled up along the path, with people counted once however often they moved.
//!
//! Nearly everyone stays in one department for the whole range, and of those it is enough to know which: their flags
//! are united over all days and counted where they belong. Those who moved are looked at day by day.

use std::{collections::HashMap, sync::Arc};

use fixedbitset::FixedBitSet;

use super::{
    digest::{Crew, Digest},
    figures::{People, Sums},
    tree::Tree,
};
use crate::{
    model::Day,
    table::{Counter, Flag, Origin as _, PersonNo},
};

/// The figures of one department and all below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// People with a row on the last day on which the department has any.
    pub users: u64,
    /// Those of them whose account was activated.
    pub activated: u64,
    /// Different people who had each flag on any day, by [`Flag::index`]; `None` where an id was withheld and there is
    /// more than a day.
    pub people: [Option<u64>; Flag::COUNT],
    /// The sum of each counter, by [`Counter::index`]; saturates.
    pub counters: [u64; Counter::COUNT],
}

/// People by flag.
type Counts = [u64; Flag::COUNT];

/// Where each person belongs, by number, and who does not stay there.
struct Homes {
    of: Vec<u32>,
    movers: FixedBitSet,
}

/// The figures of every place of `tree`, in its order, from the digests of some days in order.
#[must_use]
pub fn rollups(days: &[Arc<Digest>], tree: &Tree) -> Vec<Rollup> {
    let mut rollups = vec![Rollup::default(); tree.len()];
    for day in days.chunk_by(|one, other| one.key().day == other.key().day) {
        add_sums(&mut rollups, day, tree);
    }
    let single = days.first().map(|first| first.key().day) == days.last().map(|last| last.key().day);
    if !single {
        count_people(&mut rollups, days, tree);
    }
    rollups
}

/// Adds the sums of one day, given by geo. People are counted as if there were no other day.
fn add_sums(rollups: &mut [Rollup], geos: &[Arc<Digest>], tree: &Tree) {
    let mut sums: Vec<Sums> = vec![Sums::default(); tree.len()];
    for part in geos.iter().flat_map(|digest| digest.departments()) {
        for place in tree.upwards(part.department) {
            sums[place].add(&part.sums);
        }
    }
    for (rollup, sums) in rollups.iter_mut().zip(&sums).filter(|(_, sums)| sums.users > 0) {
        rollup.users = sums.users;
        rollup.activated = sums.flag(Flag::Activated);
        rollup.people = sums.flags.map(Some);
        for (all, counter) in rollup.counters.iter_mut().zip(sums.counters) {
            *all = all.saturating_add(counter);
        }
    }
}

/// Counts different people over several days.
fn count_people(rollups: &mut [Rollup], days: &[Arc<Digest>], tree: &Tree) {
    let homes = Homes::of(days);
    let mut counts: Vec<Counts> = vec![[0; Flag::COUNT]; tree.len()];
    for (department, own) in homes.counts(days) {
        for place in tree.upwards(department) {
            add(&mut counts[place], own);
        }
    }
    for ((_, place), flags) in homes.moves(days, tree) {
        add(&mut counts[place], flags.map(u64::from));
    }
    let unknown = unknown(days, tree);
    for ((rollup, counts), unknown) in rollups.iter_mut().zip(counts).zip(unknown) {
        rollup.people = std::array::from_fn(|flag| (!unknown[flag]).then_some(counts[flag]));
    }
}

fn add(counts: &mut Counts, more: Counts) {
    for (count, more) in counts.iter_mut().zip(more) {
        *count += more;
    }
}

impl Homes {
    /// Stands for somebody who has not been met.
    const NOWHERE: u32 = u32::MAX;

    fn of(days: &[Arc<Digest>]) -> Self {
        let people = days.iter().map(|digest| digest.whole().present.known.len()).max().unwrap_or(0);
        let mut homes = Self { of: vec![Self::NOWHERE; people], movers: FixedBitSet::with_capacity(people) };
        let mut seen: HashMap<u32, &Crew> = HashMap::new();
        for part in days.iter().flat_map(|digest| digest.departments()) {
            let before = seen.insert(part.department, &part.crew);
            if !before.is_some_and(|before| Arc::ptr_eq(before, &part.crew)) {
                homes.settle(&part.crew, part.department);
            }
        }
        homes
    }

    fn settle(&mut self, crew: &Crew, department: u32) {
        for person in crew.iter().map(|person| *person as usize) {
            if self.of[person] == Self::NOWHERE {
                self.of[person] = department;
            } else if self.of[person] != department {
                self.movers.insert(person);
            }
        }
    }

    /// Those who stay, by department and flag.
    fn counts(&self, days: &[Arc<Digest>]) -> HashMap<u32, Counts> {
        let departments =
            self.of.iter().filter(|home| **home != Self::NOWHERE).max().map_or(0, |most| *most as usize + 1);
        let mut counts: Vec<Counts> = vec![[0; Flag::COUNT]; departments];
        for flag in Flag::ALL {
            let mut people = People::united(days.iter().map(|digest| digest.whole().people(flag))).known;
            people.difference_with(&self.movers);
            for person in people.ones() {
                counts[self.of[person] as usize][flag.index()] += 1;
            }
        }
        (0..).zip(counts).filter(|(_, counts)| counts.iter().any(|count| *count > 0)).collect()
    }

    /// Those who move, with every place they were at and the flags they had there.
    fn moves(&self, days: &[Arc<Digest>], tree: &Tree) -> HashMap<(PersonNo, usize), [bool; Flag::COUNT]> {
        let mut moves: HashMap<(PersonNo, usize), [bool; Flag::COUNT]> = HashMap::new();
        let mut of_crew: HashMap<u32, (&Crew, Vec<PersonNo>)> = HashMap::new();
        for digest in days {
            for part in digest.departments() {
                let known = of_crew.get(&part.department).is_some_and(|(crew, _)| Arc::ptr_eq(crew, &part.crew));
                if !known {
                    let moving = part.crew.iter().copied().filter(|person| self.movers.contains(*person as usize));
                    of_crew.insert(part.department, (&part.crew, moving.collect()));
                }
                for person in &of_crew[&part.department].1 {
                    let flags = Flag::ALL.map(|flag| digest.whole().people(flag).has(*person));
                    for place in tree.upwards(part.department) {
                        let all = moves.entry((*person, place)).or_default();
                        all.iter_mut().zip(flags).for_each(|(all, flag)| *all |= flag);
                    }
                }
            }
        }
        moves
    }
}

/// Where people without an id had a flag, by place.
fn unknown(days: &[Arc<Digest>], tree: &Tree) -> Vec<[bool; Flag::COUNT]> {
    let mut unknown = vec![[false; Flag::COUNT]; tree.len()];
    for digest in days.iter().filter(|digest| digest.whole().present.unknown > 0) {
        for part in digest.departments().iter().filter(|part| part.sums.users > part.crew.len() as u64) {
            for flag in Flag::ALL {
                let people = digest.whole().people(flag);
                let known = part.crew.iter().filter(|person| people.has(**person)).count() as u64;
                for place in tree.upwards(part.department) {
                    unknown[place][flag.index()] |= part.sums.flag(flag) > known;
                }
            }
        }
    }
    unknown
}

/// The days that are there in every one of so many geos: a day that lacks one would look like a drop.
#[must_use]
pub fn whole_days(days: &[Arc<Digest>], wanted: impl Fn(Day) -> bool, geos: usize) -> Vec<Arc<Digest>> {
    let mut days: Vec<_> = days.iter().filter(|digest| wanted(digest.key().day)).cloned().collect();
    days.sort_by_key(|digest| digest.key().day);
    let whole = days.chunk_by(|one, other| one.key().day == other.key().day).filter(|day| day.len() == geos);
    whole.flatten().cloned().collect()
}
