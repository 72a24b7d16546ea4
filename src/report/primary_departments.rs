//! Where people belong over several days, and who does not stay there.

use std::sync::Arc;

use fixedbitset::FixedBitSet;

use super::{
    crew::{Changes, Crew},
    digest::Digest,
    figures::People,
    tree::Tree,
};
use crate::table::{Flag, PersonNo};

/// The department of each person, by number.
#[derive(Debug)]
pub struct Homes {
    of: Vec<u32>,
    movers: FixedBitSet,
}

/// The departments somebody was in, each with the flags they had there: bit [`Flag::index`] is the flag.
type Stays = Vec<(u32, u16)>;

/// Stands for somebody who has not been met.
const NOWHERE: u32 = u32::MAX;

impl Homes {
    /// Of the people of these days.
    #[must_use]
    pub fn of(days: &[Arc<Digest>]) -> Self {
        let people = days.iter().map(|digest| digest.whole().present.known.len()).max().unwrap_or(0);
        let mut homes = Self { of: vec![NOWHERE; people], movers: FixedBitSet::with_capacity(people) };
        let mut before = Changes::default();
        for part in days.iter().flat_map(|digest| digest.departments()) {
            if before.note(part.department, &part.crew) {
                homes.settle(&part.crew, part.department);
            }
        }
        homes
    }

    fn settle(&mut self, crew: &Crew, department: u32) {
        for person in crew.people().iter().map(|person| *person as usize) {
            if self.of[person] == NOWHERE {
                self.of[person] = department;
            } else if self.of[person] != department {
                self.movers.insert(person);
            }
        }
    }

    /// Different people who had each of these flags on any of the days, for every place of `tree`. People without an id
    /// are left out.
    #[must_use]
    pub fn counts<const N: usize>(&self, days: &[Arc<Digest>], tree: &Tree, flags: [Flag; N]) -> Vec<[u64; N]> {
        let mut counts = vec![[0; N]; tree.len()];
        for (department, own) in (0..).zip(self.counts_of_those_who_stay(days, flags)) {
            for place in tree.upwards(department) {
                add(&mut counts[place], own);
            }
        }
        for stays in self.stays(days) {
            for (place, had) in along_the_path(&stays, tree) {
                add(&mut counts[place], flags.map(|flag| u64::from(had >> flag.index() & 1)));
            }
        }
        counts
    }

    /// By department number.
    fn counts_of_those_who_stay<const N: usize>(&self, days: &[Arc<Digest>], flags: [Flag; N]) -> Vec<[u64; N]> {
        let last = self.of.iter().filter(|home| **home != NOWHERE).max();
        let mut counts = vec![[0; N]; last.map_or(0, |last| *last as usize + 1)];
        for (at, flag) in flags.into_iter().enumerate() {
            let mut people = People::united(days.iter().map(|digest| digest.whole().people(flag))).known;
            people.difference_with(&self.movers);
            for person in people.ones() {
                counts[self.of[person] as usize][at] += 1;
            }
        }
        counts
    }

    /// Of each person who moves.
    fn stays(&self, days: &[Arc<Digest>]) -> Vec<Stays> {
        let movers: Vec<PersonNo> = self.movers.ones().filter_map(|person| PersonNo::try_from(person).ok()).collect();
        let mut stays: Vec<Stays> = vec![Stays::new(); movers.len()];
        if movers.is_empty() {
            return stays;
        }
        let mut before = Changes::default();
        // The movers among each crew, by their place among all movers.
        let mut moving: Vec<Vec<usize>> = Vec::new();
        for digest in days {
            for part in digest.departments() {
                let department = part.department as usize;
                if before.note(part.department, &part.crew) {
                    moving.resize_with(moving.len().max(department + 1), Vec::new);
                    let of_crew = part.crew.people().iter().filter(|person| self.movers.contains(**person as usize));
                    moving[department] = of_crew.filter_map(|person| movers.binary_search(person).ok()).collect();
                }
                for mover in &moving[department] {
                    note(&mut stays[*mover], part.department, digest.whole().flags_of(movers[*mover]));
                }
            }
        }
        stays
    }
}

fn note(stays: &mut Stays, department: u32, flags: u16) {
    match stays.iter_mut().find(|(known, _)| *known == department) {
        Some((_, had)) => *had |= flags,
        None => stays.push((department, flags)),
    }
}

/// Every place that the departments lie in, with the flags had in any of them.
fn along_the_path(stays: &Stays, tree: &Tree) -> Vec<(usize, u16)> {
    let mut places: Vec<(usize, u16)> = Vec::new();
    for (department, flags) in stays {
        for place in tree.upwards(*department) {
            match places.iter_mut().find(|(known, _)| *known == place) {
                Some((_, had)) => *had |= flags,
                None => places.push((place, *flags)),
            }
        }
    }
    places
}

fn add<const N: usize>(counts: &mut [u64; N], more: [u64; N]) {
    for (count, more) in counts.iter_mut().zip(more) {
        *count += more;
    }
}
