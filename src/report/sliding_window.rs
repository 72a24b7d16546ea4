//! Distinct people in sliding windows, with three unions a day regardless of the window length.

use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};

use super::people_view::{LANES, PeopleView, Words, count_ones, max_word_count};

/// Smallest number of steps of [`LANES`] words that a processor takes. With fewer than twice this number, which are 65,536 people, all are
/// counted on one.
const MIN_STEPS_PER_THREAD: usize = 64;

/// Counts the people of some words in windows of `N` lengths.
struct WindowCounter<const N: usize> {
    lengths: [usize; N],
    /// Of each length, the people in the window that ends with each day.
    counts: [Vec<u64>; N],
    /// The same words of each day.
    words: Vec<Words>,
    /// Unions of days, for one length at a time.
    unions: Vec<Words>,
}

/// Distinct people in the `length` days that end with each of these consecutive days, for each of the `lengths`. `None` if
/// the window begins before the first day, and if it contains a person without an id. A length is at least 1.
///
/// The days are divided into runs of `length` days (van Herk's algorithm). A window is the union of the last days of one
/// run and the first days of the next, and both unions grow by one day at a time. A few words of the bitmaps of all days
/// fit the CPU's cache, so the bitmaps are read once for all lengths.
#[must_use]
pub fn distinct_in_windows<const N: usize>(days: &[PeopleView<'_>], lengths: [usize; N]) -> [Vec<Option<u64>>; N] {
    let no_one = || WindowCounter::new(days.len(), lengths);
    let steps = 0..max_word_count(days).div_ceil(LANES);
    let counted = steps.into_par_iter().with_min_len(MIN_STEPS_PER_THREAD).fold(no_one, |mut counter, step| {
        counter.add(days, step * LANES);
        counter
    });
    let WindowCounter { counts, .. } = counted.reduce_with(WindowCounter::merge).unwrap_or_else(no_one);
    let unidentified: Vec<bool> = days.iter().map(|day| day.unidentified > 0).collect();
    let mut index = 0..N;
    counts.map(|counts| {
        let length = index.next().map_or(1, |index| lengths[index]);
        let known = |(at, count): (usize, u64)| {
            let window = (at + 1).checked_sub(length).map(|first| &unidentified[first..=at]);
            window.is_some_and(|window| !window.contains(&true)).then_some(count)
        };
        counts.into_iter().enumerate().map(known).collect()
    })
}

impl<const N: usize> WindowCounter<N> {
    fn new(days: usize, lengths: [usize; N]) -> Self {
        let words = vec![[0; LANES]; days];
        Self { lengths, counts: lengths.map(|_| vec![0; days]), unions: words.clone(), words }
    }

    /// Adds the people of the words from number `first` on.
    fn add(&mut self, days: &[PeopleView<'_>], first: usize) {
        for (words, day) in self.words.iter_mut().zip(days) {
            *words = day.words(first);
        }
        for (counts, length) in self.counts.iter_mut().zip(self.lengths) {
            add_counts(&self.words, length, &mut self.unions, counts);
        }
    }

    /// Adds the counts of other words.
    fn merge(mut self, other: Self) -> Self {
        for (count, other) in self.counts.iter_mut().flatten().zip(other.counts.into_iter().flatten()) {
            *count += other;
        }
        self
    }
}

/// Adds the people of the words to the `counts` of the windows that end with each day. `unions` is overwritten.
fn add_counts(days: &[Words], length: usize, unions: &mut [Words], counts: &mut [u64]) {
    // From each day to the last day of its run.
    for (run, unions) in days.chunks(length).zip(unions.chunks_mut(length)) {
        let mut all = [0; LANES];
        for (day, union) in run.iter().zip(unions).rev() {
            unite(&mut all, day);
            *union = all;
        }
    }
    // From the first day of a run to each day.
    let mut newer = [0; LANES];
    for (at, (day, count)) in days.iter().zip(counts).enumerate() {
        if at % length == 0 {
            newer = [0; LANES];
        }
        unite(&mut newer, day);
        if let Some(first) = (at + 1).checked_sub(length) {
            let mut window = unions[first];
            unite(&mut window, &newer);
            *count += u64::from(count_ones(&window));
        }
    }
}

fn unite(all: &mut Words, words: &Words) {
    for (all, word) in all.iter_mut().zip(words) {
        *all |= word;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::report::PersonSet;

    proptest! {
        #[test]
        fn every_count_equals_the_size_of_the_union(
            days in proptest::collection::vec((proptest::collection::btree_set(0_u32..200_000, 0..8), 0_u64..2), 0..40),
            lengths in proptest::array::uniform2(1_usize..12),
        ) {
            let sets: Vec<PersonSet> = days.iter().map(|(known, unknown)| {
                let mut people = PersonSet { unidentified: *unknown, ..PersonSet::default() };
                people.identified.extend(known.iter().map(|person| *person as usize));
                people
            }).collect();

            let counts = distinct_in_windows(&sets.iter().map(PeopleView::from).collect::<Vec<_>>(), lengths);

            for (counts, length) in counts.into_iter().zip(lengths) {
                prop_assert_eq!(counts.len(), days.len());
                for (at, count) in counts.into_iter().enumerate() {
                    let window = (at + 1).checked_sub(length).map(|first| &days[first..=at]);
                    let identified = window.filter(|window| window.iter().all(|(_, unknown)| *unknown == 0));
                    let naive = identified.map(|window| window.iter().flat_map(|(known, _)| known).collect::<BTreeSet<_>>().len() as u64);
                    prop_assert_eq!(count, naive);
                }
            }
        }
    }
}
