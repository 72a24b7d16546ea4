//! The figures of each day, whichever geos it is put together from.

use std::{borrow::Cow, collections::BTreeMap};

use super::{activity::FiguresByDay, figures::Figures};
use crate::{
    model::Day,
    table::{Partition, Selector},
};

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

/// Merges the figures of each day over the geos. A day that lacks one of the `geos` is left out: it would look like a
/// drop.
#[must_use]
pub fn by_day<'a>(parts: impl Iterator<Item = (Day, Cow<'a, Figures>)>, geos: usize) -> FiguresByDay<'a> {
    let mut merged: BTreeMap<Day, (usize, Cow<'a, Figures>)> = BTreeMap::new();
    for (day, part) in parts {
        match merged.get_mut(&day) {
            None => drop(merged.insert(day, (1, part))),
            Some((parts, all)) => {
                *parts += 1;
                all.to_mut().merge(&part);
            }
        }
    }
    merged.into_iter().filter(|(_, (parts, _))| *parts == geos).map(|(day, (_, all))| (day, all)).collect()
}
