//! Cache of days under one limit of bytes, as rows and as digests. Eviction is by least recent use.
//!
//! The shares of both follow need. Digests are about a tenth as large and answer most reports, so rows give way to them, but
//! keep a fifth of the limit. Dictionaries are part of the limit, and days give way to them.

use std::{collections::HashSet, sync::Arc};

use lru::LruCache;
use parking_lot::Mutex;

use super::lru::{CacheKey, MemorySize, ViewId};
use crate::{
    model::{DayKey, UserIdType},
    report::DayDigest,
    table::{DayTable, Dictionaries},
};

/// The part of the limit that digests cannot take.
const MIN_ROWS_SHARE_DIVISOR: u64 = 5;

/// The part of the limit that dictionaries cannot take.
const MIN_DAYS_SHARE_DIVISOR: u64 = 4;

/// Estimated memory of an entry in addition to its value, in bytes.
const ENTRY_OVERHEAD_BYTES: u64 = 256;

/// The rows and digests of the whole days and of all views.
#[derive(Debug)]
pub(super) struct DayCache {
    entries: Mutex<Entries>,
    dictionaries: Arc<Dictionaries>,
    max_bytes: u64,
}

#[derive(Debug)]
struct Entries {
    rows: LruMap<DayTable>,
    digests: LruMap<DayDigest>,
    evicted_days: u64,
}

/// Values in the order of their last use.
#[derive(Debug)]
struct LruMap<D> {
    values: LruCache<CacheKey, SizedValue<D>>,
    /// The sum of the sizes.
    bytes: u64,
}

#[derive(Debug)]
struct SizedValue<D> {
    value: Arc<D>,
    bytes: u64,
}

/// Rows and digests that were removed from the cache.
type EvictedDays = (Vec<Arc<DayTable>>, Vec<Arc<DayDigest>>);

impl DayCache {
    /// A cache of at most about `max_bytes` bytes, together with all dictionaries that belong to `dictionaries`.
    pub(super) fn new(max_bytes: u64, dictionaries: Arc<Dictionaries>) -> Self {
        let entries = Entries { rows: LruMap::new(), digests: LruMap::new(), evicted_days: 0 };
        Self { entries: Mutex::new(entries), dictionaries, max_bytes }
    }

    /// The rows of a day.
    pub(super) fn rows(&self, key: &CacheKey) -> Option<Arc<DayTable>> {
        self.entries.lock().rows.get(key)
    }

    /// The digest of a day.
    pub(super) fn digest(&self, key: &CacheKey) -> Option<Arc<DayDigest>> {
        self.entries.lock().digests.get(key)
    }

    /// Stores the rows of a day.
    pub(super) fn insert_rows(&self, key: CacheKey, day: Arc<DayTable>) {
        let bytes = day.memory_bytes();
        self.entries.lock().rows.insert(key, day, bytes);
        self.evict_above_limit();
    }

    /// Stores the digest of a day.
    pub(super) fn insert_digest(&self, key: CacheKey, digest: Arc<DayDigest>) {
        let bytes = digest.memory_bytes();
        self.entries.lock().digests.insert(key, digest, bytes);
        self.evict_above_limit();
    }

    /// Removes days until the limit holds, after dictionaries have grown.
    pub(super) fn evict_above_limit(&self) {
        let mut entries = self.entries.lock();
        let evicted = self.make_room(&mut entries);
        drop(entries);
        drop(evicted);
    }

    /// The keys of all cached rows and digests of a view with this type of user id.
    pub(super) fn keys(&self, view: ViewId, user_id_type: UserIdType) -> HashSet<CacheKey> {
        let entries = self.entries.lock();
        let keys =
            entries.rows.values.iter().map(|(key, _)| key).chain(entries.digests.values.iter().map(|(key, _)| key));
        keys.filter(|key| key.view == view && key.day.user_id_type == user_id_type).cloned().collect()
    }

    /// The days of all cached rows and digests in all views, each as the day of everyone.
    pub(super) fn held_days(&self) -> HashSet<DayKey> {
        let entries = self.entries.lock();
        let rows = entries.rows.values.iter().map(|(key, _)| key.day.everyone());
        rows.chain(entries.digests.values.iter().map(|(key, _)| key.day.everyone())).collect()
    }

