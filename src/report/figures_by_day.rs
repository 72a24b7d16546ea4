//! Figures of each day, merged over geos.

use std::{collections::BTreeMap, sync::Arc};

use super::day_figures::{DayFigures, RowSums};
use crate::{model::Day, table::DayMetadata};

/// Sums of each day that is available in every requested geo, in order.
pub type SumsByDay = Vec<(Day, RowSums)>;

/// Figures of each day, with sets of people. For a few departments they take about 100 times longer to compute than
/// sums.
pub type FiguresByDay = BTreeMap<Day, Arc<DayFigures>>;

/// Adds up the sums of each day over the geos. Parts of the same day must be adjacent. A day that lacks one of the
/// `geos` is omitted: its sums would look like a drop in activity.
#[must_use]
pub fn sums_by_day<D: DayMetadata>(parts: &[&Arc<D>], geos: usize, sums: impl Fn(&D) -> RowSums) -> SumsByDay {
    let mut days = Vec::with_capacity(parts.len());
    let complete = parts.chunk_by(|one, other| one.key().day == other.key().day).filter(|day| day.len() == geos);
    for day in complete {
        let mut total = sums(day[0]);
        for part in &day[1..] {
            total.add(&sums(part));
        }
        days.push((day[0].key().day, total));
    }
    days
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
