//! Fetch history: what the latest fetches of each day returned. It survives restarts and evictions, so that the
//! judgement of a day does not depend on what happens to be in memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::freshness::{DayFetches, RowCounts};
use crate::{
    model::{DataScope, Day, DayKey, Geo, UserIdType},
    table::{DayMetadata, FetchQuality, day_table::ContentHash},
};

/// The fetches of all days.
#[derive(Debug, Default)]
pub struct FetchHistory {
    series: RwLock<HashMap<(Geo, UserIdType), Series>>,
    /// The days of one department or person that two fetches must agree on: doubtful ones, and those of a department
    /// without rows. Other days of these scopes are not compared, so they are not recorded.
    unconfirmed_parts: RwLock<HashMap<DayKey, FetchRecord>>,
    /// The departments that had rows on some day, as keys of [`NO_DAY`].
    departments_with_rows: RwLock<HashSet<DayKey>>,
}

/// Number of days from which the number of rows of a day is estimated: a week.
const RECENT_DAYS: usize = 7;

/// The day in keys that stand for all days of a department.
const NO_DAY: Day = Day::from_date(jiff::civil::Date::ZERO);

/// The days of everyone in one geo.
#[derive(Debug, Default)]
struct Series {
    records: BTreeMap<Day, FetchRecord>,
    counts: RowCounts,
}

/// The fetches of one day that returned the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRecord {
    rows: usize,
    hash: ContentHash,
    agreed_since: Timestamp,
    fetched_at: Timestamp,
    quality: FetchQuality,
}

/// A record with the day that it belongs to, for the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRecord {
    geo: Geo,
    user_id_type: UserIdType,
    date: Day,
    #[serde(flatten)]
    record: FetchRecord,
}

impl FetchRecord {
    fn of(day: &impl DayMetadata) -> Self {
        Self {
            rows: day.row_count(),
            hash: *day.hash(),
            agreed_since: day.fetched_at(),
            fetched_at: day.fetched_at(),
            quality: day.quality(),
        }
    }

    /// The recorded fetches that returned the rows of `day`. If the record has other rows: only the fetch of `day` itself.
    fn matching(recorded: Option<&Self>, day: &impl DayMetadata) -> Self {
        recorded.filter(|record| record.hash == *day.hash()).copied().unwrap_or_else(|| Self::of(day))
    }

    /// The record after a further fetch.
    fn updated_with(self, fetch: Self) -> Self {
        if self.hash == fetch.hash {
            let newer = if fetch.fetched_at < self.fetched_at { self } else { fetch };
            return Self { agreed_since: self.agreed_since.min(fetch.agreed_since), ..newer };
        }
        if fetch.fetched_at < self.fetched_at || self.would_lose_rows(fetch.rows) { self } else { fetch }
    }

    /// Whether a fetch of this number of rows cannot replace this record, because rows would be lost. Upstream may
    /// delete its history.
    const fn would_lose_rows(&self, rows: usize) -> bool {
        rows == 0 && self.rows > 0
    }

    /// The faults of the latest fetch.
    #[must_use]
    pub const fn quality(&self) -> FetchQuality {
        self.quality
    }

    /// The facts that the freshness rule needs.
    #[must_use]
    pub const fn fetches(&self) -> DayFetches {
        let Self { rows, agreed_since, fetched_at, quality, .. } = *self;
        DayFetches { agreed_since, fetched_at, rows, doubtful: quality.is_doubtful() }
    }
}

impl FetchHistory {
    /// Records a fetch. Returns whether the state of other days may have changed: of the days that are compared with it,
    /// and of the same day of parts of the company.
    pub fn record(&self, day: &impl DayMetadata) -> bool {
        let (key, fetch) = (day.key(), FetchRecord::of(day));
        if key.scope == DataScope::Everyone {
            return self.series.write().entry((key.geo, key.user_id_type)).or_default().record(key.day, fetch);
        }
        let is_department = matches!(key.scope, DataScope::Department(..));
        if is_department && fetch.rows > 0 {
            self.departments_with_rows.write().insert(key.with_day(NO_DAY));
        }
        let mut parts = self.unconfirmed_parts.write();
        let is_empty_department = is_department && fetch.rows == 0;
        if fetch.quality.is_doubtful() || is_empty_department {
            let record = parts.get(key).map_or(fetch, |record| record.updated_with(fetch));
            parts.insert(key.clone(), record);
        } else {
            parts.remove(key);
        }
        false
    }

