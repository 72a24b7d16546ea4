//! Memory cache of days, bounded by bytes. The status of a day is computed at each lookup, by the [`DayCatalog`].
//!
//! A day is cached as rows and as a digest, which is about a tenth as large. Rows give way to digests, so years of
//! digests stay cached when the rows do not fit; most reports need only digests.
//!
//! Filtered days ([`FilteredView`](super::FilteredView)) share the limits with the unfiltered days.
//!
//! Two layers of the read path use this cache: [`ReadCache`](super::ReadCache) reads from it, and
//! [`FillCache`](super::FillCache) writes to it below the single-flight layer.

use std::{collections::HashSet, sync::Arc};

use super::{
    cache_lookup::CacheLookup,
    day_cache::DayCache,
    day_catalog::DayCatalog,
    freshness::{DayState, FreshnessPolicy},
    lru::{CacheKey, MemorySize},
};
use crate::{
    model::{Clock, DataScope, DayKey, Geo},
    prometheus::CounterVec,
    report::{DayDigest, digest::DayReindexing},
    source::{Depth, LoadError, LoadedDay, run_day_task},
    table::{DayMetadata as _, DayTable, Dictionaries, Dictionary, Flag},
};

/// A dictionary is not replaced by a new generation before it takes this part of the limit.
const MIN_RENEWAL_DIVISOR: u64 = 8;

/// The cached days: the whole ones, or those of one view.
#[derive(Debug)]
pub struct Memory {
    caches: Arc<SharedCaches>,
    catalog: DayCatalog,
    dictionaries: Arc<Dictionaries>,
}

/// The caches that the whole days and all views share.
#[derive(Debug)]
struct SharedCaches {
    days: DayCache,
    lookups: CounterVec<CacheLookup>,
}

impl SharedCaches {
    /// Moves the rows and the digest of a day to another dictionary, if they have the one that `reindexing` starts from.
    fn move_day(&self, key: &CacheKey, reindexing: &mut DayReindexing) {
        let (rows, digest) = self.days.peek(key);
        if let Some(rows) = rows.filter(|rows| reindexing.applies_to(rows.dictionary())) {
            let moved = rows.reindexed(&mut reindexing.indices);
            self.days.replace_rows(key, &rows, moved);
        }
        if let Some(digest) = digest.filter(|digest| reindexing.applies_to(digest.dictionary())) {
            let moved = digest.reindexed(reindexing);
            self.days.replace_digest(key, &digest, moved);
        }
    }
}

impl Memory {
    /// A cache of at most about `bytes` bytes, dictionaries included.
    #[must_use]
    pub fn new(bytes: u64, policy: FreshnessPolicy, clock: Arc<dyn Clock>) -> Self {
        let dictionaries = Arc::new(Dictionaries::new(bytes / MIN_RENEWAL_DIVISOR));
        let days = DayCache::new(bytes, Arc::clone(&dictionaries));
        let caches = SharedCaches { days, lookups: CounterVec::default() };
        Self { caches: Arc::new(caches), catalog: DayCatalog::new(policy, clock), dictionaries }
    }

    /// The cache of a new view. It shares the limits, and removing an unfiltered day removes the filtered day too.
    #[must_use]
    pub fn for_new_view(&self) -> Self {
        Self {
            caches: Arc::clone(&self.caches),
            catalog: self.catalog.for_new_view(),
            dictionaries: Arc::new(self.dictionaries.for_new_view()),
        }
    }

    /// The dictionaries of the days.
    #[must_use]
    pub const fn dictionaries(&self) -> &Arc<Dictionaries> {
        &self.dictionaries
    }

    /// The catalog of the days.
    #[must_use]
    pub const fn catalog(&self) -> &DayCatalog {
        &self.catalog
    }

    /// A day, if it is cached. Rows are returned for a digest that is not cached, because it can be computed from them.
    #[must_use]
    pub fn get(&self, key: &DayKey, depth: Depth) -> Option<LoadedDay> {
        let key = self.cache_key(key);
        let digest = || self.caches.days.digest(&key).map(LoadedDay::Digest);
        let rows = || self.caches.days.rows(&key).map(LoadedDay::Rows);
        match depth {
            Depth::Digest => digest().or_else(rows),
            Depth::Rows => rows(),
        }
    }

