//! A person of the tenant, as one of the profiles generates it.

use super::{
    activity::{ActivityProfile, DayUsage, PersonDay},
    device::DeviceFields,
    employment::{Employment, HistoryTime},
    story::StoryPerson,
};

/// With the profile `varied`, the last activity is searched this many days back.
const LAST_ACTIVITY_LOOKBACK_DAYS: i32 = 14;

/// A person. Days are offsets from the first day of the history.
#[derive(Debug)]
pub(super) enum Person<'a> {
    /// A person of the profile `varied`.
    Varied { employment: Employment, profile: ActivityProfile },
    /// A person of the profile `story`.
    Story(StoryPerson<'a>),
}

impl Person<'_> {
    pub(super) const fn employment(&self) -> &Employment {
        match self {
            Self::Varied { employment, .. } => employment,
            Self::Story(person) => person.employment(),
        }
    }

    /// Whether the person is active on the day `offset`.
    pub(super) fn is_active(&self, offset: i32, person_day: PersonDay) -> bool {
        match self {
            Self::Varied { employment, profile } => {
                employment.activated_by(offset).is_some() && person_day.is_active(*profile)
            }
            Self::Story(person) => person.is_active(offset, person_day),
        }
    }

    /// When the person was last active by the end of the day `offset`. Revisions of earlier days are not considered.
    pub(super) fn last_active(&self, offset: i32, today: PersonDay) -> Option<HistoryTime> {
        let candidates = match self {
            Self::Varied { .. } => offset - LAST_ACTIVITY_LOOKBACK_DAYS + 1..=offset,
            Self::Story(person) => person.employment().activated_by(offset)?.day..=offset,
        };
        candidates.rev().find_map(|day| {
            let revision = if day == offset { today.revision } else { 0 };
            let person_day = PersonDay { day: today.day.minus_days(offset - day), revision, ..today };
            let second = || match self {
                Self::Varied { .. } => person_day.last_second(),
                Self::Story(person) => person.last_second(day, person_day),
            };
            self.is_active(day, person_day).then(|| HistoryTime { day, second: second() })
        })
    }

    /// The flags and counters of a day.
    pub(super) fn usage(&self, offset: i32, person_day: PersonDay, active: bool) -> DayUsage {
        match self {
            Self::Varied { profile, .. } => person_day.usage(*profile, active),
            Self::Story(person) => person.usage(offset, person_day, active),
        }
    }

    /// The devices of an active day.
    pub(super) fn devices(&self, offset: i32, person_day: PersonDay) -> DeviceFields {
        match self {
            Self::Varied { .. } => person_day.devices(),
            Self::Story(person) => person.devices(offset, person_day),
        }
    }
}
