//! What an answer rests on, as far as those who keep it have to know: when it is another one, and when it may become one.

use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{
    basis::Basis,
    engine::{Engine, Gathered, Supply},
    plan::{Plan, Query, Span},
    sheets::Sheets,
};
use crate::{
    model::{Day, Geo},
    report::Digest,
    store::{Memory, State},
    table::{Origin, Partition},
};

/// What an answer rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Equal for equal days, however often they were fetched; another one as soon as anything differs that an answer
    /// may tell of them.
    pub version: [u8; 32],
    /// When the day that was fetched last was fetched; `None` where there is no day, and where the answer can become another
    /// one without a newer day: days that are missing may be found in the archive, as they were fetched long ago.
    pub fetched_at: Option<Timestamp>,
    /// Until when nothing changes by itself: no day is produced, none is due to be fetched anew. `None`: for ever.
    pub lasts_until: Option<Timestamp>,
    /// Where the days came from.
    pub supply: Supply,
}

/// Days that an answer is made of.
pub trait Grounds {
    /// What an answer that is made of them rests on.
    fn evidence(&self, engine: &Engine, query: &Query) -> Evidence;
}

impl Grounds for Gathered<Partition> {
    fn evidence(&self, engine: &Engine, query: &Query) -> Evidence {
        of_gathered(self, engine, query)
    }
}

impl Grounds for Gathered<Digest> {
    fn evidence(&self, engine: &Engine, query: &Query) -> Evidence {
        of_gathered(self, engine, query)
    }
}

impl Grounds for Basis {
    fn evidence(&self, engine: &Engine, query: &Query) -> Evidence {
        match self {
            Self::Digests(gathered) => of_gathered(gathered, engine, query),
            Self::Rows(gathered) => of_gathered(gathered, engine, query),
        }
    }
}

impl Grounds for Sheets {
    fn evidence(&self, engine: &Engine, query: &Query) -> Evidence {
        self.basis.evidence(engine, query)
    }
}

fn of_gathered<D: Origin>(gathered: &Gathered<D>, engine: &Engine, query: &Query) -> Evidence {
    let (memory, now) = (engine.memory(), engine.now());
    let days = || gathered.days.iter().zip(gathered.states.iter().copied());
    let missing_is_tried_again = (!gathered.missing.is_empty()).then_some(now);
    let changes = [missing_is_tried_again, next_day(&gathered.plan, query, now), next_refresh(days(), memory)];
    let is_whole = gathered.missing.is_empty() && !gathered.supply.without_lead;
    Evidence {
        version: version(gathered),
        fetched_at: gathered.days.iter().map(|day| day.fetched_at()).max().filter(|_| is_whole),
        lasts_until: changes.into_iter().flatten().min().map(|at| at.max(now)),
        supply: gathered.supply,
    }
}

fn version<D: Origin>(gathered: &Gathered<D>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let plan = &gathered.plan;
    for geo in &plan.geos {
        hash.update(mark(b'r', *geo, plan.range.first()));
        hash.update(mark(b'r', *geo, plan.range.last()));
    }
    for (geo, day) in &plan.pending {
        hash.update(mark(b'p', *geo, *day));
    }
    for (key, _) in &gathered.missing {
        hash.update(mark(b'm', key.geo, key.day));
    }
    for (day, state) in gathered.days.iter().zip(&gathered.states) {
        let state = if *state == State::Final { b'f' } else { b'v' };
        hash.update(mark(state, day.key().geo, day.key().day));
        hash.update(day.hash());
        hash.update(day.fetched_at().as_second().to_le_bytes());
    }
    let Supply { stale, failing, .. } = gathered.supply;
    hash.update(stale.to_le_bytes());
    hash.update(failing.to_le_bytes());
    hash.finalize().into()
}

/// What is so of a day, and which day it is.
fn mark(what: u8, geo: Geo, day: Day) -> [u8; 6] {
    let [a, b, c, d] = day.number().to_le_bytes();
    [what, geo as u8, a, b, c, d]
}

/// When the next day is produced that the question is about.
fn next_day(plan: &Plan, query: &Query, now: Timestamp) -> Option<Timestamp> {
    let pending = plan.pending.iter().map(|(geo, day)| geo.produced_at(*day)).min();
    let moves = match query.span {
        Span::Days(_) => None,
        // A period moves on when a day is produced, at the latest; `yesterday` at midnight.
        Span::Period(_) => {
            let at = |at: Timestamp| (at > now).then_some(at);
            let moments = plan.geos.iter().flat_map(|geo| {
                let (today, latest) = (geo.today(now), geo.latest_produced(now));
                [at(geo.starts_at(today.next())), at(geo.produced_at(latest.next()))]
            });
            moments.flatten().min()
        }
    };
    pending.into_iter().chain(moves).min()
}

/// When the next provisional day is due to be fetched anew.
fn next_refresh<'a, D: Origin + 'a>(
    days: impl Iterator<Item = (&'a Arc<D>, State)>,
    memory: &Memory,
) -> Option<Timestamp> {
    days.filter(|(_, state)| *state != State::Final).map(|(day, _)| memory.due_at(&**day)).min()
}
