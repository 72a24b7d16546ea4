//! Sums of each day over its geos.

use std::sync::Arc;

use fixedbitset::FixedBitSet;

use super::{
    day_figures::RowSums,
    digest::{DayDigest, by_date},
    shared_people::sums_of_day,
};
use crate::{model::Day, table::DayMetadata as _};

/// Sums of each day, in order.
pub type SumsByDay = Vec<(Day, RowSums)>;

/// The sums of each day over the geos, for the rows of these departments, or for all rows if `None`. A person with rows
/// in several geos counts once. Parts of the same day must be adjacent.
#[must_use]
pub fn sums_by_day(parts: &[&Arc<DayDigest>], departments: Option<&FixedBitSet>) -> SumsByDay {
    by_date(parts).map(|day| (day[0].key().day, sums_of_day(day, departments))).collect()
}
