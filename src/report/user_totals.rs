//! Totals of people over many days: which of them are meant, in which order, and what each did.
//!
//! All people are counted by the one figure that decides about them; the rest is added up only for those on the page.

use std::{borrow::Cow, cmp::Ordering, sync::Arc};

use fixedbitset::FixedBitSet;

use super::sheet::{NO_PLACE, Sheet};
use crate::{
    model::Day,
    table::{
        Counter, Feature, Partition, PersonNo, Profile, ProfileNo, Selection, Selector,
        column::CounterColumn,
        directory::{NOBODY, Tables},
    },
};

/// Stands for "no active day".
const NEVER: i32 = i32::MIN;

/// What people are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The sum of a counter.
    Counter(Counter),
    /// On how many days they were active.
    ActiveDays,
    /// Their last active day; those without one come first.
    LastActiveDate,
    /// Their name.
    UserName,
    /// Their id.
    UserId,
}

/// An order of people. Equals stand by user id, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub key: Key,
    /// The largest first.
    pub descending: bool,
}

/// Which people are meant.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only user-days of these count; `selection.active` is not looked at.
    pub selection: Selection,
    /// Those with an active day, or those without.
    pub active: Option<bool>,
    /// Everyone with a row that counts, by number, where that is known beforehand.
    pub among: Option<FixedBitSet>,
    /// None of these, by number.
    pub except: Option<FixedBitSet>,
}

/// What one person did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// Who it is, as of the latest day counted.
    pub profile: Arc<Profile>,
    /// On how many days the person was active.
    pub active_days: u64,
    /// The last of them.
    pub last_active_date: Option<Day>,
    /// On how many days the person used each feature, by [`Feature::index`].
    pub feature_days: [u64; Feature::COUNT],
    /// The sum of each counter, by [`Counter::index`]; saturates.
    pub counters: [u64; Counter::COUNT],
}

/// What people did: sheets of one directory, earliest first, and its tables.
#[derive(Clone, Copy, Debug)]
pub struct Tally<'a> {
    /// The sheets.
    pub sheets: &'a [Sheet],
    /// The tables of their directory.
    pub tables: &'a Tables,
}

/// The people that are meant, each with the figure that decides about the order.
#[derive(Debug)]
pub struct Ranking<'a> {
    people: Vec<PersonNo>,
    standings: Standings,
    sort: Sort,
    tables: &'a Tables,
}

/// Figures of every person, by number; empty where they decide nothing.
#[derive(Debug, Default)]
struct Standings {
    seen: FixedBitSet,
    profiles: Vec<ProfileNo>,
    active_days: Vec<u64>,
    /// In days since the first day of the calendar; [`NEVER`] where there is none.
    last_active: Vec<i32>,
    sums: Vec<u64>,
}

impl<'a> Tally<'a> {
    /// The people that are meant. Those whose id is withheld cannot be told apart and are left out.
    #[must_use]
    pub fn ranking(self, wanted: &Wanted, sort: Sort) -> Ranking<'a> {
        let standings = self.standings(wanted, sort.key);
        let is_wanted = |person: &usize| {
            wanted.active.is_none_or(|active| (standings.last_active[*person] != NEVER) == active)
                && wanted.except.as_ref().is_none_or(|except| !except.contains(*person))
        };
        let people = standings.seen.ones().filter(is_wanted).filter_map(|person| PersonNo::try_from(person).ok());
        Ranking { people: people.collect(), standings, sort, tables: self.tables }
    }

    fn standings(self, wanted: &Wanted, key: Key) -> Standings {
        let people = self.people_by_profile(&wanted.selection);
        let mut standings = Standings::default();
        let everyone = self.tables.people();
        match &wanted.among {
            // Names are of the rows.
            Some(among) if key != Key::UserName => standings.seen.clone_from(among),
            _ => standings.meet(self.sheets, &people, everyone),
        }
        if let Key::Counter(counter) = key {
            standings.sums = vec![0; everyone];
            for sheet in self.sheets {
                standings.add(sheet.counter(counter), sheet, &people);
            }
        }
        if wanted.active.is_some() || matches!(key, Key::ActiveDays | Key::LastActiveDate) {
            standings.active_days = vec![0; everyone];
            standings.last_active = vec![NEVER; everyone];
            for sheet in self.sheets {
                standings.add_activity(sheet, &people);
            }
        }
        standings
    }

    /// The person of each profile whose rows count; [`NOBODY`] for the others.
    fn people_by_profile(self, selection: &Selection) -> Cow<'a, [PersonNo]> {
        if selection.department_path.is_none() && selection.user_id.is_none() {
            return Cow::Borrowed(self.tables.owners());
        }
        let selector = selection.against(self.tables);
        let person = |profile: &Arc<Profile>| profile.person.filter(|_| selector.takes_profile(profile));
        self.tables.profiles().map(|profile| person(profile).unwrap_or(NOBODY)).collect()
    }

    /// What each of these people did, in their order.
    #[must_use]
    pub fn totals(self, people: &[PersonNo], selection: &Selection) -> Vec<Total> {
        let mut place_of = vec![NO_PLACE; self.tables.people()];
        for (place, person) in (0..).zip(people) {
            place_of[*person as usize] = place;
        }
        let place = |person: &PersonNo| place_of.get(*person as usize).copied().unwrap_or(NO_PLACE);
        let places: Vec<u32> = self.people_by_profile(selection).iter().map(place).collect();
        let profiles: Vec<ProfileNo> =
            (0..).zip(&places).filter(|(_, place)| **place != NO_PLACE).map(|(profile, _)| profile).collect();
        let mut totals: Vec<Option<Total>> = vec![None; people.len()];
        for sheet in self.sheets {
            sheet.rows_of(&profiles, &places, |row, place| {
                let profile = self.tables.profile(sheet.profiles()[row]);
                totals[place as usize].get_or_insert_with(|| Total::of(profile)).add(profile, sheet, row);
            });
        }
        totals.into_iter().flatten().collect()
    }
}

