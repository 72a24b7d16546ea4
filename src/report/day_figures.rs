//! Figures of a day: sums, which add up, and sets of people, which are united.

use fixedbitset::FixedBitSet;
use serde::{Deserialize, Serialize};

use crate::table::{Counter, Flag, Flags, PersonIndex};

/// Sums over rows of one day. In one geo each person has one row a day, so counting rows counts people. A person can have
/// a row in several geos: [`RowSums::count_person_once`] makes such a person count once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowSums {
    /// Number of rows, or of people if several geos are merged.
    pub users: u64,
    /// Number of rows or people with each flag, by [`Flag::index`].
    pub flags: [u64; Flag::COUNT],
    /// The sum of each counter, by [`Counter::index`]; saturates.
    pub counters: [u64; Counter::COUNT],
}

/// Sums and sets of people over some rows of one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayFigures {
    /// Sums over the rows.
    pub sums: RowSums,
    /// People with a row.
    pub present: PersonSet,
    /// People with each flag, by [`Flag::index`].
    pub flags: [PersonSet; Flag::COUNT],
}

/// Makes the sets of [`DayFigures`] of all rows of a day. Setting the bits of each person in one number, and exchanging rows and columns
/// in the end, is faster than setting a bit in each of the sets.
#[derive(Debug, Default)]
pub struct DayFiguresBuilder {
    /// The flags as bits, with [`Self::PRESENT`], by person index.
    rows: Vec<u16>,
    /// The people without an id.
    unidentified: DayFigures,
}

/// A set of people. Upstream omits the ids of some people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonSet {
    /// People whose ids are present, by person index.
    pub identified: FixedBitSet,
    /// Number of people without an id. They cannot be matched with people of other days.
    pub unidentified: u64,
}

impl RowSums {
    /// Adds one row.
    pub fn add_row(&mut self, flags: Flags, counter: impl Fn(Counter) -> u64) {
        self.users += 1;
        for (flag, count) in Flag::ALL.into_iter().zip(&mut self.flags) {
            *count += u64::from(flags.contains(flag));
        }
        for (of, sum) in Counter::ALL.into_iter().zip(&mut self.counters) {
            *sum = sum.saturating_add(counter(of));
        }
    }

    /// Adds the sums of other rows of the same day and geo.
    pub fn add(&mut self, other: &Self) {
        self.users += other.users;
        for (count, other) in self.flags.iter_mut().zip(other.flags) {
            *count += other;
        }
        self.add_counters(other);
    }

    /// Adds only the counters, which also add up over several days.
    pub fn add_counters(&mut self, other: &Self) {
        for (sum, other) in self.counters.iter_mut().zip(other.counters) {
            *sum = sum.saturating_add(other);
        }
    }

    /// Corrects sums over several geos for one person: `rows` are the flags of the person's rows in them, as bits; bit
    /// [`Flag::index`] is the flag.
    pub fn count_person_once(&mut self, rows: &[u16]) {
        let repeated = |rows: usize| rows.saturating_sub(1) as u64;
        self.users -= repeated(rows.len());
        for (flag, count) in self.flags.iter_mut().enumerate() {
            *count -= repeated(rows.iter().filter(|bits| **bits >> flag & 1 == 1).count());
        }
    }

    /// Number of rows or people with the flag.
    #[must_use]
    pub const fn rows_with(&self, flag: Flag) -> u64 {
        self.flags[flag.index()]
    }
}

impl DayFigures {
    /// People with the flag.
    #[must_use]
    pub const fn people_with(&self, flag: Flag) -> &PersonSet {
        &self.flags[flag.index()]
    }

    /// The flags of a person as bits; bit [`Flag::index`] is the flag.
    #[must_use]
    pub fn flag_bits(&self, person: PersonIndex) -> u16 {
        let flags = self.flags.iter().enumerate();
        flags.fold(0, |bits, (flag, people)| bits | u16::from(people.contains(person)) << flag)
    }

    /// Adds a person with these flags; `None` if the id is missing. Sums are added separately.
    pub fn add_person(&mut self, person: Option<PersonIndex>, flags: Flags) {
        self.present.add(person);
        for (flag, people) in Flag::ALL.into_iter().zip(&mut self.flags) {
            if flags.contains(flag) {
                people.add(person);
            }
        }
    }
}

impl DayFiguresBuilder {
    /// No rows. `people` is the expected number of people; more can be added.
    #[must_use]
    pub fn with_capacity(people: usize) -> Self {
        Self { rows: Vec::with_capacity(people), unidentified: DayFigures::default() }
    }

    /// Adds the row of a person; `None` if the id is missing.
    pub fn add(&mut self, person: Option<PersonIndex>, flags: Flags) {
        match person {
            Some(person) => self.add_each(&[person], &[flags.bits()]),
            None => self.unidentified.add_person(None, flags),
        }
    }

    /// Adds the row of each of these people, with the flags at the same position as bits; bit [`Flag::index`] is the flag.
    pub fn add_each(&mut self, people: &[PersonIndex], flags: &[u16]) {
        let end = people.iter().max().map_or(0, |last| *last as usize + 1);
        if end > self.rows.len() {
            self.rows.resize(end, 0);
        }
        for (person, flags) in people.iter().zip(flags) {
            self.rows[*person as usize] |= flags | Self::PRESENT;
        }
    }

