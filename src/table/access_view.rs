//! Access views: the restricted form of the data that a caller with limited rights receives.
//!
//! A view is applied to a whole day. The result is a separate [`DayTable`] with a separate [`Dictionary`], which
//! contain no hidden data. Everything derived from that day (figures, pages, cursors, hashes, the order of rows) is
//! therefore independent of hidden data.

use std::{ops::Range, sync::Arc};

use fixedbitset::FixedBitSet;

use super::{
    day_table::DayTable,
    day_table_builder::{DayTableBuilder, Row},
    dictionary::{Dictionary, DictionaryTables, is_path_within},
    pseudonymizer::Pseudonymizer,
    schema::Counter,
};
use crate::model::{DataScope, Geo};

/// How many rows are copied from a day before they are added to its view. A copied row takes about 1 KB, and the days of a
/// range are filtered at the same time.
const ROWS_AT_ONCE: usize = 1024;

/// The departments whose people a caller may see, and whether the caller sees pseudonyms instead of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AccessView {
    /// The paths of the visible departments, which include their subdepartments. `None` if all departments are visible.
    /// Sorted, and no path is below another.
    departments: Option<Arc<[Arc<str>]>>,
    pseudonymous: bool,
}

impl AccessView {
    /// A view of the departments with these paths and their subdepartments, or of all departments if `None`. If
    /// `pseudonymous`, people have pseudonyms instead of user ids, and no names.
    #[must_use]
    pub fn new(departments: Option<&[Arc<str>]>, pseudonymous: bool) -> Self {
        Self { departments: departments.map(topmost_paths), pseudonymous }
    }

    /// Whether the view shows all data unchanged.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the view is restricted to some departments.
    #[must_use]
    pub const fn is_department_restricted(&self) -> bool {
        self.departments.is_some()
    }

    /// The paths of the visible departments. `None` if all departments are visible.
    #[must_use]
    pub fn departments(&self) -> Option<&[Arc<str>]> {
        self.departments.as_deref()
    }

    /// Whether people have pseudonyms instead of user ids and names.
    #[must_use]
    pub const fn is_pseudonymous(&self) -> bool {
        self.pseudonymous
    }

    /// The scope of the day that the view is applied to, if a caller requests `scope`.
    ///
    /// A restricted view never uses the day of a single person: Feishu does not know pseudonyms, and its reply for a
    /// user id would reveal whether a person outside the view exists.
    #[must_use]
    pub fn source_scope(&self, scope: &DataScope) -> DataScope {
        match scope {
            DataScope::User(_) if !self.is_unrestricted() => DataScope::Everyone,
            DataScope::User(_) | DataScope::Everyone | DataScope::Department(..) => scope.clone(),
        }
    }

    /// Applies the view to a day. The strings of the result are added to `dictionary`, which must belong to this view
    /// alone.
    ///
    /// Takes several microseconds per row, so it must not run on a thread that serves async tasks.
    #[must_use]
    pub fn apply(
        &self,
        day: &DayTable,
        pseudonymizer: Option<&Pseudonymizer>,
        dictionary: &Arc<Dictionary>,
    ) -> DayTable {
        let visible = self.departments().map(|paths| departments_within_any(&day.dictionary().read(), paths));
        let mut builder = DayTableBuilder::new(day.key().clone(), Arc::clone(dictionary)).quality(day.quality());
        for first in (0..day.row_count()).step_by(ROWS_AT_ONCE) {
            let rows = first..day.row_count().min(first + ROWS_AT_ONCE);
            for row in self.visible_rows(day, rows, visible.as_ref(), pseudonymizer) {
                builder.push(&row);
            }
        }
        builder.finish(day.fetched_at())
    }

    /// Those of `rows` whose department is in `visible`; all if it is `None`.
    fn visible_rows(
        &self,
        day: &DayTable,
        rows: Range<usize>,
        visible: Option<&FixedBitSet>,
        pseudonymizer: Option<&Pseudonymizer>,
    ) -> Vec<Row> {
        let tables = day.dictionary().read();
        let is_visible = |row: &usize| {
            let department = tables.profile(day.profiles()[*row]).department;
            visible.is_none_or(|visible| visible.contains(department as usize))
        };
        rows.filter(is_visible).map(|row| self.visible_row(&tables, day, row, pseudonymizer)).collect()
    }

    fn visible_row(
        &self,
        tables: &DictionaryTables,
        day: &DayTable,
        row: usize,
        pseudonymizer: Option<&Pseudonymizer>,
    ) -> Row {
        let profile = tables.profile(day.profiles()[row]);
        let visible = Row {
            user_id: profile.user_id.as_deref().map(str::to_owned),
            user_name: profile.user_name.to_string(),
            department: (**tables.department(profile.department)).clone(),
            create_time: profile.create_time,
            register_time: profile.register_time,
            last_active_time: day.last_active(row),
            flags: day.flags()[row],
            counters: Counter::ALL.map(|counter| day.counter(counter).get(row)),
            devices: (**tables.devices(day.devices()[row])).clone(),
        };
        if self.pseudonymous { pseudonymize(visible, day.key().geo, pseudonymizer) } else { visible }
    }
}

