//! The backlog: days that are to be written and not yet are.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{model::DayKey, table::Partition};

/// Days that wait to be written, each once, in turns: a day that cannot be written holds up no other. Memory usually holds the same days, so that waiting costs
/// little; the bound is for an archive that stays down for long.
#[derive(Debug)]
pub(super) struct Backlog {
    waiting: Mutex<Waiting>,
    changed: watch::Sender<()>,
    room: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    days: BTreeMap<DayKey, Arc<Partition>>,
    bytes: usize,
    /// The last that was given out.
    turn: Option<DayKey>,
    /// Whether somebody is writing them.
    attended: bool,
}

/// What came of adding a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Added {
    /// Nobody writes the backlog yet: the caller shall.
    pub(super) unattended: bool,
    /// Days that had to give way.
    pub(super) forgone: usize,
}

impl Backlog {
    /// A backlog of at most about `room` bytes of days.
    pub(super) fn new(room: usize) -> Self {
        Self { waiting: Mutex::default(), changed: watch::Sender::new(()), room }
    }

    /// Adds a day. Where there is no room, the earliest days give way: they have waited longest in vain.
    pub(super) fn add(&self, day: Arc<Partition>) -> Added {
        let mut waiting = self.waiting();
        waiting.insert(day);
        let mut forgone = 0;
        while waiting.bytes > self.room && waiting.days.len() > 1 {
            let first = waiting.days.keys().next().cloned();
            forgone += usize::from(first.is_some_and(|key| waiting.remove(&key).is_some()));
        }
        Added { unattended: !std::mem::replace(&mut waiting.attended, true), forgone }
    }

    /// Some days to write now; none where nothing waits, and then nobody attends the backlog any more.
    pub(super) fn next(&self, at_most: usize) -> Vec<Arc<Partition>> {
        let mut waiting = self.waiting();
        waiting.attended = !waiting.days.is_empty();
        let days = waiting.after_the_last(at_most);
        waiting.turn = days.last().map(|day| day.key().clone());
        days
    }

    /// The day, where it waits.
    pub(super) fn get(&self, key: &DayKey) -> Option<Arc<Partition>> {
        self.waiting().days.get(key).cloned()
    }

    /// Takes a day off that was written, unless a later one has taken its place meanwhile.
    pub(super) fn written(&self, day: &Arc<Partition>) {
        let mut waiting = self.waiting();
        if waiting.days.get(day.key()).is_some_and(|other| Arc::ptr_eq(other, day)) {
            waiting.remove(day.key());
        }
        drop(waiting);
        self.changed.send_replace(());
    }

    /// Takes a day off that nobody wants any more.
    pub(super) fn forget(&self, key: &DayKey) {
        self.waiting().remove(key);
        self.changed.send_replace(());
    }

    /// How many days wait.
    pub(super) fn len(&self) -> usize {
        self.waiting().days.len()
    }

    /// Done when the day does not wait any more.
    pub(super) async fn settled(&self, key: &DayKey) {
        let mut changed = self.changed.subscribe();
        while self.waiting().days.contains_key(key) {
            // The sender lives as long as the backlog.
            let _ = changed.changed().await;
        }
    }

    /// Done when nothing waits any more.
    pub(super) async fn emptied(&self) {
        let mut changed = self.changed.subscribe();
        while self.len() > 0 {
            // The sender lives as long as the backlog.
            let _ = changed.changed().await;
        }
    }

    /// What waits.
    pub(super) fn keys(&self) -> Vec<DayKey> {
        self.waiting().days.keys().cloned().collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The days whose turn it is: those after the last that was given out, then from the first again.
    fn after_the_last(&self, at_most: usize) -> Vec<Arc<Partition>> {
        let from = self.turn.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.days.range((from, Bound::Unbounded));
        let earlier = self.turn.as_ref().map(|turn| self.days.range(..=turn)).into_iter().flatten();
        later.chain(earlier).take(at_most).map(|(_, day)| Arc::clone(day)).collect()
    }

    fn insert(&mut self, day: Arc<Partition>) {
        self.remove(day.key());
        self.bytes += day.bytes();
        self.days.insert(day.key().clone(), day);
    }

    fn remove(&mut self, key: &DayKey) -> Option<Arc<Partition>> {
        let day = self.days.remove(key)?;
        self.bytes -= day.bytes();
        Some(day)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        model::{Day, Geo, Scope, UserIdType},
        table::PartitionBuilder,
    };

    fn day(of_month: i8) -> Arc<Partition> {
        let day = Day::new(2026, 11, of_month).unwrap();
        let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day };
        Arc::new(PartitionBuilder::new(key, Arc::default()).finish(Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn the_first_day_finds_nobody_and_so_does_the_first_after_all_were_written() {
        let (backlog, one) = (Backlog::new(1 << 20), day(1));
        assert_eq!(backlog.add(one.clone()), Added { unattended: true, forgone: 0 });
        assert_eq!(backlog.add(day(2)), Added { unattended: false, forgone: 0 });

        for day in backlog.next(8) {
            backlog.written(&day);
        }

        assert!(backlog.next(8).is_empty());
        assert!(backlog.add(one).unattended);
    }

    #[test]
    fn a_day_that_was_fetched_again_while_it_was_written_still_waits() {
        let (backlog, earlier) = (Backlog::new(1 << 20), day(1));
        backlog.add(earlier.clone());
        backlog.add(day(1));
        backlog.written(&earlier);
        assert_eq!(backlog.len(), 1);
    }

    #[test]
    fn days_that_cannot_be_written_hold_up_no_other() {
        let backlog = Backlog::new(1 << 20);
        for of_month in 1..=5 {
            backlog.add(day(of_month));
        }

        let mut written = Vec::new();
        for _ in 0..5 {
            for day in backlog.next(2).iter().filter(|day| day.key().day.to_string().as_str() > "2026-11-02") {
                backlog.written(day);
                written.push(day.key().day.to_string());
            }
        }

        assert_eq!(written, ["2026-11-03", "2026-11-04", "2026-11-05"]);
        let left: Vec<_> = backlog.keys().iter().map(|key| key.day.to_string()).collect();
        assert_eq!(left, ["2026-11-01", "2026-11-02"]);
    }

    #[test]
    fn without_room_the_earliest_days_give_way() {
        let backlog = Backlog::new(day(1).bytes() * 2);
        let forgone: usize = (1..=5).map(|of_month| backlog.add(day(of_month)).forgone).sum();
        assert_eq!((forgone, backlog.len()), (3, 2));
        assert!(backlog.get(day(5).key()).is_some());
    }
}
