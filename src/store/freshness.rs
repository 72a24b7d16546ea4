//! Freshness: decides whether a day can still change, from the calendar, its fetches and the row counts around it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::{
    model::{Day, Geo},
    source::PAGE_SIZE,
};

/// The state of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DayState {
    /// Upstream has not produced it yet. It is not requested.
    Pending,
    /// Upstream sent no rows, unusually few, or the fetch was doubtful. It does not count in any figure, and is fetched
    /// again until two fetches agree.
    Late,
    /// It is available but may still change. It is served, and refreshed in the background.
    Provisional,
    /// It is not fetched again, unless the row counts of the days around it later show that it is small.
    Final,
    /// It has no rows, and two fetches agree on that or it is before the tenant's first day. It does not count in any
    /// figure, and is not fetched again.
    Empty,
}

/// The time limits of the freshness rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshnessPolicy {
    /// A day that was fetched less than this time after its production may have been fetched too early.
    pub settling_time: Duration,
    /// A late day is accepted as it is if two fetches at least this far apart return the same rows.
    pub confirmation_gap: Duration,
    /// A fetch is old if it is made at least this long after the production of the day. A part of the company without
    /// rows is late only until this age.
    pub old_age: Duration,
    /// The same as `confirmation_gap`, for old days.
    pub old_confirmation_gap: Duration,
    /// A provisional or late day is refreshed when its last fetch is longer ago than this, or less often if a refresh costs
    /// many calls. Old late days are refreshed after `old_confirmation_gap`.
    pub refresh_interval: Duration,
    /// The calls that the refreshes of one day may cost while it settles. The refresh at the end of this time is not counted:
    /// it makes the day final.
    pub early_refresh_calls: usize,
    /// Days before today that are kept; older days are expired. `None`: no day expires.
    pub retention_days: Option<u16>,
}

/// The fetches of a day that returned the rows which are served now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayFetches {
    /// Time of the first of the consecutive fetches that returned these rows.
    pub agreed_since: Timestamp,
    /// Time of the latest fetch.
    pub fetched_at: Timestamp,
    /// Number of rows.
    pub rows: usize,
    /// Whether rows may be missing although upstream reported no failure.
    pub doubtful: bool,
}

/// The numbers of rows of the days of one series.
#[derive(Clone, Debug, Default)]
pub struct RowCounts {
    by_day: BTreeMap<Day, usize>,
    /// At least the largest of them. With it, most days are judged without a look at the days around them.
    upper_bound: usize,
}

/// Default of [`FreshnessPolicy::early_refresh_calls`]: a refresh every half hour for up to 120 people, and none for more than
/// 1,440 people, for whom the six hours cost one more fetch of the day.
const MAX_EARLY_REFRESH_CALLS: usize = 24;

/// Days of the longest month, so that the share of a quota is not exceeded in any month.
const DAYS_OF_A_MONTH: u64 = 31;

/// A day is compared with the same weekday this many days before and after it: the four weeks around it. Weekends
/// usually have fewer rows than working days.
const COMPARED_OFFSETS: [i32; 4] = [-14, -7, 7, 14];

/// Minimum number of compared days that must be recorded before a day with rows is judged as small.
const MIN_COMPARED_DAYS: usize = 2;

/// Minimum number of recorded days without rows, up to the first day with rows, that prove that the tenant has no
/// earlier data. A shorter gap can be a failure of upstream.
const MIN_EMPTY_DAYS_BEFORE_FIRST: usize = 7;

impl DayState {
    /// Whether a day in this state counts in figures.
    #[must_use]
    pub const fn counts(self) -> bool {
        matches!(self, Self::Provisional | Self::Final)
    }

    /// Whether a day in this state is not fetched again.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Final | Self::Empty)
    }
}

impl RowCounts {
    /// The number of rows of a day, if it is recorded.
    #[must_use]
    pub fn get(&self, day: Day) -> Option<usize> {
        self.by_day.get(&day).copied()
    }

    /// Records the number of rows of a day. Returns the previous number.
    pub fn insert(&mut self, day: Day, rows: usize) -> Option<usize> {
        self.upper_bound = self.upper_bound.max(rows);
        self.by_day.insert(day, rows)
    }

    /// Removes a day.
    pub fn remove(&mut self, day: Day) {
        self.by_day.remove(&day);
    }

