//! Report input: the days that a report is computed from, as digests, or as rows for reports on one person.

use std::{num::NonZeroU64, ops::Deref, sync::Arc};

use fixedbitset::FixedBitSet;
use sha2::{Digest as _, Sha256};

use super::{loaded_days::LoadedDays, plan::QueryPlan};
use crate::{
    model::Day,
    report::{
        DayDigest, DayFigures, DepartmentSlice, FiguresByDay, PersonSet, SumsByDay, Suppressed,
        figures_by_day::{figures_by_day, sums_by_day},
    },
    table::{DayMetadata, DayTable, Flag, PersonIndex, RowSelection},
};

/// The days that a report is computed from, including lead days.
#[derive(Debug)]
pub enum ReportInput {
    /// Digests of the days of everyone, or of a department that is named by its id.
    Digests(LoadedDays<DayDigest>),
    /// Rows, for reports on one person.
    Rows(LoadedDays),
}

/// The numbering of people in the sets of people of a report.
#[derive(Debug)]
pub enum PersonNumbering {
    /// The indexes of the dictionary.
    Dictionary,
    /// Dense indexes within the selected department.
    Compact(DepartmentSlice),
}

impl ReportInput {
    /// The plan whose days were loaded.
    #[must_use]
    pub const fn plan(&self) -> &QueryPlan {
        match self {
            Self::Digests(loaded) => &loaded.plan,
            Self::Rows(loaded) => &loaded.plan,
        }
    }

    /// Which departments must be suppressed so that no figure describes fewer than `min_people` people. `None` means
    /// that everything must be suppressed, because the rows describe one person.
    #[must_use]
    pub fn suppressed(&self, min_people: NonZeroU64) -> Option<Suppressed> {
        match self {
            Self::Digests(loaded) => Some(Suppressed::for_days(&loaded.days, min_people)),
            Self::Rows(_) => None,
        }
    }

    /// Whether the selected figures must be suppressed if figures must describe at least `min_people` people.
    #[must_use]
    pub fn is_suppressed(&self, selection: &RowSelection, min_people: Option<NonZeroU64>) -> bool {
        let Some(min_people) = min_people else { return false };
        self.suppressed(min_people).is_none_or(|suppressed| suppressed.covers(selection.department_path.as_deref()))
    }

    /// The sums over the selected people, by selected day. Ignores `selection.active`. For rows, the sums are taken
    /// from `figures`, which must be of the same selection.
    #[must_use]
    pub fn sums(&self, selection: &RowSelection, figures: &impl Deref<Target = FiguresByDay>) -> SumsByDay {
        match self {
            Self::Digests(loaded) => {
                let within = loaded.departments(selection);
                let days: Vec<&Arc<DayDigest>> = loaded.selected().map(|(day, _)| day).collect();
                sums_by_day(&days, loaded.plan.geos.len(), |day| day.sums_of(within.as_ref()))
            }
            Self::Rows(loaded) => {
                let range = loaded.plan.range;
                let days = figures.range(range.first()..=range.last());
                days.map(|(day, figures)| (*day, figures.sums)).collect()
            }
        }
    }

    /// The figures of the selected people by day, including lead days.
    #[must_use]
    pub fn figures(&self, selection: &RowSelection) -> FiguresByDay {
        self.figures_with_numbering(selection).0
    }

    /// The same figures, with the numbering of people in their sets.
    #[must_use]
    pub fn figures_with_numbering(&self, selection: &RowSelection) -> (FiguresByDay, PersonNumbering) {
        let geos = self.plan().geos.len();
        match self {
            Self::Digests(loaded) => {
                let (figures, numbering) = figures_of_digests(loaded, selection);
                (figures_by_day(figures.into_iter(), geos), numbering)
            }
            Self::Rows(loaded) => {
                (figures_by_day(figures_of_rows(&loaded.days, selection), geos), PersonNumbering::Dictionary)
            }
        }
    }

