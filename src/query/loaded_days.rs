//! Loaded days: the result of loading a plan, and its options and errors.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::plan::QueryPlan;
use crate::{
    model::{DataScope, Day, DayKey, Geo},
    report::KnownDates,
    source::LoadError,
    store::{DayState, DayStatus, RecordedDay},
    table::{DayMetadata, DayTable},
};

/// When a request should be repeated if the time of the fetch cannot be estimated.
pub const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(10);

/// How long a load may take and whether it may be incomplete.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// The time until which the caller waits.
    pub deadline: Instant,
    /// Whether a result without some of the days is acceptable.
    pub allow_partial: bool,
}

/// The loaded days of a plan, as rows or as digests.
///
/// Only dates that count are in `days`. A date counts if its day counts in every selected geo: otherwise the figures of
/// that date would look like a drop in activity.
#[derive(Debug)]
pub struct LoadedDays<D = DayTable> {
    /// The plan.
    pub plan: QueryPlan,
    /// The loaded days of the dates that count, by day, then geo.
    pub days: Vec<Arc<D>>,
    /// The loaded days of the dates that do not count.
    pub uncounted: Vec<UncountedDay>,
    /// The days that could not be loaded. Empty unless the caller accepts a partial result.
    pub missing: Vec<(DayKey, QueryError)>,
    /// The expected time until the missing days are there that are being fetched. `None` if there are none.
    pub retry_after: Option<Duration>,
    /// The state of each day, in the order of `days`.
    pub states: Vec<DayState>,
    /// When the next day is due for a refresh.
    pub refresh_due_at: Option<Timestamp>,
    /// How the days were obtained.
    pub cache_status: CacheStatus,
}

/// A loaded day of a date that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncountedDay {
    /// The key of the day.
    pub key: DayKey,
    /// Its state. It may be one that counts, if the date does not count in another geo.
    pub state: DayState,
    /// When it was fetched.
    pub fetched_at: Timestamp,
}

/// How the days of a plan were obtained (terms of RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    /// No day had to be fetched from Feishu.
    pub hit: bool,
    /// All days that had to be fetched were already being fetched for another caller.
    pub collapsed: bool,
    /// Some lead days are not stored, so the figures that need them are left out.
    pub lacks_lead_days: bool,
    /// Number of provisional or late days that are due for a refresh. The refresh is in progress or has failed.
    pub stale_days: usize,
    /// Number of stale days whose last refresh failed.
    pub failed_refreshes: usize,
}

impl CacheStatus {
    /// All days were stored, and none is due for a refresh.
    pub const HIT: Self =
        Self { hit: true, collapsed: false, lacks_lead_days: false, stale_days: 0, failed_refreshes: 0 };
}

/// Why days could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Loading a day failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The caller's deadline does not suffice.
    #[error("the days could not be fetched in time")]
    DeadlineExceeded {
        /// The estimated remaining time of the fetch; `None` if it cannot be estimated.
        remaining: Option<Duration>,
        /// Whether the fetch continues without the request. The rows of one person or department are not fetched if no
        /// request waits for them.
        fetch_continues: bool,
    },
    /// The days changed while they were read, several times in a row.
    #[error("the days changed several times while they were read")]
    Changing,
}

impl From<RecordedDay> for UncountedDay {
    fn from(RecordedDay { key, state, fetched_at, .. }: RecordedDay) -> Self {
        Self { key, state, fetched_at }
    }
}

impl<D: DayMetadata> LoadedDays<D> {
    /// No day of the plan yet.
    #[must_use]
    pub const fn empty(plan: QueryPlan) -> Self {
        Self {
            plan,
            days: Vec::new(),
            uncounted: Vec::new(),
            missing: Vec::new(),
            retry_after: None,
            states: Vec::new(),
            refresh_due_at: None,
            cache_status: CacheStatus::HIT,
        }
    }

    /// Adds a day.
    pub(super) fn push(&mut self, day: Arc<D>, status: DayStatus) {
        self.days.push(day);
        self.states.push(status.state);
        self.refresh_due_at = self.refresh_due_at.into_iter().chain(status.refresh_due_at).min();
    }

    /// Adds a lead day, or records that it is not stored.
    pub(super) fn push_lead_day(&mut self, stored: Option<(Arc<D>, DayStatus)>) {
        match stored {
            Some((day, status)) => self.push(day, status),
            None => self.cache_status.lacks_lead_days = true,
        }
    }

    /// Moves the days of dates that do not count out of `days`.
    pub(super) fn exclude_uncounted_dates(&mut self) {
        let mut counting_geos: BTreeMap<Day, usize> = BTreeMap::new();
        for (day, state) in self.days.iter().zip(&self.states) {
            *counting_geos.entry(day.key().day).or_default() += usize::from(state.counts());
        }
        let geos = self.plan.geos.len();
        let days = std::mem::take(&mut self.days).into_iter().zip(std::mem::take(&mut self.states));
        for (day, state) in days {
            if counting_geos.get(&day.key().day) == Some(&geos) {
                self.days.push(day);
                self.states.push(state);
            } else {
                self.uncounted.push(UncountedDay { key: day.key().clone(), state, fetched_at: day.fetched_at() });
            }
        }
    }

