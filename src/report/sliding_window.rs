//! Distinct people in sliding windows, with three unions a day regardless of the window length.

use fixedbitset::FixedBitSet;

use super::day_figures::PersonSet;

/// Distinct people in the `length` days that end with each of these consecutive days. `None` if the window begins
/// before the first day, and if it contains a person without an id.
///
/// A window is the union of two parts: a stack of suffix unions over its older days, and one union of its newer days.
/// Each day pops one suffix union and is added to the newer days. If the stack is empty, it is rebuilt from all days of
/// the window.
#[must_use]
pub fn distinct_in_windows(days: &[&PersonSet], length: usize) -> Vec<Option<u64>> {
    let mut older: Vec<FixedBitSet> = Vec::new();
    let mut newer = FixedBitSet::new();
    let mut unidentified = 0;
    let mut counts = Vec::with_capacity(days.len());
    for (at, day) in days.iter().enumerate() {
        newer.union_with(&day.identified);
        unidentified += day.unidentified;
        let Some(first) = (at + 1).checked_sub(length) else {
            counts.push(None);
            continue;
        };
        let count = || older.last().map_or_else(|| newer.count_ones(..), |oldest| oldest.union_count(&newer)) as u64;
        counts.push((unidentified == 0).then(count));
        unidentified -= days[first].unidentified;
        if older.pop().is_none() {
            older = suffix_unions(&days[first + 1..=at]);
            newer.clear();
        }
    }
    counts
}

/// For each day, the union from it to the last day; the first day's union is on top of the stack.
fn suffix_unions(days: &[&PersonSet]) -> Vec<FixedBitSet> {
    let mut all = FixedBitSet::new();
    let mut unions = Vec::with_capacity(days.len());
    for day in days.iter().rev() {
        all.union_with(&day.identified);
        unions.push(all.clone());
    }
    unions
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_count_equals_the_size_of_the_union(
            days in proptest::collection::vec((proptest::collection::btree_set(0_u32..30, 0..8), 0_u64..2), 0..40),
            length in 1_usize..12,
        ) {
            let sets: Vec<PersonSet> = days.iter().map(|(known, unknown)| {
                let mut people = PersonSet { unidentified: *unknown, ..PersonSet::default() };
                people.identified.extend(known.iter().map(|person| *person as usize));
                people
            }).collect();

            let counts = distinct_in_windows(&sets.iter().collect::<Vec<_>>(), length);

            for (at, count) in counts.into_iter().enumerate() {
                let window = (at + 1).checked_sub(length).map(|first| &days[first..=at]);
                let identified = window.filter(|window| window.iter().all(|(_, unknown)| *unknown == 0));
                let naive = identified.map(|window| window.iter().flat_map(|(known, _)| known).collect::<BTreeSet<_>>().len() as u64);
                prop_assert_eq!(count, naive);
            }
        }
    }
}
