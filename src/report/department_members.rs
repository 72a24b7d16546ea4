//! The people of one department on one day.

use std::sync::Arc;

use jiff::Timestamp;

use crate::table::PersonNo;

/// Who was in a department, as far as their ids are known, and when they activated their accounts. Most days it is the
/// same as the day before, and then shared with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Crew {
    people: Box<[PersonNo]>,
    /// In seconds of the Unix epoch; [`NEVER`] where the account was not activated.
    activated: Box<[i64]>,
}

/// A person, and the `register_time` that the row of that day tells.
pub type Member = (PersonNo, Option<Timestamp>);

const NEVER: i64 = i64::MIN;

impl Crew {
    /// The crew of these people.
    #[must_use]
    pub fn of(mut members: Vec<Member>) -> Self {
        members.sort_unstable();
        let seconds = |time: Option<Timestamp>| time.map_or(NEVER, Timestamp::as_second);
        let (people, activated): (Vec<_>, Vec<_>) =
            members.into_iter().map(|(person, time)| (person, seconds(time))).unzip();
        Self { people: people.into(), activated: activated.into() }
    }

    /// The same crew, or the `other` where that says the same.
    #[must_use]
    pub fn shared(self, other: Option<&Arc<Self>>) -> Arc<Self> {
        other.filter(|other| ***other == self).map_or_else(|| Arc::new(self), Arc::clone)
    }

    /// The people, by number, ascending.
    #[must_use]
    pub const fn people(&self) -> &[PersonNo] {
        &self.people
    }

    /// Those who have activated their account, and when.
    pub fn activations(&self) -> impl Iterator<Item = (PersonNo, Timestamp)> {
        let known = self.people.iter().zip(&self.activated).filter(|(_, seconds)| **seconds != NEVER);
        known.filter_map(|(person, seconds)| Some((*person, Timestamp::from_second(*seconds).ok()?)))
    }

    /// How many they are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether nobody is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.people) + size_of_val(&*self.activated)
    }
}

/// The crew that each department had last: most are the same day after day, and need to be looked at once.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    latest: Vec<Option<&'a Arc<Crew>>>,
}

impl<'a> Changes<'a> {
    /// Takes note of the crew of a department. Whether it may differ from the one before.
    pub(super) fn note(&mut self, department: u32, crew: &'a Arc<Crew>) -> bool {
        let at = department as usize;
        if self.latest.len() <= at {
            self.latest.resize(at + 1, None);
        }
        let before = self.latest[at].replace(crew);
        !before.is_some_and(|before| Arc::ptr_eq(before, crew))
    }
}
