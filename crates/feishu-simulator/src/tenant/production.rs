//! In what state upstream has produced each day: late, in part, revised. Days not named here are produced well.

use std::collections::HashMap;

use crate::{
    model::{Day, Geo},
    sim::shared::Shared,
};

/// The days that were not produced well, and those that were revised. What a test does here shows from the next call on.
///
/// The clock has its say besides: before 09:30 of the day after, no day is there at all.
#[derive(Debug, Default)]
pub struct Production {
    states: Shared<HashMap<(Geo, Day), DayState>>,
}

/// How a day stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DayState {
    /// How many rows in a thousand are there.
    pub(crate) permille: u16,
    /// How often the day was revised.
    pub(crate) revision: u16,
}

impl Default for DayState {
    fn default() -> Self {
        Self { permille: 1000, revision: 0 }
    }
}

impl Production {
    /// The day stays empty until it is [finished](Self::finish).
    pub fn late(&self, geo: Geo, day: Day) {
        self.change(geo, day, |state| state.permille = 0);
    }

    /// Only `permille` of a thousand rows (by chance, always the same ones) are there until the day is
    /// [finished](Self::finish).
    pub fn partial(&self, geo: Geo, day: Day, permille: u16) {
        self.change(geo, day, |state| state.permille = permille.min(1000));
    }

    /// All rows of the day are there.
    pub fn finish(&self, geo: Geo, day: Day) {
        self.change(geo, day, |state| state.permille = 1000);
    }

    /// Upstream counts the day again: about a quarter of its people get other figures, in [the truth](super::Tenant::rows_of)
    /// as well.
    pub fn revise(&self, geo: Geo, day: Day) {
        self.change(geo, day, |state| state.revision = state.revision.saturating_add(1));
    }

    pub(crate) fn state(&self, geo: Geo, day: Day) -> DayState {
        self.states.lock().get(&(geo, day)).copied().unwrap_or_default()
    }

    fn change(&self, geo: Geo, day: Day, change: impl FnOnce(&mut DayState)) {
        change(self.states.lock().entry((geo, day)).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_well_until_told_otherwise_and_again_when_finished() {
        let production = Production::default();
        let day: Day = "2026-11-20".parse().expect("a day");

        production.late(Geo::Cn, day);
        production.revise(Geo::Cn, day);
        let (late, elsewhere) = (production.state(Geo::Cn, day), production.state(Geo::Us, day));
        production.finish(Geo::Cn, day);

        assert_eq!((late.permille, late.revision), (0, 1));
        assert_eq!(elsewhere, DayState::default());
        assert_eq!(production.state(Geo::Cn, day), DayState { permille: 1000, revision: 1 });
    }
}
