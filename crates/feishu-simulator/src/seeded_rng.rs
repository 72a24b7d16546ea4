//! Chance by hashing: the same seed and names always draw the same numbers, in whatever order they are asked for.

use fastrand::Rng;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// One number out of many: changing any of `parts` changes it beyond recognition.
pub(crate) fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(GOLDEN, |state, part| scramble(state.wrapping_add(GOLDEN) ^ scramble(*part)))
}

/// A number for a text.
pub(crate) const fn mix_text(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let (mut state, mut place) = (GOLDEN, 0);
    while place < bytes.len() {
        state = scramble(state ^ bytes[place] as u64);
        place += 1;
    }
    state
}

/// A stream of chance that belongs to `parts`.
pub(crate) fn draw(parts: &[u64]) -> Rng {
    Rng::with_seed(mix(parts))
}

/// One of `choices`, of which there is at least one.
pub(crate) fn pick<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.usize(..choices.len())]
}

/// The finaliser of splitmix64.
const fn scramble(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_and_its_place_matters() {
        let numbers = [mix(&[1, 2]), mix(&[2, 1]), mix(&[1]), mix(&[1, 2, 0]), mix(&[])];

        for (place, number) in numbers.iter().enumerate() {
            assert!(!numbers[..place].contains(number));
        }
    }

    #[test]
    fn the_same_names_draw_the_same_stream() {
        let (mut one, mut other) = (draw(&[7, mix_text("latency")]), draw(&[7, mix_text("latency")]));

        assert_eq!([one.u64(..), one.u64(..)], [other.u64(..), other.u64(..)]);
    }
}
