//! Keyed, invertible pseudo-random permutations of numbers.

use crate::seeded_rng::hash_parts;

const ROUNDS: u64 = 4;

/// A Feistel network over numbers of `2 * half_bits` bits.
///
/// It makes ids that can be decoded without a table, and a shuffled order without a shuffled list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permutation {
    key: u64,
    half_bits: u32,
}

impl Permutation {
    /// A permutation of the numbers below `2^(2 * half_bits)`; `half_bits` lies in `1..=32`.
    pub(crate) const fn new(key: u64, half_bits: u32) -> Self {
        Self { key, half_bits }
    }

    /// The smallest permutation that covers all numbers below `count`, for [`Self::apply_below`].
    pub(crate) fn covering(key: u64, count: u64) -> Self {
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        Self::new(key, bits.div_ceil(2).max(1))
    }

    pub(crate) fn apply(self, number: u64) -> u64 {
        let (left, right) = (0..ROUNDS)
            .fold(self.split(number), |(left, right), round| (right, left ^ self.round_function(round, right)));
        self.join(left, right)
    }

    pub(crate) fn invert(self, number: u64) -> u64 {
        let (left, right) = (0..ROUNDS)
            .rev()
            .fold(self.split(number), |(left, right), round| (right ^ self.round_function(round, left), left));
        self.join(left, right)
    }

    /// Applies the permutation of the numbers below `count`: a result that is not below `count` is permuted again.
    pub(crate) fn apply_below(self, count: u64, number: u64) -> u64 {
        let mut index = self.apply(number);
        while index >= count {
            index = self.apply(index);
        }
        index
    }

    fn round_function(self, round: u64, half: u64) -> u64 {
        hash_parts(&[self.key, round, half]) & self.mask()
    }

    const fn mask(self) -> u64 {
        u64::MAX >> (u64::BITS - self.half_bits)
    }

    const fn split(self, number: u64) -> (u64, u64) {
        ((number >> self.half_bits) & self.mask(), number & self.mask())
    }

    const fn join(self, left: u64, right: u64) -> u64 {
        (left << self.half_bits) | right
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn inverting_returns_the_original_number(key: u64, number: u64) {
            let (wide, narrow) = (Permutation::new(key, 32), Permutation::new(key, 16));

            prop_assert_eq!(wide.invert(wide.apply(number)), number);
            prop_assert_eq!(narrow.invert(narrow.apply(number >> 32)), number >> 32);
        }

        #[test]
        fn a_shuffled_order_visits_every_index_once(key: u64, count in 1_u64..300) {
            let order = Permutation::covering(key, count);

            let visited: HashSet<u64> = (0..count).map(|index| order.apply_below(count, index)).collect();

            prop_assert_eq!(visited.len() as u64, count);
            prop_assert!(visited.iter().all(|index| *index < count));
        }
    }
}
