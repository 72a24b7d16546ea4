//! What a reply's headers say of the limit. Upstream documents neither their presence nor their form.

use std::time::Duration;

/// The shortest and the longest wait that upstream can impose on everybody.
const RESET: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(120));

/// The rate-limit headers of one reply, as far as they make sense. The default is a reply without any.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hints {
    /// The number of calls that `x-ogw-ratelimit-limit` names, 1 or more. Over which window is anybody's guess.
    pub limit: Option<f64>,
    /// How long to wait according to `x-ogw-ratelimit-reset`, at most 120 seconds.
    pub reset: Option<Duration>,
}

impl Hints {
    /// Reads the texts of `x-ogw-ratelimit-limit` (the first number in it counts) and `x-ogw-ratelimit-reset`
    /// (seconds, whole or decimal). What makes no sense is taken as absent, what is absurdly long as 120 seconds.
    #[must_use]
    pub fn parse(limit: Option<&str>, reset: Option<&str>) -> Self {
        Self { limit: limit.and_then(first_number), reset: reset.and_then(seconds) }
    }
}

fn first_number(text: &str) -> Option<f64> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?;
    digits.parse().ok().filter(|number| (1.0..1e9).contains(number))
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok().filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(RESET.1).clamp(RESET.0, RESET.1))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::whole("30", Some(30_000))]
    #[case::decimal(" 0.25 ", Some(250))]
    #[case::absurd("1e300", Some(120_000))]
    #[case::infinite("inf", Some(120_000))]
    #[case::negative("-3", None)]
    #[case::not_a_number("NaN", None)]
    #[case::words("soon", None)]
    fn a_reset_is_a_number_of_seconds_or_nothing(#[case] text: &str, #[case] millis: Option<u64>) {
        assert_eq!(Hints::parse(None, Some(text)).reset, millis.map(Duration::from_millis));
    }

    #[rstest]
    #[case::plain("50", Some(50.0))]
    #[case::with_a_window("1000;w=60", Some(1000.0))]
    #[case::in_words("limit: 100 per minute", Some(100.0))]
    #[case::nothing("0", None)]
    #[case::no_number("special", None)]
    fn a_limit_is_the_first_number_in_the_text(#[case] text: &str, #[case] limit: Option<f64>) {
        assert_eq!(Hints::parse(Some(text), None).limit, limit);
    }
}
