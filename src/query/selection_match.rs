//! Selection match: whether a query selects a row of the loaded days, and which departments these days have.

use std::{collections::BTreeSet, num::NonZeroU64, sync::Arc};

use fixedbitset::FixedBitSet;

use super::{
    engine::QueryEngine, loaded_days::LoadedDays, plan::Query, report_input::ReportInput, user_rollups::UserRollups,
};
use crate::{
    model::{DataScope, Day, DayKey, DayRange, Geo, UserIdType},
    report::{DayDigest, Suppressed},
    source::{DayData as _, Depth},
    store::DayState,
    table::{DayMetadata, DayTable, Dictionary, RowSelection, dictionary::ends_of_levels},
};

/// Loaded days in which the rows of a selection can be looked for.
pub trait SelectableDays {
    /// The data of a day.
    type Data: DayMetadata;

    /// The loaded days.
    fn loaded_days(&self) -> &LoadedDays<Self::Data>;

    /// Whether a selected day has a row of the selected department and person. The condition on activity is ignored.
    fn has_match(&self, selection: &RowSelection) -> bool;

    /// The paths of the departments of the selected days and of their parents. With `min_people`, without departments
    /// whose figures are suppressed.
    fn department_paths(&self, min_people: Option<NonZeroU64>) -> BTreeSet<Arc<str>>;
}

impl Query {
    /// Whether the query selects a department or a person.
    #[must_use]
    pub const fn selects_part(&self) -> bool {
        let RowSelection { department_path, user_id, .. } = &self.selection;
        department_path.is_some() || user_id.is_some() || matches!(self.scope, DataScope::Department(..))
    }
}

impl<D: DayMetadata> LoadedDays<D> {
    /// The selected days that can have rows which are not in the answer: late, missing and expired ones, and those of
    /// dates that do not count in another geo.
    #[must_use]
    pub fn selected_days_left_out(&self) -> Vec<(Geo, Day)> {
        let late = self.selected_uncounted().filter(|day| day.state != DayState::Empty);
        let late = late.map(|day| (day.key.geo, day.key.day));
        let mut days: Vec<_> = late.chain(self.selected_missing()).chain(self.selected_expired()).collect();
        days.sort_unstable_by_key(|(geo, day)| (*day, *geo));
        days
    }

    /// Whether some selected days are not there, so that a selection without rows can have rows on those days.
    #[must_use]
    pub fn lacks_selected_days(&self) -> bool {
        !self.plan.pending.is_empty() || !self.selected_days_left_out().is_empty()
    }
}

impl SelectableDays for LoadedDays {
    type Data = DayTable;

    fn loaded_days(&self) -> &Self {
        self
    }

    fn has_match(&self, selection: &RowSelection) -> bool {
        let Some(first) = self.days.first() else { return false };
        let tables = first.dictionary().read();
        let selection = RowSelection { active: None, ..selection.clone() };
        let selector = selection.compile(&tables);
        self.selected().any(|(day, _)| selector.rows(day).next().is_some())
    }

    /// Callers who may see rows may see the figures of all departments, so `min_people` does not apply.
    fn department_paths(&self, _: Option<NonZeroU64>) -> BTreeSet<Arc<str>> {
        let Some(first) = self.days.first() else { return BTreeSet::new() };
        let tables = first.dictionary().read();
        let profiles = self.selected().flat_map(|(day, _)| day.profiles());
        let departments = profiles.map(|profile| tables.profile(*profile).department as usize).collect();
        drop(tables);
        paths_with_parents(&departments, first.dictionary())
    }
}

impl SelectableDays for ReportInput {
    type Data = DayDigest;

    fn loaded_days(&self) -> &Self {
        self
    }

    /// For one person, the digests contain only the rows of that person.
    fn has_match(&self, selection: &RowSelection) -> bool {
        let within = self.departments(selection);
        self.selected().any(|(day, _)| day.sums_of(within.as_ref()).users > 0)
    }

    fn department_paths(&self, min_people: Option<NonZeroU64>) -> BTreeSet<Arc<str>> {
        let Some(first) = self.days.first() else { return BTreeSet::new() };
        let selected: Vec<Arc<DayDigest>> = self.selected().map(|(day, _)| Arc::clone(day)).collect();
        let departments = selected.iter().flat_map(|day| day.departments());
        let departments = departments.map(|department| department.department as usize).collect();
        let mut paths = paths_with_parents(&departments, first.dictionary());
        if let Some(min_people) = min_people {
            let suppressed = Suppressed::for_days(&selected, min_people);
            paths.retain(|path| !suppressed.covers(Some(path)));
        }
        paths
    }
}

impl SelectableDays for UserRollups {
    type Data = DayDigest;

    fn loaded_days(&self) -> &ReportInput {
        &self.input
    }

    fn has_match(&self, selection: &RowSelection) -> bool {
        self.input.has_match(selection)
    }

    fn department_paths(&self, min_people: Option<NonZeroU64>) -> BTreeSet<Arc<str>> {
        self.input.department_paths(min_people)
    }
}

impl QueryEngine {
    /// The paths of the departments, and of their parents, of those of the latest `days` days that are in memory or in the
    /// archive. `None` if none of them has rows. Fetches nothing.
    pub async fn stored_department_paths(&self, geo: Geo, days: u16) -> Option<BTreeSet<Arc<str>>> {
        let range = DayRange::ending(geo.latest_produced(self.now()), days);
        let key = |user_id_type, day| DayKey { geo, user_id_type, scope: DataScope::Everyone, day };
        for user_id_type in UserIdType::ALL {
            let keys: Vec<DayKey> = range.days().map(|day| key(user_id_type, day)).collect();
            let stored = self.source().stored(&keys, Depth::Digest).await;
            let digests = stored.into_iter().flatten().filter_map(|day| DayDigest::from_loaded(day).ok());
            let digests: Vec<Arc<DayDigest>> = digests.collect();
            let departments = digests.iter().flat_map(|digest| digest.departments());
            let departments: FixedBitSet = departments.map(|department| department.department as usize).collect();
            if let Some(first) = digests.first().filter(|_| !departments.is_clear()) {
                return Some(paths_with_parents(&departments, first.dictionary()));
            }
        }
        None
    }
}

/// The paths of these departments and of their parents.
fn paths_with_parents(departments: &FixedBitSet, dictionary: &Dictionary) -> BTreeSet<Arc<str>> {
    let tables = dictionary.read();
    let mut paths = BTreeSet::new();
    for department in departments.ones().filter_map(|index| u32::try_from(index).ok()) {
        let path = &tables.department(department).path;
        for end in ends_of_levels(path) {
            if !paths.contains(&path[..end]) {
                paths.insert(path[..end].into());
            }
        }
    }
    paths
}
