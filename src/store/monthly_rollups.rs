//! Monthly roll-ups in memory: computed in the background when the last day of a month arrives, so that no request
//! waits for them.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::memory::Memory;
use crate::{
    model::{DataScope, DayKey},
    report::monthly_rollup::MonthlyRollup,
    table::{DayTable, day_table::ContentHash},
};

impl Memory {
    /// The roll-up of the month that begins with the day of `first`, if it is cached and was computed from these
    /// versions of its days.
    pub async fn monthly_rollup(&self, first: &DayKey, versions: &[ContentHash]) -> Option<Arc<MonthlyRollup>> {
        self.shared.monthly_rollups.get(&self.cache_key(first)).await.filter(|month| month.day_hashes() == versions)
    }

    /// Stores a monthly roll-up.
    pub async fn insert_monthly_rollup(&self, first: &DayKey, month: Arc<MonthlyRollup>) {
        self.shared.monthly_rollups.insert(self.cache_key(first), month).await;
    }

    /// Starts to compute the roll-up of a new day's month if all days of the month are cached. Ignores views and days
    /// of one person.
    pub(super) fn spawn_monthly_rollup(self: &Arc<Self>, key: &DayKey) {
        let keys: Vec<DayKey> = key.day.month().days().days().map(|day| key.with_day(day)).collect();
        let is_whole = || keys.iter().all(|key| self.shared.days.contains_key(&self.cache_key(key)));
        if self.is_view() || matches!(key.scope, DataScope::User(_)) || !is_whole() {
            return;
        }
        let memory = Arc::clone(self);
        tokio::spawn(async move {
            // The semaphore is never closed.
            let _permit = memory.shared.rollup_permit.acquire().await;
            memory.compute_monthly_rollup(&keys).await;
        });
    }

    async fn compute_monthly_rollup(&self, keys: &[DayKey]) {
        let mut days: Vec<Arc<DayTable>> = Vec::with_capacity(keys.len());
        for key in keys {
            days.extend(self.shared.days.get(&self.cache_key(key)).await);
        }
        let versions: Vec<ContentHash> = days.iter().map(|day| *day.hash()).collect();
        let Some(first) = keys.first().filter(|_| days.len() == keys.len()) else { return };
        if self.monthly_rollup(first, &versions).await.is_some() {
            return;
        }
        // After a panic, the next request for the month computes it.
        if let Ok(Some(month)) = spawn_blocking(move || MonthlyRollup::from_days(&days)).await {
            self.insert_monthly_rollup(first, Arc::new(month)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use jiff::Timestamp;

    use super::*;
    use crate::{
        model::{Geo, ManualClock, UserIdType},
        source::{CallerId, DaySource, Forecast, LoadContext, LoadError, Priority},
        store::{fill_cache::FillCache, freshness::FreshnessPolicy},
        table::{DayTableBuilder, Dictionary, Row},
    };

    /// A source of days with one row each.
    struct OnePerson(Arc<Dictionary>);

    #[async_trait]
    impl DaySource for OnePerson {
        async fn load(&self, key: &DayKey, _: LoadContext) -> Result<Arc<DayTable>, LoadError> {
            let mut day = DayTableBuilder::new(key.clone(), Arc::clone(&self.0));
            day.push(&Row { user_id: Some("ou_1".into()), ..Row::default() });
            Ok(Arc::new(day.finish(Timestamp::UNIX_EPOCH)))
        }

        async fn forecast(&self, _: &[DayKey]) -> Forecast {
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
        let memory = Arc::new(Memory::new(1 << 20, FreshnessPolicy::default(), clock));
        let source = FillCache::new(Arc::clone(&memory), OnePerson(Arc::default()));
        let context = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };
        let mut versions = Vec::new();

        // Days arrive in reverse order: a month is complete when all its days are cached, in any order.
        for key in keys().iter().rev() {
            assert!(memory.monthly_rollup(&keys()[0], &versions).await.is_none());
            versions.insert(0, *source.load(key, context).await.unwrap().hash());
        }

        let rolled_up = async {
            while memory.monthly_rollup(&keys()[0], &versions).await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), rolled_up).await.expect("the monthly roll-up");
    }
}
