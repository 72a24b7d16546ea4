//! The people of one department on one day.

use std::{ops::Range, sync::Arc};

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

    /// The people at these positions who have an activated account, and when they activated it, in seconds since the Unix epoch.
    pub(super) fn activations(&self, positions: Range<usize>) -> impl Iterator<Item = (PersonIndex, i64)> {
        let members = self.people[positions.clone()].iter().copied().zip(self.activated[positions].iter().copied());
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

    /// Records the members of a department on the present day, and calls `each` with those who were not in it on the day before.
    pub(super) fn for_each_new(
        &mut self,
        department: u32,
        members: &'a Arc<DepartmentMembers>,
        mut each: impl FnMut(PersonIndex),
    ) {
        self.compare(department, members, |part| {
            if let Part::New(position) = part {
                each(members.people[position]);
            }
        });
    }

    /// Records the members of a department on the present day, and calls `each` with their activated accounts: at least with
    /// those that were not in it on the day before, or had another time of activation.
    pub(super) fn for_each_new_activation(
        &mut self,
        department: u32,
        members: &'a Arc<DepartmentMembers>,
        mut each: impl FnMut(PersonIndex, i64),
    ) {
        let mut record = |positions: Range<usize>| {
            members.activations(positions).for_each(|(person, seconds)| each(person, seconds));
        };
        self.compare(department, members, |part| match part {
            Part::New(position) => record(position..position + 1),
            Part::Same { positions, activated_before } => {
                if members.activated[positions.clone()] != *activated_before {
                    record(positions);
                }
            }
        });
    }

    /// Records the members of a department on the present day, and compares them with those of the day before.
    fn compare(&mut self, department: u32, members: &'a Arc<DepartmentMembers>, each: impl FnMut(Part<'_>)) {
        match self.replace(department, members) {
            Some(before) if Arc::ptr_eq(before, members) => {}
            Some(before) => for_each_part(members, before, each),
            None => (0..members.len()).map(Part::New).for_each(each),
        }
    }

    /// Records the members of a department on the present day. Returns those of the day before, if it had any.
    fn replace(&mut self, department: u32, members: &'a Arc<DepartmentMembers>) -> Option<&'a Arc<DepartmentMembers>> {
        let index = department as usize;
        if self.latest.len() <= index {
            self.latest.resize(index + 1, None);
        }
        let before = self.latest[index].replace((members, self.day));
        before.filter(|(_, day)| day + 1 >= self.day).map(|(before, _)| before)
    }
}

/// A part of the members of a day, compared with those of the day before.
enum Part<'a> {
    /// The member at this position was not there.
    New(usize),
    /// The people at these positions were there, with these times of activation.
    Same { positions: Range<usize>, activated_before: &'a [i64] },
}

/// Calls `each` with all parts of `now`, in order. Most people are in both.
fn for_each_part<'a>(now: &DepartmentMembers, before: &'a DepartmentMembers, mut each: impl FnMut(Part<'a>)) {
    let (mut position, mut before_position) = (0, 0);
    loop {
        let same = common_prefix(&now.people[position..], &before.people[before_position..]);
        if same > 0 {
            let activated_before = &before.activated[before_position..][..same];
            each(Part::Same { positions: position..position + same, activated_before });
        }
        (position, before_position) = (position + same, before_position + same);
        match (now.people.get(position), before.people.get(before_position)) {
            (None, _) => return,
            (Some(person), Some(left)) if left < person => before_position += 1,
            (Some(_), _) => {
                each(Part::New(position));
                position += 1;
            }
        }
    }
}

/// Number of equal people at the beginning.
fn common_prefix(now: &[PersonIndex], before: &[PersonIndex]) -> usize {
    // A comparison of slices takes several people at once.
    let (chunks, _) = now.as_chunks::<32>();
    let (other_chunks, _) = before.as_chunks::<32>();
    let in_chunks = 32 * chunks.iter().zip(other_chunks).take_while(|(chunk, other)| chunk == other).count();
    let rest = now[in_chunks..].iter().zip(&before[in_chunks..]);
    in_chunks + rest.take_while(|(person, other)| person == other).count()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// The members, with the times at which some of them activated their accounts.
    fn members_with_times() -> impl Strategy<Value = BTreeMap<u32, Option<i64>>> {
        let time = proptest::option::of(0_i64..3);
        (members_of_a_day(), proptest::collection::vec(time, 100)).prop_map(|(people, times)| {
            people.into_iter().map(|person| (person, times[person as usize / 40])).collect()
        })
    }

    /// Up to 100 people, of whom a few are missing.
    fn members_of_a_day() -> impl Strategy<Value = BTreeSet<u32>> {
        (0_u32..100, proptest::collection::btree_set(0_u32..100, 0..6))
            .prop_map(|(people, missing)| (0..people).filter(|person| !missing.contains(person)).collect())
    }

    proptest! {
        #[test]
        fn new_members_are_those_who_were_not_there_on_the_day_before(
            days in proptest::collection::vec(proptest::option::of(members_of_a_day()), 1..8),
        ) {
            let member = |person: &u32| DepartmentMember { person: *person, register_time: None };
            let members = |people: &BTreeSet<u32>| Arc::new(DepartmentMembers::new(people.iter().map(member).collect()));
            let days: Vec<_> = days.iter().map(|people| people.as_ref().map(members)).collect();
            let (mut changes, mut before) = (MembershipChanges::default(), BTreeSet::new());
            for day in &days {
                changes.next_day();
                let mut found = Vec::new();
                if let Some(members) = day {
                    changes.for_each_new(3, members, |person| found.push(person));
                }
                let now: BTreeSet<u32> = day.iter().flat_map(|members| members.people()).copied().collect();
                prop_assert_eq!(found, now.difference(&before).copied().collect::<Vec<_>>());
                before = now;
            }
        }

        #[test]
        fn new_activations_are_those_of_new_members_and_those_with_another_time(
            days in proptest::collection::vec(members_with_times(), 1..8),
        ) {
            let member = |(person, seconds): (&u32, &Option<i64>)| DepartmentMember {
                person: *person,
                register_time: seconds.map(|seconds| Timestamp::from_second(seconds).unwrap()),
            };
            let all: Vec<_> =
                days.iter().map(|day| Arc::new(DepartmentMembers::new(day.iter().map(member).collect()))).collect();
            let (mut changes, mut before) = (MembershipChanges::default(), BTreeMap::new());
            for (day, members) in days.iter().zip(&all) {
                let mut found = BTreeMap::new();
                changes.for_each_new_activation(3, members, |person, seconds| {
                    found.insert(person, seconds);
                });
                for (person, seconds) in day {
                    let is_new = before.get(person) != Some(seconds);
                    prop_assert!(!is_new || found.get(person) == seconds.as_ref(), "{}", person);
                }
                let is_known = |(person, seconds): (&u32, &i64)| day.get(person) == Some(&Some(*seconds));
                prop_assert!(found.iter().all(is_known));
                before = day.clone();
            }
        }
    }
}