    /// The first day with rows.
    #[must_use]
    pub fn first_day_with_rows(&self) -> Option<Day> {
        self.by_day.iter().find(|(_, rows)| **rows > 0).map(|(day, _)| *day)
    }
}

impl Default for FreshnessPolicy {
    fn default() -> Self {
        const HOUR: u64 = 3600;
        Self {
            settling_time: Duration::from_secs(6 * HOUR),
            confirmation_gap: Duration::from_secs(6 * HOUR),
            old_age: Duration::from_secs(72 * HOUR),
            old_confirmation_gap: Duration::from_secs(10 * 60),
            refresh_interval: Duration::from_secs(30 * 60),
            early_refresh_calls: MAX_EARLY_REFRESH_CALLS,
            retention_days: None,
        }
    }
}

impl FreshnessPolicy {
    /// The state at `now` of a day of the whole company, which `counts` compares with the days around it.
    ///
    /// A small or doubtful day is late at any age, until two fetches that are far enough apart return the same rows:
    /// age without a new fetch proves nothing.
    #[must_use]
    pub fn state(&self, geo: Geo, day: Day, fetches: &DayFetches, counts: &RowCounts, now: Timestamp) -> DayState {
        let is_small = is_small(day, fetches.rows, counts);
        if fetches.rows == 0 && !fetches.doubtful && geo.produced_at(day) <= now && is_before_first_rows(day, counts) {
            return DayState::Empty;
        }
        self.state_by_size(geo, day, fetches, is_small, now)
    }

    /// The state at `now` of a day of one person or department. `company` is the state of the same day of the whole
    /// company, if it is known.
    ///
    /// A day of one person often has no rows, because the person has left. But shortly after the production of the day
    /// they can also mean that upstream has not written the day yet. With `has_rows_on_other_days`, as of a department, a
    /// day without rows is late at any age until two fetches agree.
    #[must_use]
    pub fn state_of_part(
        &self,
        has_rows_on_other_days: bool,
        geo: Geo,
        day: Day,
        fetches: &DayFetches,
        company: Option<DayState>,
        now: Timestamp,
    ) -> DayState {
        if let Some(state) = company.filter(|state| !state.counts()) {
            return state;
        }
        let is_recent = fetches.fetched_at < geo.produced_at(day) + self.old_age;
        let is_small = company.is_none() && fetches.rows == 0 && (is_recent || has_rows_on_other_days);
        match self.state_by_size(geo, day, fetches, is_small, now) {
            // Only the day of the whole company can be empty.
            DayState::Empty => DayState::Final,
            state => state,
        }
    }

    fn state_by_size(&self, geo: Geo, day: Day, fetches: &DayFetches, is_small: bool, now: Timestamp) -> DayState {
        let produced = geo.produced_at(day);
        if now < produced {
            return DayState::Pending;
        }
        let needs_confirmation = fetches.doubtful || is_small;
        if needs_confirmation && !self.is_confirmed(produced, fetches) {
            return DayState::Late;
        }
        if fetches.fetched_at < produced + self.settling_time {
            return DayState::Provisional;
        }
        if fetches.rows == 0 { DayState::Empty } else { DayState::Final }
    }

    /// Whether two fetches that are far enough apart returned the same rows.
    fn is_confirmed(&self, produced: Timestamp, fetches: &DayFetches) -> bool {
        fetches.fetched_at >= fetches.agreed_since + self.gap_after(produced, fetches.fetched_at)
    }

    fn gap_after(&self, produced: Timestamp, fetched_at: Timestamp) -> Duration {
        if fetched_at >= produced + self.old_age { self.old_confirmation_gap } else { self.confirmation_gap }
    }

    /// When a day in this state is due for a refresh; `None` if it is never fetched again.
    #[must_use]
    pub fn refresh_due_at(&self, geo: Geo, day: Day, state: DayState, fetches: &DayFetches) -> Option<Timestamp> {
        let (produced, fetched_at) = (geo.produced_at(day), fetches.fetched_at);
        let is_old = fetched_at >= produced + self.old_age;
        match state {
            DayState::Final | DayState::Empty => None,
            DayState::Late if is_old => Some(fetched_at + self.old_confirmation_gap),
            // A fetch that ended early is repeated soon, once.
            DayState::Late if fetches.doubtful && fetches.agreed_since == fetched_at => {
                Some(fetched_at + self.refresh_interval)
            }
            DayState::Pending | DayState::Late => Some(fetched_at + self.refresh_interval_of(fetches.rows)),
            DayState::Provisional => {
                let due = fetched_at + self.refresh_interval_of(fetches.rows);
                let settled = produced + self.settling_time;
                // The refresh that makes the day final replaces one that would come shortly before it.
                let is_last = due + self.refresh_interval > settled;
                Some(if is_last { settled.max(fetched_at + self.refresh_interval) } else { due })
            }
        }
    }

