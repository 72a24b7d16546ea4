//! The rows of a date range in the order of the pages, addressed by index. Only row addresses are held, not rows.

use std::sync::Arc;

use jiff::civil::Date;

use super::production::ProductionState;
use crate::{RowOrder, permutation::Permutation};

/// The people with a row on one day, in ascending order of their numbers.
#[derive(Clone, Debug)]
pub(crate) struct PresentPeople {
    pub(super) day: Date,
    pub(super) state: ProductionState,
    pub(super) people: Arc<[u32]>,
}

/// The address of a row: day and person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowAddress {
    pub(super) day: Date,
    pub(super) state: ProductionState,
    pub(super) person: u32,
}

/// The rows of a date range, in the order of the pages.
#[derive(Debug)]
pub(crate) struct RowSequence {
    days: Vec<PresentPeople>,
    /// For each day, the number of rows on earlier days.
    day_offsets: Vec<usize>,
    total: usize,
    ordering: Ordering,
}

/// The row order, with the data that it needs.
#[derive(Debug)]
enum Ordering {
    ByDate,
    /// For each person, the number of rows of persons with lower numbers; at the end, the total number of rows.
    ByPerson(Vec<usize>),
    Shuffled(Permutation),
}

impl RowSequence {
    /// The rows of `days`, which are in ascending order. `key` is the key of a shuffled order.
    pub(super) fn new(days: Vec<PresentPeople>, order: RowOrder, key: u64) -> Self {
        let offsets = days.iter().scan(0, |rows, day| {
            let offset = *rows;
            *rows += day.people.len();
            Some(offset)
        });
        let day_offsets: Vec<usize> = offsets.collect();
        let total = days.iter().map(|day| day.people.len()).sum();
        let ordering = match order {
            RowOrder::ByDate => Ordering::ByDate,
            RowOrder::ByPerson => Ordering::ByPerson(person_offsets(&days)),
            RowOrder::Shuffled => Ordering::Shuffled(Permutation::covering(key, total as u64)),
        };
        Self { days, day_offsets, total, ordering }
    }

    /// The number of rows.
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.total
    }

    /// The rows of page `page` (from 0), of `size` rows each.
    pub(crate) fn page(&self, page: usize, size: usize) -> impl Iterator<Item = RowAddress> + '_ {
        let first = page.saturating_mul(size).min(self.total);
        (first..first.saturating_add(size).min(self.total)).filter_map(|index| self.row(index))
    }

    /// Whether there are rows after page `page`.
    pub(crate) const fn has_more(&self, page: usize, size: usize) -> bool {
        page.saturating_add(1).saturating_mul(size) < self.total
    }

    fn row(&self, index: usize) -> Option<RowAddress> {
        match &self.ordering {
            Ordering::ByDate => self.by_date(index),
            Ordering::ByPerson(offsets) => self.by_person(offsets, index),
            Ordering::Shuffled(order) => {
                let index = order.apply_below(self.total as u64, index as u64);
                self.by_date(usize::try_from(index).ok()?)
            }
        }
    }

    fn by_date(&self, index: usize) -> Option<RowAddress> {
        let day = self.day_offsets.partition_point(|offset| *offset <= index).checked_sub(1)?;
        let person = *self.days[day].people.get(index - self.day_offsets[day])?;
        Some(self.days[day].address(person))
    }

    fn by_person(&self, offsets: &[usize], index: usize) -> Option<RowAddress> {
        let number = offsets.partition_point(|offset| *offset <= index).checked_sub(1)?;
        let person = u32::try_from(number).ok()?;
        let days = self.days.iter().filter(|day| day.people.binary_search(&person).is_ok());
        days.map(|day| day.address(person)).nth(index - offsets[number])
    }
}

impl PresentPeople {
    const fn address(&self, person: u32) -> RowAddress {
        RowAddress { day: self.day, state: self.state, person }
    }
}

/// The data of [`Ordering::ByPerson`].
fn person_offsets(days: &[PresentPeople]) -> Vec<usize> {
    let last = days.iter().filter_map(|day| day.people.last()).max();
    let mut offsets = vec![0; last.map_or(0, |last| *last as usize + 2)];
    for person in days.iter().flat_map(|day| day.people.iter()) {
        offsets[*person as usize + 1] += 1;
    }
    for person in 1..offsets.len() {
        offsets[person] += offsets[person - 1];
    }
    offsets
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::date::add_days;

    fn sequence(order: RowOrder) -> RowSequence {
        let first: Date = "2026-11-02".parse().expect("a day");
        let people = [vec![0, 2, 3, 5], vec![], vec![2, 5, 6], vec![0, 6]];
        let days = people.into_iter().zip(0..).map(|(people, offset)| PresentPeople {
            day: add_days(first, offset),
            state: ProductionState::default(),
            people: people.into(),
        });
        RowSequence::new(days.collect(), order, 42)
    }

    fn all_rows(sequence: &RowSequence, size: usize) -> Vec<RowAddress> {
        let pages = (0..).take_while(|page| *page == 0 || sequence.has_more(page - 1, size));
        pages.flat_map(|page| sequence.page(page, size).collect::<Vec<_>>()).collect()
    }

    #[rstest]
    fn pages_of_every_size_give_every_row_once(
        #[values(RowOrder::ByDate, RowOrder::ByPerson, RowOrder::Shuffled)] order: RowOrder,
        #[values(1, 2, 3, 4, 9, 60)] size: usize,
    ) {
        let sequence = sequence(order);

        let mut rows = all_rows(&sequence, size);
        rows.sort_by_key(|row| (row.day, row.person));
        rows.dedup();

        assert_eq!(rows.len(), 9);
        assert_eq!(sequence.len(), 9);
    }

    #[test]
    fn ordered_by_person_all_rows_of_a_person_are_adjacent() {
        let people: Vec<u32> = all_rows(&sequence(RowOrder::ByPerson), 4).iter().map(|row| row.person).collect();

        assert_eq!(people, [0, 0, 2, 2, 3, 5, 5, 6, 6]);
    }

    #[test]
    fn a_page_after_the_end_is_empty() {
        assert_eq!(sequence(RowOrder::ByPerson).page(usize::MAX, 60).count(), 0);
    }
}
