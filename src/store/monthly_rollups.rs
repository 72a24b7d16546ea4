//! Months that were added up person by person: made behind the day that completes them, so that nobody waits for it.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::memory::Memory;
use crate::{
    model::{DayKey, Scope},
    report::month::Month,
    table::{Partition, partition::ContentHash},
};

impl Memory {
    /// What people did in the month that begins with the day of `first`, where it is held and made of these versions
    /// of its days.
    pub async fn month(&self, first: &DayKey, versions: &[ContentHash]) -> Option<Arc<Month>> {
        self.held.months.get(&self.place(first)).await.filter(|month| month.versions() == versions)
    }

    /// Keeps a month.
    pub async fn keep_month(&self, first: &DayKey, month: Arc<Month>) {
        self.held.months.insert(self.place(first), month).await;
    }

    /// Adds up the month of a day that has just come, once all its days are held. Days of one person and views are left alone.
    pub(super) fn add_up_behind(self: &Arc<Self>, key: &DayKey) {
        let keys: Vec<DayKey> = key.day.month().days().days().map(|day| key.on(day)).collect();
        let is_whole = || keys.iter().all(|key| self.held.days.contains_key(&self.place(key)));
        if self.is_of_a_view() || matches!(key.scope, Scope::User(_)) || !is_whole() {
            return;
        }
        let memory = Arc::clone(self);
        tokio::spawn(async move {
            // Never closed.
            let _hand = memory.held.hand.acquire().await;
            memory.add_up(&keys).await;
        });
    }

    async fn add_up(&self, keys: &[DayKey]) {
        let mut days: Vec<Arc<Partition>> = Vec::with_capacity(keys.len());
        for key in keys {
            days.extend(self.held.days.get(&self.place(key)).await);
        }
        let versions: Vec<ContentHash> = days.iter().map(|day| *day.hash()).collect();
        let Some(first) = keys.first().filter(|_| days.len() == keys.len()) else { return };
        if self.month(first, &versions).await.is_some() {
            return;
        }
        // A panic leaves the month to whoever asks for it.
        if let Ok(Some(month)) = spawn_blocking(move || Month::of(&days)).await {
            self.keep_month(first, Arc::new(month)).await;
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
        store::{Keep, Policy},
        table::{Directory, PartitionBuilder, Row},
    };

    /// Days of one person.
    struct OnePerson(Arc<Directory>);

    #[async_trait]
    impl DaySource for OnePerson {
        async fn load(&self, key: &DayKey, _: LoadContext) -> Result<Arc<Partition>, LoadError> {
            let mut day = PartitionBuilder::new(key.clone(), Arc::clone(&self.0));
            day.push(&Row { user_id: Some("ou_1".into()), ..Row::default() });
            Ok(Arc::new(day.finish(Timestamp::UNIX_EPOCH)))
        }

        async fn forecast(&self, _: &[DayKey]) -> Forecast {
            Forecast::NOTHING
        }
    }

    fn keys() -> Vec<DayKey> {
        let days = "2026-10".parse::<crate::model::Month>().unwrap().days();
        let key = |day| DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day };
        days.days().map(key).collect()
    }

    #[tokio::test]
    async fn a_month_is_added_up_behind_the_day_that_completes_it() {
        let clock = Arc::new(ManualClock::at("2026-11-22T04:00:00Z".parse().unwrap()));
        let memory = Arc::new(Memory::new(1 << 20, Policy::default(), clock));
        let source = Keep::new(Arc::clone(&memory), OnePerson(Arc::default()));
        let context = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };
        let mut versions = Vec::new();

        // The month's last day comes first: it is not the calendar that completes a month.
        for key in keys().iter().rev() {
            assert!(memory.month(&keys()[0], &versions).await.is_none());
            versions.insert(0, *source.load(key, context).await.unwrap().hash());
        }

        let added_up = async {
            while memory.month(&keys()[0], &versions).await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), added_up).await.expect("the month");
    }
}
