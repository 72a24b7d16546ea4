//! The people of one department on one day.

use std::sync::Arc;

use jiff::Timestamp;

use crate::table::PersonIndex;

/// People of a department whose ids are present, with the time at which each activated their account. Consecutive days
/// with equal members share one value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DepartmentMembers {
    people: Box<[PersonIndex]>,
    /// Seconds since the Unix epoch; [`NOT_ACTIVATED`] if the account is not activated.
    activated: Box<[i64]>,
}

/// A person of a department.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DepartmentMember {
    /// The person.
    pub person: PersonIndex,
    /// The `register_time` of that day's row.
    pub register_time: Option<Timestamp>,
}

/// Marks accounts that are not activated.
const NOT_ACTIVATED: i64 = i64::MIN;

impl DepartmentMembers {
    /// The members, in any order.
    #[must_use]
    pub fn new(mut members: Vec<DepartmentMember>) -> Self {
        members.sort_unstable();
        let seconds = |time: Option<Timestamp>| time.map_or(NOT_ACTIVATED, Timestamp::as_second);
        let (people, activated): (Vec<_>, Vec<_>) =
            members.into_iter().map(|member| (member.person, seconds(member.register_time))).unzip();
        Self { people: people.into(), activated: activated.into() }
    }

    /// The same members with other indices, in the order of [`Self::people`].
    #[must_use]
    pub(super) fn with_people(&self, people: Vec<PersonIndex>) -> Self {
        let mut members: Vec<(PersonIndex, i64)> = people.into_iter().zip(self.activated.iter().copied()).collect();
        members.sort_unstable();
        let (people, activated): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        Self { people: people.into(), activated: activated.into() }
    }

    /// Returns `other` if it is equal, so that equal values share memory.
    #[must_use]
    pub fn shared_with(self, other: Option<&Arc<Self>>) -> Arc<Self> {
        other.filter(|other| ***other == self).map_or_else(|| Arc::new(self), Arc::clone)
    }

    /// The people's indices, ascending.
    #[must_use]
    pub const fn people(&self) -> &[PersonIndex] {
        &self.people
    }

    /// People with an activated account, and when they activated it, in seconds since the Unix epoch.
    pub fn activation_seconds(&self) -> impl Iterator<Item = (PersonIndex, i64)> {
        let members = self.people.iter().copied().zip(self.activated.iter().copied());
        members.filter(|(_, seconds)| *seconds != NOT_ACTIVATED)
    }

    /// Number of members.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether there are no members.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Heap size in bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        size_of_val(&*self.people) + size_of_val(&*self.activated)
    }
}

/// Detects days on which a department's members changed. Most departments have the same members for many days, and
/// processing them once is enough.
#[derive(Debug, Default)]
pub(super) struct MembershipChanges<'a> {
    /// By department: the members, and the number of the latest day on which it had them.
    latest: Vec<Option<(&'a Arc<DepartmentMembers>, usize)>>,
    day: usize,
}

impl<'a> MembershipChanges<'a> {
    /// Begins the next day. A department that is not updated on a day has no members on it.
    pub(super) fn next_day(&mut self) {
        self.day += 1;
    }

    /// Records the members of a department on the present day. Returns `false` if they are the same shared value as on the
    /// day before.
    pub(super) fn update(&mut self, department: u32, members: &'a Arc<DepartmentMembers>) -> bool {
        let index = department as usize;
        if self.latest.len() <= index {
            self.latest.resize(index + 1, None);
        }
        let before = self.latest[index].replace((members, self.day));
        !before.is_some_and(|(before, day)| Arc::ptr_eq(before, members) && day + 1 >= self.day)
    }
}
