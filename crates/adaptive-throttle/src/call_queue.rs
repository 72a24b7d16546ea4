//! The queue of waiting calls: interactive calls before background calls, and callers of one class in turn.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Debug,
};

/// Identifies a caller, so that permits can be shared evenly between callers. Implemented for all suitable types.
pub trait CallerKey: Copy + Ord + Debug + Send + 'static {}

impl<K: Copy + Ord + Debug + Send + 'static> CallerKey for K {}

/// How urgent a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficClass {
    /// Somebody waits for the result.
    Interactive,
    /// Nobody waits for the result, for example with a backfill.
    Background,
}

/// Calls that wait for a permit.
///
/// While interactive calls wait, every `background_every`-th permit goes to a background call, so that background work
/// proceeds and hardly delays interactive calls.
#[derive(Debug)]
pub(crate) struct CallQueue<C, T> {
    interactive: ClassQueue<C, T>,
    background: ClassQueue<C, T>,
    background_every: u32,
    /// Interactive calls removed in a row while background calls waited.
    interactive_in_a_row: u32,
    last_number: u64,
}

/// Identifies a queued call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueEntryId<C> {
    caller: C,
    class: TrafficClass,
    position: CallPosition,
}

/// Rank and number of a call: the order of the calls of one caller.
type CallPosition = (u64, u64);

/// The queued calls of one class. The calls of each caller are ordered by rank, then by their arrival.
#[derive(Debug)]
struct ClassQueue<C, T> {
    calls: BTreeMap<C, BTreeMap<CallPosition, T>>,
    /// The callers in `calls`, the next one first.
    callers: VecDeque<C>,
    len: usize,
}

/// The smallest value of `background_every`: with 1, interactive calls would never be next.
const MIN_BACKGROUND_EVERY: u32 = 2;

impl<C: CallerKey, T> CallQueue<C, T> {
    /// An empty queue.
    pub(crate) fn new(background_every: u32) -> Self {
        Self {
            interactive: ClassQueue::default(),
            background: ClassQueue::default(),
            background_every: background_every.max(MIN_BACKGROUND_EVERY),
            interactive_in_a_row: 0,
            last_number: 0,
        }
    }

    /// Adds a call. Of the calls of one caller, the one with the lowest `rank` is removed first.
    pub(crate) fn push(&mut self, caller: C, class: TrafficClass, rank: u64, call: T) -> QueueEntryId<C> {
        self.last_number += 1;
        let id = QueueEntryId { caller, class, position: (rank, self.last_number) };
        self.class_queue(class).push(id, call);
        id
    }

    /// Removes a call whose caller stopped waiting. `None` if it is no longer in the queue.
    pub(crate) fn remove(&mut self, id: QueueEntryId<C>) -> Option<T> {
        self.class_queue(id.class).remove(id)
    }

    /// Removes and returns the next call.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let both_wait = self.interactive.len > 0 && self.background.len > 0;
        let background_is_due = both_wait && self.interactive_in_a_row + 1 >= self.background_every;
        if background_is_due || self.interactive.len == 0 {
            self.interactive_in_a_row = 0;
            return self.background.pop();
        }
        self.interactive_in_a_row += u32::from(both_wait);
        self.interactive.pop()
    }

    /// The number of queued calls of `class`.
    pub(crate) fn len(&self, class: TrafficClass) -> usize {
        match class {
            TrafficClass::Interactive => self.interactive.len,
            TrafficClass::Background => self.background.len,
        }
    }

    /// Whether no call is queued.
    pub(crate) fn is_empty(&self) -> bool {
        self.interactive.len == 0 && self.background.len == 0
    }

    fn class_queue(&mut self, class: TrafficClass) -> &mut ClassQueue<C, T> {
        match class {
            TrafficClass::Interactive => &mut self.interactive,
            TrafficClass::Background => &mut self.background,
        }
    }
}

impl<C, T> Default for ClassQueue<C, T> {
    fn default() -> Self {
        Self { calls: BTreeMap::new(), callers: VecDeque::new(), len: 0 }
    }
}

