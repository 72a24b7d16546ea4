//! Sets of people as they are counted: words of bitmaps, read several at a time.

use fixedbitset::FixedBitSet;

use super::day_figures::PersonSet;

/// Words that are processed together. The compiler turns a loop over them into vector instructions.
pub(super) const LANES: usize = 8;

/// Several adjacent words of a bitmap.
pub(super) type Words = [usize; LANES];

/// A set of people, without a copy of them: the union of one or more bitmaps, each restricted to some members.
#[derive(Clone, Debug)]
pub struct PeopleView<'a> {
    first: RestrictedBitmap<'a>,
    others: Vec<RestrictedBitmap<'a>>,
    /// Number of people without an id. They cannot be matched with people of other sets.
    pub unidentified: u64,
}

/// A bitmap of people; with `members`, only those people who are members too.
#[derive(Clone, Copy, Debug)]
struct RestrictedBitmap<'a> {
    people: &'a [usize],
    members: Option<&'a [usize]>,
}

impl<'a> PeopleView<'a> {
    /// The people of a bitmap. With `members`, only those people who are members too.
    #[must_use]
    pub fn new(people: &'a FixedBitSet, members: Option<&'a FixedBitSet>, unidentified: u64) -> Self {
        Self { first: RestrictedBitmap::new(people, members), others: Vec::new(), unidentified }
    }

    /// The same people and those of another set.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        self.others.push(other.first);
        self.others.extend(other.others);
        self.unidentified += other.unidentified;
        self
    }

    /// Number of people in the set of one day.
    #[must_use]
    pub fn count(&self) -> u64 {
        let words = (0..self.word_count()).step_by(LANES).map(|first| u64::from(count_ones(&self.words(first))));
        words.sum::<u64>() + self.unidentified
    }

    /// Number of words after which there are no people.
    pub(super) fn word_count(&self) -> usize {
        let lengths = self.others.iter().map(|other| other.people.len());
        lengths.max().unwrap_or(0).max(self.first.people.len())
    }

    /// The words from number `first` on; beyond the end they are 0.
    #[inline]
    pub(super) fn words(&self, first: usize) -> Words {
        let mut words = self.first.words(first);
        for other in &self.others {
            for (word, other) in words.iter_mut().zip(other.words(first)) {
                *word |= other;
            }
        }
        words
    }
}

impl<'a> From<&'a PersonSet> for PeopleView<'a> {
    fn from(people: &'a PersonSet) -> Self {
        Self::new(&people.identified, None, people.unidentified)
    }
}

impl<'a> RestrictedBitmap<'a> {
    fn new(people: &'a FixedBitSet, members: Option<&'a FixedBitSet>) -> Self {
        Self { people: people.as_slice(), members: members.map(FixedBitSet::as_slice) }
    }

    #[inline]
    fn words(self, first: usize) -> Words {
        let mut words = words_from(self.people, first);
        if let Some(members) = self.members {
            for (word, members) in words.iter_mut().zip(words_from(members, first)) {
                *word &= members;
            }
        }
        words
    }
}

/// The largest number of words of the sets.
pub(super) fn max_word_count(sets: &[PeopleView<'_>]) -> usize {
    sets.iter().map(PeopleView::word_count).max().unwrap_or(0)
}

/// Number of bits that are set.
pub(super) fn count_ones(words: &Words) -> u32 {
    words.iter().map(|word| word.count_ones()).sum()
}

/// The words of a bitmap from number `first` on; beyond its end they are 0.
#[inline]
pub(super) fn words_from(bitmap: &[usize], first: usize) -> Words {
    let rest = bitmap.get(first..).unwrap_or_default();
    if let Some(words) = rest.first_chunk() {
        return *words;
    }
    let mut words = [0; LANES];
    words[..rest.len()].copy_from_slice(rest);
    words
}
