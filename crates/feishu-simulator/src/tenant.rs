//! The simulated tenant: its people, its departments and the expected rows of each day.
//!
//! Rows are not stored. Each row is computed from seed, geo, person and day by hashing, so the start takes the same
//! time for 10 and for 100,000 people. Only the lists of people with a row on a day are cached.

mod activity;
mod department;
mod device;
mod employment;
mod ground_truth;
mod id_codec;
mod names;
mod person;
mod population;
mod production;
mod row_sequence;
mod story;

use std::{collections::HashMap, hash::Hash, ops::RangeInclusive, sync::Arc};

use jiff::{Timestamp, civil::Date};
use parking_lot::Mutex;

pub use self::{
    department::TenantDepartment,
    ground_truth::{GroundTruthRow, UsageCounters},
    production::ProductionStates,
};
use self::{
    id_codec::IdCodec,
    population::{GeoHistory, Population},
    production::ProductionState,
    row_sequence::PresentPeople,
};
pub(crate) use self::{
    id_codec::PersonKey,
    population::PersonFilter,
    row_sequence::{RowAddress, RowSequence},
};
use crate::{
    DepartmentIdKind, RowOrder, SimulatorConfig, TenantGeo, UserIdKind,
    date::{add_days, dates},
    seeded_rng::hash_parts,
};

/// The simulated tenant.
#[derive(Debug)]
pub struct Tenant {
    seed: u64,
    histories: Vec<GeoHistory>,
    population: Population,
    production: ProductionStates,
    order: RowOrder,
    present_people: BoundedCache<PresentPeopleKey, Arc<[u32]>>,
    row_sequences: BoundedCache<Vec<PresentPeopleKey>, Arc<RowSequence>>,
}

/// The cache key of a list of people with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PresentPeopleKey {
    geo: TenantGeo,
    day: Date,
    filter: PersonFilter,
    state: ProductionState,
}

/// A cache that is cleared when it is full.
#[derive(Debug)]
struct BoundedCache<K, V> {
    capacity: usize,
    entries: Mutex<HashMap<K, V>>,
}

impl Tenant {
    /// The tenant of a configuration. Its history ends with the latest day that is produced at `now`.
    #[must_use]
    pub fn new(config: &SimulatorConfig, now: Timestamp) -> Self {
        let first_day = |geo: TenantGeo| add_days(geo.latest_produced(now), 1 - i32::from(config.days.max(1)));
        Self {
            seed: config.seed,
            histories: config.geos.iter().map(|geo| GeoHistory { geo: *geo, first_day: first_day(*geo) }).collect(),
            population: Population::new(config),
            production: ProductionStates::default(),
            order: config.row_order,
            present_people: BoundedCache::with_capacity(512),
            row_sequences: BoundedCache::with_capacity(64),
        }
    }

    /// The enabled geos. The first is the tenant's home geo.
    pub fn geos(&self) -> impl Iterator<Item = TenantGeo> + '_ {
        self.histories.iter().map(|history| history.geo)
    }

    /// The first day with rows in a geo; `None` if the geo is not enabled.
    #[must_use]
    pub fn first_day(&self, geo: TenantGeo) -> Option<Date> {
        self.history(geo).map(|history| history.first_day)
    }

    /// All departments. A department comes after its parent.
    #[must_use]
    pub fn departments(&self) -> &[TenantDepartment] {
        self.population.departments().all()
    }

    /// The production state of each day.
    #[must_use]
    pub fn production(&self) -> &ProductionStates {
        &self.production
    }

    /// All rows of a day after the latest revision, in the order of the people's numbers, whether or not they are
    /// produced yet.
    #[must_use]
    pub fn rows_of(&self, geo: TenantGeo, day: Date) -> Vec<GroundTruthRow> {
        let ProductionState { revision, .. } = self.production.state(geo, day);
        self.rows_in_state(geo, day, ProductionState { revision, ..ProductionState::default() })
    }

    /// The rows that the API returns for a day after 09:30 of the next day: fewer than [`Self::rows_of`] while the day
    /// is [delayed](ProductionStates::delay) or [partial](ProductionStates::produce_partially).
    #[must_use]
    pub fn produced_rows_of(&self, geo: TenantGeo, day: Date) -> Vec<GroundTruthRow> {
        self.rows_in_state(geo, day, self.production.state(geo, day))
    }

    /// The index of a department in [`Self::departments`].
    pub(crate) fn find_department(&self, kind: DepartmentIdKind, id: &str) -> Option<usize> {
        self.population.departments().find(kind, id)
    }

    /// The person with this id, in any enabled geo.
    pub(crate) fn find_person(&self, kind: UserIdKind, id: &str) -> Option<PersonKey> {
        let found = IdCodec::new(self.seed).decode_user(kind, id);
        found.filter(|person| person.number < self.population.count() && self.history(person.geo).is_some())
    }

    /// The rows of a date range that are produced at `now`; empty if the geo is not enabled.
    pub(crate) fn row_sequence(
        &self,
        geo: TenantGeo,
        range: &RangeInclusive<Date>,
        filter: PersonFilter,
        now: Timestamp,
    ) -> Arc<RowSequence> {
        let produced = dates(range).filter(|day| geo.produced_at(*day) <= now);
        let keys = produced.map(|day| PresentPeopleKey { geo, day, filter, state: self.production.state(geo, day) });
        let keys: Vec<PresentPeopleKey> = keys.collect();
        let compute = || {
            let days = keys.iter().map(|key| PresentPeople {
                day: key.day,
                state: key.state,
                people: self.present_people_on(*key),
            });
            Arc::new(RowSequence::new(days.collect(), self.order, hash_parts(&[self.seed, keys.len() as u64])))
        };
        if filter.is_single_person() { compute() } else { self.row_sequences.get_or_insert_with(keys.clone(), compute) }
    }

    /// The row at an address of a [`RowSequence`] of this geo.
    pub(crate) fn row(&self, geo: TenantGeo, address: RowAddress) -> Option<GroundTruthRow> {
        let RowAddress { day, state, person } = address;
        self.history(geo).map(|history| self.population.row(history, day, person, state))
    }

    fn rows_in_state(&self, geo: TenantGeo, day: Date, state: ProductionState) -> Vec<GroundTruthRow> {
        let people = self.present_people_on(PresentPeopleKey { geo, day, filter: PersonFilter::default(), state });
        people.iter().filter_map(|person| self.row(geo, RowAddress { day, state, person: *person })).collect()
    }

    fn present_people_on(&self, key: PresentPeopleKey) -> Arc<[u32]> {
        let PresentPeopleKey { geo, day, filter, state } = key;
        let people = || {
            self.history(geo)
                .map_or_else(Vec::new, |history| self.population.people_with_rows(history, day, filter, state))
        };
        let compute = || Arc::from(people());
        if filter.is_single_person() { compute() } else { self.present_people.get_or_insert_with(key, compute) }
    }

    fn history(&self, geo: TenantGeo) -> Option<GeoHistory> {
        self.histories.iter().copied().find(|history| history.geo == geo)
    }
}