    /// The time between two refreshes of a day with this many rows. It spreads the calls of early refreshes over the time in
    /// which the day settles.
    fn refresh_interval_of(&self, rows: usize) -> Duration {
        let refreshes = self.early_refresh_calls / rows.div_ceil(PAGE_SIZE).max(1);
        let refreshes = u32::try_from(refreshes).unwrap_or(u32::MAX);
        (self.settling_time / refreshes.saturating_add(1)).max(self.refresh_interval)
    }

    /// Lowers the calls of early refreshes to a tenth of the calls that a monthly quota allows in a day.
    #[must_use]
    pub fn within_quota(self, monthly_calls: Option<u64>) -> Self {
        let tenth_of_a_day = monthly_calls.map_or(u64::MAX, |calls| calls / (10 * DAYS_OF_A_MONTH));
        let tenth_of_a_day = usize::try_from(tenth_of_a_day).unwrap_or(usize::MAX);
        Self { early_refresh_calls: self.early_refresh_calls.min(tenth_of_a_day), ..self }
    }

    /// The earliest day of a geo that is kept at `now`; `None` if no day expires.
    #[must_use]
    pub fn oldest_kept(&self, geo: Geo, now: Timestamp) -> Option<Day> {
        self.retention_days.map(|days| geo.today(now).plus(-i32::from(days)))
    }
}

/// The days whose judgement depends on the number of rows of `day`.
fn compared_days(day: Day) -> impl Iterator<Item = Day> {
    COMPARED_OFFSETS.into_iter().map(move |offset| day.plus(offset))
}

/// Whether a day of `rows` rows has no rows, or fewer than half the median of the same weekday in the four weeks around
/// it.
fn is_small(day: Day, rows: usize, counts: &RowCounts) -> bool {
    // The median is at most the upper bound.
    if rows > 0 && rows * 2 >= counts.upper_bound {
        return false;
    }
    let mut others: Vec<usize> = compared_days(day).filter_map(|other| counts.get(other)).collect();
    others.sort_unstable();
    // Twice the median, so that the mean of the two middle values stays a whole number.
    let double_median = others.get(others.len() / 2).copied().unwrap_or(0)
        + others.get(others.len().saturating_sub(1) / 2).copied().unwrap_or(0);
    rows == 0 || (others.len() >= MIN_COMPARED_DAYS && rows * 4 < double_median)
}

