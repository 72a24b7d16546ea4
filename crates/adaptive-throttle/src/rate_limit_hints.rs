//! The rate-limit headers of a reply. Servers differ in whether and how they send them, so any text is accepted.

use std::time::Duration;

/// The longest wait that a header can impose. Longer values are reduced to it, so that a wrong header stops calls for
/// two minutes at most; the longest published window is one minute.
const MAX_RESET: Duration = Duration::from_secs(120);
/// The values of a limit header that are accepted, in calls. Others are ignored.
const LIMIT_RANGE: std::ops::Range<f64> = 1.0..1e9;

/// The rate-limit headers of one reply as far as they are valid. The default is a reply without such headers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RateLimitHints {
    /// The limit in calls, 1 or more. Headers do not say over which window.
    pub limit: Option<f64>,
    /// The time to wait until calls are accepted again, at most 120 s.
    pub reset: Option<Duration>,
}

impl RateLimitHints {
    /// Parses the value of a limit header, of which the first number counts, and of a reset header, which is a whole or
    /// decimal number of seconds. Invalid values are ignored; a reset above 120 s is reduced to 120 s.
    #[must_use]
    pub fn parse(limit: Option<&str>, reset: Option<&str>) -> Self {
        Self { limit: limit.and_then(parse_limit), reset: reset.and_then(parse_reset) }
    }
}

fn parse_limit(text: &str) -> Option<f64> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?;
    digits.parse().ok().filter(|limit| LIMIT_RANGE.contains(limit))
}

fn parse_reset(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok().filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(MAX_RESET).min(MAX_RESET))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::whole("30", Some(30_000))]
    #[case::decimal(" 0.25 ", Some(250))]
    #[case::too_long("1e300", Some(120_000))]
    #[case::infinite("inf", Some(120_000))]
    #[case::negative("-3", None)]
    #[case::not_a_number("NaN", None)]
    #[case::words("soon", None)]
    fn a_reset_is_a_number_of_seconds_or_absent(#[case] text: &str, #[case] millis: Option<u64>) {
        assert_eq!(RateLimitHints::parse(None, Some(text)).reset, millis.map(Duration::from_millis));
    }

    #[rstest]
    #[case::plain("50", Some(50.0))]
    #[case::with_a_window("1000;w=60", Some(1000.0))]
    #[case::in_words("limit: 100 per minute", Some(100.0))]
    #[case::zero("0", None)]
    #[case::no_number("special", None)]
    fn a_limit_is_the_first_number_in_the_text(#[case] text: &str, #[case] limit: Option<f64>) {
        assert_eq!(RateLimitHints::parse(Some(text), None).limit, limit);
    }
}
