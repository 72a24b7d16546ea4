//! When a person joined, logged in first, was absent for long, changed the department and left.

use std::ops::Range;

use fastrand::Rng;

use super::{
    Story,
    calendar::CompanyDay,
    random::{evenly_distributed, exponential_days},
};
use crate::{
    TenantGeo,
    seeded_rng::{hash_text, rng_for},
    tenant::{
        activity::DayNumber,
        employment::{Employment, HistoryTime, Transfer},
        id_codec::geo_number,
    },
};

const CAREER: u64 = hash_text("career");
const SHARES: u64 = hash_text("shares");

/// The share of people who join during the history.
const JOINER_SHARE: f64 = 0.3;
/// The shares of people by [`CareerEvent`]. 90 % of the people have not left on the last day, so 5.4 % of all people
/// are 6 % of these.
const LEAVER_SHARE: f64 = 0.1;
const NEVER_ACTIVATED_SHARE: f64 = 0.027;
const DORMANT_SHARE: f64 = 0.054;
const REACTIVATED_SHARE: f64 = 0.035;
/// Days without activity after which an account counts as dormant.
const DORMANT_AFTER_DAYS: i32 = 30;
/// The longest time before the history at which an account becomes dormant.
const LONGEST_DORMANCY_DAYS: i32 = 250;
/// The longest time between the creation of an account and the history.
const LONGEST_TENURE_DAYS: i32 = 1500;
/// How often a random day is drawn until it is plausible.
const MAX_DRAWS: usize = 24;

/// The employment of a person, and a long time without activity.
#[derive(Clone, Debug)]
pub(super) struct Career {
    pub(super) employment: Employment,
    /// The days without activity, as offsets from the first day of the history.
    pub(super) dormancy: Option<Range<i32>>,
}

/// What happens to an account, at most one event a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CareerEvent {
    Leaves,
    NeverActivated,
    BecomesDormant,
    DormantForSomeMonths,
    Nothing,
}

/// Draws days of the history.
struct DayLottery {
    geo: TenantGeo,
    start: DayNumber,
}

impl Career {
    /// Generates the career of a person. `start` is the first day of the history.
    ///
    /// Random days are drawn as calendar days modulo a period, as in [`Employment::generate`].
    pub(super) fn generate(story: &Story, geo: TenantGeo, start: DayNumber, person: u32) -> Self {
        let mut offsets = rng_for(&[story.seed, geo_number(geo), SHARES]);
        let mut evenly = |dimension| evenly_distributed(person, dimension, offsets.f64());
        let (event, joins) = (CareerEvent::for_random(evenly(0)), evenly(1) < JOINER_SHARE);
        let unit_random = evenly(2);
        let mut rng = rng_for(&[story.seed, geo_number(geo), u64::from(person), CAREER]);
        let lottery = DayLottery { geo, start };
        let created = HistoryTime {
            day: if joins {
                lottery.day(&mut rng, story.days, hiring_weight)
            } else {
                -1 - start.days_since(rng.i32(0..LONGEST_TENURE_DAYS), LONGEST_TENURE_DAYS)
            },
            second: rng.u32(9 * 3600..16 * 3600),
        };
        let days_until_activation = if rng.u8(..4) == 0 { rng.i32(0..6) } else { 0 };
        let activated = HistoryTime {
            day: created.day + days_until_activation,
            second: (created.second + rng.u32(300..7000)).min(86_399),
        };
        let department = story.organisation.department(unit_random, &mut rng);
        let transfers = rng.u8(..100) < 7;
        let transfer = transfers.then(|| Transfer {
            day: lottery.day(&mut rng, story.days, transfer_weight).max(created.day),
            department: story.organisation.other_department(department, &mut rng),
        });
        let last_day = (event == CareerEvent::Leaves).then(|| {
            let day = lottery.day(&mut rng, story.days, leaving_weight);
            // A person who would leave before or soon after joining leaves after some months, mostly in the probation.
            if day < activated.day + 14 { activated.day + 20 + exponential_days(&mut rng, 70.0) } else { day }
        });
        let dormancy = event.dormancy(story, start, activated.day, &mut rng);
        let activated = (event != CareerEvent::NeverActivated).then_some(activated);
        Self { employment: Employment { created, activated, last_day, department, transfer }, dormancy }
    }
}

impl CareerEvent {
    fn for_random(random: f64) -> Self {
        let shares = [
            (LEAVER_SHARE, Self::Leaves),
            (NEVER_ACTIVATED_SHARE, Self::NeverActivated),
            (DORMANT_SHARE, Self::BecomesDormant),
            (REACTIVATED_SHARE, Self::DormantForSomeMonths),
        ];
        let mut rest = random;
        for (share, event) in shares {
            if rest < share {
                return event;
            }
            rest -= share;
        }
        Self::Nothing
    }

    /// The days without activity of a person who logged in first on the day `activated`.
    fn dormancy(self, story: &Story, start: DayNumber, activated: i32, rng: &mut Rng) -> Option<Range<i32>> {
        let period = (story.days + LONGEST_DORMANCY_DAYS - DORMANT_AFTER_DAYS).max(1);
        let first = start.minus_days(LONGEST_DORMANCY_DAYS).days_until(rng.i32(0..period), period);
        let first = first - LONGEST_DORMANCY_DAYS;
        // Accounts that are given up early are given up after some weeks.
        let first = if first <= activated { activated + 5 + exponential_days(rng, 30.0) } else { first };
        match self {
            Self::BecomesDormant => Some(first..i32::MAX),
            Self::DormantForSomeMonths => Some(first..first + rng.i32(35..150)),
            Self::Leaves | Self::NeverActivated | Self::Nothing => None,
        }
    }
}

impl DayLottery {
    /// A random day of the history. `weight`, from 0 to 1, is the relative frequency of a day.
    fn day(&self, rng: &mut Rng, days: i32, weight: fn(CompanyDay) -> f64) -> i32 {
        let mut day = 0;
        for _ in 0..MAX_DRAWS {
            day = self.start.days_until(rng.i32(0..days), days);
            if rng.f64() < weight(CompanyDay::of(self.geo, self.start.minus_days(-day))) {
                break;
            }
        }
        day
    }
}

/// Companies hire after the Spring Festival and when students graduate, mostly on Mondays.
fn hiring_weight(day: CompanyDay) -> f64 {
    let month = match day.month {
        3 | 7 => 1.0,
        4 | 8 => 0.85,
        5 | 6 | 9 | 10 => 0.65,
        11 => 0.55,
        _ => 0.4,
    };
    match (day.is_workday(), day.weekday) {
        (false, _) => 0.0,
        (true, 0) => month,
        (true, _) => month * 0.45,
    }
}

/// People leave at the end of a week or of a month, and more often after the annual bonus.
fn leaving_weight(day: CompanyDay) -> f64 {
    let month = if matches!(day.month, 3 | 4) { 1.0 } else { 0.6 };
    match (day.is_workday(), day.weekday == 4 || day.day_of_month >= 28) {
        (false, _) => 0.0,
        (true, true) => month,
        (true, false) => month * 0.35,
    }
}

/// Most people change the department at the start of a month.
fn transfer_weight(day: CompanyDay) -> f64 {
    match (day.is_workday(), day.day_of_month <= 3) {
        (false, _) => 0.0,
        (true, true) => 1.0,
        (true, false) => 0.1,
    }
}
