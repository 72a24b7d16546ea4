//! The newest days as an operator sees them: whether they are there in time, and, where that is wanted, how many people
//! were active.

use std::sync::Arc;

use jiff::Timestamp;

use super::Engine;
use crate::{
    meter::{Exposition, Meter},
    model::Geo,
    report::{Digest, figures::share},
    store::State,
    table::{Feature, Flag, Origin as _},
};

/// Tells of the newest days of each geo.
#[derive(Clone)]
pub struct Newest {
    /// Knows what is held.
    pub engine: Engine,
    /// The geos that are served.
    pub geos: Arc<[Geo]>,
    /// The latest days that are always held; `None` where days are held only when somebody has asked.
    pub warm_days: Option<u16>,
    /// Whether figures about people are told.
    pub business: bool,
}

impl Newest {
    /// Produced days since the newest one that is held and has rows.
    fn behind(&self, geo: Geo, now: Timestamp) -> Option<f64> {
        let warm_days = self.warm_days.filter(|days| *days > 0)?;
        let held = self.engine.memory().newest(geo, |_| true);
        let behind = held.map(|day| geo.latest_produced(now).since(day.key().day).max(0));
        // Where nothing is held, all that should be is missing.
        Some(f64::from(behind.unwrap_or(i32::MAX).min(warm_days.into())))
    }

    fn write_business(&self, page: &mut Exposition) {
        let newest = |geo: &Geo| Some((*geo, self.engine.memory().newest(*geo, |state| state == State::Final)?));
        let days: Vec<(Geo, Arc<Digest>)> = self.geos.iter().filter_map(newest).collect();
        let mut dates = page.gauge(
            "feishu_pulse_business_day_timestamp_seconds",
            "The beginning of the newest final day, which the figures on people are about, in seconds since 1970.",
        );
        for (geo, day) in &days {
            let begins = geo.starts_at(day.key().day).as_second();
            dates.labelled(&[("geo", geo.name())], begins as f64);
        }
        let mut people = page.gauge("feishu_pulse_business_people", "People on that day: all, activated, and active.");
        for (geo, day) in &days {
            let sums = &day.whole().sums;
            let counts =
                [("all", sums.users), ("activated", sums.flag(Flag::Activated)), ("active", sums.flag(Flag::Active))];
            for (status, count) in counts {
                people.labelled(&[("geo", geo.name()), ("status", status)], count as f64);
            }
        }
        let mut adoption = page.gauge(
            "feishu_pulse_business_adoption_ratio",
            "The share of that day's active people who used a feature; received e-mail can lift that of e-mail above 1.",
        );
        for (geo, day) in &days {
            let sums = &day.whole().sums;
            for feature in Feature::ALL {
                let used = sums.flag(Flag::Feature(feature));
                if let Some(share) = share(used, Some(sums.flag(Flag::Active))) {
                    adoption.labelled(&[("geo", geo.name()), ("feature", feature.name())], share);
                }
            }
        }
    }
}

impl Meter for Newest {
    fn write(&self, page: &mut Exposition) {
        let now = self.engine.now();
        let mut behind = page.gauge(
            "feishu_pulse_late_partitions",
            "Produced days since the newest one that is held and has rows; told where days are fetched unasked.",
        );
        for geo in self.geos.iter() {
            if let Some(days) = self.behind(*geo, now) {
                behind.labelled(&[("geo", geo.name())], days);
            }
        }
        if self.business {
            self.write_business(page);
        }
    }
}
