//! Totals of people over many days: filtering, sorting and paging.
//!
//! Only the figure that decides the order is computed for all people. The other figures are computed for the people of
//! the requested page.

use std::{borrow::Cow, cmp::Ordering, sync::Arc};

use fixedbitset::FixedBitSet;

use super::{
    account_status::{AccountStatus, NewestRow, StatusRule},
    user_rollup::{NO_SLOT, UserRollup},
};
use crate::{
    model::{Day, Geo},
    table::{
        Counter, DayTable, Feature, Flag, Flags, PersonIndex, Profile, ProfileIndex, RowSelection, RowSelector,
        counter_column::CounterColumn, dictionary::DictionaryTables, profile::NO_PERSON,
    },
};

/// Marks people without an active day.
const NEVER: i32 = i32::MIN;

/// What people are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserSortKey {
    /// The sum of a counter.
    Counter(Counter),
    /// Number of active days.
    ActiveDays,
    /// The last active day. People without one are the smallest.
    LastActiveDate,
    /// The name.
    UserName,
    /// The user id.
    UserId,
    /// The status of the account, in the order of [`AccountStatus`].
    Status,
    /// Whether the account is activated. Accounts that are not are the smallest.
    Activated,
    /// When the account was activated. Accounts without a time are the smallest.
    RegisterTime,
    /// Feishu's time of the last activity. Accounts without a time are the smallest.
    LastActiveTime,
}

/// An order of people. Ties are broken by user id, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserSort {
    /// What to sort by.
    pub key: UserSortKey,
    /// Largest first.
    pub descending: bool,
}

/// Which people are included.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Selects the rows that count; `selection.active` is ignored.
    pub selection: RowSelection,
    /// Only people with an active day, or only people without.
    pub active: Option<bool>,
    /// People with a matching row, by person index, if the caller has already computed them.
    pub candidates: Option<FixedBitSet>,
    /// People to exclude, by person index.
    pub excluded: Option<FixedBitSet>,
    /// Only people whose account has one of these statuses; `None`: all.
    pub statuses: Option<Vec<AccountStatus>>,
    /// Only people whose account is activated, or only those whose account is not, by the newest row, selected or not.
    pub activated: Option<bool>,
}

/// The totals of one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonTotals {
    /// The profile of the latest matching row. Of rows of the same day, the one of the geo that was requested last.
    pub profile: Arc<Profile>,
    /// The geo of that row.
    pub geo: Geo,
    /// What the person's newest row, selected or not, says about the account.
    pub newest_row: NewestRow,
    /// Number of active days.
    pub active_days: u64,
    /// The last active day.
    pub last_active_date: Option<Day>,
    /// Number of days on which the person used each feature, by [`Feature::index`].
    pub feature_days: [u64; Feature::COUNT],
    /// The sum of each counter, by [`Counter::index`]; saturates.
    pub counters: [u64; Counter::COUNT],
}

/// The totals of one person while rows are added, earliest first.
#[derive(Clone, Debug)]
struct TotalsBuilder {
    totals: PersonTotals,
    last_day: Option<Day>,
    /// The flags that the person has in the rows of `last_day` so far. A person active in two geos on one day has one
    /// active day.
    flags: Flags,
}

/// Computes totals of people from roll-ups that share a dictionary, earliest first.
#[derive(Clone, Copy, Debug)]
pub struct UserTotals<'a> {
    /// The roll-ups.
    pub rollups: &'a [UserRollup],
    /// The shared dictionary.
    pub dictionary: &'a DictionaryTables,
    /// Judges the status of accounts; `None` if no date counts.
    pub status_rule: Option<&'a StatusRule>,
}

/// The included people with the figures that decide their order.
#[derive(Debug)]
pub struct UserRanking<'a> {
    people: Vec<PersonIndex>,
    sort_keys: SortKeys,
    sort: UserSort,
    dictionary: &'a DictionaryTables,
}

/// Figures of every person, by person index. Vectors that the order does not need are empty.
#[derive(Debug, Default)]
struct SortKeys {
    present: FixedBitSet,
    profiles: Vec<ProfileIndex>,
    active_days: Vec<u64>,
    /// Days since the first day of the calendar; [`NEVER`] if there is no active day.
    last_active: Vec<i32>,
    sums: Vec<u64>,
    newest_rows: Vec<Option<NewestRow>>,
    statuses: Vec<Option<AccountStatus>>,
}

