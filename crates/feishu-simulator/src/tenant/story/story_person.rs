//! A person of the company: on which days the person is active, and the usage figures.

use fastrand::Rng;

use super::{
    Story,
    calendar::{CompanyDay, DayKind},
    career::Career,
    clients,
    habits::{BUSINESS_UNITS, BusinessUnit, UnitHabits},
    random::{count, exponential_days, log_normal, logistic, normal, shift_odds},
};
use crate::{
    TenantGeo,
    seeded_rng::{hash_text, rng_for},
    tenant::{
        activity::{DayNumber, DayUsage, PersonDay},
        device::DeviceFields,
        employment::Employment,
        ground_truth::UsageCounters,
        id_codec::geo_number,
    },
};

const TRAITS: u64 = hash_text("traits");
const PRESENCE_NOISE: u64 = hash_text("presence noise");
const USAGE_NOISE: u64 = hash_text("usage noise");
const WEEK_NOISE: u64 = hash_text("week noise");
const LEAVE: u64 = hash_text("annual leave");
const ACTIVE: u64 = hash_text("active");
const LAST_SECOND: u64 = hash_text("hours");
const USAGE: u64 = hash_text("figures");
const MAIL: u64 = hash_text("mail");
/// A person takes at most one leave in each period of this length.
const LEAVE_PERIOD_DAYS: i32 = 61;
const LONGEST_LEAVE_DAYS: i32 = 8;
/// The longest scale of a roll-out. 90 % of the people adopt documents within six times as many days.
const LONGEST_ROLLOUT_SCALE_DAYS: f64 = 13.0;

/// A person of the company. Days are offsets from the first day of the history.
#[derive(Debug)]
pub(in crate::tenant) struct StoryPerson<'a> {
    story: &'a Story,
    career: Career,
    traits: PersonTraits,
}

/// The properties of a person that are the same on all days.
#[derive(Debug)]
struct PersonTraits {
    /// Probability that the person is active on a workday.
    presence: f64,
    /// The same from the day on which the person loses interest; `None` for most people.
    occasional: Option<OccasionalUse>,
    /// Factor on all counts, with a heavy tail.
    volume: f64,
    /// From 0 to 1. People with a low number have a mailbox.
    mailbox: f64,
    /// When the person adopts documents in a roll-out, as odds.
    adoption: f64,
    /// How much the person likes each feature.
    tastes: [FeatureTaste; 6],
    /// The first day of the periods of [`LEAVE_PERIOD_DAYS`].
    leave_phase: i32,
}

#[derive(Clone, Copy, Debug)]
struct OccasionalUse {
    /// Days from the activation to the first day.
    after_days: i32,
    presence: f64,
}

/// How much a person likes a feature.
#[derive(Clone, Copy, Debug)]
struct FeatureTaste {
    /// From 0 to 1. People with a low number hardly use the feature.
    interest: f64,
    /// Shift of the odds that the feature is used.
    shift: f64,
}

/// A feature, as index of [`PersonTraits::tastes`].
#[derive(Clone, Copy)]
enum Feature {
    Im,
    Docs,
    Cal,
    Vc,
    Search,
    Task,
}

impl<'a> StoryPerson<'a> {
    pub(super) fn generate(story: &'a Story, geo: TenantGeo, start: DayNumber, person: u32) -> Self {
        let career = Career::generate(story, geo, start, person);
        let traits = PersonTraits::generate(&mut rng_for(&[story.seed, geo_number(geo), u64::from(person), TRAITS]));
        Self { story, career, traits }
    }

    pub(in crate::tenant) const fn employment(&self) -> &Employment {
        &self.career.employment
    }

    /// Whether the person is active on a day. People are active on the day on which they log in first.
    pub(in crate::tenant) fn is_active(&self, offset: i32, person_day: PersonDay) -> bool {
        let Some(activated) = self.employment().activated_by(offset) else { return false };
        let is_dormant = self.career.dormancy.as_ref().is_some_and(|days| days.contains(&offset));
        let returns = self.career.dormancy.as_ref().is_some_and(|days| days.end == offset);
        activated.day == offset
            || returns
            || !is_dormant && person_day.rng(ACTIVE).f64() < self.presence(offset, activated.day, person_day)
    }

    /// The second of the day at which the person was last active.
    pub(in crate::tenant) fn last_second(&self, offset: i32, person_day: PersonDay) -> u32 {
        let mut rng = person_day.rng(LAST_SECOND);
        let hour = match CompanyDay::of(person_day.geo, person_day.day).kind {
            DayKind::Workday => normal(&mut rng).mul_add(2.0, 19.2),
            DayKind::Weekend | DayKind::Holiday => normal(&mut rng).mul_add(4.0, 16.0),
        };
        let second = count(&mut rng, hour.clamp(7.0, 23.99) * 3600.0);
        let activated = self.employment().activated_by(offset).filter(|activated| activated.day == offset);
        second.max(activated.map_or(0, |activated| activated.second)).min(86_399)
    }

