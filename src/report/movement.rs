//! Movement: the change of the people of a week or month since the week or month before (growth accounting).

use std::{collections::BTreeSet, num::NonZeroU64};

use fixedbitset::FixedBitSet;

use super::{
    activity::{Interval, buckets},
    day_counts::in_any,
    known_dates::KnownDates,
    people_by_date::{PeopleByDate, PeopleOfDate},
    people_view::PeopleView,
    retention::Activations,
};
use crate::{
    model::{DayRange, Geo},
    table::Flag,
};

/// What the movement is computed from.
#[derive(Clone, Copy, Debug)]
pub struct MovementInput<'a> {
    /// The people of the selected departments on the dates that count: the selected dates and the dates before them.
    pub people: &'a PeopleByDate,
    /// The same dates, and those without people.
    pub dates: &'a KnownDates,
    /// When each person activated their account.
    pub activations: &'a Activations,
}

/// One week or month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementBucket {
    /// The selected days of the bucket.
    pub days: DayRange,
    /// Number of selected dates of the bucket that count.
    pub days_counted: usize,
    /// Whether the whole week or month is selected and known.
    pub is_complete: bool,
    /// Whether the week or month before is known, although it need not be selected.
    pub has_predecessor: bool,
    /// The figures; `None` if one of the two weeks or months is not known or has no date that counts, or if the id of a
    /// person is missing in one of them.
    pub movement: Option<Movement>,
}

/// The movement of people from one bucket to the next.
///
/// `active = retained + new + reactivated`, and the change of the number of people between the last dates that count is
/// `joined − left + transferred_in − transferred_out`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Movement {
    /// People active in the bucket.
    pub active: u64,
    /// People active in both buckets.
    pub retained: u64,
    /// People active in this bucket only, whose account was activated in it.
    pub new: u64,
    /// The other people who were active in this bucket only.
    pub reactivated: u64,
    /// People active in the bucket before only, who still have a row on the last date of this one.
    pub newly_dormant: u64,
    /// The other people who were active in the bucket before only. Reports do not show them; their number is the
    /// difference of figures that reports show.
    pub departed: u64,
    /// People with a row on the last date of this bucket and none, in any department, on that of the bucket before.
    pub joined: u64,
    /// People with a row on the last date of the bucket before and none, in any department, on that of this bucket.
    pub left: u64,
    /// People who came from another department.
    pub transferred_in: u64,
    /// People who went to another department.
    pub transferred_out: u64,
    /// Whether the people outside the selected department are known: none of their ids is missing.
    pub are_others_identified: bool,
}

/// The figures of a [`Movement`] that are hidden, because they are those of a small group or such a figure could be
/// derived from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each figure is hidden or not")]
pub struct HiddenMovement {
    /// `active`.
    pub active: bool,
    /// `retained`.
    pub retained: bool,
    /// `new` and `reactivated`.
    pub arrivals: bool,
    /// `newly_dormant`.
    pub newly_dormant: bool,
    /// `joined` and `left`.
    pub rows: bool,
}

/// The people of one week or month.
struct BucketPeople {
    /// People active on any date.
    active: FixedBitSet,
    /// People with a row on the last date that counts.
    present: FixedBitSet,
    /// The same, in any department.
    present_anywhere: FixedBitSet,
    /// Whether no selected row lacks the person's id.
    are_identified: bool,
    /// Whether no row of any department lacks the person's id.
    are_others_identified: bool,
}

/// The movement over `selected`, by week or month.
#[must_use]
pub fn movement(selected: DayRange, interval: Interval, input: &MovementInput<'_>) -> Vec<MovementBucket> {
    let mut previous = people_before(selected, interval, input);
    let bucket = |days: DayRange| {
        let whole = interval.containing(days.first());
        let people = known_people(whole, input);
        let is_complete = days == whole && input.dates.cover(whole);
        let pair = previous.as_ref().zip(people.as_ref().filter(|_| is_complete));
        let identified = pair.filter(|(before, now)| before.are_identified && now.are_identified);
        let movement = identified.map(|(before, now)| Movement::between(before, now, whole, input.activations));
        let has_predecessor = previous.is_some();
        previous = people;
        MovementBucket { days, days_counted: input.dates.days_counted(days), is_complete, has_predecessor, movement }
    };
    buckets(selected, interval).map(bucket).collect()
}

/// Number of days before `selected` that [`movement`] needs: if the range begins with a whole week or month, the one
/// before it; otherwise the rest of the first one.
#[must_use]
pub fn lead_days(selected: DayRange, interval: Interval) -> u16 {
    let first = interval.containing(selected.first());
    let first = if first.first() == selected.first() { previous_bucket(first, interval) } else { first };
    u16::try_from(selected.first().since(first.first())).unwrap_or(0)
}

/// The week or month of a bucket, and the one before it.
pub fn compared_buckets(bucket: DayRange, interval: Interval) -> impl Iterator<Item = DayRange> {
    let whole = interval.containing(bucket.first());
    [previous_bucket(whole, interval), whole].into_iter()
}