impl<'a> UserTotals<'a> {
    /// Ranks the included people. People without an id are left out, because they cannot be distinguished.
    #[must_use]
    pub fn ranking(self, filter: &UserFilter, sort: UserSort) -> UserRanking<'a> {
        let keys = self.sort_keys(filter, sort.key);
        let is_included = |person: &usize| {
            let newest = || keys.newest_rows.get(*person).copied().flatten();
            filter.active.is_none_or(|active| (keys.last_active[*person] != NEVER) == active)
                && filter.activated.is_none_or(|activated| newest().is_some_and(|row| row.activated == activated))
                && filter
                    .statuses
                    .as_ref()
                    .is_none_or(|statuses| keys.statuses[*person].is_some_and(|status| statuses.contains(&status)))
                && filter.excluded.as_ref().is_none_or(|excluded| !excluded.contains(*person))
        };
        let people = keys.present.ones().filter(is_included).filter_map(|person| PersonIndex::try_from(person).ok());
        UserRanking { people: people.collect(), sort_keys: keys, sort, dictionary: self.dictionary }
    }

    fn sort_keys(self, filter: &UserFilter, key: UserSortKey) -> SortKeys {
        let people = self.people_by_profile(&filter.selection);
        let mut keys = SortKeys::default();
        let person_count = self.dictionary.person_count();
        match &filter.candidates {
            // Sorting by these keys needs the latest profile of each person, which only the rows have.
            Some(candidates) if !matches!(key, UserSortKey::UserName | UserSortKey::RegisterTime) => {
                keys.present.clone_from(candidates);
            }
            _ => keys.record_rows(self.rollups, &people, person_count),
        }
        if let UserSortKey::Counter(counter) = key {
            keys.sums = vec![0; person_count];
            for rollup in self.rollups {
                keys.add_counter(rollup.counter(counter), rollup, &people);
            }
        }
        if filter.active.is_some() || matches!(key, UserSortKey::ActiveDays | UserSortKey::LastActiveDate) {
            keys.active_days = vec![0; person_count];
            keys.last_active = vec![NEVER; person_count];
            for rollup in self.rollups {
                keys.add_activity(rollup, &people);
            }
        }
        let sorts_by_row = matches!(key, UserSortKey::Status | UserSortKey::Activated | UserSortKey::LastActiveTime);
        if sorts_by_row || filter.statuses.is_some() || filter.activated.is_some() {
            keys.newest_rows = self.newest_rows();
        }
        if let Some(rule) = self.status_rule.filter(|_| key == UserSortKey::Status || filter.statuses.is_some()) {
            let rows = (0..).zip(&keys.newest_rows);
            keys.statuses = rows.map(|(person, row)| row.and_then(|row| rule.status(Some(person), row))).collect();
        }
        keys
    }

    /// The newest row of each person, by person index, whether or not it is selected: an account has one status, and a person
    /// who moved to another department has not left.
    fn newest_rows(self) -> Vec<Option<NewestRow>> {
        let people = self.dictionary.profile_persons();
        let person_count = self.dictionary.person_count();
        let mut newest: Vec<Option<NewestRow>> = vec![None; person_count];
        let mut found = FixedBitSet::with_capacity(person_count);
        // Latest first: a row of an earlier roll-up is never newer than one of a later roll-up.
        for same_days in self.rollups.chunk_by(|one, other| one.last_day() == other.last_day()).rev() {
            let mut found_here = FixedBitSet::with_capacity(person_count);
            for rollup in same_days {
                for (row, profile) in rollup.profiles().iter().enumerate() {
                    let person = people[*profile as usize];
                    if person != NO_PERSON && !found.contains(person as usize) {
                        let known = &mut newest[person as usize];
                        *known = Some(NewestRow::newest_of(*known, rollup.newest_row(row)));
                        found_here.insert(person as usize);
                    }
                }
            }
            found.union_with(&found_here);
        }
        newest
    }

    /// The person of each profile, by profile index; [`NO_PERSON`] for profiles that the selection excludes.
    fn people_by_profile(self, selection: &RowSelection) -> Cow<'a, [PersonIndex]> {
        if selection.department_path.is_none() && selection.user_id.is_none() {
            return Cow::Borrowed(self.dictionary.profile_persons());
        }
        let selector = selection.compile(self.dictionary);
        let person = |profile: &Arc<Profile>| profile.person.filter(|_| selector.matches_profile(profile));
        self.dictionary.profiles().map(|profile| person(profile).unwrap_or(NO_PERSON)).collect()
    }

    /// The totals of these people, in the same order.
    #[must_use]
    pub fn totals(self, people: &[PersonIndex], selection: &RowSelection) -> Vec<PersonTotals> {
        let mut slot_by_person = vec![NO_SLOT; self.dictionary.person_count()];
        for (slot, person) in (0..).zip(people) {
            slot_by_person[*person as usize] = slot;
        }
        let slot = |person: &PersonIndex| slot_by_person.get(*person as usize).copied().unwrap_or(NO_SLOT);
        let slots: Vec<u32> = self.dictionary.profile_persons().iter().map(slot).collect();
        let selected = self.people_by_profile(selection);
        let profiles: Vec<ProfileIndex> =
            (0..).zip(&slots).filter(|(_, slot)| **slot != NO_SLOT).map(|(profile, _)| profile).collect();
        let mut totals: Vec<Option<TotalsBuilder>> = vec![None; people.len()];
        let mut newest_rows: Vec<Option<NewestRow>> = vec![None; people.len()];
        for rollup in self.rollups {
            rollup.for_each_row(&profiles, &slots, |row, slot| {
                let (index, newest) = (rollup.profiles()[row], &mut newest_rows[slot as usize]);
                let of_row = rollup.newest_row(row);
                *newest = Some(NewestRow::newest_of(*newest, of_row));
                if selected[index as usize] != NO_PERSON {
                    let profile = self.dictionary.profile(index);
                    let builder = totals[slot as usize].get_or_insert_with(|| TotalsBuilder::new(profile, of_row));
                    builder.add(profile, rollup, row, of_row);
                }
            });
        }
        let finish = |(builder, newest_row): (Option<TotalsBuilder>, Option<NewestRow>)| {
            Some(PersonTotals { newest_row: newest_row?, ..builder?.totals })
        };
        totals.into_iter().zip(newest_rows).filter_map(finish).collect()
    }
}