    /// The flags and counters of a day. A person with a mailbox also receives mail without being active.
    pub(in crate::tenant) fn usage(&self, offset: i32, person_day: PersonDay, active: bool) -> DayUsage {
        let (unit_number, unit) = self.unit_on(offset);
        let company_day = CompanyDay::of(person_day.geo, person_day.day);
        let mut usage =
            if active { self.feature_usage(offset, person_day, unit_number, company_day) } else { DayUsage::default() };
        if self.traits.mailbox < unit.habits.mailboxes && self.employment().activated_by(offset).is_some() {
            let mails =
                (0.3 + unit.habits.mails * self.traits.volume) * if company_day.is_workday() { 1.0 } else { 0.12 };
            set_mail_counters(&mut person_day.rng(MAIL), mails, active, &mut usage.counters);
        }
        usage
    }

    /// The devices of an active day.
    pub(in crate::tenant) fn devices(&self, offset: i32, person_day: PersonDay) -> DeviceFields {
        let (_, unit) = self.unit_on(offset);
        clients::devices(unit, person_day, CompanyDay::of(person_day.geo, person_day.day).is_workday())
    }

    fn unit_on(&self, offset: i32) -> (usize, &'static BusinessUnit) {
        self.story.organisation.unit_of(self.employment().department_on(offset))
    }

    /// The probability that the person is active.
    fn presence(&self, offset: i32, activated: i32, person_day: PersonDay) -> f64 {
        let (unit_number, unit) = self.unit_on(offset);
        let company_day = CompanyDay::of(person_day.geo, person_day.day);
        let occasional = self.traits.occasional.filter(|occasional| offset >= activated + occasional.after_days);
        let usual = occasional.map_or(self.traits.presence, |occasional| occasional.presence);
        let kind_factor = match company_day.kind {
            DayKind::Workday => 1.0,
            DayKind::Weekend => unit.habits.weekend_presence,
            DayKind::Holiday => unit.habits.holiday_presence,
        };
        // Days on which few people work differ more.
        let deviation = if company_day.is_workday() { 0.02 } else { 0.08 };
        let mut noise = unit_noise(person_day, unit_number, PRESENCE_NOISE);
        let noise = normal(&mut noise).mul_add(deviation, 1.0).clamp(0.6, 1.4);
        let leave_factor = if self.is_on_leave(person_day) { 0.08 } else { 1.0 };
        (usual * kind_factor * company_day.factor * noise * leave_factor).min(0.99)
    }

    fn is_on_leave(&self, person_day: PersonDay) -> bool {
        let PersonDay { seed, geo, person, day, .. } = person_day;
        let day_of_period = day.days_since(self.traits.leave_phase, LEAVE_PERIOD_DAYS);
        let period = day.minus_days(day_of_period).as_seed();
        let mut rng = rng_for(&[seed, geo_number(geo), u64::from(person), period, LEAVE]);
        let first = rng.i32(..LEAVE_PERIOD_DAYS - LONGEST_LEAVE_DAYS);
        let length = if rng.bool() { rng.i32(1..=LONGEST_LEAVE_DAYS) } else { 0 };
        (first..first + length).contains(&day_of_period)
    }

    fn feature_usage(
        &self,
        offset: i32,
        person_day: PersonDay,
        unit_number: usize,
        company_day: CompanyDay,
    ) -> DayUsage {
        let habits = &BUSINESS_UNITS[unit_number].habits;
        let is_workday = company_day.is_workday();
        let mut rng = person_day.rng(USAGE);
        let mut noise = unit_noise(person_day, unit_number, USAGE_NOISE);
        let monday = person_day.day.minus_days(i32::from(company_day.weekday));
        let mut week_noise = unit_noise(PersonDay { day: monday, ..person_day }, unit_number, WEEK_NOISE);
        let effort = (0.05 * normal(&mut noise)).exp() * log_normal(&mut rng, 0.45);
        let effort = if is_workday { effort } else { 0.35 * effort };
        let mut uses = |feature: Feature, usual: f64| {
            let noise = 0.08 * normal(&mut noise) + 0.07 * normal(&mut week_noise);
            let shift = feature.weekday_shift(company_day.weekday) + noise;
            let probability = self.traits.tastes[feature as usize].probability(usual, shift);
            rng.f64() < if is_workday { probability } else { probability * 0.5 }
        };
        let docs = uses(Feature::Docs, self.docs_probability(offset, habits));
        let (cal, vc) = (uses(Feature::Cal, habits.cal), uses(Feature::Vc, habits.vc));
        let (search, task) = (uses(Feature::Search, habits.search), uses(Feature::Task, habits.tasks));
        let uses_im = uses(Feature::Im, habits.im);
        // On weekends, most people who are active read messages. A person who is active used something.
        let im = uses_im || !(docs || cal || vc || search) || !is_workday && rng.u8(..10) < 8;
        let volume = self.traits.volume * effort;
        let meetings = if vc { 1 + count(&mut rng, 0.5 * volume.min(5.0)) } else { 0 };
        let minutes = f64::from(meetings) * 26.0 * log_normal(&mut rng, 0.6);
        let quick = if search { count(&mut rng, 1.4 * volume) } else { 0 };
        let tab = if search { count(&mut rng, 0.5 * volume).max(u32::from(quick == 0)) } else { 0 };
        let counters = UsageCounters {
            send_messenger_num: if im { count(&mut rng, habits.messages * volume).max(1) } else { 0 },
            create_docs_num: if docs { count(&mut rng, 0.35 * volume) } else { 0 },
            create_cal_num: if cal { count(&mut rng, 0.4 * volume) } else { 0 },
            create_task_num: if task { 1 + count(&mut rng, 0.6 * volume.min(5.0)) } else { 0 },
            vc_num: meetings,
            vc_duration: count(&mut rng, minutes.min(600.0)).max(meetings),
            total_search_count: quick + tab,
            quick_search_count: quick,
            tab_search_count: tab,
            ..UsageCounters::default()
        };
        DayUsage { im, docs, cal, vc, search, counters }
    }

