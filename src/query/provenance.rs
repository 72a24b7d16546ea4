//! Provenance: the version, age and lifetime of the days behind a response, for validators and caching.

use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{
    engine::QueryEngine,
    loaded_days::{CacheStatus, LoadedDays},
    plan::{Query, QueryDates, QueryPlan},
    report_input::ReportInput,
    user_rollups::UserRollups,
};
use crate::{
    model::{Day, Geo},
    report::DayDigest,
    store::{DayState, Memory},
    table::{DayMetadata, DayTable},
};

/// The origin of the data of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// A hash of everything about the days that a response may show.
    pub version: [u8; 32],
    /// The latest fetch time of the days. `None` if there is no day, or if days are missing: those may be found later
    /// in the archive with an older fetch time, so the response can change although this time does not.
    pub fetched_at: Option<Timestamp>,
    /// Before this time, no day is produced and none is due for a refresh. `None` means no limit.
    pub valid_until: Option<Timestamp>,
    /// How the days were obtained.
    pub cache_status: CacheStatus,
}

/// Loaded days that have a provenance.
pub trait HasProvenance {
    /// The provenance of a response that is computed from these days.
    fn provenance(&self, engine: &QueryEngine, query: &Query) -> Provenance;
}

impl HasProvenance for LoadedDays<DayTable> {
    fn provenance(&self, engine: &QueryEngine, query: &Query) -> Provenance {
        provenance_of(self, engine, query)
    }
}

impl HasProvenance for LoadedDays<DayDigest> {
    fn provenance(&self, engine: &QueryEngine, query: &Query) -> Provenance {
        provenance_of(self, engine, query)
    }
}

impl HasProvenance for ReportInput {
    fn provenance(&self, engine: &QueryEngine, query: &Query) -> Provenance {
        match self {
            Self::Digests(loaded) => provenance_of(loaded, engine, query),
            Self::Rows(loaded) => provenance_of(loaded, engine, query),
        }
    }
}

impl HasProvenance for UserRollups {
    fn provenance(&self, engine: &QueryEngine, query: &Query) -> Provenance {
        self.input.provenance(engine, query)
    }
}

fn provenance_of<D: DayMetadata>(loaded: &LoadedDays<D>, engine: &QueryEngine, query: &Query) -> Provenance {
    let (memory, now) = (engine.memory(), engine.now());
    let days = || loaded.days.iter().zip(loaded.states.iter().copied());
    let retry_of_missing = (!loaded.missing.is_empty()).then_some(now);
    let changes = [retry_of_missing, next_production(&loaded.plan, query, now), next_refresh(days(), memory)];
    let is_complete = loaded.missing.is_empty() && !loaded.cache_status.lacks_lead_days;
    Provenance {
        version: version(loaded),
        fetched_at: loaded.days.iter().map(|day| day.fetched_at()).max().filter(|_| is_complete),
        valid_until: changes.into_iter().flatten().min().map(|at| at.max(now)),
        cache_status: loaded.cache_status,
    }
}

fn version<D: DayMetadata>(loaded: &LoadedDays<D>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let plan = &loaded.plan;
    for geo in &plan.geos {
        hash.update(encode_day(b'r', *geo, plan.range.first()));
        hash.update(encode_day(b'r', *geo, plan.range.last()));
    }
    for (geo, day) in &plan.pending {
        hash.update(encode_day(b'p', *geo, *day));
    }
    for (key, _) in &loaded.missing {
        hash.update(encode_day(b'm', key.geo, key.day));
    }
    for (day, state) in loaded.days.iter().zip(&loaded.states) {
        let state = if *state == DayState::Final { b'f' } else { b'v' };
        hash.update(encode_day(state, day.key().geo, day.key().day));
        hash.update(day.hash());
        hash.update(day.fetched_at().as_second().to_le_bytes());
    }
    let CacheStatus { stale_days: stale, failed_refreshes: failing, .. } = loaded.cache_status;
    hash.update(stale.to_le_bytes());
    hash.update(failing.to_le_bytes());
    hash.finalize().into()
}

/// The bytes of a day for the version hash, tagged with its role.
fn encode_day(what: u8, geo: Geo, day: Day) -> [u8; 6] {
    let [a, b, c, d] = day.days_since_year_zero().to_le_bytes();
    [what, geo as u8, a, b, c, d]
}

/// When the days of the query next change because a day is produced or a new day begins.
fn next_production(plan: &QueryPlan, query: &Query, now: Timestamp) -> Option<Timestamp> {
    let pending = plan.pending.iter().map(|(geo, day)| geo.produced_at(*day)).min();
    let range_changes_at = match query.dates {
        QueryDates::Days(_) => None,
        // A period moves when a day is produced; `yesterday` moves at midnight.
        QueryDates::Period(_) => {
            let at = |at: Timestamp| (at > now).then_some(at);
            let changes = plan.geos.iter().flat_map(|geo| {
                let (today, latest) = (geo.today(now), geo.latest_produced(now));
                [at(geo.starts_at(today.next())), at(geo.produced_at(latest.next()))]
            });
            changes.flatten().min()
        }
    };
    pending.into_iter().chain(range_changes_at).min()
}

/// When the next provisional day is due for a refresh.
fn next_refresh<'a, D: DayMetadata + 'a>(
    days: impl Iterator<Item = (&'a Arc<D>, DayState)>,
    memory: &Memory,
) -> Option<Timestamp> {
    days.filter(|(_, state)| *state != DayState::Final).map(|(day, _)| memory.refresh_due_at(&**day)).min()
}