    /// The recorded fetches of a part of the company, or of a filtered day, that returned the rows of `day`.
    #[must_use]
    pub fn fetches_of_part(&self, day: &impl DayMetadata) -> DayFetches {
        FetchRecord::matching(self.unconfirmed_parts.read().get(day.key()), day).fetches()
    }

    /// Whether the key names a department that had rows on some day.
    #[must_use]
    pub fn is_department_with_rows(&self, key: &DayKey) -> bool {
        matches!(key.scope, DataScope::Department(..))
            && self.departments_with_rows.read().contains(&key.with_day(NO_DAY))
    }

    /// The result of `judge` for the recorded day of everyone with the row counts of its series; `None` if no fetch of
    /// that day is recorded.
    pub fn judge<T>(&self, key: &DayKey, judge: impl FnOnce(&FetchRecord, &RowCounts) -> T) -> Option<T> {
        let series = self.series.read();
        let series = series.get(&(key.geo, key.user_id_type))?;
        Some(judge(series.records.get(&key.day)?, &series.counts))
    }

    /// The result of `judge` for a day of everyone with the fetches that returned its rows and the row counts of its
    /// series.
    pub fn judge_rows<T>(&self, day: &impl DayMetadata, judge: impl FnOnce(DayFetches, &RowCounts) -> T) -> T {
        let key = day.key();
        let series = self.series.read();
        let Some(series) = series.get(&(key.geo, key.user_id_type)) else {
            return judge(FetchRecord::of(day).fetches(), &RowCounts::default());
        };
        judge(FetchRecord::matching(series.records.get(&key.day), day).fetches(), &series.counts)
    }

    /// Whether rows of this day were fetched before, and this fetch has none.
    #[must_use]
    pub fn would_lose_rows(&self, day: &impl DayMetadata) -> bool {
        let would_lose_rows = |record: &FetchRecord, _: &RowCounts| record.would_lose_rows(day.row_count());
        day.key().scope == DataScope::Everyone && self.judge(day.key(), would_lose_rows).unwrap_or(false)
    }

    /// The mean number of rows of the latest recorded days of everyone that have rows, at most seven. If there is none with this
    /// type of user id, that of another type, because the people are the same. `None` if there is no such day.
    #[must_use]
    pub fn rows_per_day(&self, geo: Geo, user_id_type: UserIdType) -> Option<f64> {
        let series = self.series.read();
        let mean_of = |user_id_type| {
            let records = series.get(&(geo, user_id_type))?.records.values().rev();
            let rows: Vec<usize> =
                records.map(|record| record.rows).filter(|rows| *rows > 0).take(RECENT_DAYS).collect();
            (!rows.is_empty()).then(|| rows.iter().sum::<usize>() as f64 / rows.len() as f64)
        };
        mean_of(user_id_type).or_else(|| UserIdType::ALL.into_iter().find_map(mean_of))
    }

    /// Removes a day of one geo and id type in all scopes.
    pub fn remove(&self, day: &DayKey) {
        if let Some(series) = self.series.write().get_mut(&(day.geo, day.user_id_type)) {
            series.records.remove(&day.day);
            series.counts.remove(day.day);
        }
        self.unconfirmed_parts.write().retain(|key, _| key.everyone() != day.everyone());
    }

    /// All records of days of everyone, in order.
    #[must_use]
    pub fn to_records(&self) -> Vec<DayRecord> {
        let series = self.series.read();
        let mut records: Vec<DayRecord> = Vec::new();
        for ((geo, user_id_type), series) in series.iter() {
            let day_record = |(date, record): (&Day, &FetchRecord)| DayRecord {
                geo: *geo,
                user_id_type: *user_id_type,
                date: *date,
                record: *record,
            };
            records.extend(series.records.iter().map(day_record));
        }
        records.sort_unstable_by_key(|record| (record.geo, record.user_id_type.name(), record.date));
        records
    }

    /// Adds records that were written before a restart.
    pub fn restore(&self, records: Vec<DayRecord>) {
        let mut series = self.series.write();
        for DayRecord { geo, user_id_type, date, record } in records {
            series.entry((geo, user_id_type)).or_default().record(date, record);
        }
    }
}

impl Series {
    /// Records a fetch. Returns whether the state of other days may have changed: it depends on the number of rows.
    fn record(&mut self, day: Day, fetch: FetchRecord) -> bool {
        let record = self.records.get(&day).map_or(fetch, |record| record.updated_with(fetch));
        self.records.insert(day, record);
        self.counts.insert(day, record.rows) != Some(record.rows)
    }
}
