//! Who has a row on which day, and what stands in it: computed when asked, remembered nowhere.

use jiff::civil::{DateTime, time};

use super::{
    Department,
    activity::{Calendar, Doings, Habits},
    badge::{Badges, geo_number},
    department::Departments,
    device::Devices,
    life::{Company, Life, Moment},
    names,
    production::DayState,
    truth::TruthRow,
};
use crate::{
    model::{Day, Geo, UserIdType},
    sim::{
        SimConfig,
        chance::{draw, mix, mix_text},
    },
};

const NAME: u64 = mix_text("name");
const REVISED: u64 = mix_text("revised");
const PRODUCED: u64 = mix_text("produced");
/// How far back the last activity is looked for.
const MEMORY_DAYS: i32 = 14;

/// Whose rows are wanted: all that are left open let everybody through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    /// The place of a department; those below it are included.
    pub(crate) department: Option<usize>,
    /// The number of a person within the geo.
    pub(crate) person: Option<u32>,
}

/// The people of one geo, and the first day of their history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) geo: Geo,
    pub(crate) first_day: Day,
}

/// All people of all geos.
#[derive(Debug)]
pub(super) struct People {
    company: Company,
    departments: Departments,
    users: u32,
    inactive_rows: bool,
}

impl Filter {
    /// Whether it is answered without asking everybody, and so not worth remembering.
    pub(super) const fn is_cheap(self) -> bool {
        self.person.is_some()
    }
}

impl People {
    pub(super) fn new(config: &SimConfig) -> Self {
        let departments = Departments::grow(config.seed, config.users);
        let company = Company {
            seed: config.seed,
            days: i32::from(config.days.max(1)),
            turnover: config.turnover,
            departments: departments.all().len(),
        };
        Self { company, departments, users: config.users, inactive_rows: config.inactive_rows }
    }

    pub(super) fn count(&self) -> u32 {
        self.users
    }

    pub(super) fn departments(&self) -> &Departments {
        &self.departments
    }

    /// The numbers of the people with a row, in ascending order.
    pub(super) fn on(&self, place: Place, day: Day, filter: Filter, state: DayState) -> Vec<u32> {
        let (offset, calendar) = place.position(day);
        if offset < 0 || state.permille == 0 {
            return Vec::new();
        }
        let candidates = filter.person.map_or(0..self.users, |person| person..person.saturating_add(1).min(self.users));
        let has_row = |person: &u32| {
            let life = place.life(&self.company, *person);
            life.holds(offset)
                && filter.department.is_none_or(|top| self.departments.is_within(life.department_on(offset), top))
                && self.is_produced(place.geo, *person, calendar, state)
                && (self.inactive_rows
                    || self.is_active(&life, offset, self.doings(place.geo, *person, calendar, state)))
        };
        candidates.filter(has_row).collect()
    }

    /// The row of somebody who has one that day.
    pub(super) fn row(&self, place: Place, day: Day, person: u32, state: DayState) -> TruthRow {
        let (geo, seed) = (place.geo, self.company.seed);
        let (offset, calendar) = place.position(day);
        let life = place.life(&self.company, person);
        let doings = self.doings(geo, person, calendar, state);
        let active = self.is_active(&life, offset, doings);
        let figures = doings.figures(Habits::of(seed, geo, person), active);
        let Devices { active_os, app_package_type, os_name } =
            if active { doings.devices() } else { Devices::default() };
        let Department { name, path, .. } = &self.departments.all()[life.department_on(offset)];
        let id = |kind| Badges::new(seed).user(kind, geo, person);
        TruthRow {
            geo,
            day,
            person,
            open_id: id(UserIdType::OpenId),
            union_id: id(UserIdType::UnionId),
            user_id: id(UserIdType::UserId),
            user_name: names::person(&mut draw(&[seed, geo_number(geo), u64::from(person), NAME])),
            department_name: name.clone(),
            department_path: path.clone(),
            create_time: place.civil(life.created),
            register_time: life.activated_by(offset).map(|moment| place.civil(moment)),
            last_active_time: self.last_active(place, &life, offset, doings),
            user_active: life.activated_by(offset).is_some(),
            suite_active: active,
            im_active: figures.im,
            docs_active: figures.docs,
            cal_active: figures.cal,
            vc_active: figures.vc,
            search_active: figures.search,
            counters: figures.counters,
            active_os,
            app_package_type,
            os_name,
        }
    }

