//! [`RemainingWork`]: the calls that days still need, and the calls of others that are sent before.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use crate::source::{CallerId, LoadContext, Priority};

/// Interactive calls that are sent for each background call while both wait: nine of ten permits.
const INTERACTIVE_PER_BACKGROUND: usize = 9;

/// A chain that is in flight or will be started.
#[derive(Clone, Copy, Debug)]
pub struct RemainingChain {
    /// Number of calls that it still needs, at least 1.
    pub calls: usize,
    /// Whether it fetches one of the days in question.
    pub is_own: bool,
    /// Caller and priority; `None` if its days are not requested yet.
    pub context: Option<LoadContext>,
    /// Its order among the chains of its caller.
    pub rank: u64,
}

/// What is left to do for some days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemainingWork {
    /// Calls of the chains that fetch the days.
    pub own: usize,
    /// Calls of other chains that the throttle sends before the last of these.
    pub others: usize,
    /// Calls of all chains.
    pub all: usize,
    /// Calls of the longest chain that can only be made one after the other.
    pub longest: usize,
    /// The same for all chains of the days, if others do not use the rest of the rate: at the end, too few chains are left to
    /// use all of it.
    pub in_sequence: usize,
}

/// How many calls are made at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Parallelism {
    /// Maximum number of chains in flight.
    pub max_chains: usize,
    /// Number of pages of a chain that are requested at the same time.
    pub pages: usize,
    /// Number of calls in flight that use the whole rate: rate × latency.
    pub calls: f64,
}

impl RemainingWork {
    /// The work that is left in `chains`.
    #[must_use]
    pub fn of(chains: &[RemainingChain], parallelism: Parallelism) -> Self {
        let (own, others): (Vec<&RemainingChain>, Vec<_>) = chains.iter().partition(|chain| chain.is_own);
        let own_calls: usize = own.iter().map(|chain| chain.calls).sum();
        let priority = own.iter().filter_map(|chain| Some(chain.context?.priority)).max();
        let priority = priority.unwrap_or(Priority::Interactive);
        let callers: BTreeSet<CallerId> = own.iter().filter_map(|chain| Some(chain.context?.caller)).collect();
        let last_rank = own.iter().map(|chain| chain.rank).max().unwrap_or_default();
        let (mut before, mut by_caller, mut background) = (0_usize, BTreeMap::<CallerId, usize>::new(), 0_usize);
        for chain in others {
            let Some(context) = chain.context else { continue };
            let is_before = chain.rank < last_rank;
            match context.priority.cmp(&priority) {
                std::cmp::Ordering::Less => before += chain.calls,
                std::cmp::Ordering::Greater => background += chain.calls,
                std::cmp::Ordering::Equal if callers.contains(&context.caller) => {
                    before += if is_before { chain.calls } else { 0 };
                }
                std::cmp::Ordering::Equal => *by_caller.entry(context.caller).or_default() += chain.calls,
            }
        }
        // Callers take turns, so each other caller delays these calls by at most their number.
        let in_turn: usize = by_caller.values().map(|calls| (*calls).min(own_calls)).sum();
        let background = background.min((own_calls + in_turn) / INTERACTIVE_PER_BACKGROUND);
        let others = before + in_turn + background;
        let longest = own.iter().map(|chain| parallelism.calls_in_sequence(chain)).max().unwrap_or_default();
        let in_sequence = if others == 0 { parallelism.in_sequence(own) } else { longest };
        let all = chains.iter().map(|chain| chain.calls).sum();
        Self { own: own_calls, others, all, longest, in_sequence }
    }
}

impl Parallelism {
    fn calls_in_sequence(self, chain: &RemainingChain) -> usize {
        chain.calls.div_ceil(self.pages.max(1))
    }

    /// Calls in sequence if as many chains as use the whole rate are fetched at the same time, in the order of their ranks.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
    fn in_sequence(self, mut chains: Vec<&RemainingChain>) -> usize {
        chains.sort_by_key(|chain| chain.rank);
        let at_once = (self.calls / self.pages.max(1) as f64).round() as usize;
        let mut ends: BinaryHeap<Reverse<usize>> =
            std::iter::repeat_n(Reverse(0), at_once.clamp(1, self.max_chains.max(1))).collect();
        for chain in chains {
            let Reverse(start) = ends.pop().unwrap_or_default();
            ends.push(Reverse(start + self.calls_in_sequence(chain)));
        }
        ends.into_iter().map(|Reverse(end)| end).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_PAGE: Parallelism = Parallelism { max_chains: 24, pages: 1, calls: 10.0 };

    fn chain(calls: usize, is_own: bool, caller: u64, priority: Priority, rank: u64) -> RemainingChain {
        RemainingChain { calls, is_own, context: Some(LoadContext { priority, caller: CallerId(caller) }), rank }
    }

    #[test]
    fn other_callers_take_turns_and_newer_days_of_the_same_caller_come_first() {
        use Priority::{Background, Interactive};
        let own = chain(90, true, 1, Interactive, 5);
        let others = |chains: &[RemainingChain]| RemainingWork::of(&[&[own], chains].concat(), ONE_PAGE).others;
        assert_eq!(others(&[chain(500, false, 2, Interactive, 0), chain(20, false, 3, Interactive, 0)]), 110);
        assert_eq!(others(&[chain(30, false, 1, Interactive, 4), chain(40, false, 1, Interactive, 6)]), 30);
        assert_eq!(others(&[chain(500, false, 1, Background, 0)]), 10);

        let background =
            RemainingChain { context: Some(LoadContext { priority: Background, caller: CallerId(1) }), ..own };
        let work = RemainingWork::of(&[background, chain(500, false, 2, Interactive, 0)], ONE_PAGE);
        assert_eq!(work, RemainingWork { own: 90, others: 500, all: 590, longest: 90, in_sequence: 90 });
    }

    #[test]
    fn pages_of_a_chain_are_in_sequence_unless_they_are_requested_ahead() {
        let chains: Vec<_> = (0..48).map(|rank| chain(100, true, 1, Priority::Interactive, rank)).collect();
        let in_sequence = |chains: &[RemainingChain], pages, calls| {
            let work = RemainingWork::of(chains, Parallelism { pages, calls, ..ONE_PAGE });
            (work.longest, work.in_sequence)
        };
        assert_eq!(in_sequence(&chains, 1, 100.0), (100, 200));
        assert_eq!(in_sequence(&chains, 1, 10.2), (100, 500));
        assert_eq!(in_sequence(&chains, 16, 64.0), (7, 84));
        assert_eq!(in_sequence(&chains[..2], 1, 10.0), (100, 100));
        assert_eq!(in_sequence(&[], 1, 0.1), (0, 0));
    }
}
