//! Metrics of the latest day of each geo: its delay and, if enabled, how many people were active.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    model::Geo,
    prometheus::{Collector, Exposition},
    report::{DayDigest, day_figures::ratio},
    store::{DayState, Memory},
    table::{DayMetadata as _, Feature, Flag},
};

/// Collects the metrics of the latest stored day of each geo.
#[derive(Clone)]
pub struct LatestDayMetrics {
    /// The cached days.
    pub memory: Arc<Memory>,
    /// The geos that are served.
    pub geos: Arc<[Geo]>,
    /// Number of latest days that are fetched in advance; `None` if days are fetched only on request.
    pub warm_days: Option<u16>,
    /// Whether to export metrics about people.
    pub business_metrics: bool,
}

impl LatestDayMetrics {
    /// Number of produced days after the newest cached day that counts; `None` if days are not fetched in advance.
    fn days_behind(&self, geo: Geo, now: Timestamp) -> Option<f64> {
        let warm_days = self.warm_days.filter(|days| *days > 0)?;
        let cached = self.memory.newest_day(geo, DayState::counts);
        let behind = cached.map(|day| geo.latest_produced(now).since(day.key().day).max(0));
        // With no cached day, all days that should be fetched in advance are missing.
        Some(f64::from(behind.unwrap_or(i32::MAX).min(warm_days.into())))
    }

    fn write_business_metrics(&self, page: &mut Exposition) {
        let newest = |geo: &Geo| Some((*geo, self.memory.newest_day(*geo, |state| state == DayState::Final)?));
        let days: Vec<(Geo, Arc<DayDigest>)> = self.geos.iter().filter_map(newest).collect();
        let mut dates = page.gauge(
            "feishu_pulse_business_day_timestamp_seconds",
            "Start of the newest final day, which the metrics about people describe, in seconds since 1970.",
        );
        for (geo, day) in &days {
            let begins = geo.starts_at(day.key().day).as_second();
            dates.labelled_sample(&[("geo", geo.name())], begins as f64);
        }
        let mut people =
            page.gauge("feishu_pulse_business_people", "People on the newest final day: all, activated, and active.");
        for (geo, day) in &days {
            let sums = &day.figures().sums;
            let counts = [
                ("all", sums.users),
                ("activated", sums.rows_with(Flag::Activated)),
                ("active", sums.rows_with(Flag::Active)),
            ];
            for (status, count) in counts {
                people.labelled_sample(&[("geo", geo.name()), ("status", status)], count as f64);
            }
        }
        let mut adoption = page.gauge(
            "feishu_pulse_business_adoption_ratio",
            "Share of the newest final day's active people who used a feature. Received e-mail can raise it above 1.",
        );
        for (geo, day) in &days {
            let sums = &day.figures().sums;
            for feature in Feature::ALL {
                let used = sums.rows_with(Flag::Feature(feature));
                if let Some(share) = ratio(used, Some(sums.rows_with(Flag::Active))) {
                    adoption.labelled_sample(&[("geo", geo.name()), ("feature", feature.name())], share);
                }
            }
        }
    }
}

impl Collector for LatestDayMetrics {
    fn collect(&self, page: &mut Exposition) {
        let now = self.memory.catalog().now();
        let mut behind = page.gauge(
            "feishu_pulse_late_partitions",
            "Produced days after the newest cached day that has rows. Exported if days are fetched in advance.",
        );
        for geo in self.geos.iter() {
            if let Some(days) = self.days_behind(*geo, now) {
                behind.labelled_sample(&[("geo", geo.name())], days);
            }
        }
        if self.business_metrics {
            self.write_business_metrics(page);
        }
    }
}