    /// The rows of a day, if they are cached.
    #[must_use]
    pub fn rows(&self, key: &DayKey) -> Option<Arc<DayTable>> {
        self.caches.days.rows(&self.cache_key(key))
    }

    /// Reduces rows to their digest if no more is needed.
    ///
    /// # Errors
    /// As [`Self::digest_of`].
    pub(super) async fn at_depth(&self, day: LoadedDay, depth: Depth) -> Result<LoadedDay, LoadError> {
        match (day, depth) {
            (LoadedDay::Rows(rows), Depth::Digest) => self.digest_of(&rows).await.map(LoadedDay::Digest),
            (day, _) => Ok(day),
        }
    }

    /// The digest of these rows, computed if it is not cached.
    ///
    /// # Errors
    /// [`LoadError::Abandoned`] if the computation panics.
    async fn digest_of(&self, day: &Arc<DayTable>) -> Result<Arc<DayDigest>, LoadError> {
        let cached = self.caches.days.digest(&self.cache_key(day.key()));
        let same = cached.filter(|digest| digest.fetched_at() == day.fetched_at() && digest.hash() == day.hash());
        if let Some(digest) = same {
            return Ok(digest);
        }
        let (rows, neighbour) = (Arc::clone(day), self.neighbour_digest(day.key()));
        // A large day takes about 10 ms.
        let computed = run_day_task(move || Arc::new(DayDigest::from_day(&rows, neighbour.as_deref()))).await;
        let digest = computed.map_err(|_| LoadError::Abandoned)?;
        self.caches.days.insert_digest(self.cache_key(day.key()), Arc::clone(&digest));
        self.catalog.record_change();
        Ok(digest)
    }

    /// Stores a day and its digest. An older fetch never replaces a newer one.
    pub async fn insert(&self, day: &Arc<DayTable>) {
        let key = day.key();
        self.catalog.record_fetch(&**day);
        if self.rows(key).is_some_and(|cached| cached.fetched_at() > day.fetched_at()) {
            return;
        }
        let before = self.caches.days.digest(&self.cache_key(key));
        // A change of a filtered day is not logged: the whole day changed and is logged.
        let before = before.filter(|before| before.hash() != day.hash() && !self.catalog.is_view());
        // The day of one person gets no digest: its rows are as small.
        if !matches!(key.scope, DataScope::User(_)) {
            match (before, self.digest_of(day).await) {
                (Some(before), Ok(after)) => log_change(&before, &after),
                (None, Ok(_)) => {}
                (_, Err(error)) => {
                    tracing::error!(%key, %error, "the digest of a day could not be computed; the next request tries again");
                }
            }
        }
        self.caches.days.insert_rows(self.cache_key(key), Arc::clone(day));
        self.catalog.record_change();
        self.renew_dictionary(key, day.dictionary());
    }

    /// Stores a digest whose rows are not in memory, unless a later one is cached.
    pub(super) fn insert_digest(&self, digest: &Arc<DayDigest>) {
        self.catalog.record_fetch(&**digest);
        let cached = self.caches.days.digest(&self.cache_key(digest.key()));
        if cached.is_none_or(|cached| cached.fetched_at() <= digest.fetched_at()) {
            self.caches.days.insert_digest(self.cache_key(digest.key()), Arc::clone(digest));
            self.catalog.record_change();
            self.renew_dictionary(digest.key(), digest.dictionary());
        }
    }

    /// Moves days to another dictionary in the background after the day of `key` was stored: this day if its dictionary has a
    /// successor, or all days if the dictionary has grown enough to be replaced.
    fn renew_dictionary(&self, key: &DayKey, dictionary: &Arc<Dictionary>) {
        let caches = Arc::clone(&self.caches);
        // A renewal sets the successor before it lists the days, and this day was stored before. So one of the two moves it.
        if let Some(newest) = dictionary.newest_successor() {
            let (key, newest, old) = (self.cache_key(key), Arc::clone(newest), Arc::clone(dictionary));
            tokio::spawn(run_day_task(move || caches.move_day(&key, &mut DayReindexing::new(old, newest))));
        } else if let Some(newest) = self.dictionaries.begin_renewal(key.user_id_type, dictionary) {
            let (view, user_id_type) = (self.catalog.view(), key.user_id_type);
            let (dictionaries, old) = (Arc::clone(&self.dictionaries), Arc::clone(dictionary));
            tokio::spawn(run_day_task(move || {
                let bytes_before = old.bytes();
                let mut reindexing = DayReindexing::new(old, Arc::clone(&newest));
                for key in caches.days.keys(view, user_id_type) {
                    caches.move_day(&key, &mut reindexing);
                }
                // The earlier generation ends here, unless a query uses it.
                drop(reindexing);
                dictionaries.end_renewal(&newest);
                caches.days.evict_above_limit();
                tracing::debug!(?user_id_type, bytes_before, bytes = newest.bytes(), "a dictionary was renewed");
            }));
        }
    }