    /// The probability that an average person of the unit uses documents. In a roll-out, each person has a day from
    /// which on it is higher. These days follow a logistic distribution, so the adoption is an S-curve.
    fn docs_probability(&self, offset: i32, habits: &UnitHabits) -> f64 {
        let Some(rollout) = &habits.docs_rollout else { return habits.docs };
        let midpoint = self.story.days * rollout.midpoint_permille / 1000;
        let scale = (f64::from(self.story.days) / 30.0).min(LONGEST_ROLLOUT_SCALE_DAYS);
        let adopted_share = logistic(f64::from(offset - midpoint) / scale);
        if self.traits.adoption < adopted_share { rollout.docs } else { habits.docs }
    }
}

impl Feature {
    /// The shift of the odds on a weekday. People meet at the start of a week and avoid meetings on Fridays.
    const fn weekday_shift(self, weekday: i8) -> f64 {
        match (self, weekday) {
            (Self::Cal, 0) => 0.2,
            (Self::Vc, 0) => 0.25,
            (Self::Vc, 1) => 0.1,
            (Self::Docs, 2 | 3) => 0.06,
            (Self::Cal | Self::Vc, 4) => -0.2,
            (Self::Docs | Self::Search, 4) => -0.1,
            _ => 0.0,
        }
    }
}

impl PersonTraits {
    fn generate(rng: &mut Rng) -> Self {
        let presence = 0.96 - 0.4 * rng.f64().powi(3);
        let occasional =
            OccasionalUse { after_days: 5 + exponential_days(rng, 28.0), presence: 0.13 + 0.2 * rng.f64() };
        let is_occasional = rng.u8(..100) < 13;
        Self {
            presence,
            occasional: is_occasional.then_some(occasional),
            volume: (0.75 * log_normal(rng, 0.8)).min(25.0),
            mailbox: rng.f64(),
            adoption: rng.f64(),
            tastes: std::array::from_fn(|_| FeatureTaste { interest: rng.f64(), shift: 0.7 * normal(rng) }),
            leave_phase: rng.i32(..LEAVE_PERIOD_DAYS),
        }
    }
}

impl FeatureTaste {
    /// The probability that the person uses a feature that an average person uses with the probability `usual`. The
    /// less a feature is used, the more people hardly use it. `shift` is a shift of the odds on the day.
    fn probability(self, usual: f64, shift: f64) -> f64 {
        let uninterested = 0.65 * (1.0 - usual);
        if self.interest < uninterested { 0.005 } else { shift_odds(usual / (1.0 - uninterested), self.shift + shift) }
    }
}

/// Random numbers that all people of a business unit share on a day.
fn unit_noise(person_day: PersonDay, unit_number: usize, label: u64) -> Rng {
    let PersonDay { seed, geo, day, .. } = person_day;
    rng_for(&[seed, geo_number(geo), day.as_seed(), unit_number as u64, label])
}

/// Sets the mail counters. A person who is not active receives mail but sends none.
fn set_mail_counters(rng: &mut Rng, mails: f64, active: bool, counters: &mut UsageCounters) {
    let received = mails * log_normal(rng, 0.5);
    counters.email_receive_ext_count = count(rng, received * 0.9);
    counters.email_receive_in_count = count(rng, received * 1.6);
    if active {
        let sent = mails * log_normal(rng, 0.6);
        counters.email_send_ext_count = count(rng, sent * 0.4);
        counters.email_send_in_count = count(rng, sent * 0.6);
    }
    counters.email_send_count = counters.email_send_ext_count + counters.email_send_in_count;
    counters.email_receive_count = counters.email_receive_ext_count + counters.email_receive_in_count;
}
