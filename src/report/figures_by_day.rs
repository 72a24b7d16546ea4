//! The figures of each day, whichever geos it is put together from.

use std::{collections::BTreeMap, sync::Arc};

use super::figures::{Figures, Sums};
use crate::{
    model::Day,
    table::{Origin, Partition, Selector},
};

/// What adds up, of each day that is there in every geo that was asked for, in order.
pub type SumsByDay = Vec<(Day, Sums)>;

/// The same with the sets of people, which take a hundred times as long to make of a few departments.
pub type FiguresByDay = BTreeMap<Day, Arc<Figures>>;

impl Figures {
    /// The figures of the rows of `day` that `selector` takes.
    #[must_use]
    pub fn of(day: &Partition, selector: &Selector<'_>) -> Self {
        let mut figures = Self::default();
        for row in selector.rows(day) {
            figures.add_person(selector.person_of(day, row), day.flags()[row]);
            figures.sums.add_row(day.flags()[row], |counter| day.counter(counter).get(row));
        }
        figures
    }
}

/// Adds up the sums of each day over the geos; those of one day follow each other. A day that lacks one of the `geos` is
/// left out: it would look like a drop.
#[must_use]
pub fn sums_by_day<D: Origin>(parts: &[&Arc<D>], geos: usize, sums: impl Fn(&D) -> Sums) -> SumsByDay {
    let mut days = Vec::with_capacity(parts.len());
    let whole = parts.chunk_by(|one, other| one.key().day == other.key().day).filter(|day| day.len() == geos);
    for day in whole {
        let mut all = sums(day[0]);
        for part in &day[1..] {
            all.add(&sums(part));
        }
        days.push((day[0].key().day, all));
    }
    days
}

/// Merges the figures of each day over the geos, in any order.
#[must_use]
pub fn figures_by_day(parts: impl Iterator<Item = (Day, Arc<Figures>)>, geos: usize) -> FiguresByDay {
    let mut merged: BTreeMap<Day, (usize, Arc<Figures>)> = BTreeMap::new();
    for (day, part) in parts {
        match merged.get_mut(&day) {
            None => drop(merged.insert(day, (1, part))),
            Some((parts, all)) => {
                *parts += 1;
                Arc::make_mut(all).merge(&part);
            }
        }
    }
    merged.into_iter().filter(|(_, (parts, _))| *parts == geos).map(|(day, (_, all))| (day, all)).collect()
}
