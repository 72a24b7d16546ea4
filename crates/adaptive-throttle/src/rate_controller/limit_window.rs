//! The windows of a rate limit, the published levels of each, and how a limit is estimated from a count of calls.

/// Calls per second of the published limits. Source: Feishu's documentation on rate limits (levels 1, 3, 5, 10, 20, 50
/// and 100 per second).
const PUBLISHED_PER_SECOND: &[f64] = &[1.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0];
/// Calls per minute of the published limits. Source: Feishu's documentation on rate limits (levels 10, 20, 100 and 1000
/// per minute).
const PUBLISHED_PER_MINUTE: &[f64] = &[10.0, 20.0, 100.0, 1000.0];
/// Calls by which a number may differ from a published level and still be that level: half a call, because levels are
/// whole numbers.
const LEVEL_TOLERANCE_CALLS: f64 = 0.5;

// When a header's limit is plausible. It is compared with the number of accepted calls. The tolerances allow for late
// and lost replies, and exclude headers that count over another window.

/// A header's limit per minute may exceed the count by this factor and [`HEADER_ABOVE_COUNT_CALLS`].
const MINUTE_HEADER_ABOVE_COUNT_FACTOR: f64 = 1.3;
/// The same for a limit per second. The search climbs by up to this factor, and a token bucket with a small burst can
/// refuse one of the first calls at the higher rate.
const SECOND_HEADER_ABOVE_COUNT_FACTOR: f64 = 2.5;
/// Calls by which a header's limit may exceed the count in addition to the factor; matters for small limits.
const HEADER_ABOVE_COUNT_CALLS: f64 = 2.0;
/// The count may exceed a header's limit by this factor, because the counted time overlaps two windows, and by
/// [`COUNT_ABOVE_HEADER_CALLS`].
const COUNT_ABOVE_HEADER_FACTOR: f64 = 2.1;
/// Calls by which the count may exceed a header's limit in addition to the factor; matters for small limits.
const COUNT_ABOVE_HEADER_CALLS: f64 = 3.0;

// When a published level is plausible.

/// The smallest share of a level that must have been accepted. Below 1, because some accepted replies are still on
/// their way at the first refusal.
const MIN_SHARE_OF_LEVEL: f64 = 0.85;
/// The count may exceed a level per second by this factor and [`SECOND_ABOVE_LEVEL_CALLS`]. If the rate rises from the
/// limit to the next level, which is up to 2.5 times as high, the count includes up to 0.6 of the calls of the window
/// before.
const SECOND_ABOVE_LEVEL_FACTOR: f64 = 1.65;
/// Calls by which the count may exceed a level per second in addition to the factor.
const SECOND_ABOVE_LEVEL_CALLS: f64 = 3.0;
/// The count may exceed a level per minute by this factor, because 60 s overlap two windows, and by
/// [`MINUTE_ABOVE_LEVEL_CALLS`].
const MINUTE_ABOVE_LEVEL_FACTOR: f64 = 2.05;
/// Calls by which the count may exceed a level per minute in addition to the factor.
const MINUTE_ABOVE_LEVEL_CALLS: f64 = 5.0;

// The limit if neither a header nor a published level is plausible. Probes raise an estimate that is too low; one
// that is too high costs refusals.

/// The share of the counted calls that is taken as a limit per second.
const UNPUBLISHED_SECOND_SHARE: f64 = 0.95;
/// The smallest limit per second, in calls.
const MIN_SECOND_CALLS: f64 = 1.0;
/// The share of the counted calls that is taken as a limit per minute. Lower than for seconds, because the count may
/// include calls of the window before.
const UNPUBLISHED_MINUTE_SHARE: f64 = 0.8;
/// The smallest unpublished limit per minute, in calls.
const MIN_MINUTE_CALLS: f64 = 5.0;

/// The window over which a limit counts calls. Feishu publishes these two; the controller approximates any other by the
/// closer of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LimitWindow {
    Second,
    Minute,
}

