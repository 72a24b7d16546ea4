//! Random numbers with distributions that occur in companies.

use std::f64::consts::TAU;

use fastrand::Rng;

/// Multipliers of a three-dimensional low-discrepancy sequence: the powers of the inverse of the root of
/// x⁴ = x + 1 (M. Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences", 2018).
const SEQUENCE_MULTIPLIERS: [f64; 3] = [0.819_172_513_396_164_4, 0.671_043_606_703_789_2, 0.549_700_477_901_970_3];

/// A number from 0 to 1 for a person. For each `dimension`, the numbers of any tenant are evenly distributed.
pub(super) fn evenly_distributed(person: u32, dimension: usize, offset: f64) -> f64 {
    f64::from(person).mul_add(SEQUENCE_MULTIPLIERS[dimension], offset).fract()
}

/// A number with the standard normal distribution.
pub(super) fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (TAU * rng.f64()).cos()
}

/// A positive number with a log-normal distribution: half of the numbers exceed 1. A large `sigma` makes a heavy tail.
pub(super) fn log_normal(rng: &mut Rng, sigma: f64) -> f64 {
    (sigma * normal(rng)).exp()
}

/// A number of days with an exponential distribution.
pub(super) fn exponential_days(rng: &mut Rng, mean: f64) -> i32 {
    whole(-mean * (1.0 - rng.f64()).ln())
}

/// A whole number whose mean is `mean`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number that is not negative")]
pub(super) fn count(rng: &mut Rng, mean: f64) -> u32 {
    (mean + rng.f64()) as u32
}

/// The whole part of a small number.
#[expect(clippy::cast_possible_truncation, reason = "a small number")]
pub(super) fn whole(number: f64) -> i32 {
    number as i32
}

/// The probability whose odds are those of `probability` times e^`shift`.
pub(super) fn shift_odds(probability: f64, shift: f64) -> f64 {
    if probability <= 0.0 || probability >= 1.0 {
        return probability;
    }
    logistic((probability / (1.0 - probability)).ln() + shift)
}

/// The logistic function.
pub(super) fn logistic(number: f64) -> f64 {
    1.0 / (1.0 + (-number).exp())
}

/// The first index whose cumulated weight exceeds `random` (from 0 to 1). The weights sum up to 1.
pub(super) fn weighted_index(random: f64, weights: impl IntoIterator<Item = f64>) -> usize {
    let mut rest = random;
    let mut last = 0;
    for (index, weight) in weights.into_iter().enumerate() {
        if rest < weight {
            return index;
        }
        rest -= weight;
        last = index;
    }
    last
}
