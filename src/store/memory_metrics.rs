//! The memory's figures for an operator.

use super::{
    freshness::State,
    memory::{Held, Memory},
};
use crate::meter::{Exposition, Label, Meter};

/// What a look into memory found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Hit,
    /// Served, though it is due to be fetched anew.
    Stale,
    Miss,
}

impl Lookup {
    pub(super) const fn of(found: Option<&Held>) -> Self {
        match found {
            Some(Held { due: true, .. }) => Self::Stale,
            Some(_) => Self::Hit,
            None => Self::Miss,
        }
    }
}

impl Label for Lookup {
    const NAME: &'static str = "result";
    const ALL: &'static [Self] = &[Self::Hit, Self::Stale, Self::Miss];

    fn value(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
        }
    }
}

impl Meter for Memory {
    fn write(&self, page: &mut Exposition) {
        let (held, limit) = self.bytes();
        page.counter("feishu_pulse_memory_lookups_total", "Days that were looked for in memory by what was found.")
            .tally(self.lookups());
        page.counter("feishu_pulse_memory_evictions_total", "Days that had to leave memory for others.")
            .value(self.evicted() as f64);
        page.gauge("feishu_pulse_memory_bytes", "Memory that the days held take: rows, digests, months.")
            .value(held as f64);
        page.gauge("feishu_pulse_memory_limit_bytes", "Memory that days may take.").value(limit as f64);
        let (finals, all) = self
            .states()
            .fold((0_u32, 0_u32), |(finals, all), state| (finals + u32::from(state == State::Final), all + 1));
        let mut days =
            page.gauge("feishu_pulse_memory_partitions", "Days that memory holds by whether they can still change.");
        days.labelled(&[("state", "final")], f64::from(finals));
        days.labelled(&[("state", "provisional")], f64::from(all - finals));
    }
}