impl Standings {
    /// Takes note of who has a row, and of the latest of each.
    fn meet(&mut self, sheets: &[Sheet], people: &[PersonNo], everyone: usize) {
        self.seen = FixedBitSet::with_capacity(everyone);
        self.profiles = vec![0; everyone];
        for profile in sheets.iter().flat_map(Sheet::profiles) {
            let person = people[*profile as usize];
            if person != NOBODY {
                self.seen.insert(person as usize);
                self.profiles[person as usize] = *profile;
            }
        }
    }

    fn add(&mut self, counter: &CounterColumn, sheet: &Sheet, people: &[PersonNo]) {
        let profiles = sheet.profiles();
        counter.for_each(|row, value| {
            let person = people[profiles[row] as usize];
            if person != NOBODY {
                let sum = &mut self.sums[person as usize];
                *sum = sum.saturating_add(value);
            }
        });
    }

    fn add_activity(&mut self, sheet: &Sheet, people: &[PersonNo]) {
        let last = sheet.last().number();
        for (row, profile) in sheet.profiles().iter().enumerate() {
            let person = people[*profile as usize];
            if let Some((days, idle)) = sheet.active(row).filter(|_| person != NOBODY) {
                let at = person as usize;
                self.active_days[at] += days;
                self.last_active[at] = self.last_active[at].max(last - idle);
            }
        }
    }
}

impl Total {
    fn of(profile: &Arc<Profile>) -> Self {
        Self {
            profile: Arc::clone(profile),
            active_days: 0,
            last_active_date: None,
            feature_days: [0; Feature::COUNT],
            counters: [0; Counter::COUNT],
        }
    }

    fn add(&mut self, profile: &Arc<Profile>, sheet: &Sheet, row: usize) {
        self.profile = Arc::clone(profile);
        if let Some((days, idle)) = sheet.active(row) {
            self.active_days += days;
            self.last_active_date = self.last_active_date.max(Some(sheet.last().plus(-idle)));
        }
        for feature in Feature::ALL {
            self.feature_days[feature.index()] += sheet.feature_days(row, feature);
        }
        for counter in Counter::ALL {
            let sum = &mut self.counters[counter.index()];
            *sum = sum.saturating_add(sheet.counter(counter).get(row));
        }
    }
}

impl Total {
    /// What the rows that `selector` takes add up to, as what one person did; `None` where there are none.
    #[must_use]
    pub fn of_rows(days: &[Arc<Partition>], selector: &Selector<'_>, tables: &Tables) -> Option<Self> {
        let mut total: Option<Self> = None;
        for day in days {
            let sheet = Sheet::Day(Arc::clone(day));
            for row in selector.rows(day) {
                let profile = tables.profile(day.profiles()[row]);
                total.get_or_insert_with(|| Self::of(profile)).add(profile, &sheet, row);
            }
        }
        total
    }
}

impl Ranking<'_> {
    /// How many people are meant.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.people.len()
    }

    /// The `limit` people after the first `skip`. Only these are sorted; the others are merely told apart from them.
    #[must_use]
    pub fn page(&self, skip: usize, limit: usize) -> Vec<PersonNo> {
        let compare = |one: &PersonNo, other: &PersonNo| self.compare(*one, *other);
        let mut people = self.people.clone();
        if skip >= people.len() {
            return Vec::new();
        }
        if skip > 0 {
            people.select_nth_unstable_by(skip, compare);
        }
        let mut page = people.split_off(skip);
        if limit < page.len() {
            page.select_nth_unstable_by(limit, compare);
            page.truncate(limit);
        }
        page.sort_unstable_by(compare);
        page
    }

    fn compare(&self, one: PersonNo, other: PersonNo) -> Ordering {
        let standings = &self.standings;
        let (a, b) = (one as usize, other as usize);
        let name = |person: usize| &self.tables.profile(standings.profiles[person]).user_name;
        let ranks = self.tables.ranks();
        let by_key = match self.sort.key {
            Key::Counter(_) => standings.sums[a].cmp(&standings.sums[b]),
            Key::ActiveDays => standings.active_days[a].cmp(&standings.active_days[b]),
            Key::LastActiveDate => standings.last_active[a].cmp(&standings.last_active[b]),
            Key::UserName => name(a).cmp(name(b)),
            Key::UserId => ranks[a].cmp(&ranks[b]),
        };
        let by_key = if self.sort.descending { by_key.reverse() } else { by_key };
        by_key.then_with(|| ranks[a].cmp(&ranks[b]))
    }
}
