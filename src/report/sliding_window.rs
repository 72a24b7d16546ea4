//! Different people in every window of so many days, three unions a day whatever the length.

use fixedbitset::FixedBitSet;

use super::figures::People;

/// Different people in the `length` days that end with each of these consecutive days. `None` where the window begins
/// before the first day, and where an id was withheld in it.
///
/// A window is a stack of days that leave, as unions from each of them to the youngest, and one union of the days that
/// came since. A day joins the second; when the first has run out, it is made anew of all days of the window.
#[must_use]
pub fn distinct_in_windows(days: &[&People], length: usize) -> Vec<Option<u64>> {
    let mut leaving: Vec<FixedBitSet> = Vec::new();
    let mut joined = FixedBitSet::new();
    let mut unknown = 0;
    let mut counts = Vec::with_capacity(days.len());
    for (at, day) in days.iter().enumerate() {
        joined.union_with(&day.known);
        unknown += day.unknown;
        let Some(first) = (at + 1).checked_sub(length) else {
            counts.push(None);
            continue;
        };
        let count =
            || leaving.last().map_or_else(|| joined.count_ones(..), |oldest| oldest.union_count(&joined)) as u64;
        counts.push((unknown == 0).then(count));
        unknown -= days[first].unknown;
        if leaving.pop().is_none() {
            leaving = unions_to_the_last(&days[first + 1..=at]);
            joined.clear();
        }
    }
    counts
}

/// For each day the union from it to the last, the first day's on top.
fn unions_to_the_last(days: &[&People]) -> Vec<FixedBitSet> {
    let mut all = FixedBitSet::new();
    let mut unions = Vec::with_capacity(days.len());
    for day in days.iter().rev() {
        all.union_with(&day.known);
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
        fn every_window_is_counted_as_a_set_would(
            days in proptest::collection::vec((proptest::collection::btree_set(0_u32..30, 0..8), 0_u64..2), 0..40),
            length in 1_usize..12,
        ) {
            let sets: Vec<People> = days.iter().map(|(known, unknown)| {
                let mut people = People { unknown: *unknown, ..People::default() };
                people.known.extend(known.iter().map(|person| *person as usize));
                people
            }).collect();

            let counts = distinct_in_windows(&sets.iter().collect::<Vec<_>>(), length);

            for (at, count) in counts.into_iter().enumerate() {
                let window = (at + 1).checked_sub(length).map(|first| &days[first..=at]);
                let sound = window.filter(|window| window.iter().all(|(_, unknown)| *unknown == 0));
                let naive = sound.map(|window| window.iter().flat_map(|(known, _)| known).collect::<BTreeSet<_>>().len() as u64);
                prop_assert_eq!(count, naive);
            }
        }
    }
}
