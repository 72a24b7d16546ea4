//! The result of a check, and its text form.

use std::fmt;

use crate::{model::Geo, source::LoadError};

/// The result of one check.
#[derive(Debug)]
pub(super) struct Finding {
    subject: String,
    result: Result<String, FailedCheck>,
    /// Whether a failed check is only a warning, which does not change the exit code.
    is_warning: bool,
}

/// A failed check and what to do about it.
#[derive(Debug)]
struct FailedCheck {
    problem: String,
    remedy: String,
}

impl Finding {
    pub(super) fn passed(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { subject: subject.into(), result: Ok(message.into()), is_warning: false }
    }

    pub(super) fn failed_with(subject: impl Into<String>, problem: String, remedy: String) -> Self {
        Self { subject: subject.into(), result: Err(FailedCheck { problem, remedy }), is_warning: false }
    }

    pub(super) fn warning(subject: impl Into<String>, problem: String, remedy: String) -> Self {
        Self { is_warning: true, ..Self::failed_with(subject, problem, remedy) }
    }

    pub(super) fn load_error(subject: impl Into<String>, error: &LoadError, geo: Option<Geo>) -> Self {
        Self::failed_with(subject, error.to_string(), error.remedy(geo).into_owned())
    }

    /// Whether the check passed, possibly with a warning.
    pub(super) const fn is_passed(&self) -> bool {
        self.result.is_ok() || self.is_warning
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(message) => write!(f, "ok       {:14} {message}", self.subject),
            Err(FailedCheck { problem, remedy }) => {
                let severity = if self.is_warning { "WARNING" } else { "PROBLEM" };
                write!(f, "{severity}  {:14} {problem}\n         {:14} {remedy}", self.subject, "→")
            }
        }
    }
}
