//! Cache of monthly roll-ups, bounded by bytes. Each is valid for the contents of the days that it was computed from.

use std::sync::Arc;

use moka::sync::Cache;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    model::DayKey,
    report::monthly_rollup::MonthlyRollup,
    store::lru::{CacheKey, MemorySize, ViewId, lru_cache, remove_matching, size},
    table::{Dictionary, Reindexing, day_table::ContentHash},
};

/// The monthly roll-ups of the whole days, or of one view. All share the limit.
///
/// The view is part of the key because filtered days have dictionaries of their own: equal contents of two views have
/// different indexes.
#[derive(Clone, Debug)]
pub struct MonthlyRollupCache {
    /// By the first day of the month.
    rollups: Cache<CacheKey, Arc<MonthlyRollup>>,
    view: ViewId,
    /// Lets one roll-up be computed in the background at a time. Each uses one CPU and the memory of one or two days.
    permits: Arc<Semaphore>,
}

impl MonthlyRollupCache {
    /// A cache of at most about `bytes` bytes for the whole days.
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            rollups: lru_cache(bytes, MonthlyRollup::memory_bytes),
            view: ViewId::default(),
            permits: Arc::new(Semaphore::new(1)),
        }
    }

    /// The same cache for a view.
    pub(super) fn for_view(&self, view: ViewId) -> Self {
        Self { view, ..self.clone() }
    }

    /// The roll-up of the month that begins with the day of `first`, with the indices of `dictionary`, if it is cached and
    /// was computed from days with these hashes.
    #[must_use]
    pub fn get(
        &self,
        first: &DayKey,
        hashes: &[ContentHash],
        dictionary: &Arc<Dictionary>,
    ) -> Option<Arc<MonthlyRollup>> {
        let month = self.rollups.get(&self.cache_key(first)).filter(|month| month.day_hashes() == hashes)?;
        if Arc::ptr_eq(month.dictionary(), dictionary) {
            return Some(month);
        }
        let mut indices = Reindexing::new(Arc::clone(month.dictionary()), Arc::clone(dictionary));
        Some(Arc::new(month.reindexed(&mut indices)))
    }

    /// Moves roll-ups whose dictionary has a successor to the newest one. Takes milliseconds for a large month.
    pub(super) fn follow_dictionaries(&self) {
        for (key, month) in &self.rollups {
            if let Some(newest) = month.dictionary().newest_successor() {
                let mut indices = Reindexing::new(Arc::clone(month.dictionary()), Arc::clone(newest));
                let moved = Arc::new(month.reindexed(&mut indices));
                self.rollups.insert((*key).clone(), moved);
            }
        }
    }

    /// Stores a roll-up.
    pub(super) fn insert(&self, first: &DayKey, month: &Arc<MonthlyRollup>) {
        self.rollups.insert(self.cache_key(first), Arc::clone(month));
    }

    /// Removes the roll-ups of the month of a removed day in all scopes and views.
    pub(super) fn remove(&self, day: &DayKey) {
        remove_matching(&self.rollups, |key| {
            key.with_day(day.day).everyone() == day.everyone() && key.day.month() == day.day.month()
        });
    }

    /// Waits until a roll-up may be computed in the background.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.acquire().await.ok()
    }

    /// Bytes in use and the limit.
    pub(super) fn size(&self) -> MemorySize {
        size(&self.rollups)
    }

    fn cache_key(&self, first: &DayKey) -> CacheKey {
        CacheKey { view: self.view, day: first.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use jiff::Timestamp;

    use crate::{
        model::{DataScope, Geo, ManualClock, UserIdType},
        query::QueryEngine,
        source::{CallerId, DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay, Priority},
        store::{FreshnessPolicy, Memory, read_path},
        table::{DayTableBuilder, Row},
    };

    use super::*;

    /// A source of days with one row each.
    struct OnePerson(Arc<Dictionary>);

    #[async_trait]
    impl DaySource for OnePerson {
        async fn load(&self, key: &DayKey, _: Depth, _: LoadContext) -> Result<LoadedDay, LoadError> {
            let mut day = DayTableBuilder::new(key.clone(), Arc::clone(&self.0));
            day.push(&Row { user_id: Some("ou_1".into()), ..Row::default() });
            Ok(LoadedDay::Rows(Arc::new(day.finish(Timestamp::UNIX_EPOCH))))
        }

        async fn stored(&self, keys: &[DayKey], _: Depth) -> Vec<Option<LoadedDay>> {
            vec![None; keys.len()]
        }

        async fn forecast(&self, _: &[DayKey], _: Depth) -> Forecast {
            Forecast::NOTHING
        }
    }

    fn keys() -> Vec<DayKey> {
        let days = "2026-10".parse::<crate::model::Month>().unwrap().days();
        let key = |day| DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
        days.days().map(key).collect()
    }

    #[tokio::test]
    async fn a_month_is_rolled_up_in_the_background_when_its_last_day_arrives() {
        let clock = Arc::new(ManualClock::at("2026-11-22T04:00:00Z".parse().unwrap()));
        let dictionary = Arc::<Dictionary>::default();
        let memory = Arc::new(Memory::new(1 << 20, FreshnessPolicy::default(), clock));
        let source = read_path(&memory, None, OnePerson(Arc::clone(&dictionary))).source;
        let engine = QueryEngine::new(source, memory.catalog().clone(), 1 << 20);
        let context = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };
        let mut hashes = Vec::new();

        // Days arrive in reverse order: a month is complete when all its days are cached, in any order.
        for key in keys().iter().rev() {
            assert!(engine.monthly_rollups().get(&keys()[0], &hashes, &dictionary).is_none());
            hashes.insert(0, *engine.load_day(key, context).await.unwrap().hash());
        }

        let rolled_up = async {
            while engine.monthly_rollups().get(&keys()[0], &hashes, &dictionary).is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), rolled_up).await.expect("the monthly roll-up");
    }
}
