//! The status of accounts: not activated, active, dormant, or left.

use std::sync::{Arc, OnceLock};

use fixedbitset::FixedBitSet;
use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::digest::{DayDigest, has_inactive_rows};
use crate::{
    model::{Day, Geo},
    table::{DayMetadata as _, Flag, PersonIndex},
};

/// After how many days without activity an account counts as dormant, if nothing else is requested.
pub const DEFAULT_DORMANT_AFTER: u16 = 30;

/// The status of an account on the newest date of a range that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum AccountStatus {
    /// There is no row on that date.
    Left,
    /// The account is not activated.
    NeverActivated,
    /// No activity for `dormant_after` days.
    Dormant,
    /// Activity within `dormant_after` days.
    Active,
}

/// For how long a dormant account has had no activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DormantFor {
    /// Less than 30 days. Only if `dormant_after` is less.
    Under30Days,
    /// 30 to 59 days.
    From30Days,
    /// 60 to 89 days.
    From60Days,
    /// 90 to 179 days.
    From90Days,
    /// 180 days or more.
    From180Days,
    /// Feishu names no last activity, and there is none in the range.
    Unknown,
}

/// What the newest row of a person says about the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewestRow {
    /// The date of the row.
    pub day: Day,
    /// The geo of the row.
    pub geo: Geo,
    /// Whether the account is activated.
    pub activated: bool,
    /// Feishu's `last_active_time`.
    pub last_active_time: Option<Timestamp>,
}

/// Judges the status of accounts on the newest date of a range that counts.
#[derive(Clone, Debug)]
pub struct StatusRule {
    newest: Day,
    dormant_after: u16,
    /// Whether Feishu sends rows of inactive people.
    has_inactive_rows: bool,
    /// Whether no row of the newest date lacks its id.
    are_identified: bool,
    /// The days of the range that count, latest first.
    days: Vec<Arc<DayDigest>>,
    /// The latest of the days on which each person was active, by person index. Computed on first use.
    latest_active: OnceLock<Vec<Option<Day>>>,
}

impl NewestRow {
    /// The newest of the rows of a person so far, and one more.
    #[must_use]
    pub fn newest_of(known: Option<Self>, row: Self) -> Self {
        known.map_or(row, |known| known.newer(row))
    }

    /// The newer of two rows of a person. If both are of the same date, in two geos: activated if either is, and the later
    /// `last_active_time`.
    #[must_use]
    pub fn newer(self, other: Self) -> Self {
        let (newer, older) = if other.day >= self.day { (other, self) } else { (self, other) };
        if newer.day > older.day {
            return newer;
        }
        Self {
            activated: newer.activated || older.activated,
            last_active_time: newer.last_active_time.max(older.last_active_time),
            ..newer
        }
    }
}

impl StatusRule {
    /// A rule that judges accounts on the date `newest`. `days` are the days of the range that count, in order.
    #[must_use]
    pub fn new(newest: Day, mut days: Vec<Arc<DayDigest>>, dormant_after: u16) -> Self {
        days.reverse();
        let on_newest = days.iter().take_while(|day| day.key().day == newest);
        let are_identified = on_newest.map(|day| day.figures().present.unidentified).sum::<u64>() == 0;
        Self {
            newest,
            dormant_after,
            has_inactive_rows: has_inactive_rows(&days),
            are_identified,
            days,
            latest_active: OnceLock::new(),
        }
    }

    /// The date on which accounts are judged.
    #[must_use]
    pub const fn newest(&self) -> Day {
        self.newest
    }

    /// Whether Feishu sends rows of inactive people. Without such rows, unused accounts have none.
    #[must_use]
    pub const fn has_inactive_rows(&self) -> bool {
        self.has_inactive_rows
    }

    /// Whether a person without a row on the date has left. Otherwise the status of such a person is unknown.
    #[must_use]
    pub const fn knows_who_left(&self) -> bool {
        self.has_inactive_rows && self.are_identified
    }

    /// The status of the account of this row; `None` if it is unknown. `person` is `None` if the person's id is missing.
    #[must_use]
    pub fn status(&self, person: Option<PersonIndex>, row: NewestRow) -> Option<AccountStatus> {
        Some(if row.day != self.newest {
            return self.knows_who_left().then_some(AccountStatus::Left);
        } else if !row.activated {
            AccountStatus::NeverActivated
        } else if self.is_recent(row.last_active_time.map(|time| row.geo.today(time)))
            || self.is_recent(self.last_active_date(person))
        {
            AccountStatus::Active
        } else {
            AccountStatus::Dormant
        })
    }

    /// For how long a dormant account has had no activity.
    #[must_use]
    pub fn dormant_for(&self, person: Option<PersonIndex>, row: NewestRow) -> DormantFor {
        let last = row.last_active_time.map(|time| row.geo.today(time)).max(self.last_active_date(person));
        match last.map(|last| self.newest.since(last)) {
            None => DormantFor::Unknown,
            Some(..30) => DormantFor::Under30Days,
            Some(30..60) => DormantFor::From30Days,
            Some(60..90) => DormantFor::From60Days,
            Some(90..180) => DormantFor::From90Days,
            Some(180..) => DormantFor::From180Days,
        }
    }

    fn is_recent(&self, last: Option<Day>) -> bool {
        last.is_some_and(|last| self.newest.since(last) < i32::from(self.dormant_after))
    }

    /// The latest of the days on which the person was active.
    fn last_active_date(&self, person: Option<PersonIndex>) -> Option<Day> {
        let latest_active = self.latest_active.get_or_init(|| latest_active_dates(&self.days));
        latest_active.get(person? as usize).copied().flatten()
    }
}

/// The latest of the days on which each person was active, by person index. `days` begin with the latest.
fn latest_active_dates(days: &[Arc<DayDigest>]) -> Vec<Option<Day>> {
    let (mut dates, mut seen) = (Vec::new(), FixedBitSet::new());
    for digest in days {
        let active = &digest.figures().people_with(Flag::Active).identified;
        dates.resize(dates.len().max(active.len()), None);
        let mut not_seen = active.clone();
        not_seen.difference_with(&seen);
        for person in not_seen.ones() {
            dates[person] = Some(digest.key().day);
        }
        seen.union_with(active);
    }
    dates
}

impl AccountStatus {
    /// The name in parameters and responses.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl DormantFor {
    /// The number of durations.
    pub const COUNT: usize = 6;

    /// The index in arrays of length [`Self::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}
