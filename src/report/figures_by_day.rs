//! Figures of each day, merged over geos.

use std::{collections::BTreeMap, sync::Arc};

use fixedbitset::FixedBitSet;

use super::{
    day_figures::{DayFigures, RowSums},
    digest::DayDigest,
    shared_people::sums_of_day,
};
use crate::{model::Day, table::DayMetadata as _};

/// Sums of each day that is available in every requested geo, in order.
pub type SumsByDay = Vec<(Day, RowSums)>;

/// Figures of each day, with sets of people. For a few departments they take about 100 times longer to compute than
/// sums.
pub type FiguresByDay = BTreeMap<Day, Arc<DayFigures>>;

/// The sums of each day over the geos, for the rows of these departments, or for all rows if `None`. A person with rows
/// in several geos counts once. Parts of the same day must be adjacent. A day that lacks one of the `geos` is omitted:
/// its sums would look like a drop in activity.
#[must_use]
pub fn sums_by_day(parts: &[&Arc<DayDigest>], geos: usize, departments: Option<&FixedBitSet>) -> SumsByDay {
    let days = parts.chunk_by(|one, other| one.key().day == other.key().day);
    let complete = days.filter(|day| day.len() == geos);
    complete.map(|day| (day[0].key().day, sums_of_day(day, departments))).collect()
}

/// Merges the figures of each day over the geos. The parts may come in any order. A day that lacks one of the `geos` is
/// omitted.
#[must_use]
pub fn figures_by_day(parts: impl Iterator<Item = (Day, Arc<DayFigures>)>, geos: usize) -> FiguresByDay {
    let mut merged: BTreeMap<Day, (usize, Arc<DayFigures>)> = BTreeMap::new();
    for (day, part) in parts {
        match merged.get_mut(&day) {
            None => drop(merged.insert(day, (1, part))),
            Some((count, figures)) => {
                *count += 1;
                Arc::make_mut(figures).merge(&part);
            }
        }
    }
    merged.into_iter().filter(|(_, (count, _))| *count == geos).map(|(day, (_, figures))| (day, figures)).collect()
}