impl<K: Eq + Hash, V: Clone> BoundedCache<K, V> {
    fn with_capacity(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default() }
    }

    /// Computes a missing value outside the lock, so calls never wait for each other. Two calls may compute the same
    /// value.
    fn get_or_insert_with(&self, key: K, compute: impl FnOnce() -> V) -> V {
        let cached = self.entries.lock().get(&key).cloned();
        cached.unwrap_or_else(|| {
            let value = compute();
            let mut entries = self.entries.lock();
            if entries.len() >= self.capacity {
                entries.clear();
            }
            entries.insert(key, value.clone());
            value
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "2026-11-22T04:00:00Z";

    fn tenant(config: &SimulatorConfig) -> Tenant {
        Tenant::new(config, NOON.parse().expect("an instant"))
    }

    fn latest() -> Date {
        "2026-11-21".parse().expect("a day")
    }

    #[test]
    fn the_same_seed_makes_the_same_people_and_another_seed_others() {
        let small = SimulatorConfig { users: 50, ..SimulatorConfig::default() };
        let other = SimulatorConfig { seed: 2, ..small.clone() };

        let rows = tenant(&small).rows_of(TenantGeo::Cn, latest());

        assert_eq!(rows, tenant(&small).rows_of(TenantGeo::Cn, latest()));
        assert_ne!(rows, tenant(&other).rows_of(TenantGeo::Cn, latest()));
    }

    #[test]
    fn the_history_ends_with_the_latest_day_produced() {
        let tenant = tenant(&SimulatorConfig { users: 20, days: 10, turnover: 0.0, ..SimulatorConfig::default() });
        let now = NOON.parse().expect("an instant");
        let long = add_days(latest(), -25)..=add_days(latest(), 5);

        let sequence = tenant.row_sequence(TenantGeo::Cn, &long, PersonFilter::default(), now);

        assert_eq!(sequence.len(), 200);
        assert_eq!(tenant.first_day(TenantGeo::Cn), Some(add_days(latest(), -9)));
    }

    #[test]
    fn a_revision_changes_some_rows_but_not_the_people() {
        let tenant = tenant(&SimulatorConfig { users: 200, ..SimulatorConfig::default() });
        let before = tenant.rows_of(TenantGeo::Cn, latest());

        tenant.production().revise(TenantGeo::Cn, latest());
        let after = tenant.rows_of(TenantGeo::Cn, latest());

        let changed = before.iter().zip(&after).filter(|(one, other)| one != other).count();
        assert_eq!(before.len(), after.len());
        assert!((10..100).contains(&changed), "{changed}");
    }

    #[test]
    fn a_partial_day_has_a_part_of_the_rows() {
        let tenant = tenant(&SimulatorConfig { users: 400, ..SimulatorConfig::default() });
        let whole = tenant.rows_of(TenantGeo::Cn, latest());

        tenant.production().produce_partially(TenantGeo::Cn, latest(), 500);
        let part = tenant.produced_rows_of(TenantGeo::Cn, latest());

        assert!((100..300).contains(&part.len()), "{}", part.len());
        assert!(part.iter().all(|row| whole.contains(row)));
        assert_eq!(tenant.rows_of(TenantGeo::Cn, latest()), whole);
    }
}
