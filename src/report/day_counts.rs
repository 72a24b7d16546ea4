//! People who are in at least a number of sets, such as the active people of several days.
//!
//! The sets are bitmaps, and the days of each person are counted in bit slices: plane `p` of the counter holds bit `p` of
//! the number of days of every person. One machine word of a plane belongs to 64 people, and adding a day takes a few
//! logical operations for all of them, so no person is looked at individually.

use fixedbitset::FixedBitSet;

use super::day_figures::PersonSet;

/// Words that are processed together. The compiler turns a loop over them into vector instructions.
const LANES: usize = 8;

/// Planes of a counter: enough for 65,536 days.
const MAX_PLANES: usize = 16;

/// Several adjacent words of a bitmap.
type Words = [usize; LANES];

/// Distinct people who are in at least `least` of these sets. `None` if there are several sets and a person's id is missing,
/// because the same person may be in the sets more than once.
#[must_use]
pub fn count_in_at_least(days: &[&PersonSet], least: usize) -> Option<u64> {
    if let [only] = days {
        return Some(if least <= 1 { only.count() } else { 0 });
    }
    let are_identified = days.iter().all(|day| day.unidentified == 0);
    are_identified.then(|| in_at_least(days, least).count_ones(..) as u64)
}

/// The people with an id who are in at least `least` of these sets. `least` is at least 1 and at most 65,536.
#[must_use]
pub fn in_at_least(days: &[&PersonSet], least: usize) -> FixedBitSet {
    let word_count = days.iter().map(|day| day.identified.as_slice().len()).max().unwrap_or(0);
    // Each counter begins at 2^planes − least, so the set number `least` makes it overflow.
    let planes = usize::BITS as usize - least.saturating_sub(1).leading_zeros() as usize;
    let start = (1_usize << planes) - least.max(1);
    let first_plane = |plane: usize| if start >> plane & 1 == 1 { [usize::MAX; LANES] } else { [0; LANES] };
    let mut words = Vec::with_capacity(word_count + LANES);
    for first in (0..word_count).step_by(LANES) {
        let mut counters: [Words; MAX_PLANES] = std::array::from_fn(first_plane);
        let mut overflowed = [0; LANES];
        for day in days {
            let mut carry = words_from(&day.identified, first);
            for plane in &mut counters[..planes] {
                for (bit, carry) in plane.iter_mut().zip(&mut carry) {
                    (*bit, *carry) = (*bit ^ *carry, *bit & *carry);
                }
            }
            for (overflowed, carry) in overflowed.iter_mut().zip(carry) {
                *overflowed |= carry;
            }
        }
        words.extend(overflowed);
    }
    words.truncate(word_count);
    FixedBitSet::with_capacity_and_blocks(word_count * usize::BITS as usize, words)
}

/// The words from number `first` on; beyond the end they are 0.
fn words_from(people: &FixedBitSet, first: usize) -> Words {
    let rest = people.as_slice().get(first..).unwrap_or_default();
    if let Some(words) = rest.first_chunk() {
        return *words;
    }
    let mut words = [0; LANES];
    words[..rest.len()].copy_from_slice(rest);
    words
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn person_set(people: &BTreeSet<u32>) -> PersonSet {
        PersonSet { identified: people.iter().map(|person| *person as usize).collect(), unidentified: 0 }
    }

    proptest! {
        #[test]
        fn people_are_counted_as_by_a_map(
            // People up to several times 64 × LANES, so that sets end in different words.
            days in proptest::collection::vec(proptest::collection::btree_set(0_u32..1500, 0..60), 0..40),
            least in 1_usize..42,
        ) {
            let sets: Vec<PersonSet> = days.iter().map(person_set).collect();
            let mut days_of: BTreeMap<u32, usize> = BTreeMap::new();
            for person in days.iter().flatten() {
                *days_of.entry(*person).or_default() += 1;
            }
            let expected: Vec<usize> =
                days_of.into_iter().filter(|(_, days)| *days >= least).map(|(person, _)| person as usize).collect();

            let found = in_at_least(&sets.iter().collect::<Vec<_>>(), least);

            prop_assert_eq!(found.ones().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn everyone_on_every_day_is_found_up_to_the_number_of_days(days in 1_usize..300) {
            let everyone = person_set(&(0..70).collect());
            let sets = vec![&everyone; days];
            prop_assert_eq!(in_at_least(&sets, days).count_ones(..), 70);
            prop_assert_eq!(in_at_least(&sets, days + 1).count_ones(..), 0);
        }
    }

    #[test]
    fn people_without_an_id_are_counted_on_one_day_only() {
        let anonymous = PersonSet { unidentified: 3, ..PersonSet::default() };
        assert_eq!(count_in_at_least(&[&anonymous], 1), Some(3));
        assert_eq!(count_in_at_least(&[&anonymous, &anonymous], 2), None);
        assert_eq!(count_in_at_least(&[], 1), Some(0));
    }
}
