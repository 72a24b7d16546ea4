//! Deterministic random numbers by hashing: a generator is seeded with a list of numbers, such as the seed, the person
//! and a label. The same list always yields the same numbers, independent of the order of the calls.
//!
//! The labels are part of the seeds: a changed label changes the generated tenant.

use fastrand::Rng;

/// The increment of splitmix64.
const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// A hash of several numbers. The order of `parts` matters.
pub(crate) fn hash_parts(parts: &[u64]) -> u64 {
    parts.iter().fold(GOLDEN_GAMMA, |state, part| {
        splitmix64_finalizer(state.wrapping_add(GOLDEN_GAMMA) ^ splitmix64_finalizer(*part))
    })
}

/// A hash of a text.
pub(crate) const fn hash_text(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let (mut state, mut index) = (GOLDEN_GAMMA, 0);
    while index < bytes.len() {
        state = splitmix64_finalizer(state ^ bytes[index] as u64);
        index += 1;
    }
    state
}

/// A random number generator that is seeded with `parts`.
pub(crate) fn rng_for(parts: &[u64]) -> Rng {
    Rng::with_seed(hash_parts(parts))
}

/// A random element of `choices`.
///
/// # Panics
/// `choices` is empty.
pub(crate) fn choose<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.usize(..choices.len())]
}

/// The finaliser of splitmix64.
const fn splitmix64_finalizer(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_and_its_position_matters() {
        let numbers =
            [hash_parts(&[1, 2]), hash_parts(&[2, 1]), hash_parts(&[1]), hash_parts(&[1, 2, 0]), hash_parts(&[])];

        for (index, number) in numbers.iter().enumerate() {
            assert!(!numbers[..index].contains(number));
        }
    }

    #[test]
    fn the_same_parts_seed_the_same_generator() {
        let (mut one, mut other) = (rng_for(&[7, hash_text("latency")]), rng_for(&[7, hash_text("latency")]));

        assert_eq!([one.u64(..), one.u64(..)], [other.u64(..), other.u64(..)]);
    }
}
