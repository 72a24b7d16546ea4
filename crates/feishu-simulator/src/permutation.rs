//! Keyed permutations of numbers: they look random, repeat nothing, and can be undone.

use super::chance::mix;

const ROUNDS: u64 = 4;

/// A Feistel network over numbers of twice `half_bits` bits.
///
/// Ids made with it need no table to be read back, and a shuffled order needs no shuffled list.
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

    /// The smallest permutation that covers all numbers below `count`, for [`Self::within`].
    pub(crate) fn covering(key: u64, count: u64) -> Self {
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        Self::new(key, bits.div_ceil(2).max(1))
    }

    pub(crate) fn apply(self, number: u64) -> u64 {
        let (left, right) =
            (0..ROUNDS).fold(self.split(number), |(left, right), round| (right, left ^ self.round(round, right)));
        self.join(left, right)
    }

    pub(crate) fn undo(self, number: u64) -> u64 {
        let (left, right) =
            (0..ROUNDS).rev().fold(self.split(number), |(left, right), round| (right ^ self.round(round, left), left));
        self.join(left, right)
    }

    /// Permutes the numbers below `count` among themselves: what falls outside is permuted again until it falls inside.
    pub(crate) fn within(self, count: u64, number: u64) -> u64 {
        let mut place = self.apply(number);
        while place >= count {
            place = self.apply(place);
        }
        place
    }

    fn round(self, round: u64, half: u64) -> u64 {
        mix(&[self.key, round, half]) & self.mask()
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
        fn what_was_permuted_can_be_undone(key: u64, number: u64) {
            let (wide, narrow) = (Permutation::new(key, 32), Permutation::new(key, 16));

            prop_assert_eq!(wide.undo(wide.apply(number)), number);
            prop_assert_eq!(narrow.undo(narrow.apply(number >> 32)), number >> 32);
        }

        #[test]
        fn a_shuffled_order_visits_every_place_once(key: u64, count in 1_u64..300) {
            let order = Permutation::covering(key, count);

            let visited: HashSet<u64> = (0..count).map(|place| order.within(count, place)).collect();

            prop_assert_eq!(visited.len() as u64, count);
            prop_assert!(visited.iter().all(|place| *place < count));
        }
    }
}
