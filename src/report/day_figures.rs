//! What is counted of a day: sums, which add up, and sets of people, which unite.

use fixedbitset::FixedBitSet;
use serde::{Deserialize, Serialize};

use crate::table::{Counter, Flag, Flags, PersonNo};

/// Figures that add up over the rows of one day: nobody has two, so people may be counted by counting rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// How many rows: people that upstream knows that day.
    pub users: u64,
    /// How many of them have each flag, by [`Flag::index`].
    pub flags: [u64; Flag::COUNT],
    /// The sum of each counter, by [`Counter::index`]; saturates.
    pub counters: [u64; Counter::COUNT],
}

/// Sums and people of some rows of one day, or of the same day in several geos.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What adds up.
    pub sums: Sums,
    /// Who has a row.
    pub present: People,
    /// Who has each flag, by [`Flag::index`].
    pub flags: [People; Flag::COUNT],
}

/// A set of people, some of whom may be unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// Those whose id is known, by number.
    pub known: FixedBitSet,
    /// How many there are whose id upstream withholds. Nobody can tell whether they are the same on another day.
    pub unknown: u64,
}

impl Sums {
    /// Adds one row.
    pub fn add_row(&mut self, flags: Flags, counter: impl Fn(Counter) -> u64) {
        self.users += 1;
        for (flag, count) in Flag::ALL.into_iter().zip(&mut self.flags) {
            *count += u64::from(flags.has(flag));
        }
        for (of, sum) in Counter::ALL.into_iter().zip(&mut self.counters) {
            *sum = sum.saturating_add(counter(of));
        }
    }

    /// Adds the sums of other rows of the same day.
    pub fn add(&mut self, other: &Self) {
        self.users += other.users;
        for (count, other) in self.flags.iter_mut().zip(other.flags) {
            *count += other;
        }
        self.add_counters(other);
    }

    /// Adds the counters alone, which also add up over days.
    pub fn add_counters(&mut self, other: &Self) {
        for (sum, other) in self.counters.iter_mut().zip(other.counters) {
            *sum = sum.saturating_add(other);
        }
    }

    /// How many rows have the flag.
    #[must_use]
    pub const fn flag(&self, flag: Flag) -> u64 {
        self.flags[flag.index()]
    }
}

impl Figures {
    /// No figures yet, with sets that hold so many people without growing.
    #[must_use]
    pub fn with_room_for(people: usize) -> Self {
        let set = || People { known: FixedBitSet::with_capacity(people), unknown: 0 };
        Self { sums: Sums::default(), present: set(), flags: std::array::from_fn(|_| set()) }
    }

    /// Adds the figures of other rows of the same day, such as those of another geo.
    pub fn merge(&mut self, other: &Self) {
        self.sums.add(&other.sums);
        self.present.unite(&other.present);
        for (people, others) in self.flags.iter_mut().zip(&other.flags) {
            people.unite(others);
        }
    }

    /// Who has the flag.
    #[must_use]
    pub const fn people(&self, flag: Flag) -> &People {
        &self.flags[flag.index()]
    }

    /// The flags of a person, as bits: bit [`Flag::index`] is the flag.
    #[must_use]
    pub fn flags_of(&self, person: PersonNo) -> u16 {
        let flags = self.flags.iter().enumerate();
        flags.fold(0, |bits, (flag, people)| bits | u16::from(people.has(person)) << flag)
    }

    /// Notes that a person is there, with these flags.
    pub fn add_person(&mut self, person: Option<PersonNo>, flags: Flags) {
        self.present.add(person);
        for (flag, people) in Flag::ALL.into_iter().zip(&mut self.flags) {
            if flags.has(flag) {
                people.add(person);
            }
        }
    }
}

impl People {
    /// The people of several sets.
    pub fn united<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        sets.into_iter().fold(Self::default(), |mut all, people| {
            all.unite(people);
            all
        })
    }

    /// Adds a person, known by number or not at all.
    pub fn add(&mut self, person: Option<PersonNo>) {
        match person {
            Some(person) => self.known.grow_and_insert(person as usize),
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

    /// Whether the person with that number is in it.
    #[must_use]
    pub fn has(&self, person: PersonNo) -> bool {
        self.known.contains(person as usize)
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(self.known.as_slice())
    }
}

/// A share of a whole; `None` where there is no whole.
#[must_use]
pub fn share(part: u64, whole: Option<u64>) -> Option<f64> {
    whole.filter(|whole| *whole > 0).map(|whole| part as f64 / whole as f64)
}