/// The figures of each bucket that are hidden so that no group of fewer than `min_people` people is visible or can be
/// derived. Each geo is examined separately too, because a caller can request each of them alone.
#[must_use]
pub fn hidden(
    selected: DayRange,
    interval: Interval,
    input: &MovementInput<'_>,
    min_people: NonZeroU64,
) -> Vec<HiddenMovement> {
    let geos: BTreeSet<Geo> = input.people.geos().collect();
    let of_people = |people: &PeopleByDate| {
        let buckets = movement(selected, interval, &MovementInput { people, ..*input });
        let hidden = |bucket: MovementBucket| bucket.movement.map(|movement| movement.hidden(min_people));
        buckets.into_iter().map(|bucket| hidden(bucket).unwrap_or_default()).collect::<Vec<HiddenMovement>>()
    };
    let mut all = of_people(input.people);
    for hidden in geos.iter().filter(|_| geos.len() > 1).map(|geo| of_people(&input.people.of_geo(*geo))) {
        for (all, hidden) in all.iter_mut().zip(hidden) {
            *all = all.or(hidden);
        }
    }
    all
}

fn previous_bucket(bucket: DayRange, interval: Interval) -> DayRange {
    interval.containing(bucket.first().plus(-1))
}

/// The people of the bucket before the first one.
fn people_before(selected: DayRange, interval: Interval, input: &MovementInput<'_>) -> Option<BucketPeople> {
    let first = interval.containing(selected.first());
    let before = previous_bucket(first, interval);
    // The calendar has a first day.
    (before != first).then(|| known_people(before, input)).flatten()
}

/// The people of a week or month; `None` if it is not known or has no date that counts.
fn known_people(bucket: DayRange, input: &MovementInput<'_>) -> Option<BucketPeople> {
    let last = input.dates.counted.range(bucket.first()..=bucket.last()).next_back()?;
    if !input.dates.cover(bucket) {
        return None;
    }
    let dates = input.people.within(bucket);
    let last_date = dates.iter().filter(|date| date.day == *last);
    let of_last = |of: fn(&PeopleOfDate) -> PeopleView<'_>| in_any(&last_date.clone().map(of).collect::<Vec<_>>());
    Some(BucketPeople {
        active: in_any(&dates.iter().map(|date| date.with_flag(Flag::Active)).collect::<Vec<_>>()),
        present: of_last(PeopleOfDate::with_row),
        present_anywhere: of_last(PeopleOfDate::with_row_anywhere),
        are_identified: dates.iter().all(|date| date.with_row().unidentified == 0),
        are_others_identified: dates.iter().all(|date| date.with_row_anywhere().unidentified == 0),
    })
}

impl Movement {
    fn between(before: &BucketPeople, now: &BucketPeople, bucket: DayRange, activations: &Activations) -> Self {
        let arrived = difference(&now.active, &before.active);
        let is_new = |person: &usize| activations.day(*person).is_some_and(|day| bucket.contains(day));
        let new = arrived.ones().filter(is_new).count();
        let gone = difference(&before.active, &now.active);
        let newly_dormant = gone.intersection_count(&now.present);
        let (came, went) = (difference(&now.present, &before.present), difference(&before.present, &now.present));
        let transferred_in = came.intersection_count(&before.present_anywhere);
        let transferred_out = went.intersection_count(&now.present_anywhere);
        Self {
            active: size(&now.active),
            retained: now.active.intersection_count(&before.active) as u64,
            new: new as u64,
            reactivated: size(&arrived) - new as u64,
            newly_dormant: newly_dormant as u64,
            departed: size(&gone) - newly_dormant as u64,
            joined: size(&came) - transferred_in as u64,
            left: size(&went) - transferred_out as u64,
            transferred_in: transferred_in as u64,
            transferred_out: transferred_out as u64,
            are_others_identified: before.are_others_identified && now.are_others_identified,
        }
    }

    /// The figures to hide so that no group of fewer than `min_people` people is visible or can be derived.
    ///
    /// Other reports show the active people and the number of people of both buckets, and the active people of the two
    /// together. So each of these sums can be known, and hiding one of its parts alone is not enough:
    ///
    /// - active = retained + (new + reactivated);
    /// - active before = retained + (newly dormant + departed);
    /// - change of the number of people = joined − left.
    #[must_use]
    pub const fn hidden(&self, min_people: NonZeroU64) -> HiddenMovement {
        let min_people = min_people.get();
        let retained = is_small(self.retained, min_people)
            || is_small(self.new + self.reactivated, min_people)
            || is_small(self.newly_dormant + self.departed, min_people);
        HiddenMovement {
            active: is_small(self.active, min_people),
            retained,
            arrivals: retained || is_small(self.new, min_people) || is_small(self.reactivated, min_people),
            newly_dormant: retained || is_small(self.newly_dormant, min_people) || is_small(self.departed, min_people),
            rows: is_small(self.joined, min_people) || is_small(self.left, min_people),
        }
    }
}

impl HiddenMovement {
    /// All figures.
    pub const ALL: Self = Self { active: true, retained: true, arrivals: true, newly_dormant: true, rows: true };

    /// Whether any figure is hidden.
    #[must_use]
    pub fn has_any(self) -> bool {
        self != Self::default()
    }