    /// The rows and the digest of a day. This is not a use of them.
    pub(super) fn peek(&self, key: &CacheKey) -> (Option<Arc<DayTable>>, Option<Arc<DayDigest>>) {
        let entries = self.entries.lock();
        (entries.rows.peek(key), entries.digests.peek(key))
    }

    /// Replaces the rows of a day by the same rows with other indices, unless they were replaced already.
    pub(super) fn replace_rows(&self, key: &CacheKey, old: &Arc<DayTable>, new: DayTable) {
        self.entries.lock().rows.replace(key, old, new);
    }

    /// Replaces the digest of a day by the same digest with other indices, unless it was replaced already.
    pub(super) fn replace_digest(&self, key: &CacheKey, old: &Arc<DayDigest>, new: DayDigest) {
        self.entries.lock().digests.replace(key, old, new);
    }

    /// All cached rows of one view.
    pub(super) fn rows_of_view(&self, view: ViewId) -> Vec<Arc<DayTable>> {
        self.entries.lock().rows.of_view(view)
    }

    /// All cached digests of one view.
    pub(super) fn digests_of_view(&self, view: ViewId) -> Vec<Arc<DayDigest>> {
        self.entries.lock().digests.of_view(view)
    }

    /// Removes a day from all views.
    pub(super) fn remove_days(&self, is_removed: impl Fn(&DayKey) -> bool) {
        let mut entries = self.entries.lock();
        entries.rows.remove_all(|key| is_removed(&key.day));
        entries.digests.remove_all(|key| is_removed(&key.day));
    }

    /// Removes all days of a view.
    pub(super) fn remove_view(&self, view: ViewId) {
        let mut entries = self.entries.lock();
        entries.rows.remove_all(|key| key.view == view);
        entries.digests.remove_all(|key| key.view == view);
    }

    /// Bytes in use, those of dictionaries included, and the limit.
    pub(super) fn size(&self) -> MemorySize {
        let entries = self.entries.lock();
        let used_bytes = entries.rows.bytes + entries.digests.bytes + self.dictionaries.total_bytes();
        MemorySize { used_bytes, max_bytes: self.max_bytes }
    }

    /// Number of days whose rows were evicted.
    pub(super) fn evicted_days(&self) -> u64 {
        self.entries.lock().evicted_days
    }

    /// Removes days until the limit holds. The caller drops them after it released the lock, because the last day of a
    /// dictionary drops the dictionary too.
    fn make_room(&self, Entries { rows, digests, evicted_days }: &mut Entries) -> EvictedDays {
        let min_bytes = self.max_bytes / MIN_DAYS_SHARE_DIVISOR;
        let max_bytes = self.max_bytes.saturating_sub(self.dictionaries.total_bytes()).max(min_bytes);
        let digests_evicted = digests.evict_above(max_bytes - max_bytes / MIN_ROWS_SHARE_DIVISOR);
        let rows_evicted = rows.evict_above(max_bytes - digests.bytes);
        *evicted_days += rows_evicted.len() as u64;
        (rows_evicted, digests_evicted)
    }
}

impl<D> LruMap<D> {
    fn new() -> Self {
        Self { values: LruCache::unbounded(), bytes: 0 }
    }

    fn get(&mut self, key: &CacheKey) -> Option<Arc<D>> {
        self.values.get(key).map(|sized| Arc::clone(&sized.value))
    }

    fn insert(&mut self, key: CacheKey, value: Arc<D>, bytes: usize) {
        let bytes = bytes as u64 + ENTRY_OVERHEAD_BYTES;
        let replaced = self.values.put(key, SizedValue { value, bytes });
        self.bytes = self.bytes + bytes - replaced.map_or(0, |sized| sized.bytes);
    }

    fn peek(&self, key: &CacheKey) -> Option<Arc<D>> {
        self.values.peek(key).map(|sized| Arc::clone(&sized.value))
    }

    fn replace(&mut self, key: &CacheKey, old: &Arc<D>, new: D) {
        let same = self.values.peek_mut(key).filter(|sized| Arc::ptr_eq(&sized.value, old));
        if let Some(sized) = same {
            sized.value = Arc::new(new);
        }
    }