    /// Removes a day of one geo and id type in all scopes and views.
    pub fn remove(&self, day: &DayKey) {
        self.caches.days.remove_days(|key| key.everyone() == day.everyone());
        self.catalog.record_removal(day);
    }

    /// The days that are held in any scope or view.
    #[must_use]
    pub fn held_days(&self) -> HashSet<DayKey> {
        self.caches.days.held_days()
    }

    /// The digest of the newest day of everyone in a geo that has rows and whose state satisfies `wanted`.
    pub fn newest_day(&self, geo: Geo, wanted: impl Fn(DayState) -> bool) -> Option<Arc<DayDigest>> {
        let of_everyone = |key: &DayKey| key.geo == geo && key.scope == DataScope::Everyone;
        let days = self.caches.days.digests_of_view(self.catalog.view()).into_iter();
        let days = days.filter(|day| of_everyone(day.key()) && day.row_count() > 0);
        days.filter(|day| wanted(self.catalog.state(&**day))).max_by_key(|day| day.key().day)
    }

    /// Removes all days of this view, which is not used any more. They hold the dictionaries of the view.
    pub fn remove_view(&self) {
        self.caches.days.remove_view(self.catalog.view());
    }

    /// The present state of every day that is cached for this view.
    pub fn states(&self) -> impl Iterator<Item = DayState> {
        self.caches.days.rows_of_view(self.catalog.view()).into_iter().map(|day| self.catalog.state(&*day))
    }

    /// Counts a lookup. A miss of a view is not counted, because the lookup of the whole day follows and is counted.
    pub(super) fn record_lookup(&self, lookup: CacheLookup) {
        if lookup != CacheLookup::Miss || !self.catalog.is_view() {
            self.caches.lookups.increment(lookup);
        }
    }

    /// Numbers of lookups by outcome.
    #[must_use]
    pub fn lookups(&self) -> &CounterVec<CacheLookup> {
        &self.caches.lookups
    }

    /// Number of days that were evicted to make room.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.caches.days.evicted_days()
    }

    /// Bytes in use and the limit, over rows and digests.
    #[must_use]
    pub fn size(&self) -> MemorySize {
        self.caches.days.size()
    }

    fn cache_key(&self, key: &DayKey) -> CacheKey {
        CacheKey { view: self.catalog.view(), day: key.clone() }
    }

    fn neighbour_digest(&self, key: &DayKey) -> Option<Arc<DayDigest>> {
        let digest = |day| self.caches.days.digest(&self.cache_key(&key.with_day(day)));
        digest(key.day.plus(-1)).or_else(|| digest(key.day.next()))
    }
}

