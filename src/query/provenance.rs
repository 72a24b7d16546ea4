//! Provenance: the version, age and lifetime of the days behind a response, for validators and caching.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{
    engine::QueryEngine,
    loaded_days::{CacheStatus, LoadedDays, UncountedDay},
    plan::{Query, QueryDates, QueryPlan},
    user_rollups::UserRollups,
};
use crate::{
    model::{Day, DayKey, Geo},
    store::DayState,
    table::DayMetadata,
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
    /// When missing days that are being fetched should be requested again. `None` if no day is being fetched.
    pub retry_after: Option<Duration>,
    /// How the days were obtained.
    pub cache_status: CacheStatus,
}

/// Loaded days that have a provenance.
pub trait HasProvenance {
    /// The provenance of a response that is computed from these days.
    fn provenance(&self, engine: &QueryEngine, query: &Query) -> Provenance;
}

impl<D: DayMetadata> HasProvenance for LoadedDays<D> {
    fn provenance(&self, engine: &QueryEngine, query: &Query) -> Provenance {
        let now = engine.now();
        let retry_of_missing = (!self.missing.is_empty()).then_some(now);
        let expiry = next_expiry(&self.plan, engine, now);
        let changes = [retry_of_missing, next_production(&self.plan, query, now), expiry, self.refresh_due_at];
        let is_complete = self.missing.is_empty() && !self.cache_status.lacks_lead_days;
        Provenance {
            version: version(self),
            fetched_at: self.latest_fetch().filter(|_| is_complete),
            valid_until: changes.into_iter().flatten().min().map(|at| at.max(now)),
            retry_after: self.retry_after,
            cache_status: self.cache_status,
        }
    }
}

impl HasProvenance for UserRollups {
    fn provenance(&self, engine: &QueryEngine, query: &Query) -> Provenance {
        self.input.provenance(engine, query)
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
    for (geo, day) in &plan.expired {
        hash.update(encode_day(b'e', *geo, *day));
    }
    for (key, _) in &loaded.missing {
        hash.update(encode_day(b'm', key.geo, key.day));
    }
    for (day, state) in loaded.days.iter().zip(&loaded.states) {
        hash.update(encode_day(state_tag(*state), day.key().geo, day.key().day));
        hash.update(day.hash());
        hash.update(day.fetched_at().as_second().to_le_bytes());
    }
    // Of these days a response shows only the state and the time.
    for UncountedDay { key, state, fetched_at } in &loaded.uncounted {
        hash.update(encode_day(state_tag(*state), key.geo, key.day));
        hash.update(fetched_at.as_second().to_le_bytes());
    }
    let CacheStatus { stale_days: stale, failed_refreshes: failing, .. } = loaded.cache_status;
    hash.update(stale.to_le_bytes());
    hash.update(failing.to_le_bytes());
    hash.finalize().into()
}

const fn state_tag(state: DayState) -> u8 {
    match state {
        DayState::Pending => b'p',
        DayState::Late => b'l',
        DayState::Provisional => b'v',
        DayState::Final => b'f',
        DayState::Empty => b'0',
    }
}

/// The bytes of a day for the version hash, tagged with its role.
fn encode_day(what: u8, geo: Geo, day: Day) -> [u8; 6] {
    let [a, b, c, d] = day.days_since_year_zero().to_le_bytes();
    [what, geo as u8, a, b, c, d]
}

/// When the next day of the plan expires; `None` if no day expires.
fn next_expiry(plan: &QueryPlan, engine: &QueryEngine, now: Timestamp) -> Option<Timestamp> {
    let expiry = |key: &DayKey| {
        let kept_days = key.geo.today(now).since(engine.oldest_kept(key.geo)?);
        Some(key.geo.starts_at(key.day.plus(kept_days + 1)))
    };
    plan.keys.iter().filter_map(expiry).min()
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
