//! [`RemainingWork`]: the calls that days still need, and the calls of others that are sent before.

use std::collections::{BTreeMap, BTreeSet};

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
    /// Calls of the days that can only be made one after the other.
    pub in_sequence: usize,
}

impl RemainingWork {
    /// The work that is left in `chains`, of which at most `max_chains` are in flight. Each requests `parallel_pages` pages at
    /// the same time.
    #[must_use]
    pub fn of(chains: &[RemainingChain], max_chains: usize, parallel_pages: usize) -> Self {
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
        let longest = own.iter().map(|chain| chain.calls).max().unwrap_or_default();
        let in_sequence = longest.max(own_calls.div_ceil(max_chains)).div_ceil(parallel_pages.max(1));
        Self {
            own: own_calls,
            others: before + in_turn + background,
            all: chains.iter().map(|chain| chain.calls).sum(),
            in_sequence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(calls: usize, is_own: bool, caller: u64, priority: Priority, rank: u64) -> RemainingChain {
        RemainingChain { calls, is_own, context: Some(LoadContext { priority, caller: CallerId(caller) }), rank }
    }

    #[test]
    fn other_callers_take_turns_and_newer_days_of_the_same_caller_come_first() {
        use Priority::{Background, Interactive};
        let own = chain(90, true, 1, Interactive, 5);
        let others = |chains: &[RemainingChain]| RemainingWork::of(&[&[own], chains].concat(), 24, 1).others;
        assert_eq!(others(&[chain(500, false, 2, Interactive, 0), chain(20, false, 3, Interactive, 0)]), 110);
        assert_eq!(others(&[chain(30, false, 1, Interactive, 4), chain(40, false, 1, Interactive, 6)]), 30);
        assert_eq!(others(&[chain(500, false, 1, Background, 0)]), 10);

        let background =
            RemainingChain { context: Some(LoadContext { priority: Background, caller: CallerId(1) }), ..own };
        let work = RemainingWork::of(&[background, chain(500, false, 2, Interactive, 0)], 24, 1);
        assert_eq!(work, RemainingWork { own: 90, others: 500, all: 590, in_sequence: 90 });
    }

    #[test]
    fn pages_of_a_chain_are_in_sequence_unless_they_are_requested_ahead() {
        let chains: Vec<_> = (0..48).map(|rank| chain(100, true, 1, Priority::Interactive, rank)).collect();
        assert_eq!(RemainingWork::of(&chains, 24, 1).in_sequence, 200);
        assert_eq!(RemainingWork::of(&chains, 24, 16).in_sequence, 13);
        assert_eq!(RemainingWork::of(&chains[..2], 24, 1).in_sequence, 100);
        assert_eq!(RemainingWork::of(&[], 24, 1), RemainingWork::default());
    }
}
