//! Figures of each day, merged over geos.

use std::{collections::BTreeMap, sync::Arc};

use fixedbitset::FixedBitSet;

use super::{
    day_figures::{DayFigures, RowSums},
    digest::{DayDigest, by_date},
    shared_people::sums_of_day,
};
use crate::{model::Day, table::DayMetadata as _};

/// Sums of each day, in order.
pub type SumsByDay = Vec<(Day, RowSums)>;

/// Figures of each day, with sets of people. For a few departments they take about 100 times longer to compute than
/// sums.
pub type FiguresByDay = BTreeMap<Day, Arc<DayFigures>>;

/// The sums of each day over the geos, for the rows of these departments, or for all rows if `None`. A person with rows
/// in several geos counts once. Parts of the same day must be adjacent.
#[must_use]
pub fn sums_by_day(parts: &[&Arc<DayDigest>], departments: Option<&FixedBitSet>) -> SumsByDay {
    by_date(parts).map(|day| (day[0].key().day, sums_of_day(day, departments))).collect()
}

/// Merges the figures of each day over the geos. The parts may come in any order.
#[must_use]
pub fn figures_by_day(parts: impl Iterator<Item = (Day, Arc<DayFigures>)>) -> FiguresByDay {
    let mut merged = FiguresByDay::new();
    for (day, part) in parts {
        merged
            .entry(day)
            .and_modify(|figures| Arc::make_mut(figures).merge(&part))
            .or_insert_with(|| Arc::clone(&part));
    }
    merged
}
