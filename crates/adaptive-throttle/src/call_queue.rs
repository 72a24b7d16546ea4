//! Who goes next: interactive calls before background ones, and within a priority every caller in turn.

use std::collections::{BTreeMap, VecDeque};

use crate::source::{CallerId, LoadContext, Priority};

/// Those who wait for a slot.
///
/// While interactive calls wait, only every `background_every`th slot goes to a background call: often enough that
/// a backfill ends, rarely enough that nobody notices it.
#[derive(Debug)]
pub(super) struct Queue<T> {
    interactive: Lane<T>,
    background: Lane<T>,
    background_every: u32,
    /// Slots that went to interactive calls while background ones waited.
    passed_over: u32,
    tickets: u64,
}

/// A place in the queue, by which to leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    context: LoadContext,
    number: u64,
}

/// The calls of one priority; each caller's own stand in the order in which they came.
#[derive(Debug)]
struct Lane<T> {
    waiting: BTreeMap<CallerId, BTreeMap<u64, T>>,
    /// Exactly the callers in `waiting`, the next one first.
    turns: VecDeque<CallerId>,
    len: usize,
}

impl<T> Queue<T> {
    /// An empty queue that gives one slot in `background_every` to background calls while both kinds wait.
    pub(super) fn new(background_every: u32) -> Self {
        Self {
            interactive: Lane::default(),
            background: Lane::default(),
            background_every: background_every.max(2),
            passed_over: 0,
            tickets: 0,
        }
    }

    /// Queues a call.
    pub(super) fn push(&mut self, context: LoadContext, item: T) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket { context, number: self.tickets };
        self.lane(context.priority).push(ticket, item);
        ticket
    }

    /// Takes a call out of turn, because nobody waits for it any more; `None` where it had its turn.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<T> {
        self.lane(ticket.context.priority).leave(ticket)
    }

    /// Whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let contested = self.interactive.len > 0 && self.background.len > 0;
        let overdue = contested && self.passed_over + 1 >= self.background_every;
        if overdue || self.interactive.len == 0 {
            self.passed_over = 0;
            return self.background.pop();
        }
        self.passed_over += u32::from(contested);
        self.interactive.pop()
    }

    /// How many calls of `priority` wait.
    pub(super) fn len(&self, priority: Priority) -> usize {
        match priority {
            Priority::Interactive => self.interactive.len,
            Priority::Background => self.background.len,
        }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.interactive.len == 0 && self.background.len == 0
    }

    fn lane(&mut self, priority: Priority) -> &mut Lane<T> {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Background => &mut self.background,
        }
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), turns: VecDeque::new(), len: 0 }
    }
}

impl<T> Lane<T> {
    fn push(&mut self, ticket: Ticket, item: T) {
        let own = self.waiting.entry(ticket.context.caller).or_default();
        if own.is_empty() {
            self.turns.push_back(ticket.context.caller);
        }
        own.insert(ticket.number, item);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<T> {
        let caller = self.turns.pop_front()?;
        let own = self.waiting.get_mut(&caller)?;
        let (_, item) = own.pop_first()?;
        if own.is_empty() {
            self.waiting.remove(&caller);
        } else {
            self.turns.push_back(caller);
        }
        self.len -= 1;
        Some(item)
    }

    fn leave(&mut self, ticket: Ticket) -> Option<T> {
        let caller = ticket.context.caller;
        let own = self.waiting.get_mut(&caller)?;
        let item = own.remove(&ticket.number)?;
        if own.is_empty() {
            self.waiting.remove(&caller);
            self.turns.retain(|other| *other != caller);
        }
        self.len -= 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVERY: u32 = 4;

    fn call(priority: Priority, caller: u64) -> LoadContext {
        LoadContext { priority, caller: CallerId(caller) }
    }

    fn drained(mut queue: Queue<(Priority, u64)>) -> Vec<(Priority, u64)> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    fn any_call() -> impl Strategy<Value = (Priority, u64)> {
        (prop_oneof![Just(Priority::Interactive), Just(Priority::Background)], 0_u64..5)
    }

    #[test]
    fn a_hundred_thousand_background_calls_delay_an_interactive_one_by_one_slot() {
        let mut queue = Queue::new(EVERY);
        for _ in 0..100_000 {
            queue.push(call(Priority::Background, 1), "background");
        }
        for _ in 0..7 {
            queue.pop();
        }

        queue.push(call(Priority::Interactive, 2), "interactive");

        assert!([queue.pop(), queue.pop()].contains(&Some("interactive")));
    }

    #[test]
    fn a_background_call_gets_its_turn_while_interactive_ones_never_end() {
        let mut queue = Queue::new(EVERY);
        queue.push(call(Priority::Background, 1), "background");

        let turns = (0..EVERY).filter_map(|_| {
            queue.push(call(Priority::Interactive, 2), "interactive");
            queue.pop()
        });

        assert_eq!(turns.filter(|who| *who == "background").count(), 1);
    }

    #[test]
    fn a_huge_range_does_not_lock_out_a_small_one() {
        let mut queue = Queue::new(EVERY);
        for _ in 0..1000 {
            queue.push(call(Priority::Interactive, 1), "huge");
        }
        queue.push(call(Priority::Interactive, 2), "small");

        assert!([queue.pop(), queue.pop()].contains(&Some("small")));
    }

    proptest! {
        #[test]
        fn everybody_who_stays_goes_once(calls in prop::collection::vec((any_call(), any::<bool>()), 0..60)) {
            let mut queue = Queue::new(EVERY);
            let tickets = calls.iter().map(|((priority, caller), _)| {
                queue.push(call(*priority, *caller), (*priority, *caller))
            }).collect::<Vec<_>>();
            for (ticket, (_, leaves)) in tickets.into_iter().zip(&calls) {
                prop_assert!(!leaves || queue.leave(ticket).is_some());
                prop_assert!(!leaves || queue.leave(ticket).is_none());
            }

            let mut stayed = calls.iter().filter(|(_, leaves)| !leaves).map(|(call, _)| *call).collect::<Vec<_>>();
            let mut went = drained(queue);

            stayed.sort_unstable();
            went.sort_unstable();
            prop_assert_eq!(went, stayed);
        }

        #[test]
        fn callers_of_one_priority_take_turns(calls in prop::collection::vec(any_call(), 0..60)) {
            let mut queue = Queue::new(EVERY);
            for (priority, caller) in &calls {
                queue.push(call(*priority, *caller), (*priority, *caller));
            }

            let went = drained(queue);

            for (position, (priority, caller)) in went.iter().enumerate() {
                let lane = went[position + 1..].iter().filter(|(other, _)| other == priority);
                let until_next = lane.take_while(|(_, other)| other != caller).map(|(_, other)| *other);
                let others = until_next.collect::<Vec<_>>();
                let waiting = went[position + 1..].iter().any(|next| next == &(*priority, *caller));
                let distinct = others.iter().collect::<std::collections::BTreeSet<_>>().len();
                prop_assert!(!waiting || others.len() == distinct);
            }
        }

        #[test]
        fn interactive_calls_wait_for_one_background_call_at_most(calls in prop::collection::vec(any_call(), 0..60)) {
            let mut queue = Queue::new(EVERY);
            for (priority, caller) in &calls {
                queue.push(call(*priority, *caller), (*priority, *caller));
            }

            let went = drained(queue);

            let last = went.iter().rposition(|(priority, _)| *priority == Priority::Interactive).unwrap_or(0);
            prop_assert!(!went[..last].windows(2).any(|pair| pair.iter().all(|(p, _)| *p == Priority::Background)));
        }
    }
}
