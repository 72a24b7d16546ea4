//! The simulated tenant: its people, its departments, and the truth about every day.
//!
//! Nothing is stored but the seed. A row is computed from (seed, geo, person, day) by hashing, so that a hundred
//! thousand people cost no more to start than ten; only the lists of who is there on a day are kept once made.

mod activity;
mod badge;
mod chain;
mod department;
mod device;
mod life;
mod names;
mod people;
mod production;
mod truth;

use std::{collections::HashMap, hash::Hash, sync::Arc};

use jiff::Timestamp;

use self::{
    badge::Badges,
    chain::Roster,
    people::{People, Place},
    production::DayState,
};
pub(crate) use self::{
    chain::{Chain, RowAddress},
    people::Filter,
};
pub use self::{
    department::Department,
    production::Production,
    truth::{Counters, TruthRow},
};
use super::{RowOrder, SimConfig, chance::mix, shared::Shared};
use crate::model::{Day, DayRange, DepartmentIdType, Geo, UserIdType};

/// The simulated tenant.
#[derive(Debug)]
pub struct Tenant {
    seed: u64,
    places: Vec<Place>,
    people: People,
    production: Production,
    order: RowOrder,
    rosters: Recent<RosterKey, Arc<[u32]>>,
    chains: Recent<Vec<RosterKey>, Arc<Chain>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct RosterKey {
    geo: Geo,
    day: Day,
    filter: Filter,
    state: DayState,
}

/// What was made lately. When it holds as much as it may, it starts over.
#[derive(Debug)]
struct Recent<K, V> {
    most: usize,
    kept: Shared<HashMap<K, V>>,
}

impl Tenant {
    /// The tenant of a configuration, whose history ends with the latest day produced by `now`.
    #[must_use]
    pub fn new(config: &SimConfig, now: Timestamp) -> Self {
        let first_day = |geo: Geo| DayRange::ending(geo.latest_produced(now), config.days).first();
        Self {
            seed: config.seed,
            places: config.geos.iter().map(|geo| Place { geo: *geo, first_day: first_day(*geo) }).collect(),
            people: People::new(config),
            production: Production::default(),
            order: config.row_order,
            rosters: Recent::holding(512),
            chains: Recent::holding(64),
        }
    }

    /// The geos that are enabled; the first is the tenant's own.
    pub fn geos(&self) -> impl Iterator<Item = Geo> + '_ {
        self.places.iter().map(|place| place.geo)
    }

    /// The first day of a geo's history; `None` where the geo is not enabled. There are no rows before it.
    #[must_use]
    pub fn first_day(&self, geo: Geo) -> Option<Day> {
        self.place(geo).map(|place| place.first_day)
    }

    /// All departments; each comes after the one above it.
    #[must_use]
    pub fn departments(&self) -> &[Department] {
        self.people.departments().all()
    }

    /// In what state each day was produced.
    #[must_use]
    pub fn production(&self) -> &Production {
        &self.production
    }

    /// The truth about a day: all its rows, in the order of the people's numbers, after the latest revision, and
    /// whether or not upstream has produced them yet.
    #[must_use]
    pub fn rows_of(&self, geo: Geo, day: Day) -> Vec<TruthRow> {
        let DayState { revision, .. } = self.production.state(geo, day);
        self.rows_in(geo, day, DayState { revision, ..DayState::default() })
    }

    /// What upstream would give of a day when it is past 09:30: fewer rows than the truth while the day is
    /// [late](Production::late) or [partial](Production::partial).
    #[must_use]
    pub fn produced_rows_of(&self, geo: Geo, day: Day) -> Vec<TruthRow> {
        self.rows_in(geo, day, self.production.state(geo, day))
    }

    /// The place of a department in [`Self::departments`].
    pub(crate) fn find_department(&self, kind: DepartmentIdType, id: &str) -> Option<usize> {
        self.people.departments().find(kind, id)
    }

    /// Whose id this is, in whichever geo.
    pub(crate) fn find_person(&self, kind: UserIdType, id: &str) -> Option<(Geo, u32)> {
        let found = Badges::new(self.seed).person(kind, id);
        found.filter(|(geo, person)| *person < self.people.count() && self.place(*geo).is_some())
    }

