//! What limits there may be: the levels that Feishu publishes, and how a number counted is read as one of them.

/// The window of a limit. Feishu publishes these two; others are met as a rate in whichever comes closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    Second,
    Minute,
}

impl Window {
    /// Its length in seconds.
    pub(super) const fn seconds(self) -> f64 {
        match self {
            Self::Second => 1.0,
            Self::Minute => 60.0,
        }
    }

    /// The published numbers of calls per window.
    pub(super) const fn levels(self) -> &'static [f64] {
        match self {
            Self::Second => &[1.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0],
            Self::Minute => &[10.0, 20.0, 100.0, 1000.0],
        }
    }

    /// Whether `calls` is a published level.
    pub(super) fn publishes(self, calls: f64) -> bool {
        self.levels().iter().any(|level| (level - calls).abs() < 0.5)
    }

    /// Reads the limit out of the `counted` calls that one length of the window took before it closed, and out of
    /// what the refusal's header named.
    ///
    /// A length of the window may lie across two windows, so it counts between one and two limits' worth; with
    /// second windows, which are approached slowly, only a few calls more than one.
    pub(super) fn fit(self, counted: f64, hint: Option<f64>) -> f64 {
        let counted = counted.max(1.0);
        if let Some(hint) = hint.filter(|hint| *hint <= counted * 1.3 + 2.0 && counted <= hint * 2.1 + 3.0) {
            return hint;
        }
        let level = self.levels().iter().rev().copied().find(|level| level * 0.85 <= counted);
        match (self, level) {
            (Self::Second, Some(level)) if counted <= level * 1.3 + 3.0 => level,
            (Self::Minute, Some(level)) if counted <= level * 2.05 + 5.0 => level,
            (Self::Second, _) => (counted * 0.95).floor().max(1.0),
            (Self::Minute, _) => (counted * 0.8).max(5.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_plausible_header_is_believed(Window::Minute, 130.0, Some(90.0), 90.0)]
    #[case::an_implausible_header_is_not(Window::Second, 52.0, Some(1000.0), 50.0)]
    #[case::a_published_level_a_little_exceeded(Window::Second, 53.0, None, 50.0)]
    #[case::two_minutes_in_one(Window::Minute, 190.0, None, 100.0)]
    #[case::an_unpublished_level(Window::Second, 32.0, None, 30.0)]
    #[case::an_unpublished_minute(Window::Minute, 400.0, None, 320.0)]
    #[case::nothing_counted(Window::Second, 0.0, None, 1.0)]
    fn a_limit_is_read_from_what_was_counted(
        #[case] window: Window,
        #[case] counted: f64,
        #[case] hint: Option<f64>,
        #[case] limit: f64,
    ) {
        assert!((window.fit(counted, hint) - limit).abs() < 1.0, "{}", window.fit(counted, hint));
    }
}