    const fn or(self, other: Self) -> Self {
        Self {
            active: self.active || other.active,
            retained: self.retained || other.retained,
            arrivals: self.arrivals || other.arrivals,
            newly_dormant: self.newly_dormant || other.newly_dormant,
            rows: self.rows || other.rows,
        }
    }
}

const fn is_small(people: u64, min_people: u64) -> bool {
    0 < people && people < min_people
}

fn size(people: &FixedBitSet) -> u64 {
    people.count_ones(..) as u64
}

/// The people of `people` who are not in `others`.
fn difference(people: &FixedBitSet, others: &FixedBitSet) -> FixedBitSet {
    let mut rest = people.clone();
    rest.difference_with(others);
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Day;

    /// The figures that a caller can know: those of this report that are not hidden, and the active people and the change of
    /// the number of people, which other reports show.
    struct Knowledge {
        movement: Movement,
        hidden: HiddenMovement,
    }

    impl Knowledge {
        /// Whether a movement agrees with all that is known.
        fn agrees_with(&self, other: &Movement) -> bool {
            let Self { movement: own, hidden } = self;
            (hidden.retained || own.retained == other.retained)
                && (hidden.arrivals || (own.new, own.reactivated) == (other.new, other.reactivated))
                && (hidden.newly_dormant || own.newly_dormant == other.newly_dormant)
                && (hidden.rows || (own.joined, own.left) == (other.joined, other.left))
        }

        /// All movements that agree with what is known.
        fn possible(&self) -> Vec<Movement> {
            let active_before = self.movement.retained + self.movement.newly_dormant + self.movement.departed;
            let rows = (0..30).filter_map(|joined| {
                let left = (joined + self.movement.left).checked_sub(self.movement.joined)?;
                Some((joined, left))
            });
            let rows: Vec<(u64, u64)> = rows.collect();
            let mut possible = Vec::new();
            for retained in 0..=self.movement.active.min(active_before) {
                let (arrived, gone) = (self.movement.active - retained, active_before - retained);
                for new in 0..=arrived {
                    for newly_dormant in 0..=gone {
                        let (reactivated, departed) = (arrived - new, gone - newly_dormant);
                        let movement =
                            Movement { retained, new, reactivated, newly_dormant, departed, ..self.movement };
                        // The two parts do not depend on each other, so each is varied alone.
                        possible.push(movement);
                    }
                }
            }
            possible.extend(rows.into_iter().map(|(joined, left)| Movement { joined, left, ..self.movement }));
            possible.retain(|movement| self.agrees_with(movement));
            possible
        }
    }

    /// The groups of people that can be counted with the figures.
    const GROUPS: [fn(&Movement) -> u64; 9] = [
        |movement| movement.retained,
        |movement| movement.new,
        |movement| movement.reactivated,
        |movement| movement.new + movement.reactivated,
        |movement| movement.newly_dormant,
        |movement| movement.departed,
        |movement| movement.newly_dormant + movement.departed,
        |movement| movement.joined,
        |movement| movement.left,
    ];

    prop_compose! {
        fn movements()(parts in proptest::array::uniform7(0_u64..9)) -> Movement {
            let [retained, new, reactivated, newly_dormant, departed, joined, left] = parts;
            let active = retained + new + reactivated;
            Movement { active, retained, new, reactivated, newly_dormant, departed, joined, left, ..Movement::default() }
        }
    }

    proptest! {
        #[test]
        fn the_size_of_a_small_group_cannot_be_derived(movement in movements(), min_people in 1_u64..9) {
            let active_before = movement.retained + movement.newly_dormant + movement.departed;
            // Otherwise the activity report shows a small group.
            prop_assume!(movement.active >= min_people && active_before >= min_people);
            let knowledge = Knowledge { movement, hidden: movement.hidden(NonZeroU64::new(min_people).unwrap()) };
            let possible = knowledge.possible();
            for (index, group) in GROUPS.into_iter().enumerate() {
                let sizes: BTreeSet<u64> = possible.iter().map(group).collect();
                let is_derived = sizes.len() == 1;
                prop_assert!(!(is_derived && is_small(group(&movement), min_people)), "group {index}: {sizes:?}");
            }
        }

        #[test]
        fn large_groups_are_shown(movement in movements()) {
            let are_large = GROUPS.into_iter().all(|group| group(&movement) != 1);
            let hidden = movement.hidden(NonZeroU64::new(2).unwrap());
            prop_assert_eq!(hidden.has_any(), !are_large || movement.active == 1);
        }
    }

    #[test]
    fn the_lead_days_are_those_before_a_cut_bucket_or_the_bucket_before() {
        let lead = |first: &str, interval| {
            let first: Day = first.parse().unwrap();
            lead_days(DayRange::new(first, first.plus(40)).unwrap(), interval)
        };
        // Monday and Wednesday.
        assert_eq!((lead("2026-11-02", Interval::Week), lead("2026-11-04", Interval::Week)), (7, 2));
        assert_eq!((lead("2026-11-01", Interval::Month), lead("2026-11-04", Interval::Month)), (31, 3));
    }
}
