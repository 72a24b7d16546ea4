//! Delays between retries: exponential backoff with full jitter.

use std::time::Duration;

/// Exponential backoff with full jitter: the delay is drawn evenly between zero and a ceiling that doubles with each
/// attempt. Callers that failed at the same time therefore retry at different times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling of the first delay.
    pub base: Duration,
    /// The upper bound of all ceilings.
    pub cap: Duration,
}

impl Backoff {
    /// The delay after the failed attempt number `attempt`, which counts from 0. `jitter` is a random number in
    /// `0.0..=1.0`.
    #[must_use]
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let ceiling = self.base.saturating_mul(2_u32.saturating_pow(attempt.min(20)));
        ceiling.min(self.cap).mul_f64(jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_delay_never_exceeds_its_cap_and_never_overflows(attempt: u32, jitter in -1.0..2.0_f64) {
            let backoff = Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(30) };
            prop_assert!(backoff.delay(attempt, jitter) <= backoff.cap);
        }
    }

    #[test]
    fn the_ceiling_doubles_with_each_attempt() {
        let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
        assert_eq!(backoff.delay(0, 1.0), Duration::from_secs(1));
        assert_eq!(backoff.delay(3, 1.0), Duration::from_secs(8));
        assert_eq!(backoff.delay(3, 0.5), Duration::from_secs(4));
    }
}
