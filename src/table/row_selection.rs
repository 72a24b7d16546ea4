//! Which rows of a day are meant.

use fixedbitset::FixedBitSet;

use super::{
    directory::{PersonNo, Profile, Tables},
    partition::Partition,
    schema::Flag,
};
use crate::model::Scope;

/// What rows must be, in the caller's words. All conditions hold at once; none at all means every row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// In the department with this path, or in one below it; matched on whole segments.
    pub department_path: Option<String>,
    /// Of this person.
    pub user_id: Option<String>,
    /// Active that day, or not.
    pub active: Option<bool>,
}

/// A [`Selection`] worked out against one directory, so that a row costs a few bit tests.
#[derive(Debug)]
pub struct Selector<'a> {
    tables: &'a Tables,
    departments: Option<FixedBitSet>,
    person: Person,
    active: Option<bool>,
}

#[derive(Debug)]
enum Person {
    Anyone,
    Only(PersonNo),
    /// Somebody who has no number, so none of the rows.
    Nobody,
}

impl Selection {
    /// Whether every row is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Works the selection out against a directory.
    #[must_use]
    pub fn against<'a>(&self, tables: &'a Tables) -> Selector<'a> {
        Selector {
            tables,
            departments: self.department_path.as_deref().map(|path| tables.departments_within(path)),
            person: match self.user_id.as_deref() {
                None => Person::Anyone,
                Some(user_id) => tables.person(user_id).map_or(Person::Nobody, Person::Only),
            },
            active: self.active,
        }
    }
}

impl Selector<'_> {
    /// The rows of `day` that are meant, in order.
    pub fn rows<'s>(&'s self, day: &'s Partition) -> impl Iterator<Item = usize> + 's {
        self.rows_from(day, 0)
    }

    /// The same, from row number `first` on.
    pub fn rows_from<'s>(&'s self, day: &'s Partition, first: usize) -> impl Iterator<Item = usize> + 's {
        (first..day.rows()).filter(move |row| self.takes(day, *row))
    }

    /// The number of the person a row is of; `None` where upstream withholds the id.
    #[must_use]
    pub fn person_of(&self, day: &Partition, row: usize) -> Option<PersonNo> {
        self.tables.profile(day.profiles()[row]).person
    }

    /// Whether rows with this profile are meant, as far as that depends on the profile.
    #[must_use]
    pub fn takes_profile(&self, profile: &Profile) -> bool {
        self.is_within(profile) && self.is_person(profile)
    }

    fn takes(&self, day: &Partition, row: usize) -> bool {
        if self.active.is_some_and(|active| day.flags()[row].has(Flag::Active) != active) {
            return false;
        }
        if self.departments.is_none() && matches!(self.person, Person::Anyone) {
            return true;
        }
        let profile = self.tables.profile(day.profiles()[row]);
        // The day of one person has no other rows, though upstream may withhold whose they are.
        let withheld = || profile.person.is_none() && matches!(day.key().scope, Scope::User(_));
        self.is_within(profile) && (self.is_person(profile) || withheld())
    }

    fn is_within(&self, profile: &Profile) -> bool {
        let within = |departments: &FixedBitSet| departments.contains(profile.department as usize);
        self.departments.as_ref().is_none_or(within)
    }

    fn is_person(&self, profile: &Profile) -> bool {
        match self.person {
            Person::Anyone => true,
            Person::Only(person) => profile.person == Some(person),
            Person::Nobody => false,
        }
    }
}