    /// The rows of a span as produced by `now`; none at all in a geo that is not enabled.
    pub(crate) fn chain(&self, geo: Geo, span: DayRange, filter: Filter, now: Timestamp) -> Arc<Chain> {
        let produced = span.days().filter(|day| geo.produced_at(*day) <= now);
        let keys = produced.map(|day| RosterKey { geo, day, filter, state: self.production.state(geo, day) });
        let keys: Vec<RosterKey> = keys.collect();
        let make = || {
            let rosters = keys.iter().map(|key| Roster { day: key.day, state: key.state, people: self.roster(*key) });
            Arc::new(Chain::new(rosters.collect(), self.order, mix(&[self.seed, keys.len() as u64])))
        };
        if filter.is_cheap() { make() } else { self.chains.get_or_make(keys.clone(), make) }
    }

    /// The row at an address that a chain of this geo gave.
    pub(crate) fn row(&self, geo: Geo, address: RowAddress) -> Option<TruthRow> {
        let RowAddress { day, state, person } = address;
        self.place(geo).map(|place| self.people.row(place, day, person, state))
    }

    fn rows_in(&self, geo: Geo, day: Day, state: DayState) -> Vec<TruthRow> {
        let people = self.roster(RosterKey { geo, day, filter: Filter::default(), state });
        people.iter().filter_map(|person| self.row(geo, RowAddress { day, state, person: *person })).collect()
    }

    fn roster(&self, key: RosterKey) -> Arc<[u32]> {
        let RosterKey { geo, day, filter, state } = key;
        let people = || self.place(geo).map_or_else(Vec::new, |place| self.people.on(place, day, filter, state));
        let make = || Arc::from(people());
        if filter.is_cheap() { make() } else { self.rosters.get_or_make(key, make) }
    }

    fn place(&self, geo: Geo) -> Option<Place> {
        self.places.iter().copied().find(|place| place.geo == geo)
    }
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    fn holding(most: usize) -> Self {
        Self { most, kept: Shared::default() }
    }

    /// Makes outside the lock: two callers may make the same thing, none waits for another's.
    fn get_or_make(&self, key: K, make: impl FnOnce() -> V) -> V {
        let known = self.kept.lock().get(&key).cloned();
        known.unwrap_or_else(|| {
            let value = make();
            let mut kept = self.kept.lock();
            if kept.len() >= self.most {
                kept.clear();
            }
            kept.insert(key, value.clone());
            value
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "2026-11-22T04:00:00Z";

    fn tenant(config: &SimConfig) -> Tenant {
        Tenant::new(config, NOON.parse().expect("an instant"))
    }

    fn latest() -> Day {
        "2026-11-21".parse().expect("a day")
    }

    #[test]
    fn the_same_seed_makes_the_same_people_and_another_seed_others() {
        let small = SimConfig { users: 50, ..SimConfig::default() };
        let other = SimConfig { seed: 2, ..small.clone() };

        let rows = tenant(&small).rows_of(Geo::Cn, latest());

        assert_eq!(rows, tenant(&small).rows_of(Geo::Cn, latest()));
        assert_ne!(rows, tenant(&other).rows_of(Geo::Cn, latest()));
    }

    #[test]
    fn the_history_ends_with_the_latest_day_produced() {
        let tenant = tenant(&SimConfig { users: 20, days: 10, turnover: 0.0, ..SimConfig::default() });
        let now = NOON.parse().expect("an instant");
        let long = DayRange::ending(latest().plus(5), 31);

        let chain = tenant.chain(Geo::Cn, long, Filter::default(), now);

        assert_eq!(chain.len(), 200);
        assert_eq!(tenant.first_day(Geo::Cn), Some(latest().plus(-9)));
    }

    #[test]
    fn a_revision_changes_some_rows_and_nobodys_presence() {
        let tenant = tenant(&SimConfig { users: 200, ..SimConfig::default() });
        let before = tenant.rows_of(Geo::Cn, latest());

        tenant.production().revise(Geo::Cn, latest());
        let after = tenant.rows_of(Geo::Cn, latest());

        let changed = before.iter().zip(&after).filter(|(one, other)| one != other).count();
        assert_eq!(before.len(), after.len());
        assert!((10..100).contains(&changed), "{changed}");
    }

    #[test]
    fn a_partial_day_is_part_of_the_truth() {
        let tenant = tenant(&SimConfig { users: 400, ..SimConfig::default() });
        let whole = tenant.rows_of(Geo::Cn, latest());

        tenant.production().partial(Geo::Cn, latest(), 500);
        let part = tenant.produced_rows_of(Geo::Cn, latest());

        assert!((100..300).contains(&part.len()), "{}", part.len());
        assert!(part.iter().all(|row| whole.contains(row)));
        assert_eq!(tenant.rows_of(Geo::Cn, latest()), whole);
    }
}
