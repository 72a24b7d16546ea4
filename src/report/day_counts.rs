//! People who are in at least a number of sets, such as the active people of several days.
//!
//! The sets are bitmaps, and the days of each person are counted in bit slices: plane `p` of the counter holds bit `p` of
//! the number of days of every person. One machine word of a plane belongs to 64 people, and adding a day takes a few
//! logical operations for all of them, so no person is looked at individually.

use fixedbitset::FixedBitSet;

use super::people_view::{LANES, PeopleView, Words, count_ones, max_word_count};

/// Number of sets that are added together. Positions that are multiples of it cost the least to stop at.
pub(super) const SETS_PER_STEP: usize = 4;

/// Planes of a counter: enough for 65,535 days.
const MAX_PLANES: usize = 16;

/// Numbers of distinct people in several sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DistinctCounts {
    /// People who are in any of the sets.
    pub in_any: u64,
    /// People who are in the required number of sets.
    pub in_at_least: u64,
}

/// Distinct people who are in any of these sets, and in at least `least` of them. `None` if there are several sets and a
/// person's id is missing, because the same person may be in the sets more than once. There are fewer than 65,536 sets.
#[must_use]
pub fn count_distinct(sets: &[PeopleView<'_>], least: usize) -> Option<DistinctCounts> {
    if let [only] = sets {
        let in_any = only.count();
        return Some(DistinctCounts { in_any, in_at_least: if least <= 1 { in_any } else { 0 } });
    }
    if sets.iter().any(|set| set.unidentified > 0) {
        return None;
    }
    let mut counts = DistinctCounts::default();
    for_each_words(sets, least, |in_any, in_at_least| {
        counts.in_any += u64::from(count_ones(&in_any));
        counts.in_at_least += u64::from(count_ones(&in_at_least));
    });
    Some(counts)
}

/// The people with an id who are in at least `least` of these sets, which are fewer than 65,536; 0 counts as 1.
#[must_use]
pub fn in_at_least(sets: &[PeopleView<'_>], least: usize) -> FixedBitSet {
    let word_count = max_word_count(sets);
    let mut words = Vec::with_capacity(word_count + LANES);
    for_each_words(sets, least, |_, in_at_least| words.extend(in_at_least));
    words.truncate(word_count);
    FixedBitSet::with_capacity_and_blocks(word_count * usize::BITS as usize, words)
}

/// The people with an id who are in any of these sets.
#[must_use]
pub fn in_any(sets: &[PeopleView<'_>]) -> FixedBitSet {
    in_at_least(sets, 1)
}

/// Calls `each` with the people who are in any of the sets, and with those who are in at least `least` of them, a few
/// words at a time.
fn for_each_words(sets: &[PeopleView<'_>], least: usize, mut each: impl FnMut(Words, Words)) {
    for first in (0..max_word_count(sets)).step_by(LANES) {
        if least <= 1 {
            let mut in_any = [0; LANES];
            for set in sets {
                for (in_any, word) in in_any.iter_mut().zip(set.words(first)) {
                    *in_any |= word;
                }
            }
            each(in_any, in_any);
        } else {
            let mut counter = DayCounter::new(sets.len());
            counter.add(sets, |set| set.words(first));
            each(counter.at_least(1), counter.at_least(least));
        }
    }
}

/// The number of sets that each of a few people is in, as bit slices.
pub(super) struct DayCounter {
    /// Plane `p` holds bit `p` of each number.
    planes: [Words; MAX_PLANES],
    /// Number of planes in use.
    used: usize,
}

impl DayCounter {
    /// A counter up to `sets`, below 65,536, in which each number is 0.
    pub(super) fn new(sets: usize) -> Self {
        let bits = (usize::BITS - sets.leading_zeros()) as usize;
        Self { planes: [[0; LANES]; MAX_PLANES], used: bits.clamp(1, MAX_PLANES) }
    }

    /// Adds some sets; `words` are the words of a set.
    pub(super) fn add<S>(&mut self, sets: &[S], words: impl Fn(&S) -> Words) {
        // Four sets at a time take less than half of the operations: the planes from the third on change once for all four.
        let (fours, rest) = sets.as_chunks::<SETS_PER_STEP>();
        for [one, two, three, four] in fours {
            let [units, twos, ..] = &mut self.planes;
            let carry = add_two(units, &words(one), &words(two));
            let other_carry = add_two(units, &words(three), &words(four));
            let carry = add_two(twos, &carry, &other_carry);
            self.add_to_planes_from(2, carry);
        }
        for set in rest {
            self.add_to_planes_from(0, words(set));
        }
    }

    fn add_to_planes_from(&mut self, plane: usize, mut carry: Words) {
        for plane in self.planes[..self.used].iter_mut().skip(plane) {
            for (bit, carry) in plane.iter_mut().zip(&mut carry) {
                (*bit, *carry) = (*bit ^ *carry, *bit & *carry);
            }
        }
    }

    /// The people whose number is at least `least`.
    pub(super) fn at_least(&self, least: usize) -> Words {
        if least >> self.used > 0 {
            return [0; LANES];
        }
        let (mut above, mut equal) = ([0; LANES], [usize::MAX; LANES]);
        for plane in (0..self.used).rev() {
            for ((above, equal), bit) in above.iter_mut().zip(&mut equal).zip(self.planes[plane]) {
                if least >> plane & 1 == 1 {
                    *equal &= bit;
                } else {
                    *above |= *equal & bit;
                    *equal &= !bit;
                }
            }
        }
        std::array::from_fn(|lane| above[lane] | equal[lane])
    }

    /// The number of the person at a position within the words.
    pub(super) fn count_of(&self, position: usize) -> u32 {
        let (lane, shift) = (position / usize::BITS as usize, position % usize::BITS as usize);
        let planes = self.planes[..self.used].iter().enumerate();
        planes.map(|(plane, words)| u32::from(words[lane] >> shift & 1 == 1) << plane).sum()
    }
}

/// Adds two bits to each bit of `sum` and returns the carries.
#[inline]
fn add_two(sum: &mut Words, one: &Words, other: &Words) -> Words {
    let mut carries = [0; LANES];
    for (((sum, one), other), carry) in sum.iter_mut().zip(one).zip(other).zip(&mut carries) {
        let different = *one ^ *other;
        *carry = (*one & *other) | (*sum & different);
        *sum ^= different;
    }
    carries
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::report::PersonSet;

    fn person_set(people: &BTreeSet<u32>) -> PersonSet {
        PersonSet { identified: people.iter().map(|person| *person as usize).collect(), unidentified: 0 }
    }

    proptest! {
        #[test]
        fn people_are_counted_as_by_a_map(
            // People up to several times 64 × LANES, so that sets end in different words.
            days in proptest::collection::vec(proptest::collection::btree_set(0_u32..6000, 0..60), 0..40),
            least in 1_usize..42,
        ) {
            let sets: Vec<PersonSet> = days.iter().map(person_set).collect();
            let mut days_of: BTreeMap<u32, usize> = BTreeMap::new();
            for person in days.iter().flatten() {
                *days_of.entry(*person).or_default() += 1;
            }
            let expected: Vec<usize> =
                days_of.into_iter().filter(|(_, days)| *days >= least).map(|(person, _)| person as usize).collect();

            let views: Vec<PeopleView<'_>> = sets.iter().map(PeopleView::from).collect();
            let everyone = days.iter().flatten().collect::<BTreeSet<_>>().len() as u64;

            prop_assert_eq!(in_any(&views).count_ones(..) as u64, everyone);
            prop_assert_eq!(in_at_least(&views, least).ones().collect::<Vec<_>>(), &expected[..]);
            let counts = DistinctCounts { in_any: everyone, in_at_least: expected.len() as u64 };
            prop_assert_eq!(count_distinct(&views, least), Some(counts));
        }

        #[test]
        fn everyone_on_every_day_is_found_up_to_the_number_of_days(days in 1_usize..300) {
            let everyone = person_set(&(0..70).collect());
            let sets = vec![PeopleView::from(&everyone); days];
            prop_assert_eq!(in_at_least(&sets, days).count_ones(..), 70);
            prop_assert_eq!(in_at_least(&sets, days + 1).count_ones(..), 0);
        }
    }

    #[test]
    fn people_without_an_id_are_counted_on_one_day_only() {
        let anonymous = PersonSet { unidentified: 3, ..PersonSet::default() };
        let view = PeopleView::from(&anonymous);
        assert_eq!(count_distinct(std::slice::from_ref(&view), 1), Some(DistinctCounts { in_any: 3, in_at_least: 3 }));
        assert_eq!(count_distinct(&[view.clone(), view], 2), None);
        assert_eq!(count_distinct(&[], 1), Some(DistinctCounts::default()));
    }
}