impl SortKeys {
    /// Records the people with a row, and the latest profile of each.
    fn record_rows(&mut self, rollups: &[UserRollup], people: &[PersonIndex], person_count: usize) {
        self.present = FixedBitSet::with_capacity(person_count);
        self.profiles = vec![0; person_count];
        for profile in rollups.iter().flat_map(UserRollup::profiles) {
            let person = people[*profile as usize];
            if person != NO_PERSON {
                self.present.insert(person as usize);
                self.profiles[person as usize] = *profile;
            }
        }
    }

    fn add_counter(&mut self, counter: &CounterColumn, rollup: &UserRollup, people: &[PersonIndex]) {
        let profiles = rollup.profiles();
        counter.for_each(|row, value| {
            let person = people[profiles[row] as usize];
            if person != NO_PERSON {
                let sum = &mut self.sums[person as usize];
                *sum = sum.saturating_add(value);
            }
        });
    }

    fn add_activity(&mut self, rollup: &UserRollup, people: &[PersonIndex]) {
        let last = rollup.last_day().days_since_year_zero();
        let profiles = rollup.profiles();
        rollup.for_each_activity(|row, activity| {
            let person = people[profiles[row] as usize];
            if person != NO_PERSON {
                let (index, last_active) = (person as usize, last - activity.idle_days);
                // If the day is already counted, the person was active in two geos: in one geo a person has one row a day.
                if self.last_active[index] != last_active {
                    self.active_days[index] += activity.active_days;
                    self.last_active[index] = self.last_active[index].max(last_active);
                }
            }
        });
    }
}

impl TotalsBuilder {
    fn new(profile: &Arc<Profile>, newest_row: NewestRow) -> Self {
        let totals = PersonTotals {
            profile: Arc::clone(profile),
            geo: newest_row.geo,
            newest_row,
            active_days: 0,
            last_active_date: None,
            feature_days: [0; Feature::COUNT],
            counters: [0; Counter::COUNT],
        };
        Self { totals, last_day: None, flags: Flags::default() }
    }

