//! Backlog: days that wait to be written to the archive.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::{model::DayKey, table::DayTable};

/// Days that wait to be written, each at most once.
///
/// They are written in rotation, so a day that cannot be written does not block the others. The memory cache usually
/// holds the same days, so the backlog costs little memory; its limit is for an archive that is down for long.
#[derive(Debug)]
pub(super) struct Backlog {
    state: Mutex<BacklogState>,
    changed: watch::Sender<()>,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct BacklogState {
    days: BTreeMap<DayKey, Arc<DayTable>>,
    bytes: usize,
    /// The last day of the previous batch; the next batch starts after it.
    last_in_batch: Option<DayKey>,
    /// Whether a task is writing the backlog.
    has_writer: bool,
}

/// The result of adding a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PushResult {
    /// No task writes the backlog yet. The caller must start one.
    pub(super) needs_writer: bool,
    /// Number of days that were dropped to stay within the limit.
    pub(super) dropped: usize,
}

impl Backlog {
    /// A backlog of at most about `max_bytes` bytes.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(()), max_bytes }
    }

    /// Adds a day. Above the limit, the days with the earliest dates are dropped.
    pub(super) fn push(&self, day: Arc<DayTable>) -> PushResult {
        let mut state = self.lock();
        state.insert(day);
        let mut dropped = 0;
        while state.bytes > self.max_bytes && state.days.len() > 1 {
            let first = state.days.keys().next().cloned();
            dropped += usize::from(first.is_some_and(|key| state.remove(&key).is_some()));
        }
        PushResult { needs_writer: !std::mem::replace(&mut state.has_writer, true), dropped }
    }

    /// The next days to write: at most `at_most`, and at most `max_bytes` bytes or one day. An empty result means that nothing waits and that the writer must
    /// stop.
    pub(super) fn next_batch(&self, at_most: usize, max_bytes: usize) -> Vec<Arc<DayTable>> {
        let mut state = self.lock();
        state.has_writer = !state.days.is_empty();
        let mut days = state.next_days(at_most);
        let mut bytes = 0;
        let fitting = days.iter().take_while(|day| {
            bytes += day.memory_bytes();
            bytes <= max_bytes
        });
        days.truncate(fitting.count().max(1));
        state.last_in_batch = days.last().map(|day| day.key().clone());
        days
    }

    /// The day, if it waits.
    pub(super) fn get(&self, key: &DayKey) -> Option<Arc<DayTable>> {
        self.lock().days.get(key).cloned()
    }

    /// Removes a day that was written, unless a later fetch of it has replaced it in the meantime.
    pub(super) fn remove_written(&self, day: &Arc<DayTable>) {
        let mut state = self.lock();
        if state.days.get(day.key()).is_some_and(|other| Arc::ptr_eq(other, day)) {
            state.remove(day.key());
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Removes a day without writing it.
    pub(super) fn remove(&self, key: &DayKey) {
        self.lock().remove(key);
        self.changed.send_replace(());
    }

    /// Number of days that wait.
    pub(super) fn len(&self) -> usize {
        self.lock().days.len()
    }

    /// Waits until the day is no longer in the backlog.
    pub(super) async fn wait_until_removed(&self, key: &DayKey) {
        let mut changed = self.changed.subscribe();
        while self.lock().days.contains_key(key) {
            // Never fails: the backlog owns the sender.
            let _ = changed.changed().await;
        }
    }

    /// Waits until `condition` is true for the size of the backlog in bytes.
    pub(super) async fn wait_until(&self, condition: impl Fn(usize) -> bool) {
        let mut changed = self.changed.subscribe();
        while !condition(self.lock().bytes) {
            // Never fails: the backlog owns the sender.
            let _ = changed.changed().await;
        }
    }

    /// Wakes those who wait for a change.
    pub(super) fn notify(&self) {
        self.changed.send_replace(());
    }

    /// Waits until the backlog is empty.
    pub(super) async fn wait_until_empty(&self) {
        let mut changed = self.changed.subscribe();
        while self.len() > 0 {
            // Never fails: the backlog owns the sender.
            let _ = changed.changed().await;
        }
    }

    /// The keys of all days that wait.
    pub(super) fn keys(&self) -> Vec<DayKey> {
        self.lock().days.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BacklogState> {
        self.state.lock()
    }
}

impl BacklogState {
    /// The days after the previous batch, then from the first day on.
    fn next_days(&self, at_most: usize) -> Vec<Arc<DayTable>> {
        let from = self.last_in_batch.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.days.range((from, Bound::Unbounded));
        let earlier = self.last_in_batch.as_ref().map(|last| self.days.range(..=last)).into_iter().flatten();
        later.chain(earlier).take(at_most).map(|(_, day)| Arc::clone(day)).collect()
    }

    fn insert(&mut self, day: Arc<DayTable>) {
        self.remove(day.key());
        self.bytes += day.memory_bytes();
        self.days.insert(day.key().clone(), day);
    }

    fn remove(&mut self, key: &DayKey) -> Option<Arc<DayTable>> {
        let day = self.days.remove(key)?;
        self.bytes -= day.memory_bytes();
        Some(day)
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

    fn day(of_month: i8) -> Arc<DayTable> {
        let day = Day::new(2026, 11, of_month).unwrap();
        let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
        Arc::new(DayTableBuilder::new(key, Arc::default()).finish(Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn a_writer_is_needed_for_the_first_day_and_after_the_backlog_was_emptied() {
        let (backlog, one) = (Backlog::new(1 << 20), day(1));
        assert_eq!(backlog.push(one.clone()), PushResult { needs_writer: true, dropped: 0 });
        assert_eq!(backlog.push(day(2)), PushResult { needs_writer: false, dropped: 0 });

        for day in backlog.next_batch(8, usize::MAX) {
            backlog.remove_written(&day);
        }

        assert!(backlog.next_batch(8, usize::MAX).is_empty());
        assert!(backlog.push(one).needs_writer);
    }

    #[test]
    fn a_day_that_was_fetched_again_while_it_was_written_still_waits() {
        let (backlog, earlier) = (Backlog::new(1 << 20), day(1));
        backlog.push(earlier.clone());
        backlog.push(day(1));
        backlog.remove_written(&earlier);
        assert_eq!(backlog.len(), 1);
    }

    #[test]
    fn days_that_cannot_be_written_do_not_block_others() {
        let backlog = Backlog::new(1 << 20);
        for of_month in 1..=5 {
            backlog.push(day(of_month));
        }

        let mut written = Vec::new();
        for _ in 0..5 {
            for day in
                backlog.next_batch(2, usize::MAX).iter().filter(|day| day.key().day.to_string().as_str() > "2026-11-02")
            {
                backlog.remove_written(day);
                written.push(day.key().day.to_string());
            }
        }

        assert_eq!(written, ["2026-11-03", "2026-11-04", "2026-11-05"]);
        let left: Vec<_> = backlog.keys().iter().map(|key| key.day.to_string()).collect();
        assert_eq!(left, ["2026-11-01", "2026-11-02"]);
    }

    #[test]
    fn a_batch_is_limited_by_bytes_and_has_at_least_one_day() {
        let backlog = Backlog::new(1 << 20);
        for of_month in 1..=3 {
            backlog.push(day(of_month));
        }
        let bytes = day(1).memory_bytes();
        assert_eq!(backlog.next_batch(8, 0).len(), 1);
        assert_eq!(backlog.next_batch(8, 2 * bytes).len(), 2);
        assert_eq!(backlog.next_batch(8, 9 * bytes).len(), 3);
    }

    #[tokio::test]
    async fn a_waiter_for_room_waits_for_a_written_day() {
        let (backlog, one) = (Backlog::new(1 << 20), day(1));
        backlog.push(one.clone());
        let mut room = std::pin::pin!(backlog.wait_until(|bytes| bytes == 0));
        assert!(futures_util::FutureExt::now_or_never(room.as_mut()).is_none());

        backlog.remove_written(&one);

        room.await;
    }

    #[test]
    fn above_the_limit_the_earliest_days_are_dropped() {
        let backlog = Backlog::new(day(1).memory_bytes() * 2);
        let dropped: usize = (1..=5).map(|of_month| backlog.push(day(of_month)).dropped).sum();
        assert_eq!((dropped, backlog.len()), (3, 2));
        assert!(backlog.get(day(5).key()).is_some());
    }
}