    /// Adds the lead days of `other`.
    pub(super) fn append(&mut self, other: Self) {
        self.days.extend(other.days);
        self.states.extend(other.states);
        self.uncounted.extend(other.uncounted);
        self.refresh_due_at = self.refresh_due_at.into_iter().chain(other.refresh_due_at).min();
        self.cache_status.lacks_lead_days |= other.cache_status.lacks_lead_days;
    }

    /// Other data of the same days.
    pub(super) fn map<E>(self, data: impl Fn(&D) -> E) -> LoadedDays<E> {
        LoadedDays {
            days: self.days.iter().map(|day| Arc::new(data(day))).collect(),
            plan: self.plan,
            uncounted: self.uncounted,
            missing: self.missing,
            retry_after: self.retry_after,
            states: self.states,
            refresh_due_at: self.refresh_due_at,
            cache_status: self.cache_status,
        }
    }

    /// The selected days of the dates that count, each with its state.
    pub fn selected(&self) -> impl Iterator<Item = (&Arc<D>, DayState)> {
        let selected = |day: &D| self.plan.range.contains(day.key().day);
        self.days.iter().zip(self.states.iter().copied()).filter(move |(day, _)| selected(day))
    }

    /// The newest selected date that counts. For one person also a date on which the person has no row: there the person has
    /// left, which is known only if the date is looked at.
    #[must_use]
    pub fn newest_date(&self) -> Option<Day> {
        let is_of_person = |key: &DayKey| matches!(key.scope, DataScope::User(_));
        let empty = self.selected_uncounted().filter(|day| day.state == DayState::Empty && is_of_person(&day.key));
        let empty = empty.map(|day| day.key.day);
        self.selected().map(|(day, _)| day.key().day).chain(empty).max()
    }

    /// The selected days of dates that do not count.
    pub fn selected_uncounted(&self) -> impl Iterator<Item = &UncountedDay> {
        self.uncounted.iter().filter(|day| self.plan.range.contains(day.key.day))
    }

    /// The days, by date. Lead days are loaded after the selected ones, and are earlier.
    #[must_use]
    pub fn days_by_date(&self) -> Vec<Arc<D>> {
        let mut days = self.days.clone();
        days.sort_by_key(|day| day.key().day);
        days
    }

    /// When the most recently fetched day was fetched; `None` without days.
    #[must_use]
    pub fn latest_fetch(&self) -> Option<Timestamp> {
        let uncounted = self.uncounted.iter().map(|day| day.fetched_at);
        self.days.iter().map(|day| day.fetched_at()).chain(uncounted).max()
    }

    /// The dates that count, in order, including lead days.
    #[must_use]
    pub fn counted_dates_with_lead_days(&self) -> impl DoubleEndedIterator<Item = Day> {
        let dates: BTreeSet<Day> = self.days.iter().map(|day| day.key().day).collect();
        dates.into_iter()
    }

    /// The dates, including lead days, that are known to have no people in any selected geo.
    #[must_use]
    pub fn empty_dates(&self) -> BTreeSet<Day> {
        let is_empty = |day: &&UncountedDay| day.state == DayState::Empty;
        let mut empty_geos: BTreeMap<Day, usize> = BTreeMap::new();
        for day in self.uncounted.iter().filter(is_empty) {
            *empty_geos.entry(day.key.day).or_default() += 1;
        }
        empty_geos.retain(|_, geos| *geos == self.plan.geos.len());
        empty_geos.into_keys().collect()
    }

    /// The dates, including lead days, whose people are known.
    #[must_use]
    pub fn known_dates(&self) -> KnownDates {
        KnownDates { counted: self.counted_dates_with_lead_days().collect(), empty: self.empty_dates() }
    }

    /// The selected days that could not be loaded.
    pub fn selected_missing(&self) -> impl Iterator<Item = (Geo, Day)> {
        let missing = self.missing.iter().map(|(key, _)| (key.geo, key.day));
        missing.filter(|(_, day)| self.plan.range.contains(*day))
    }

    /// The selected days that are older than the retention.
    pub fn selected_expired(&self) -> impl Iterator<Item = (Geo, Day)> {
        self.plan.expired.iter().copied().filter(|(_, day)| self.plan.range.contains(*day))
    }

    /// The dates, lead days included, that do not count because they are late, missing or expired, or because they do not
    /// count in another geo.
    #[must_use]
    pub fn uncertain_dates(&self) -> BTreeSet<Day> {
        let late = self.uncounted.iter().filter(|day| day.state != DayState::Empty).map(|day| day.key.day);
        let missing = self.missing.iter().map(|(key, _)| key.day);
        late.chain(missing).chain(self.plan.expired.iter().map(|(_, day)| *day)).collect()
    }
}