    /// Adds a row, whose state of the account is `of_row`.
    fn add(&mut self, profile: &Arc<Profile>, rollup: &UserRollup, row: usize, of_row: NewestRow) {
        let day = rollup.last_day();
        let counted = if self.last_day == Some(day) { self.flags } else { Flags::default() };
        let totals = &mut self.totals;
        totals.profile = Arc::clone(profile);
        totals.geo = of_row.geo;
        totals.newest_row = totals.newest_row.newer(of_row);
        if let Some(activity) = rollup.activity(row).filter(|_| !counted.contains(Flag::Active)) {
            totals.active_days += activity.active_days;
            totals.last_active_date = totals.last_active_date.max(Some(day.plus(-activity.idle_days)));
        }
        for feature in Feature::ALL.into_iter().filter(|feature| !counted.contains(Flag::Feature(*feature))) {
            totals.feature_days[feature.index()] += rollup.feature_days(row, feature);
        }
        for counter in Counter::ALL {
            let sum = &mut totals.counters[counter.index()];
            *sum = sum.saturating_add(rollup.counter(counter).get(row));
        }
        // A month is of one geo, so nothing of its days is counted twice.
        let flags = rollup.day_flags(row).unwrap_or_default();
        (self.last_day, self.flags) = (Some(day), counted.union(flags));
    }
}

impl PersonTotals {
    /// The totals of the rows that `selector` matches, as if of one person; `None` if there are no rows.
    #[must_use]
    pub fn from_rows(
        days: &[Arc<DayTable>],
        selector: &RowSelector<'_>,
        dictionary: &DictionaryTables,
    ) -> Option<Self> {
        let mut totals: Option<TotalsBuilder> = None;
        for day in days {
            let rollup = UserRollup::Day(Arc::clone(day));
            for row in selector.rows(day) {
                let profile = dictionary.profile(day.profiles()[row]);
                let of_row = rollup.newest_row(row);
                totals.get_or_insert_with(|| TotalsBuilder::new(profile, of_row)).add(profile, &rollup, row, of_row);
            }
        }
        totals.map(|builder| builder.totals)
    }
}

impl UserRanking<'_> {
    /// Number of included people.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.people.len()
    }

    /// The `limit` people after the first `skip`. Only the page is sorted; the rest is only partitioned.
    #[must_use]
    pub fn page(&self, skip: usize, limit: usize) -> Vec<PersonIndex> {
        let compare = |one: &PersonIndex, other: &PersonIndex| self.compare(*one, *other);
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

    fn compare(&self, one: PersonIndex, other: PersonIndex) -> Ordering {
        let keys = &self.sort_keys;
        let (a, b) = (one as usize, other as usize);
        let name = |person: usize| &self.dictionary.profile(keys.profiles[person]).user_name;
        let register_time = |person: usize| self.dictionary.profile(keys.profiles[person]).register_time;
        let row = |person: usize| keys.newest_rows.get(person).copied().flatten();
        let ranks = self.dictionary.user_id_ranks();
        let by_key = match self.sort.key {
            UserSortKey::Counter(_) => keys.sums[a].cmp(&keys.sums[b]),
            UserSortKey::ActiveDays => keys.active_days[a].cmp(&keys.active_days[b]),
            UserSortKey::LastActiveDate => keys.last_active[a].cmp(&keys.last_active[b]),
            UserSortKey::UserName => name(a).cmp(name(b)),
            UserSortKey::UserId => ranks[a].cmp(&ranks[b]),
            UserSortKey::Status => keys.statuses.get(a).cmp(&keys.statuses.get(b)),
            UserSortKey::Activated => row(a).map(|row| row.activated).cmp(&row(b).map(|row| row.activated)),
            UserSortKey::RegisterTime => register_time(a).cmp(&register_time(b)),
            UserSortKey::LastActiveTime => {
                row(a).and_then(|row| row.last_active_time).cmp(&row(b).and_then(|row| row.last_active_time))
            }
        };
        let by_key = if self.sort.descending { by_key.reverse() } else { by_key };
        by_key.then_with(|| ranks[a].cmp(&ranks[b]))
    }
}