/// Removes the attributes by which a person could be found in other systems: replaces the user id by a pseudonym,
/// removes the name, and reduces the times of the account to their day, because the exact second is almost unique to an
/// account. Without a `pseudonymizer`, the row has no user id.
fn pseudonymize(row: Row, geo: Geo, pseudonymizer: Option<&Pseudonymizer>) -> Row {
    let start_of_day = |instant: jiff::Timestamp| geo.starts_at(geo.today(instant));
    Row {
        user_id: row.user_id.as_deref().and_then(|id| pseudonymizer.map(|pseudonymizer| pseudonymizer.pseudonym(id))),
        user_name: String::new(),
        create_time: row.create_time.map(start_of_day),
        register_time: row.register_time.map(start_of_day),
        last_active_time: row.last_active_time.map(start_of_day),
        ..row
    }
}

fn departments_within_any(tables: &DictionaryTables, paths: &[Arc<str>]) -> FixedBitSet {
    let sets = paths.iter().map(|path| tables.departments_within(path));
    sets.fold(FixedBitSet::new(), |mut all, set| {
        all.union_with(&set);
        all
    })
}

/// The paths in ascending order, without duplicates and without paths below another path. Views of the same departments
/// are therefore equal.
fn topmost_paths(paths: &[Arc<str>]) -> Arc<[Arc<str>]> {
    let is_below = |path: &str, other: &str| path != other && is_path_within(path, other);
    let mut top: Vec<Arc<str>> =
        paths.iter().filter(|path| !paths.iter().any(|other| is_below(path, other))).cloned().collect();
    top.sort_unstable();
    top.dedup();
    top.into()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        model::{Day, DayKey, UserIdType},
        table::Department,
    };

    fn paths(paths: &[&str]) -> Vec<Arc<str>> {
        paths.iter().map(|path| Arc::from(*path)).collect()
    }

    fn day(people: &[(&str, &str)]) -> DayTable {
        let day = Day::new(2026, 11, 1).unwrap();
        let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
        let mut builder = DayTableBuilder::new(key, Arc::default());
        for (id, path) in people {
            let department = Department { name: "x".into(), path: (*path).into() };
            let register_time = Some("2026-10-01T03:04:05Z".parse().unwrap());
            let (user_id, user_name) = (Some((*id).to_owned()), format!("name of {id}"));
            builder.push(&Row { user_id, user_name, department, register_time, ..Row::default() });
        }
        builder.finish(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn views_of_the_same_departments_are_equal() {
        let view = |departments: &[&str]| AccessView::new(Some(&paths(departments)), false);
        assert_eq!(view(&["b", "a/c", "a", "b"]), view(&["a", "b"]));
        assert_ne!(view(&["a"]), view(&["ab"]));
        assert_ne!(view(&[]), AccessView::default());
    }

    #[test]
    fn a_view_of_departments_does_not_depend_on_other_departments() {
        let view = AccessView::new(Some(&paths(&["总部/研发"])), false);
        let visible = [("b", "总部/研发"), ("d", "总部/研发/平台")];
        let hidden = [("a", "总部"), ("c", "总部/研发二部"), ("e", "x")];
        let (all, visible_only) = (day(&[&visible[..], &hidden[..]].concat()), day(&visible));

        let dictionary = Arc::<Dictionary>::default();
        let result = view.apply(&all, None, &dictionary);

        assert_eq!(result.row_count(), 2);
        assert_eq!(result.hash(), visible_only.hash());
        assert_eq!(dictionary.read().person_count(), 2);
        assert_eq!(dictionary.read().departments().len(), 2);
    }

    #[test]
    fn pseudonymous_rows_have_no_names_and_no_exact_times_and_are_sorted_by_pseudonym() {
        let view = AccessView::new(None, true);
        let pseudonymizer = Pseudonymizer::new(&"key".into());
        let dictionary = Arc::<Dictionary>::default();
        let ids: Vec<String> = (0..20).map(|id| format!("ou_{id:02}")).collect();
        let people: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "总部")).collect();

        let result = view.apply(&day(&people), Some(&pseudonymizer), &dictionary);

        let tables = dictionary.read();
        let profiles: Vec<_> = result.profiles().iter().map(|profile| tables.profile(*profile)).collect();
        assert!(profiles.iter().all(|profile| profile.user_name.is_empty()));
        assert!(profiles.iter().all(|profile| profile.register_time == Some("2026-09-30T16:00:00Z".parse().unwrap())));
        let user_ids: Vec<&str> = profiles.iter().map(|profile| profile.user_id.as_deref().unwrap()).collect();
        assert!(user_ids.is_sorted());
        assert_ne!(user_ids, ids.iter().map(|id| pseudonymizer.pseudonym(id)).collect::<Vec<_>>());
    }
}
