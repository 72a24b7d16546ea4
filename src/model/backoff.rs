//! How long to wait before asking again: exponential, capped, with full jitter.

use std::time::Duration;

/// Exponential backoff with full jitter: the wait is drawn evenly from zero to a ceiling that doubles
/// with each attempt, so that many callers that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling of the first wait.
    pub base: Duration,
    /// The ceiling that no wait exceeds.
    pub cap: Duration,
}

impl Backoff {
    /// The wait before attempt `attempt + 1`, where `attempt` counts from 0 and `chance` lies in `0.0..=1.0`.
    #[must_use]
    pub fn wait(&self, attempt: u32, chance: f64) -> Duration {
        let doubled = self.base.saturating_mul(2_u32.saturating_pow(attempt.min(20)));
        doubled.min(self.cap).mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_never_exceeds_its_cap_and_never_overflows(attempt: u32, chance in -1.0..2.0_f64) {
            let backoff = Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(30) };
            prop_assert!(backoff.wait(attempt, chance) <= backoff.cap);
        }
    }

    #[test]
    fn the_ceiling_doubles() {
        let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
        assert_eq!(backoff.wait(0, 1.0), Duration::from_secs(1));
        assert_eq!(backoff.wait(3, 1.0), Duration::from_secs(8));
        assert_eq!(backoff.wait(3, 0.5), Duration::from_secs(4));
    }
}