    fn is_active(&self, life: &Life, offset: i32, doings: Doings) -> bool {
        let habits = Habits::of(self.company.seed, doings.geo, doings.person);
        life.activated_by(offset).is_some() && doings.is_active(habits)
    }

    fn last_active(&self, place: Place, life: &Life, offset: i32, today: Doings) -> Option<DateTime> {
        (0..MEMORY_DAYS).find_map(|back| {
            let revision = if back == 0 { today.revision } else { 0 };
            let doings = Doings { calendar: today.calendar.before(back), revision, ..today };
            let moment = Moment { day: offset - back, second: doings.last_second() };
            self.is_active(life, offset - back, doings).then(|| place.civil(moment))
        })
    }

    /// A revision changes a quarter of the people.
    fn doings(&self, geo: Geo, person: u32, calendar: Calendar, state: DayState) -> Doings {
        let seed = self.company.seed;
        let lot = [seed, geo_number(geo), u64::from(person), calendar.lot(), u64::from(state.revision), REVISED];
        let revision = if mix(&lot).is_multiple_of(4) { state.revision } else { 0 };
        Doings { seed, geo, person, calendar, revision }
    }

    fn is_produced(&self, geo: Geo, person: u32, calendar: Calendar, state: DayState) -> bool {
        let lot = [self.company.seed, geo_number(geo), u64::from(person), calendar.lot(), PRODUCED];
        state.permille >= 1000 || mix(&lot) % 1000 < u64::from(state.permille)
    }
}

impl Place {
    /// A day as an offset from the first day, and as a number.
    fn position(self, day: Day) -> (i32, Calendar) {
        let calendar = Calendar::of(day);
        (calendar.since(Calendar::of(self.first_day)), calendar)
    }

    fn life(self, company: &Company, person: u32) -> Life {
        Life::of(company, self.geo, Calendar::of(self.first_day), person)
    }

    /// A moment of the history, in the geo's civil time.
    fn civil(self, moment: Moment) -> DateTime {
        let part = |number: u32| i8::try_from(number).unwrap_or(0);
        let (hours, minutes, seconds) = (moment.second / 3600, moment.second / 60 % 60, moment.second % 60);
        let date = self.first_day.plus(moment.day).date();
        date.to_datetime(time(part(hours), part(minutes), part(seconds), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(config: &SimConfig) -> (People, Place) {
        let first_day = "2026-11-02".parse().expect("a day");
        (People::new(config), Place { geo: Geo::Cn, first_day })
    }

    #[test]
    fn those_who_never_logged_in_are_never_active() {
        let (people, place) = people(&SimConfig { users: 500, ..SimConfig::default() });
        let day = place.first_day.plus(3);

        let rows: Vec<TruthRow> = (0..500).map(|person| people.row(place, day, person, DayState::default())).collect();

        assert!(rows.iter().any(|row| !row.user_active));
        for row in rows.iter().filter(|row| !row.user_active) {
            assert!(!row.suite_active && row.register_time.is_none() && row.last_active_time.is_none());
            assert!(row.active_os.is_empty());
        }
    }

    #[test]
    fn an_active_person_was_last_active_that_day() {
        let (people, place) = people(&SimConfig::default());
        let day = place.first_day.plus(20);

        for person in 0..200 {
            let row = people.row(place, day, person, DayState::default());
            let today = row.last_active_time.is_some_and(|time| time.date() == day.date());
            assert_eq!(row.suite_active, today);
        }
    }

    #[test]
    fn idle_people_may_go_without_rows() {
        let (people, place) = people(&SimConfig { inactive_rows: false, ..SimConfig::default() });
        let day = place.first_day.plus(3);

        let present = people.on(place, day, Filter::default(), DayState::default());

        assert!((1..2000).contains(&present.len()));
        assert!(present.iter().all(|person| people.row(place, day, *person, DayState::default()).suite_active));
    }
}
