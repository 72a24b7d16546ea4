//! Report input: the days that a report is computed from, as digests.

use std::{collections::BTreeSet, num::NonZeroU64, sync::Arc};

use fixedbitset::FixedBitSet;
use sha2::{Digest as _, Sha256};

use super::loaded_days::LoadedDays;
use crate::{
    model::{Day, DayRange},
    report::{
        DayDigest, DepartmentSlice, FiguresByDay, PersonSet, SumsByDay, Suppressed, TrailingCounts,
        day_figures::RowSums,
        figures_by_day::{figures_by_day, sums_by_day},
    },
    table::{DayMetadata, Flag, MAX_COUNT, PersonIndex, RowSelection},
};

/// The days that a report is computed from, including lead days. For a report on one person, each digest is that of
/// the person's rows.
pub type ReportInput = LoadedDays<DayDigest>;

/// The days whose figures are suppressed.
///
/// Figures of a range are suppressed if one of its own days is. A lead day only suppresses the trailing figures whose
/// window contains it, so the figures of the range do not depend on which lead days are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuppressedDays(BTreeSet<Day>);

/// The numbering of people in the sets of people of a report.
#[derive(Debug)]
pub enum PersonNumbering {
    /// The indexes of the dictionary.
    Dictionary,
    /// Dense indexes within the selected department.
    Compact(DepartmentSlice),
}

impl ReportInput {
    /// The days, lead days included, whose figures must be suppressed if figures must describe at least `least` people.
    /// Figures of one person always are.
    #[must_use]
    pub fn suppressed_days(&self, selection: &RowSelection, least: Option<NonZeroU64>) -> SuppressedDays {
        let Some(least) = least else { return SuppressedDays::default() };
        let covers = |suppressed: &Suppressed| {
            selection.user_id.is_some() || suppressed.covers(selection.department_path.as_deref())
        };
        let by_day = Suppressed::by_day(&self.days, least).into_iter();
        SuppressedDays(by_day.filter(|(_, suppressed)| covers(suppressed)).map(|(day, _)| day).collect())
    }

    /// The sums over the selected people, by selected day.
    #[must_use]
    pub fn sums(&self, selection: &RowSelection) -> SumsByDay {
        let within = self.departments(selection);
        let days: Vec<&Arc<DayDigest>> = self.selected().map(|(day, _)| day).collect();
        sums_by_day(&days, within.as_ref())
    }

    /// The figures of the selected people by day, including lead days.
    #[must_use]
    pub fn figures(&self, selection: &RowSelection) -> FiguresByDay {
        self.figures_with_numbering(selection).0
    }

    /// The same figures, with the numbering of people in their sets.
    #[must_use]
    pub fn figures_with_numbering(&self, selection: &RowSelection) -> (FiguresByDay, PersonNumbering) {
        let days = self.days.iter();
        let Some(departments) = self.departments(selection) else {
            let figures = days.map(|day| (day.key().day, Arc::clone(day.figures())));
            return (figures_by_day(figures), PersonNumbering::Dictionary);
        };
        let mut slice = DepartmentSlice::new(departments);
        let figures = figures_by_day(days.map(|day| (day.key().day, Arc::new(slice.figures(day)))));
        (figures, PersonNumbering::Compact(slice))
    }

    /// Whether some of the selected rows have no user id.
    #[must_use]
    pub fn has_unidentified_rows(&self, selection: &RowSelection) -> bool {
        let within = self.departments(selection);
        self.days.iter().any(|day| day.has_unidentified(within.as_ref()))
    }

    /// Whether a sum over the selected days can exceed [`MAX_COUNT`].
    #[must_use]
    pub fn exceeds_max_sum(&self) -> bool {
        let mut total = RowSums::default();
        self.selected().for_each(|(day, _)| total.add_counters(&day.figures().sums));
        total.counters.iter().any(|sum| *sum > MAX_COUNT)
    }

    /// The people who were active on `since` or later. Ignores the selection of a department.
    #[must_use]
    pub fn active_since(&self, since: Day) -> FixedBitSet {
        let days = self.days.iter().filter(|day| day.key().day >= since);
        PersonSet::union_of(days.map(|day| day.figures().people_with(Flag::Active))).identified
    }

    /// The indexes of the selected department and its subdepartments; `None` if no department is selected.
    #[must_use]
    pub fn departments(&self, selection: &RowSelection) -> Option<FixedBitSet> {
        let path = selection.department_path.as_deref()?;
        self.days.first().map(|day| day.dictionary().read().departments_within(path))
    }
}

impl<D: DayMetadata> LoadedDays<D> {
    /// A short hash of the data of these days.
    #[must_use]
    pub fn version(&self) -> [u8; 8] {
        let hash = self.hash().finalize();
        std::array::from_fn(|byte| hash[byte])
    }

    /// A hash of the data of these days, to which callers can append more.
    pub(super) fn hash(&self) -> Sha256 {
        self.days.iter().fold(Sha256::new(), |hash, day| {
            let key = day.key();
            let at = key.day.days_since_year_zero().to_le_bytes();
            hash.chain_update(at).chain_update([key.geo as u8]).chain_update(day.hash())
        })
    }
}

impl SuppressedDays {
    /// Whether the figures of a range are suppressed.
    #[must_use]
    pub fn cover(&self, range: DayRange) -> bool {
        self.0.range(range.first()..=range.last()).next().is_some()
    }

    /// The trailing counts that are not suppressed.
    #[must_use]
    pub fn visible_counts(&self, counts: &Arc<TrailingCounts>) -> Arc<TrailingCounts> {
        if self.0.is_empty() { Arc::clone(counts) } else { Arc::new(counts.without(&self.0)) }
    }
}

impl PersonNumbering {
    /// The index of a person; `None` if the person is in none of the sets.
    #[must_use]
    pub fn index_of(&self, person: PersonIndex) -> Option<PersonIndex> {
        match self {
            Self::Dictionary => Some(person),
            Self::Compact(slice) => slice.dense_index(person),
        }
    }
}