/// Whether the recorded days prove that the tenant has no rows on `day` or earlier: no earlier day has rows, and an
/// uninterrupted run of days without rows that includes `day` ends with the first day that has rows.
fn is_before_first_rows(day: Day, counts: &RowCounts) -> bool {
    let Some(first) = counts.first_day_with_rows() else { return false };
    let run = counts.by_day.range(..first).rev().zip(1_i32..);
    let length = run.take_while(|((before, _), offset)| **before == first.plus(-offset)).count();
    day < first
        && length >= MIN_EMPTY_DAYS_BEFORE_FIRST
        && first.since(day) <= i32::try_from(length).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const POLICY: fn() -> FreshnessPolicy = FreshnessPolicy::default;

    fn day() -> Day {
        Day::new(2026, 11, 1).unwrap()
    }

    fn hours(hours: i64) -> Timestamp {
        minutes(60 * hours)
    }

    fn minutes(minutes: i64) -> Timestamp {
        Geo::Cn.produced_at(day()) + SignedDuration::from_mins(minutes)
    }

    fn fetched_once(at: Timestamp, rows: usize) -> DayFetches {
        DayFetches { agreed_since: at, fetched_at: at, rows, doubtful: false }
    }

    impl FromIterator<(Day, usize)> for RowCounts {
        fn from_iter<I: IntoIterator<Item = (Day, usize)>>(days: I) -> Self {
            let mut counts = Self::default();
            for (day, rows) in days {
                counts.insert(day, rows);
            }
            counts
        }
    }

    /// The same number of rows on the same weekday of the four weeks around the day.
    fn around(rows: usize) -> RowCounts {
        compared_days(day()).map(|other| (other, rows)).collect()
    }

    fn state(fetches: &DayFetches, counts: &RowCounts) -> DayState {
        POLICY().state(Geo::Cn, day(), fetches, counts, hours(5000))
    }

    #[test]
    fn a_day_is_first_pending_then_provisional_then_final() {
        let state = |fetched_after: i64, seen_after: i64| {
            POLICY().state(Geo::Cn, day(), &fetched_once(hours(fetched_after), 1000), &around(1000), hours(seen_after))
        };
        assert_eq!(state(-2, -1), DayState::Pending);
        assert_eq!(state(0, 0), DayState::Provisional);
        assert_eq!(state(5, 500), DayState::Provisional);
        assert_eq!(state(6, 6), DayState::Final);
    }

    #[rstest]
    #[case::no_rows(0, DayState::Late)]
    #[case::fewer_than_half(499, DayState::Late)]
    #[case::half(500, DayState::Final)]
    fn a_small_day_is_late_at_any_age(#[case] rows: usize, #[case] expected: DayState) {
        for age in [0, 1, 71, 72, 4000] {
            let expected = if age < 6 && expected == DayState::Final { DayState::Provisional } else { expected };
            assert_eq!(state(&fetched_once(hours(age), rows), &around(1000)), expected, "fetched after {age} h");
        }
    }

    #[test]
    fn a_late_day_is_accepted_when_two_fetches_agree() {
        let twice = |first: Timestamp, last: Timestamp, rows: usize| {
            state(&DayFetches { agreed_since: first, ..fetched_once(last, rows) }, &around(1000))
        };
        assert_eq!(twice(hours(0), minutes(359), 10), DayState::Late);
        assert_eq!(twice(hours(0), minutes(360), 10), DayState::Final);
        assert_eq!(twice(hours(0), minutes(360), 0), DayState::Empty);
        assert_eq!(twice(hours(100), minutes(6009), 10), DayState::Late);
        assert_eq!(twice(hours(100), minutes(6010), 10), DayState::Final, "ten minutes suffice after 72 hours");
    }

    /// The refreshes of a day that is requested all the time, in minutes after its production.
    fn refreshes(policy: &FreshnessPolicy, people: usize) -> Vec<i64> {
        let mut fetched_at = minutes(0);
        let mut refreshes = Vec::new();
        loop {
            let fetches = fetched_once(fetched_at, people);
            let state = policy.state(Geo::Cn, day(), &fetches, &around(people), hours(5000));
            let Some(due) = policy.refresh_due_at(Geo::Cn, day(), state, &fetches) else { return refreshes };
            refreshes.push(due.duration_since(minutes(0)).as_mins());
            fetched_at = due;
        }
    }

    #[rstest]
    #[case::one_page(60, vec![30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 330, 360])]
    #[case::six_pages(360, vec![72, 144, 216, 288, 360])]
    #[case::twenty_four_pages(1440, vec![180, 360])]
    #[case::more_pages(1441, vec![360])]
    #[case::half_a_million_people(500_000, vec![360])]
    fn a_provisional_day_is_refreshed_by_price(#[case] people: usize, #[case] expected: Vec<i64>) {
        assert_eq!(refreshes(&POLICY(), people), expected);
    }

    #[test]
    fn early_refreshes_cost_at_most_a_tenth_of_the_quota_of_a_day() {
        assert_eq!(refreshes(&POLICY().within_quota(Some(930)), 60), [90, 180, 270, 360]);
        assert_eq!(refreshes(&POLICY().within_quota(Some(309)), 60), [360]);
        assert_eq!(POLICY().within_quota(Some(1_000_000)), POLICY());
        assert_eq!(POLICY().within_quota(None), POLICY());
    }

    proptest! {
        #[test]
        fn all_refreshes_cost_one_more_fetch_and_a_few_calls(people in 1..100_000_usize, quota in 0..10_000_u64) {
            let policy = POLICY().within_quota(Some(quota));
            let pages = people.div_ceil(PAGE_SIZE);
            let early = refreshes(&policy, people).len() - 1;
            prop_assert!(early * pages <= policy.early_refresh_calls);
        }
    }

    #[test]
    fn a_doubtful_day_is_late_until_two_fetches_agree() {
        let doubtful = DayFetches { doubtful: true, ..fetched_once(hours(100), 1000) };
        assert_eq!(state(&doubtful, &around(1000)), DayState::Late);
        assert_eq!(state(&DayFetches { agreed_since: hours(90), ..doubtful }, &around(1000)), DayState::Final);
    }

    #[test]
    fn one_compared_day_proves_nothing() {
        let mut counts: RowCounts = std::iter::once((day().plus(7), 1000)).collect();
        assert_eq!(state(&fetched_once(hours(100), 1), &counts), DayState::Final);
        counts.insert(day().plus(-7), 3);
        assert_eq!(state(&fetched_once(hours(100), 1), &counts), DayState::Late);
    }

    #[test]
    fn other_weekdays_are_not_compared() {
        let counts = (1..7).flat_map(|offset| [(day().plus(offset), 1000), (day().plus(-offset), 1000)]).collect();
        assert_eq!(state(&fetched_once(hours(100), 1), &counts), DayState::Final);
    }

    #[test]
    fn days_before_the_first_day_with_rows_are_empty_if_there_are_enough_of_them() {
        let without_rows = |days: i32| -> RowCounts {
            (0..days).map(|offset| (day().plus(offset), 0)).chain([(day().plus(days), 1000)]).collect()
        };
        assert_eq!(state(&fetched_once(hours(100), 0), &without_rows(6)), DayState::Late);
        assert_eq!(state(&fetched_once(hours(100), 0), &without_rows(7)), DayState::Empty);
        let mut interrupted = without_rows(9);
        interrupted.remove(day().plus(1));
        assert_eq!(state(&fetched_once(hours(100), 0), &interrupted), DayState::Late);
        let mut between = without_rows(9);
        between.insert(day().plus(-30), 1000);
        assert_eq!(state(&fetched_once(hours(100), 0), &between), DayState::Late);
    }

    #[test]
    fn a_part_without_rows_is_late_shortly_after_production_or_if_other_days_have_rows() {
        let state = |has_rows_on_other_days, age: i64| {
            POLICY().state_of_part(
                has_rows_on_other_days,
                Geo::Cn,
                day(),
                &fetched_once(hours(age), 0),
                None,
                hours(5000),
            )
        };
        assert_eq!(state(false, 71), DayState::Late);
        assert_eq!(state(false, 72), DayState::Final);
        assert_eq!(state(true, 4000), DayState::Late);
    }

    #[test]
    fn a_part_has_the_state_of_the_company_if_that_does_not_count() {
        let state = |company| {
            let fetches = fetched_once(hours(100), 0);
            POLICY().state_of_part(true, Geo::Cn, day(), &fetches, Some(company), hours(5000))
        };
        assert_eq!(state(DayState::Late), DayState::Late);
        assert_eq!(state(DayState::Empty), DayState::Empty);
        assert_eq!(state(DayState::Final), DayState::Final, "the department really has no people");
    }

    prop_compose! {
        fn any_fetches()(
            first in -100_i64..200, later in 0_i64..100, rows in 0_usize..3000, doubtful: bool,
        ) -> DayFetches {
            DayFetches { agreed_since: hours(first), fetched_at: hours(first + later), rows, doubtful }
        }
    }

    proptest! {
        #[test]
        fn time_alone_does_not_change_the_state_of_a_produced_day(
            fetches in any_fetches(), usual in 0_usize..3000, now in 0_i64..400, later in 0_i64..400,
        ) {
            let state = |now| POLICY().state(Geo::Cn, day(), &fetches, &around(usual), hours(now));
            prop_assert_eq!(state(now), state(now + later));
        }

        #[test]
        fn a_settled_day_is_confirmed_or_not_small(fetches in any_fetches(), usual in 0_usize..3000, now in -100_i64..400) {
            let state = POLICY().state(Geo::Cn, day(), &fetches, &around(usual), hours(now));
            if state.is_settled() {
                let agreed = fetches.fetched_at.duration_since(fetches.agreed_since);
                prop_assert!(now >= 0 && fetches.fetched_at >= hours(6));
                prop_assert!(agreed >= SignedDuration::from_mins(10) || (!fetches.doubtful && fetches.rows * 2 >= usual));
                prop_assert_eq!(state == DayState::Empty, fetches.rows == 0);
            }
        }
    }
}
