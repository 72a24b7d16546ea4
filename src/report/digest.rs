//! The digest of a day: what reports need of it, once and for all. Sums add up and sets unite, so the report of a
//! year is a merge of small parts.

use fixedbitset::FixedBitSet;

use crate::table::{Counter, Flag, Partition, Selector};

/// Figures of the selected rows of one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many rows: people that upstream knows that day.
    pub users: u64,
    /// Who has each flag, by [`Flag::index`].
    pub flags: [People; Flag::COUNT],
    /// The sum of each counter, by [`Counter::index`]; saturates.
    pub counters: [u64; Counter::COUNT],
}

/// A set of people, some of whom may be unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// Those whose id is known, by number.
    pub known: FixedBitSet,
    /// How many there are whose id upstream withholds. Nobody can tell whether they are the same on another day.
    pub unknown: u64,
}

impl Digest {
    /// The digest of the rows of `day` that `selector` takes.
    #[must_use]
    pub fn of(day: &Partition, selector: &Selector<'_>) -> Self {
        let mut digest = Self::default();
        for row in selector.rows(day) {
            digest.users += 1;
            let person = selector.person_of(day, row).map(|person| person as usize);
            let flags = day.flags()[row];
            for (flag, people) in Flag::ALL.into_iter().zip(&mut digest.flags) {
                if flags.has(flag) {
                    people.add(person);
                }
            }
            for (counter, sum) in Counter::ALL.into_iter().zip(&mut digest.counters) {
                *sum = sum.saturating_add(day.counter(counter).get(row));
            }
        }
        digest
    }

    /// Adds the figures of the same day in another geo, whose people are others.
    pub fn merge(&mut self, other: &Self) {
        self.users += other.users;
        for (people, others) in self.flags.iter_mut().zip(&other.flags) {
            people.unite(others);
        }
        for (sum, other) in self.counters.iter_mut().zip(other.counters) {
            *sum = sum.saturating_add(other);
        }
    }

    /// Who has the flag.
    #[must_use]
    pub const fn people(&self, flag: Flag) -> &People {
        &self.flags[flag.index()]
    }
}

impl People {
    /// Adds a person, known by number or not at all.
    pub(super) fn add(&mut self, person: Option<usize>) {
        match person {
            Some(person) => {
                self.known.grow(person + 1);
                self.known.insert(person);
            }
            None => self.unknown += 1,
        }
    }

    /// Adds the people of another set.
    pub fn unite(&mut self, other: &Self) {
        self.known.union_with(&other.known);
        self.unknown += other.unknown;
    }

    /// How many people there are, where the set is of one day.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.known.count_ones(..) as u64 + self.unknown
    }

    /// How many different people there are, where the set is united from several days: `None` where an id was
    /// withheld, since the same person may be in it several times.
    #[must_use]
    pub fn distinct(&self) -> Option<u64> {
        (self.unknown == 0).then(|| self.count())
    }
}