    /// Whether some of the selected rows have no user id. With `in_all_geos`, only days that all geos have are
    /// considered.
    #[must_use]
    pub fn has_unidentified_rows(&self, selection: &RowSelection, in_all_geos: bool) -> bool {
        let min_geos = if in_all_geos { self.plan().geos.len() } else { 0 };
        match self {
            Self::Digests(loaded) => {
                let within = loaded.departments(selection);
                loaded.days_with_geos(min_geos).any(|day| day.has_unidentified(within.as_ref()))
            }
            Self::Rows(loaded) => {
                let mut days = loaded.days_with_geos(min_geos).filter(|day| !day.has_all_user_ids());
                days.any(|day| figures_of_day(day, selection).present.unidentified > 0)
            }
        }
    }

    /// The people who were active on `since` or later. Ignores the selection, and includes days that not all geos have.
    #[must_use]
    pub fn active_since(&self, since: Day) -> FixedBitSet {
        match self {
            Self::Digests(loaded) => {
                let days = loaded.days.iter().filter(|day| day.key().day >= since);
                PersonSet::union_of(days.map(|day| day.figures().people_with(Flag::Active))).identified
            }
            Self::Rows(loaded) => {
                let days = loaded.days.iter().filter(|day| day.key().day >= since);
                let figures: Vec<_> = days.map(|day| figures_of_day(day, &RowSelection::default())).collect();
                PersonSet::union_of(figures.iter().map(|figures| figures.people_with(Flag::Active))).identified
            }
        }
    }

    /// A short hash of the data of these days.
    #[must_use]
    pub fn version(&self) -> [u8; 8] {
        let hash = self.hash().finalize();
        std::array::from_fn(|byte| hash[byte])
    }

    /// A hash of the data of these days, to which callers can append more.
    pub(super) fn hash(&self) -> Sha256 {
        fn hash<'a, D: DayMetadata + 'a>(days: impl Iterator<Item = &'a Arc<D>>) -> Sha256 {
            days.fold(Sha256::new(), |hash, day| {
                let key = day.key();
                let at = key.day.days_since_year_zero().to_le_bytes();
                hash.chain_update(at).chain_update([key.geo as u8]).chain_update(day.hash())
            })
        }
        match self {
            Self::Digests(loaded) => hash(loaded.days.iter()),
            Self::Rows(loaded) => hash(loaded.days.iter()),
        }
    }
}

impl LoadedDays<DayDigest> {
    /// The indexes of the selected department and its subdepartments; `None` if no department is selected.
    #[must_use]
    pub fn departments(&self, selection: &RowSelection) -> Option<FixedBitSet> {
        let path = selection.department_path.as_deref()?;
        self.days.first().map(|day| day.dictionary().read().departments_within(path))
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

fn figures_of_digests(
    loaded: &LoadedDays<DayDigest>,
    selection: &RowSelection,
) -> (Vec<(Day, Arc<DayFigures>)>, PersonNumbering) {
    let days = loaded.days.iter();
    let Some(departments) = loaded.departments(selection) else {
        return (days.map(|day| (day.key().day, Arc::clone(day.figures()))).collect(), PersonNumbering::Dictionary);
    };
    let mut slice = DepartmentSlice::new(departments);
    let figures = days.map(|day| (day.key().day, Arc::new(slice.figures(day)))).collect();
    (figures, PersonNumbering::Compact(slice))
}

fn figures_of_rows(days: &[Arc<DayTable>], selection: &RowSelection) -> impl Iterator<Item = (Day, Arc<DayFigures>)> {
    days.iter().map(|day| (day.key().day, Arc::new(figures_of_day(day, selection))))
}

/// The figures of the selected people on one day.
pub(super) fn figures_of_day(day: &DayTable, selection: &RowSelection) -> DayFigures {
    DayFigures::from_rows(day, &selection.compile(&day.dictionary().read()))
}
