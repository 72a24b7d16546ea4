//! The people of the tenant: who has a row on a day, and the values of that row.

use jiff::civil::{Date, DateTime, time};

use super::{
    TenantDepartment,
    activity::{ActivityProfile, DayNumber, PersonDay},
    department::TenantDepartments,
    device::DeviceFields,
    employment::{Employment, HistoryTime, PopulationConfig},
    ground_truth::GroundTruthRow,
    id_codec::{IdCodec, PersonKey, geo_number},
    names,
    production::ProductionState,
};
use crate::{
    SimulatorConfig, TenantGeo, UserIdKind,
    date::add_days,
    seeded_rng::{hash_parts, hash_text, rng_for},
};

const NAME: u64 = hash_text("name");
const REVISED: u64 = hash_text("revised");
const PRODUCED: u64 = hash_text("produced");
/// The last activity is searched this many days back.
const LAST_ACTIVITY_LOOKBACK_DAYS: i32 = 14;

/// Selects people. `None` selects all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct PersonFilter {
    /// The index of a department. Departments below it are included.
    pub(crate) department: Option<usize>,
    /// The number of a person within the geo.
    pub(crate) person: Option<u32>,
}

/// A geo and the first day of its history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GeoHistory {
    pub(crate) geo: TenantGeo,
    pub(crate) first_day: Date,
}

/// All people of all geos.
#[derive(Debug)]
pub(super) struct Population {
    config: PopulationConfig,
    departments: TenantDepartments,
    users: u32,
    inactive_rows: bool,
}

impl PersonFilter {
    /// Whether the filter selects at most one person. Such a result is cheap to compute and is not cached.
    pub(super) const fn is_single_person(self) -> bool {
        self.person.is_some()
    }
}

impl Population {
    pub(super) fn new(config: &SimulatorConfig) -> Self {
        let departments = TenantDepartments::generate(config.seed, config.users);
        let population = PopulationConfig {
            seed: config.seed,
            days: i32::from(config.days.max(1)),
            turnover: config.turnover,
            departments: departments.all().len(),
        };
        Self { config: population, departments, users: config.users, inactive_rows: config.inactive_rows }
    }

    pub(super) fn count(&self) -> u32 {
        self.users
    }

    pub(super) fn departments(&self) -> &TenantDepartments {
        &self.departments
    }

    /// The numbers of the people with a row, in ascending order.
    pub(super) fn people_with_rows(
        &self,
        history: GeoHistory,
        day: Date,
        filter: PersonFilter,
        state: ProductionState,
    ) -> Vec<u32> {
        let (offset, day_number) = history.position(day);
        if offset < 0 || state.permille == 0 {
            return Vec::new();
        }
        let candidates = filter.person.map_or(0..self.users, |person| person..person.saturating_add(1).min(self.users));
        let has_row = |person: &u32| {
            let employment = history.employment(&self.config, *person);
            employment.has_row_on(offset)
                && filter.department.is_none_or(|top| self.departments.is_within(employment.department_on(offset), top))
                && self.is_produced(history.geo, *person, day_number, state)
                && (self.inactive_rows
                    || self.is_active(&employment, offset, self.person_day(history.geo, *person, day_number, state)))
        };
        candidates.filter(has_row).collect()
    }

    /// The row of a person who has one on the day.
    pub(super) fn row(&self, history: GeoHistory, day: Date, person: u32, state: ProductionState) -> GroundTruthRow {
        let (geo, seed) = (history.geo, self.config.seed);
        let (offset, day_number) = history.position(day);
        let employment = history.employment(&self.config, person);
        let person_day = self.person_day(geo, person, day_number, state);
        let active = self.is_active(&employment, offset, person_day);
        let usage = person_day.usage(ActivityProfile::of(seed, geo, person), active);
        let DeviceFields { active_os, app_package_type, os_name } =
            if active { person_day.devices() } else { DeviceFields::default() };
        let TenantDepartment { name, path, .. } = &self.departments.all()[employment.department_on(offset)];
        let id = |kind| IdCodec::new(seed).encode_user(kind, PersonKey { geo, number: person });
        GroundTruthRow {
            geo,
            day,
            person,
            open_id: id(UserIdKind::OpenId),
            union_id: id(UserIdKind::UnionId),
            user_id: id(UserIdKind::UserId),
            user_name: names::person(&mut rng_for(&[seed, geo_number(geo), u64::from(person), NAME])),
            department_name: name.clone(),
            department_path: path.clone(),
            create_time: history.civil_time(employment.created),
            register_time: employment.activated_by(offset).map(|time| history.civil_time(time)),
            last_active_time: self.last_active(history, &employment, offset, person_day),
            user_active: employment.activated_by(offset).is_some(),
            suite_active: active,
            im_active: usage.im,
            docs_active: usage.docs,
            cal_active: usage.cal,
            vc_active: usage.vc,
            search_active: usage.search,
            counters: usage.counters,
            active_os,
            app_package_type,
            os_name,
        }
    }