    /// Removes the values that were used least recently until at most `max_bytes` bytes are in use, and returns them.
    fn evict_above(&mut self, max_bytes: u64) -> Vec<Arc<D>> {
        let mut evicted = Vec::new();
        while self.bytes > max_bytes
            && let Some((_, sized)) = self.values.pop_lru()
        {
            self.bytes -= sized.bytes;
            evicted.push(sized.value);
        }
        evicted
    }

    fn of_view(&self, view: ViewId) -> Vec<Arc<D>> {
        let own = self.values.iter().filter(|(key, _)| key.view == view);
        own.map(|(_, sized)| Arc::clone(&sized.value)).collect()
    }

    fn remove_all(&mut self, is_removed: impl Fn(&CacheKey) -> bool) {
        let keys: Vec<CacheKey> =
            self.values.iter().map(|(key, _)| key).filter(|key| is_removed(key)).cloned().collect();
        for key in keys {
            self.bytes -= self.values.pop(&key).map_or(0, |sized| sized.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        model::{DataScope, Day, Geo, UserIdType},
        table::DayTableBuilder,
    };

    fn key(offset: i32) -> CacheKey {
        let day = Day::new(2026, 1, 1).unwrap().plus(offset);
        let day = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
        CacheKey { view: 0, day }
    }

    #[test]
    fn rows_give_way_to_digests_and_keep_a_fifth() {
        let day =
            |offset| Arc::new(DayTableBuilder::new(key(offset).day, Arc::default()).finish(Timestamp::UNIX_EPOCH));
        let cache = DayCache::new(200_000, Arc::default());
        let count = || (cache.rows_of_view(0).len(), cache.digests_of_view(0).len());
        for offset in 0..1000 {
            cache.insert_rows(key(offset), day(offset));
        }
        let (rows_alone, _) = count();

        for offset in 0..1000 {
            cache.insert_digest(key(offset), Arc::new(DayDigest::from_day(&day(offset), None)));
        }

        let (rows, digests) = count();
        assert!((rows_alone / 5..=rows_alone / 4).contains(&rows), "{rows} of {rows_alone}");
        for offset in 1000..2000 {
            cache.insert_rows(key(offset), day(offset));
        }
        assert!(cache.rows(&key(1999)).is_some() && cache.rows(&key(0)).is_none());
        assert_eq!(count(), (rows, digests));
        let size = cache.size();
        assert!(size.used_bytes <= size.max_bytes);
    }

    #[test]
    fn days_give_way_to_dictionaries_and_keep_a_quarter() {
        let dictionaries = Arc::new(Dictionaries::default());
        let cache = DayCache::new(200_000, Arc::clone(&dictionaries));
        let fill = || {
            for offset in 0..1000 {
                let day = DayTableBuilder::new(key(offset).day, Arc::default()).finish(Timestamp::UNIX_EPOCH);
                cache.insert_rows(key(offset), Arc::new(day));
            }
            cache.rows_of_view(0).len()
        };
        let alone = fill();
        let of_view = dictionaries.for_new_view().for_id_type(UserIdType::UserId);
        let people: Vec<String> = (0..10_000).map(|person| format!("person {person}")).collect();

        let mut added = people.iter().map(String::as_str);
        while of_view.bytes() < 100_000 {
            of_view.intern_people(added.by_ref().take(10), &[]);
        }
        let half = fill();
        of_view.intern_people(added, &[]);
        let least = fill();
        drop(of_view);

        assert!((alone * 2 / 5..=alone / 2).contains(&half), "{half} of {alone}");
        assert!((alone / 5..=alone / 4).contains(&least), "{least} of {alone}");
        assert_eq!(fill(), alone);
    }

    #[test]
    fn the_least_recently_used_values_are_evicted_and_sizes_add_up() {
        let mut map = LruMap::new();
        for day in 0..4 {
            map.insert(key(day), Arc::new(day), 1000);
        }
        map.insert(key(1), Arc::new(10), 2000);
        assert_eq!(map.get(&key(0)).as_deref(), Some(&0));

        let evicted = map.evict_above(4000).len();

        let mut left = map.of_view(0).iter().map(|value| **value).collect::<Vec<_>>();
        left.sort_unstable();
        assert_eq!((evicted, left), (2, vec![0, 10]));
        assert_eq!(map.bytes, 3000 + 2 * ENTRY_OVERHEAD_BYTES);
        map.remove_all(|key| key.view == 0);
        assert_eq!(map.bytes, 0);
    }
}