impl<C: CallerKey, T> ClassQueue<C, T> {
    fn push(&mut self, id: QueueEntryId<C>, call: T) {
        let calls = self.calls.entry(id.caller).or_default();
        if calls.is_empty() {
            self.callers.push_back(id.caller);
        }
        calls.insert(id.position, call);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<T> {
        let caller = self.callers.pop_front()?;
        let calls = self.calls.get_mut(&caller)?;
        let (_, call) = calls.pop_first()?;
        if calls.is_empty() {
            self.calls.remove(&caller);
        } else {
            self.callers.push_back(caller);
        }
        self.len -= 1;
        Some(call)
    }

    fn remove(&mut self, id: QueueEntryId<C>) -> Option<T> {
        let calls = self.calls.get_mut(&id.caller)?;
        let call = calls.remove(&id.position)?;
        if calls.is_empty() {
            self.calls.remove(&id.caller);
            self.callers.retain(|caller| *caller != id.caller);
        }
        self.len -= 1;
        Some(call)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const BACKGROUND_EVERY: u32 = 4;

    /// A call as the tests identify it.
    type TestCall = (TrafficClass, u64);

    fn pop_all(mut queue: CallQueue<u64, TestCall>) -> Vec<TestCall> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    fn any_call() -> impl Strategy<Value = TestCall> {
        (prop_oneof![Just(TrafficClass::Interactive), Just(TrafficClass::Background)], 0_u64..5)
    }

    fn queue_of(calls: &[TestCall]) -> CallQueue<u64, TestCall> {
        let mut queue = CallQueue::new(BACKGROUND_EVERY);
        for (class, caller) in calls {
            queue.push(*caller, *class, 0, (*class, *caller));
        }
        queue
    }

    #[test]
    fn the_calls_of_a_caller_are_removed_by_rank_and_callers_still_take_turns() {
        let mut queue = CallQueue::new(BACKGROUND_EVERY);
        for (caller, rank) in [(1_u64, 5_u64), (1, 3), (1, 3), (2, 9), (2, 1)] {
            queue.push(caller, TrafficClass::Interactive, rank, (caller, rank));
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(1, 3), (2, 1), (1, 3), (2, 9), (1, 5)]);
    }

    #[test]
    fn a_hundred_thousand_background_calls_delay_an_interactive_call_by_one_permit() {
        let mut queue = CallQueue::new(BACKGROUND_EVERY);
        for _ in 0..100_000 {
            queue.push(1_u64, TrafficClass::Background, 0, "background");
        }
        for _ in 0..7 {
            queue.pop();
        }

        queue.push(2_u64, TrafficClass::Interactive, 0, "interactive");

        assert!([queue.pop(), queue.pop()].contains(&Some("interactive")));
    }

    #[test]
    fn a_background_call_proceeds_while_interactive_calls_keep_arriving() {
        let mut queue = CallQueue::new(BACKGROUND_EVERY);
        queue.push(1_u64, TrafficClass::Background, 0, "background");

        let popped = (0..BACKGROUND_EVERY).filter_map(|_| {
            queue.push(2_u64, TrafficClass::Interactive, 0, "interactive");
            queue.pop()
        });

        assert_eq!(popped.filter(|call| *call == "background").count(), 1);
    }

    #[test]
    fn many_calls_of_one_caller_do_not_delay_another_caller() {
        let mut queue = CallQueue::new(BACKGROUND_EVERY);
        for _ in 0..1000 {
            queue.push(1_u64, TrafficClass::Interactive, 0, "many");
        }
        queue.push(2_u64, TrafficClass::Interactive, 0, "single");

        assert!([queue.pop(), queue.pop()].contains(&Some("single")));
    }

    proptest! {
        #[test]
        fn every_call_that_is_not_removed_is_returned_once(
            calls in prop::collection::vec((any_call(), any::<bool>()), 0..60),
        ) {
            let mut queue = CallQueue::new(BACKGROUND_EVERY);
            let ids = calls.iter().map(|((class, caller), _)| {
                queue.push(*caller, *class, 0, (*class, *caller))
            }).collect::<Vec<_>>();
            for (id, (_, is_removed)) in ids.into_iter().zip(&calls) {
                prop_assert!(!is_removed || queue.remove(id).is_some());
                prop_assert!(!is_removed || queue.remove(id).is_none());
            }

            let mut expected =
                calls.iter().filter(|(_, is_removed)| !is_removed).map(|(call, _)| *call).collect::<Vec<_>>();
            let mut popped = pop_all(queue);

            expected.sort_unstable();
            popped.sort_unstable();
            prop_assert_eq!(popped, expected);
        }

        #[test]
        fn callers_of_one_class_take_turns(calls in prop::collection::vec(any_call(), 0..60)) {
            let popped = pop_all(queue_of(&calls));

            for (position, (class, caller)) in popped.iter().enumerate() {
                let later = &popped[position + 1..];
                let same_class = later.iter().filter(|(other, _)| other == class).map(|(_, caller)| *caller);
                let until_next_turn = same_class.take_while(|other| other != caller).collect::<Vec<_>>();
                let has_next_turn = later.contains(&(*class, *caller));
                let distinct = until_next_turn.iter().collect::<BTreeSet<_>>().len();
                prop_assert!(!has_next_turn || until_next_turn.len() == distinct);
            }
        }

        #[test]
        fn no_two_background_calls_in_a_row_precede_an_interactive_call(
            calls in prop::collection::vec(any_call(), 0..60),
        ) {
            let popped = pop_all(queue_of(&calls));

            let is_interactive = |(class, _): &TestCall| *class == TrafficClass::Interactive;
            let last_interactive = popped.iter().rposition(is_interactive).unwrap_or(0);
            prop_assert!(popped[..last_interactive].windows(2).all(|pair| pair.iter().any(is_interactive)));
        }
    }
}