    fn is_active(&self, employment: &Employment, offset: i32, person_day: PersonDay) -> bool {
        let profile = ActivityProfile::of(self.config.seed, person_day.geo, person_day.person);
        employment.activated_by(offset).is_some() && person_day.is_active(profile)
    }

    fn last_active(
        &self,
        history: GeoHistory,
        employment: &Employment,
        offset: i32,
        today: PersonDay,
    ) -> Option<DateTime> {
        (0..LAST_ACTIVITY_LOOKBACK_DAYS).find_map(|days_back| {
            let revision = if days_back == 0 { today.revision } else { 0 };
            let person_day = PersonDay { day: today.day.minus_days(days_back), revision, ..today };
            let time = HistoryTime { day: offset - days_back, second: person_day.last_second() };
            self.is_active(employment, offset - days_back, person_day).then(|| history.civil_time(time))
        })
    }

    /// A person on a day. A revision of the day applies to a quarter of the people.
    fn person_day(&self, geo: TenantGeo, person: u32, day_number: DayNumber, state: ProductionState) -> PersonDay {
        let seed = self.config.seed;
        let parts =
            [seed, geo_number(geo), u64::from(person), day_number.as_seed(), u64::from(state.revision), REVISED];
        let revision = if hash_parts(&parts).is_multiple_of(4) { state.revision } else { 0 };
        PersonDay { seed, geo, person, day: day_number, revision }
    }

    fn is_produced(&self, geo: TenantGeo, person: u32, day_number: DayNumber, state: ProductionState) -> bool {
        let parts = [self.config.seed, geo_number(geo), u64::from(person), day_number.as_seed(), PRODUCED];
        state.permille >= 1000 || hash_parts(&parts) % 1000 < u64::from(state.permille)
    }
}

impl GeoHistory {
    /// The offset of a day from the first day of the history, and its number.
    fn position(self, day: Date) -> (i32, DayNumber) {
        let day_number = DayNumber::of(day);
        (day_number.since(DayNumber::of(self.first_day)), day_number)
    }

    fn employment(self, config: &PopulationConfig, person: u32) -> Employment {
        Employment::generate(config, self.geo, DayNumber::of(self.first_day), person)
    }

    /// A time of the history as a civil time of the geo.
    fn civil_time(self, at: HistoryTime) -> DateTime {
        let part = |number: u32| i8::try_from(number).unwrap_or(0);
        let (hours, minutes, seconds) = (at.second / 3600, at.second / 60 % 60, at.second % 60);
        let date = add_days(self.first_day, at.day);
        date.to_datetime(time(part(hours), part(minutes), part(seconds), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(config: &SimulatorConfig) -> (Population, GeoHistory) {
        let first_day = "2026-11-02".parse().expect("a day");
        (Population::new(config), GeoHistory { geo: TenantGeo::Cn, first_day })
    }

    #[test]
    fn people_who_never_logged_in_are_never_active() {
        let (people, history) = people(&SimulatorConfig { users: 500, ..SimulatorConfig::default() });
        let day = add_days(history.first_day, 3);

        let rows: Vec<GroundTruthRow> =
            (0..500).map(|person| people.row(history, day, person, ProductionState::default())).collect();

        assert!(rows.iter().any(|row| !row.user_active));
        for row in rows.iter().filter(|row| !row.user_active) {
            assert!(!row.suite_active && row.register_time.is_none() && row.last_active_time.is_none());
            assert!(row.active_os.is_empty());
        }
    }

    #[test]
    fn an_active_person_was_last_active_that_day() {
        let (people, history) = people(&SimulatorConfig::default());
        let day = add_days(history.first_day, 20);

        for person in 0..200 {
            let row = people.row(history, day, person, ProductionState::default());
            let today = row.last_active_time.is_some_and(|time| time.date() == day);
            assert_eq!(row.suite_active, today);
        }
    }

    #[test]
    fn inactive_people_can_be_without_rows() {
        let (people, history) = people(&SimulatorConfig { inactive_rows: false, ..SimulatorConfig::default() });
        let day = add_days(history.first_day, 3);

        let present = people.people_with_rows(history, day, PersonFilter::default(), ProductionState::default());

        assert!((1..2000).contains(&present.len()));
        assert!(
            present.iter().all(|person| people.row(history, day, *person, ProductionState::default()).suite_active)
        );
    }
}