    /// The figures of the rows, without sums.
    #[must_use]
    pub fn finish(self) -> DayFigures {
        let mut figures = self.unidentified;
        for (set, words) in figures.flags.iter_mut().chain([&mut figures.present]).zip(sets_of_bits(&self.rows)) {
            set.identified = FixedBitSet::with_capacity_and_blocks(self.rows.len(), words);
        }
        figures
    }

    /// Marks people who have a row. It is the bit after those of the flags.
    const PRESENT: u16 = 1 << Flag::COUNT;
}

/// For each flag, and last for [`DayFiguresBuilder::PRESENT`], the words of the set of the positions of the rows with this bit.
fn sets_of_bits(rows: &[u16]) -> [Vec<usize>; Flag::COUNT + 1] {
    const PER_WORD: usize = usize::BITS as usize;
    let mut sets = std::array::from_fn(|_| Vec::with_capacity(rows.len().div_ceil(PER_WORD)));
    for of_word in rows.chunks(PER_WORD) {
        let mut words = [[[0; PER_WORD / 8]; 8]; 2];
        for (position, of_eight) in of_word.chunks(8).enumerate() {
            let mut bytes = [[0; 8]; 2];
            for (at, row) in of_eight.iter().enumerate() {
                [bytes[0][at], bytes[1][at]] = row.to_le_bytes();
            }
            for (words, bytes) in words.iter_mut().zip(bytes) {
                for (word, byte) in words.iter_mut().zip(transpose(bytes)) {
                    word[position] = byte;
                }
            }
        }
        for (set, word) in sets.iter_mut().zip(words.as_flattened()) {
            set.push(usize::from_le_bytes(*word));
        }
    }
    sets
}

/// Exchanges rows and columns of a matrix of 8 × 8 bits: bit `i` of byte `j` becomes bit `j` of byte `i`. First single bits, then
/// squares of 2 × 2 and of 4 × 4 bits change places with those on the other side of the diagonal.
fn transpose(bytes: [u8; 8]) -> [u8; 8] {
    let mut bits = u64::from_le_bytes(bytes);
    for (distance, upper) in [(7, 0x00AA_00AA_00AA_00AA), (14, 0x0000_CCCC_0000_CCCC), (28, 0x0000_0000_F0F0_F0F0)] {
        let difference = (bits ^ (bits >> distance)) & upper;
        bits ^= difference ^ (difference << distance);
    }
    bits.to_le_bytes()
}

impl PersonSet {
    /// The union of several sets.
    pub fn union_of<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        sets.into_iter().fold(Self::default(), |mut all, people| {
            all.union_with(people);
            all
        })
    }

    /// Adds a person; `None` if the id is missing.
    pub fn add(&mut self, person: Option<PersonIndex>) {
        match person {
            Some(person) => self.identified.grow_and_insert(person as usize),
            None => self.unidentified += 1,
        }
    }

    /// Adds the people of another set.
    pub fn union_with(&mut self, other: &Self) {
        self.identified.union_with(&other.identified);
        self.unidentified += other.unidentified;
    }

    /// Number of people in a set of one day.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.identified.count_ones(..) as u64 + self.unidentified
    }

    /// Number of distinct people in a union over several days. `None` if an id is missing, because the same person may
    /// have been added more than once.
    #[must_use]
    pub fn distinct_count(&self) -> Option<u64> {
        (self.unidentified == 0).then(|| self.count())
    }

    /// Whether the set contains the person.
    #[must_use]
    pub fn contains(&self, person: PersonIndex) -> bool {
        self.identified.contains(person as usize)
    }

    /// Heap size in bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        size_of_val(self.identified.as_slice())
    }
}

/// The relative change from `before` to `now`; `None` if either is unknown or `before` is not positive.
#[must_use]
pub fn relative_change(now: Option<f64>, before: Option<f64>) -> Option<f64> {
    let before = before.filter(|before| *before > 0.0)?;
    Some((now? - before) / before)
}

/// `part / whole`; `None` if the whole is unknown or zero.
#[must_use]
pub fn ratio(part: u64, whole: Option<u64>) -> Option<f64> {
    whole.filter(|whole| *whole > 0).map(|whole| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_figures_of_all_people_equal_those_of_people_added_one_by_one(
            people in proptest::collection::vec((0..300_u32, 0..1_u16 << Flag::COUNT), 0..100), capacity in 0..300_usize,
        ) {
            let (indices, flags): (Vec<PersonIndex>, Vec<u16>) = people.into_iter().unzip();
            let (mut together, mut one_by_one) = (DayFiguresBuilder::with_capacity(capacity), DayFigures::default());
            together.add_each(&indices[..indices.len() / 2], &flags);
            together.add_each(&indices[indices.len() / 2..], &flags[indices.len() / 2..]);
            for (person, bits) in indices.iter().zip(&flags) {
                one_by_one.add_person(Some(*person), Flags::from_bits(*bits));
            }
            for bits in &flags {
                together.add(None, Flags::from_bits(*bits));
                one_by_one.add_person(None, Flags::from_bits(*bits));
            }

            let content = |people: &PersonSet| (people.identified.ones().collect::<Vec<_>>(), people.unidentified);
            let together = together.finish();
            prop_assert_eq!(together.flags.each_ref().map(content), one_by_one.flags.each_ref().map(content));
            prop_assert_eq!(content(&together.present), content(&one_by_one.present));
        }
    }
}
