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
    person::Person,
    production::ProductionState,
    story::Story,
};
use crate::{
    SimulatorConfig, TenantGeo, TenantProfile, UserIdKind,
    date::add_days,
    seeded_rng::{hash_parts, hash_text, rng_for},
};

const NAME: u64 = hash_text("name");
const REVISED: u64 = hash_text("revised");
const PRODUCED: u64 = hash_text("produced");

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
    /// Generates the people of the profile `story`; `None` with the profile `varied`.
    story: Option<Story>,
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
        let days = i32::from(config.days.max(1));
        let (departments, story) = match config.profile {
            TenantProfile::Varied => (TenantDepartments::generate(config.seed, config.users), None),
            TenantProfile::Story => {
                let (departments, story) = Story::generate(config.seed, config.users, days);
                (departments, Some(story))
            }
        };
        let population = PopulationConfig {
            seed: config.seed,
            days,
            turnover: config.turnover,
            departments: departments.all().len(),
        };
        Self { config: population, departments, story, users: config.users, inactive_rows: config.inactive_rows }
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
            let employment = self.employment(history, *person);
            employment.has_row_on(offset)
                && filter.department.is_none_or(|top| self.departments.is_within(employment.department_on(offset), top))
                && self.is_produced(history.geo, *person, day_number, state)
                && (self.inactive_rows
                    || self
                        .person(history, *person)
                        .is_active(offset, self.person_day(history.geo, *person, day_number, state)))
        };
        candidates.filter(has_row).collect()
    }

    /// The row of a person who has one on the day.
    pub(super) fn row(&self, history: GeoHistory, day: Date, person: u32, state: ProductionState) -> GroundTruthRow {
        let (geo, seed) = (history.geo, self.config.seed);
        let (offset, day_number) = history.position(day);
        let generated = self.person(history, person);
        let employment = generated.employment();
        let person_day = self.person_day(geo, person, day_number, state);
        let active = generated.is_active(offset, person_day);
        let usage = generated.usage(offset, person_day, active);
        let DeviceFields { active_os, app_package_type, os_name } =
            if active { generated.devices(offset, person_day) } else { DeviceFields::default() };
        let TenantDepartment { name, path, .. } = &self.departments.all()[employment.department_on(offset)];
        let id = |kind| IdCodec::new(seed).encode_user(kind, PersonKey { geo, number: person });
        GroundTruthRow {
            geo,
            day,
            person,
            open_id: id(UserIdKind::OpenId),
            union_id: id(UserIdKind::UnionId),
            user_id: id(UserIdKind::UserId),
            user_name: self.name(geo, person),
            department_name: name.clone(),
            department_path: path.clone(),
            create_time: history.civil_time(employment.created),
            register_time: employment.activated_by(offset).map(|time| history.civil_time(time)),
            last_active_time: generated.last_active(offset, person_day).map(|time| history.civil_time(time)),
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

    fn employment(&self, history: GeoHistory, person: u32) -> Employment {
        match &self.story {
            None => Employment::generate(&self.config, history.geo, history.start(), person),
            Some(story) => story.employment(history.geo, history.start(), person),
        }
    }

    fn person(&self, history: GeoHistory, person: u32) -> Person<'_> {
        match &self.story {
            None => Person::Varied {
                employment: self.employment(history, person),
                profile: ActivityProfile::of(self.config.seed, history.geo, person),
            },
            Some(story) => Person::Story(story.person(history.geo, history.start(), person)),
        }
    }

    fn name(&self, geo: TenantGeo, person: u32) -> String {
        let mut rng = rng_for(&[self.config.seed, geo_number(geo), u64::from(person), NAME]);
        if self.story.is_some() { names::plain_person(&mut rng) } else { names::person(&mut rng) }
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
        (day_number.since(self.start()), day_number)
    }

    fn start(self) -> DayNumber {
        DayNumber::of(self.first_day)
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
