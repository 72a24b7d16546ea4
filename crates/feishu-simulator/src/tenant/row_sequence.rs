//! All rows of a span in their order, addressed by place, without holding a single row.

use std::sync::Arc;

use super::production::DayState;
use crate::{
    model::Day,
    sim::{RowOrder, permutation::Permutation},
};

/// The people with a row on one day, in ascending order of their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    pub(super) day: Day,
    pub(super) state: DayState,
    pub(super) people: Arc<[u32]>,
}

/// A row by its address: whose it is, and which day's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowAddress {
    pub(super) day: Day,
    pub(super) state: DayState,
    pub(super) person: u32,
}

/// The rows of a span, in the order in which pages give them.
#[derive(Debug)]
pub(crate) struct Chain {
    rosters: Vec<Roster>,
    /// How many rows come before each roster's, by date.
    starts: Vec<usize>,
    total: usize,
    arrangement: Arrangement,
}

#[derive(Debug)]
enum Arrangement {
    ByDate,
    /// How many rows come before each person's; one more at the end.
    ByPerson(Vec<usize>),
    Shuffled(Permutation),
}

impl Chain {
    /// The chain of `rosters`, which come in order of their days. `key` decides how a shuffled chain is shuffled.
    pub(super) fn new(rosters: Vec<Roster>, order: RowOrder, key: u64) -> Self {
        let starts = rosters.iter().scan(0, |before, roster| {
            let start = *before;
            *before += roster.people.len();
            Some(start)
        });
        let starts: Vec<usize> = starts.collect();
        let total = rosters.iter().map(|roster| roster.people.len()).sum();
        let arrangement = match order {
            RowOrder::ByDate => Arrangement::ByDate,
            RowOrder::ByPerson => Arrangement::ByPerson(starts_by_person(&rosters)),
            RowOrder::Shuffled => Arrangement::Shuffled(Permutation::covering(key, total as u64)),
        };
        Self { rosters, starts, total, arrangement }
    }

    /// How many rows the chain has.
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.total
    }

    /// The rows of page `page` (from 0), of `size` rows each.
    pub(crate) fn page(&self, page: usize, size: usize) -> impl Iterator<Item = RowAddress> + '_ {
        let first = page.saturating_mul(size).min(self.total);
        (first..first.saturating_add(size).min(self.total)).filter_map(|place| self.row(place))
    }

    /// Whether there are rows after page `page`.
    pub(crate) const fn has_more(&self, page: usize, size: usize) -> bool {
        page.saturating_add(1).saturating_mul(size) < self.total
    }

    fn row(&self, place: usize) -> Option<RowAddress> {
        match &self.arrangement {
            Arrangement::ByDate => self.by_date(place),
            Arrangement::ByPerson(starts) => self.by_person(starts, place),
            Arrangement::Shuffled(order) => {
                let place = order.within(self.total as u64, place as u64);
                self.by_date(usize::try_from(place).ok()?)
            }
        }
    }

    fn by_date(&self, place: usize) -> Option<RowAddress> {
        let roster = self.starts.partition_point(|start| *start <= place).checked_sub(1)?;
        let person = *self.rosters[roster].people.get(place - self.starts[roster])?;
        Some(self.rosters[roster].address(person))
    }

    fn by_person(&self, starts: &[usize], place: usize) -> Option<RowAddress> {
        let number = starts.partition_point(|start| *start <= place).checked_sub(1)?;
        let person = u32::try_from(number).ok()?;
        let days = self.rosters.iter().filter(|roster| roster.people.binary_search(&person).is_ok());
        days.map(|roster| roster.address(person)).nth(place - starts[number])
    }
}

impl Roster {
    const fn address(&self, person: u32) -> RowAddress {
        RowAddress { day: self.day, state: self.state, person }
    }
}

/// Sums up, person after person, how many rows those before had.
fn starts_by_person(rosters: &[Roster]) -> Vec<usize> {
    let last = rosters.iter().filter_map(|roster| roster.people.last()).max();
    let mut starts = vec![0; last.map_or(0, |last| *last as usize + 2)];
    for person in rosters.iter().flat_map(|roster| roster.people.iter()) {
        starts[*person as usize + 1] += 1;
    }
    for person in 1..starts.len() {
        starts[person] += starts[person - 1];
    }
    starts
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn chain(order: RowOrder) -> Chain {
        let first: Day = "2026-11-02".parse().expect("a day");
        let people = [vec![0, 2, 3, 5], vec![], vec![2, 5, 6], vec![0, 6]];
        let rosters = people.into_iter().zip(0..).map(|(people, offset)| Roster {
            day: first.plus(offset),
            state: DayState::default(),
            people: people.into(),
        });
        Chain::new(rosters.collect(), order, 42)
    }

    fn walk(chain: &Chain, size: usize) -> Vec<RowAddress> {
        let pages = (0..).take_while(|page| *page == 0 || chain.has_more(page - 1, size));
        pages.flat_map(|page| chain.page(page, size).collect::<Vec<_>>()).collect()
    }

    #[rstest]
    fn pages_of_every_size_give_every_row_once(
        #[values(RowOrder::ByDate, RowOrder::ByPerson, RowOrder::Shuffled)] order: RowOrder,
        #[values(1, 2, 3, 4, 9, 60)] size: usize,
    ) {
        let chain = chain(order);

        let mut rows = walk(&chain, size);
        rows.sort_by_key(|row| (row.day, row.person));
        rows.dedup();

        assert_eq!(rows.len(), 9);
        assert_eq!(chain.len(), 9);
    }

    #[test]
    fn by_person_all_days_of_one_person_come_together() {
        let people: Vec<u32> = walk(&chain(RowOrder::ByPerson), 4).iter().map(|row| row.person).collect();

        assert_eq!(people, [0, 0, 2, 2, 3, 5, 5, 6, 6]);
    }

    #[test]
    fn a_page_behind_the_end_is_empty() {
        assert_eq!(chain(RowOrder::ByPerson).page(usize::MAX, 60).count(), 0);
    }
}
