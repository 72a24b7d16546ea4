//! Loaded days: the result of loading a plan, and its options and errors.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::plan::QueryPlan;
use crate::{
    model::{Day, DayKey, Geo},
    source::LoadError,
    store::{DayState, DayStatus},
    table::{DayMetadata, DayTable},
};

/// How long a load may take and whether it may be incomplete.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// The time until which the caller waits.
    pub deadline: Instant,
    /// Whether a result without some of the days is acceptable.
    pub allow_partial: bool,
}

/// The loaded days of a plan, as rows or as digests.
#[derive(Debug)]
pub struct LoadedDays<D = DayTable> {
    /// The plan.
    pub plan: QueryPlan,
    /// The days that were loaded, by day, then geo.
    pub days: Vec<Arc<D>>,
    /// The days that could not be loaded. Empty unless the caller accepts a partial result.
    pub missing: Vec<(DayKey, QueryError)>,
    /// The state of each day, in the order of `days`.
    pub states: Vec<DayState>,
    /// When the next day is due for a refresh.
    pub refresh_due_at: Option<Timestamp>,
    /// How the days were obtained.
    pub cache_status: CacheStatus,
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
    /// Number of provisional days that are due for a refresh. The refresh is in progress or has failed.
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
    /// The caller's deadline does not suffice. The fetch continues in the background.
    #[error("the days could not be fetched in time; the fetch continues in the background")]
    DeadlineExceeded {
        /// The estimated remaining time of the fetch; `None` if it cannot be estimated.
        remaining: Option<Duration>,
    },
}

impl<D: DayMetadata> LoadedDays<D> {
    /// No day of the plan yet.
    #[must_use]
    pub const fn empty(plan: QueryPlan) -> Self {
        Self {
            plan,
            days: Vec::new(),
            missing: Vec::new(),
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

    /// Adds the lead days of `other`.
    pub(super) fn append(&mut self, other: Self) {
        self.days.extend(other.days);
        self.states.extend(other.states);
        self.refresh_due_at = self.refresh_due_at.into_iter().chain(other.refresh_due_at).min();
        self.cache_status.lacks_lead_days |= other.cache_status.lacks_lead_days;
    }

    /// Other data of the same days.
    pub(super) fn map<E>(self, data: impl Fn(&D) -> E) -> LoadedDays<E> {
        LoadedDays {
            days: self.days.iter().map(|day| Arc::new(data(day))).collect(),
            plan: self.plan,
            missing: self.missing,
            states: self.states,
            refresh_due_at: self.refresh_due_at,
            cache_status: self.cache_status,
        }
    }

    /// The days that are loaded for at least `geos` geos.
    pub fn days_with_geos(&self, geos: usize) -> impl Iterator<Item = &Arc<D>> {
        let by_day = self.days.chunk_by(|one, other| one.key().day == other.key().day);
        by_day.filter(move |day| day.len() >= geos).flatten()
    }

    /// The selected days that were loaded, each with its state.
    pub fn selected(&self) -> impl Iterator<Item = (&Arc<D>, DayState)> {
        let selected = |day: &D| self.plan.range.contains(day.key().day);
        self.days.iter().zip(self.states.iter().copied()).filter(move |(day, _)| selected(day))
    }

    /// The selected days that could not be loaded.
    pub fn selected_missing(&self) -> impl Iterator<Item = (Geo, Day)> {
        let missing = self.missing.iter().map(|(key, _)| (key.geo, key.day));
        missing.filter(|(_, day)| self.plan.range.contains(*day))
    }
}