/// Logs that a day changed between two fetches, as counts before and after.
fn log_change(before: &DayDigest, after: &DayDigest) {
    let active = |digest: &DayDigest| digest.figures().sums.rows_with(Flag::Active);
    tracing::info!(
        key = %after.key(),
        rows_before = before.row_count(),
        rows = after.row_count(),
        active_before = active(before),
        active = active(after),
        "a day has changed since its last fetch"
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        model::{Day, ManualClock, UserIdType},
        table::{DayTableBuilder, Row},
    };

    const LIMIT: u64 = 256 << 10;
    const PEOPLE: i32 = 50;

    fn memory() -> Memory {
        let clock = Arc::new(ManualClock::at("2026-11-22T04:00:00Z".parse().unwrap()));
        Memory::new(LIMIT, FreshnessPolicy::default(), clock)
    }

    fn key(offset: i32) -> DayKey {
        let day = Day::new(2024, 1, 1).unwrap().plus(offset);
        DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day }
    }

    fn user_ids(offset: i32) -> Vec<String> {
        (0..PEOPLE).map(|person| format!("ou_{:04}_{person:02}", offset / 10)).collect()
    }

    /// A day whose people have rows on ten days.
    fn day(memory: &Memory, offset: i32) -> Arc<DayTable> {
        day_with(memory.dictionaries().for_id_type(UserIdType::OpenId), offset)
    }

    fn day_with(dictionary: Arc<Dictionary>, offset: i32) -> Arc<DayTable> {
        let mut day = DayTableBuilder::new(key(offset), dictionary);
        for user_id in user_ids(offset) {
            day.push(&Row { user_name: format!("name of {user_id}"), user_id: Some(user_id), ..Row::default() });
        }
        Arc::new(day.finish(Timestamp::UNIX_EPOCH))
    }

    async fn eventually(holds: impl Fn() -> bool) {
        let wait = async {
            while !holds() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the condition within 30 s");
    }

    fn ids_of_rows(day: &DayTable) -> Vec<String> {
        let tables = day.dictionary().read();
        day.profiles().iter().map(|profile| tables.profile(*profile).user_id.as_deref().unwrap().to_owned()).collect()
    }

    fn ids_of_digest(digest: &DayDigest) -> Vec<String> {
        let tables = digest.dictionary().read();
        let mut ids: Vec<String> = digest
            .figures()
            .present
            .identified
            .ones()
            .map(|person| tables.user_id(u32::try_from(person).unwrap()).to_string())
            .collect();
        ids.sort_unstable();
        ids
    }

    #[tokio::test]
    async fn the_limit_holds_when_people_come_and_go_for_years() {
        let memory = memory();
        let (mut dictionaries, mut last) = (0, None);
        for offset in 0..1000 {
            let day = day(&memory, offset);
            memory.insert(&day).await;
            if last.replace(day.dictionary().id()) != Some(day.dictionary().id()) {
                dictionaries += 1;
            }
            drop(day);
            // Until the days have moved, two generations are in use.
            eventually(|| memory.size().used_bytes <= LIMIT).await;
        }

        assert!((3..100).contains(&dictionaries), "{dictionaries}");
        let cached: Vec<i32> = (0..1000).filter(|offset| memory.rows(&key(*offset)).is_some()).collect();
        assert!(cached.len() > 2 && cached.last() == Some(&999), "{cached:?}");
        for offset in cached {
            assert_eq!(ids_of_rows(&memory.rows(&key(offset)).unwrap()), user_ids(offset));
            let Some(LoadedDay::Digest(digest)) = memory.get(&key(offset), Depth::Digest) else { panic!("a digest") };
            assert_eq!(ids_of_digest(&digest), user_ids(offset));
        }
    }

    #[tokio::test]
    async fn a_day_of_an_earlier_generation_moves_to_the_newest_one_when_it_arrives() {
        let memory = memory();
        let first = memory.dictionaries().for_id_type(UserIdType::OpenId);
        let mut offset = 0;
        while first.newest_successor().is_none() {
            memory.insert(&day(&memory, offset)).await;
            offset += 1;
        }

        // It was being loaded when the dictionary was replaced.
        memory.insert(&day_with(Arc::clone(&first), offset)).await;

        let has_newest = |day: &Arc<Dictionary>| day.newest_successor().is_none() && !Arc::ptr_eq(day, &first);
        eventually(|| {
            let rows = memory.rows(&key(offset)).unwrap();
            let Some(LoadedDay::Digest(digest)) = memory.get(&key(offset), Depth::Digest) else { panic!("a digest") };
            has_newest(rows.dictionary()) && has_newest(digest.dictionary())
        })
        .await;
        assert_eq!(ids_of_rows(&memory.rows(&key(offset)).unwrap()), user_ids(offset));
    }

    #[tokio::test]
    async fn the_dictionary_of_a_view_is_part_of_the_limit_and_ends_with_its_last_day() {
        let memory = memory();
        let view = memory.for_new_view();
        let day = day(&view, 1);
        view.insert(&day).await;
        drop(day);
        assert!(memory.dictionaries().total_bytes() > 0);
        assert!(memory.size().used_bytes > memory.dictionaries().total_bytes());

        view.remove_view();

        assert_eq!((memory.dictionaries().total_bytes(), memory.size().used_bytes), (0, 0));
    }
}