impl LimitWindow {
    /// The length in seconds.
    pub(super) const fn seconds(self) -> f64 {
        match self {
            Self::Second => 1.0,
            Self::Minute => 60.0,
        }
    }

    /// The published limits in calls per window, in ascending order.
    pub(super) const fn published_levels(self) -> &'static [f64] {
        match self {
            Self::Second => PUBLISHED_PER_SECOND,
            Self::Minute => PUBLISHED_PER_MINUTE,
        }
    }

    /// Whether `calls` is a published level.
    pub(super) fn is_published(self, calls: f64) -> bool {
        self.published_levels().iter().any(|level| (level - calls).abs() < LEVEL_TOLERANCE_CALLS)
    }

    /// Estimates the limit from the number of calls `accepted` in one window's length before the first refusal, and
    /// from the limit in the refusal's header.
    ///
    /// That length overlaps two windows, so the number lies between one and two times the limit. For windows of a
    /// second it is at most 1.6 times the limit, because the search climbs from level to level.
    pub(super) fn estimate_limit(self, accepted: f64, header_limit: Option<f64>) -> f64 {
        let accepted = accepted.max(1.0);
        let above_count_factor = match self {
            Self::Second => SECOND_HEADER_ABOVE_COUNT_FACTOR,
            Self::Minute => MINUTE_HEADER_ABOVE_COUNT_FACTOR,
        };
        let is_plausible = |limit: &f64| {
            *limit <= accepted * above_count_factor + HEADER_ABOVE_COUNT_CALLS
                && accepted <= limit * COUNT_ABOVE_HEADER_FACTOR + COUNT_ABOVE_HEADER_CALLS
        };
        if let Some(limit) = header_limit.filter(is_plausible) {
            return limit;
        }
        let level = self.published_levels().iter().rev().copied().find(|level| level * MIN_SHARE_OF_LEVEL <= accepted);
        match (self, level) {
            (Self::Second, Some(level)) if accepted <= level * SECOND_ABOVE_LEVEL_FACTOR + SECOND_ABOVE_LEVEL_CALLS => {
                level
            }
            (Self::Minute, Some(level)) if accepted <= level * MINUTE_ABOVE_LEVEL_FACTOR + MINUTE_ABOVE_LEVEL_CALLS => {
                level
            }
            (Self::Second, _) => (accepted * UNPUBLISHED_SECOND_SHARE).floor().max(MIN_SECOND_CALLS),
            (Self::Minute, _) => (accepted * UNPUBLISHED_MINUTE_SHARE).max(MIN_MINUTE_CALLS),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_plausible_header_is_used(LimitWindow::Minute, 130.0, Some(90.0), 90.0)]
    #[case::an_implausible_header_is_ignored(LimitWindow::Second, 52.0, Some(1000.0), 50.0)]
    #[case::a_published_level_slightly_exceeded(LimitWindow::Second, 53.0, None, 50.0)]
    #[case::calls_of_two_minute_windows(LimitWindow::Minute, 190.0, None, 100.0)]
    #[case::a_published_level_and_calls_of_the_window_before(LimitWindow::Second, 32.0, None, 20.0)]
    #[case::an_unpublished_limit_per_second(LimitWindow::Second, 40.0, None, 38.0)]
    #[case::a_header_above_a_low_count(LimitWindow::Second, 20.0, Some(50.0), 50.0)]
    #[case::an_unpublished_limit_per_minute(LimitWindow::Minute, 400.0, None, 320.0)]
    #[case::no_accepted_calls(LimitWindow::Second, 0.0, None, 1.0)]
    fn a_limit_is_estimated_from_the_accepted_calls(
        #[case] window: LimitWindow,
        #[case] accepted: f64,
        #[case] header_limit: Option<f64>,
        #[case] limit: f64,
    ) {
        let estimate = window.estimate_limit(accepted, header_limit);
        assert!((estimate - limit).abs() < 1.0, "{estimate}");
    }
}
