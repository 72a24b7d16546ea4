//! The production state of days: delayed, partial or revised.

use std::collections::HashMap;

use jiff::civil::Date;
use parking_lot::Mutex;

use crate::TenantGeo;

/// The production states of days. A day without an entry is complete and not revised. A change applies from the next
/// call on.
///
/// Independent of its state, a day has no rows before 09:30 of the next day.
#[derive(Debug, Default)]
pub struct ProductionStates {
    states: Mutex<HashMap<(TenantGeo, Date), ProductionState>>,
}

/// The production state of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProductionState {
    /// Share of the rows that are produced, in thousandths.
    pub(crate) permille: u16,
    /// Number of revisions of the day.
    pub(crate) revision: u16,
}

impl Default for ProductionState {
    fn default() -> Self {
        Self { permille: 1000, revision: 0 }
    }
}

impl ProductionStates {
    /// The day has no rows until it is [completed](Self::complete).
    pub fn delay(&self, geo: TenantGeo, day: Date) {
        self.update(geo, day, |state| state.permille = 0);
    }

    /// The day has about `permille` thousandths of its rows, always the same ones, until it is
    /// [completed](Self::complete).
    pub fn produce_partially(&self, geo: TenantGeo, day: Date, permille: u16) {
        self.update(geo, day, |state| state.permille = permille.min(1000));
    }

    /// The day has all its rows.
    pub fn complete(&self, geo: TenantGeo, day: Date) {
        self.update(geo, day, |state| state.permille = 1000);
    }

    /// Revises the day: about a quarter of its rows get other figures. [`Tenant::rows_of`](super::Tenant::rows_of)
    /// returns the new figures.
    pub fn revise(&self, geo: TenantGeo, day: Date) {
        self.update(geo, day, |state| state.revision = state.revision.saturating_add(1));
    }

    pub(crate) fn state(&self, geo: TenantGeo, day: Date) -> ProductionState {
        self.states.lock().get(&(geo, day)).copied().unwrap_or_default()
    }

    fn update(&self, geo: TenantGeo, day: Date, change: impl FnOnce(&mut ProductionState)) {
        change(self.states.lock().entry((geo, day)).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delayed_day_is_complete_again_after_completion() {
        let production = ProductionStates::default();
        let day: Date = "2026-11-20".parse().expect("a day");

        production.delay(TenantGeo::Cn, day);
        production.revise(TenantGeo::Cn, day);
        let (delayed, other_geo) = (production.state(TenantGeo::Cn, day), production.state(TenantGeo::Us, day));
        production.complete(TenantGeo::Cn, day);

        assert_eq!((delayed.permille, delayed.revision), (0, 1));
        assert_eq!(other_geo, ProductionState::default());
        assert_eq!(production.state(TenantGeo::Cn, day), ProductionState { permille: 1000, revision: 1 });
    }
}
