//! Report input: the days that a report is computed from, as digests.

use std::{num::NonZeroU64, sync::Arc};

use fixedbitset::FixedBitSet;
use sha2::{Digest as _, Sha256};

use super::loaded_days::LoadedDays;
use crate::{
    model::Day,
    report::{
        DayDigest, DepartmentSlice, FiguresByDay, PersonSet, SumsByDay, Suppressed,
        figures_by_day::{figures_by_day, sums_by_day},
    },
    table::{DayMetadata, Flag, PersonIndex, RowSelection},
};

/// The days that a report is computed from, including lead days. For a report on one person, each digest is that of
/// the person's rows.
pub type ReportInput = LoadedDays<DayDigest>;

/// The numbering of people in the sets of people of a report.
#[derive(Debug)]
pub enum PersonNumbering {
    /// The indexes of the dictionary.
    Dictionary,
    /// Dense indexes within the selected department.
    Compact(DepartmentSlice),
}

impl ReportInput {
    /// Whether the selected figures must be suppressed if figures must describe at least `least` people. Figures of one
    /// person always are.
    #[must_use]
    pub fn is_suppressed(&self, selection: &RowSelection, least: Option<NonZeroU64>) -> bool {
        least.is_some_and(|least| {
            selection.user_id.is_some()
                || Suppressed::for_days(&self.days, least).covers(selection.department_path.as_deref())
        })
    }

    /// The sums over the selected people, by selected day.
    #[must_use]
    pub fn sums(&self, selection: &RowSelection) -> SumsByDay {
        let within = self.departments(selection);
        let days: Vec<&Arc<DayDigest>> = self.selected().map(|(day, _)| day).collect();
        sums_by_day(&days, self.plan.geos.len(), |day| day.sums_of(within.as_ref()))
    }

    /// The figures of the selected people by day, including lead days.
    #[must_use]
    pub fn figures(&self, selection: &RowSelection) -> FiguresByDay {
        self.figures_with_numbering(selection).0
    }

    /// The same figures, with the numbering of people in their sets.
    #[must_use]
    pub fn figures_with_numbering(&self, selection: &RowSelection) -> (FiguresByDay, PersonNumbering) {
        let (days, geos) = (self.days.iter(), self.plan.geos.len());
        let Some(departments) = self.departments(selection) else {
            let figures = days.map(|day| (day.key().day, Arc::clone(day.figures())));
            return (figures_by_day(figures, geos), PersonNumbering::Dictionary);
        };
        let mut slice = DepartmentSlice::new(departments);
        let figures = figures_by_day(days.map(|day| (day.key().day, Arc::new(slice.figures(day)))), geos);
        (figures, PersonNumbering::Compact(slice))
    }

    /// Whether some of the selected rows have no user id. With `in_all_geos`, only days that all geos have are
    /// considered.
    #[must_use]
    pub fn has_unidentified_rows(&self, selection: &RowSelection, in_all_geos: bool) -> bool {
        let min_geos = if in_all_geos { self.plan.geos.len() } else { 0 };
        let within = self.departments(selection);
        self.days_with_geos(min_geos).any(|day| day.has_unidentified(within.as_ref()))
    }

    /// The people who were active on `since` or later. Ignores the selection of a department, and includes days that
    /// not all geos have.
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
