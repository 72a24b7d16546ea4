//! Report input: the days that a report is computed from, as digests.

use std::{borrow::Cow, collections::BTreeSet, num::NonZeroU64, sync::Arc};

use fixedbitset::FixedBitSet;
use sha2::{Digest as _, Sha256};

use super::loaded_days::LoadedDays;
use crate::{
    model::{Day, DayRange},
    report::{
        DayDigest, PeopleByDate, PersonSet, SumsByDay, Suppressed, TrailingCounts, day_figures::RowSums,
        sums_by_day::sums_by_day,
    },
    table::{DayMetadata, Flag, MAX_COUNT, RowSelection},
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
        let days: Vec<&Arc<DayDigest>> = self.selected().map(|(day, _)| day).collect();
        sums_by_day(&days, self.departments(selection).as_ref())
    }

    /// The sums over the selected people by date, including lead days.
    #[must_use]
    pub fn sums_with_lead_days(&self, selection: &RowSelection) -> SumsByDay {
        let days = self.days_by_date();
        sums_by_day(&days.iter().collect::<Vec<_>>(), self.departments(selection).as_ref())
    }

    /// The selected people by date, including lead days.
    #[must_use]
    pub fn people(&self, selection: &RowSelection) -> PeopleByDate {
        PeopleByDate::new(&self.days, self.departments(selection).as_ref())
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
        let hash = self.days.iter().fold(Sha256::new(), |hash, day| {
            let key = day.key();
            let at = key.day.days_since_year_zero().to_le_bytes();
            hash.chain_update(at).chain_update([key.geo as u8]).chain_update(day.hash())
        });
        let hash = hash.finalize();
        std::array::from_fn(|byte| hash[byte])
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
    pub fn visible_counts<'a>(&self, counts: &'a TrailingCounts) -> Cow<'a, TrailingCounts> {
        if self.0.is_empty() { Cow::Borrowed(counts) } else { Cow::Owned(counts.without(&self.0)) }
    }
}
