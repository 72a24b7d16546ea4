//! Conditions that select rows of a day.

use fixedbitset::FixedBitSet;

use super::{
    day_table::DayTable,
    dictionary::DictionaryTables,
    profile::{PersonIndex, Profile},
    schema::Flag,
};
use crate::model::DataScope;

/// The conditions that a caller sets. A row must meet all of them. Without conditions, all rows are selected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RowSelection {
    /// Selects the people of the department with this path and of its subdepartments. Compares whole segments.
    pub department_path: Option<String>,
    /// Selects the person with this user id.
    pub user_id: Option<String>,
    /// Selects people who were active on that day (`true`) or inactive (`false`).
    pub active: Option<bool>,
}

/// A [`RowSelection`] compiled for one dictionary, so that testing a row is fast.
#[derive(Debug)]
pub struct RowSelector<'a> {
    tables: &'a DictionaryTables,
    departments: Option<FixedBitSet>,
    person: PersonCondition,
    active: Option<bool>,
}

#[derive(Debug)]
enum PersonCondition {
    Any,
    Only(PersonIndex),
    /// A person without an index, who has no rows.
    Unknown,
}

impl RowSelection {
    /// Compiles the conditions for a dictionary.
    #[must_use]
    pub fn compile<'a>(&self, tables: &'a DictionaryTables) -> RowSelector<'a> {
        RowSelector {
            tables,
            departments: self.department_path.as_deref().map(|path| tables.departments_within(path)),
            person: match self.user_id.as_deref() {
                None => PersonCondition::Any,
                Some(user_id) => tables.find_person(user_id).map_or(PersonCondition::Unknown, PersonCondition::Only),
            },
            active: self.active,
        }
    }
}

impl RowSelector<'_> {
    /// The selected rows of `day`, in ascending order.
    pub fn rows<'s>(&'s self, day: &'s DayTable) -> impl Iterator<Item = usize> + 's {
        self.rows_from(day, 0)
    }

    /// The selected rows of `day` from row `first` on, in ascending order.
    pub fn rows_from<'s>(&'s self, day: &'s DayTable, first: usize) -> impl Iterator<Item = usize> + 's {
        (first..day.row_count()).filter(move |row| self.matches_row(day, *row))
    }

    /// The profile of a row.
    #[must_use]
    pub fn profile_of(&self, day: &DayTable, row: usize) -> &Profile {
        self.tables.profile(day.profiles()[row])
    }

    /// Whether there are no conditions on department and person.
    #[must_use]
    pub const fn selects_all_people(&self) -> bool {
        self.departments.is_none() && matches!(self.person, PersonCondition::Any)
    }

    /// Whether a profile meets the conditions on department and person.
    #[must_use]
    pub fn matches_profile(&self, profile: &Profile) -> bool {
        self.matches_department(profile) && self.matches_person(profile)
    }

    fn matches_row(&self, day: &DayTable, row: usize) -> bool {
        if self.active.is_some_and(|active| day.flags()[row].contains(Flag::Active) != active) {
            return false;
        }
        if self.selects_all_people() {
            return true;
        }
        let profile = self.tables.profile(day.profiles()[row]);
        // A day of one person has only rows of that person, even if Feishu omits the user id.
        let is_only_person = || profile.person.is_none() && matches!(day.key().scope, DataScope::User(_));
        self.matches_department(profile) && (self.matches_person(profile) || is_only_person())
    }

    fn matches_department(&self, profile: &Profile) -> bool {
        let within = |departments: &FixedBitSet| departments.contains(profile.department as usize);
        self.departments.as_ref().is_none_or(within)
    }

    fn matches_person(&self, profile: &Profile) -> bool {
        match self.person {
            PersonCondition::Any => true,
            PersonCondition::Only(person) => profile.person == Some(person),
            PersonCondition::Unknown => false,
        }
    }
}
