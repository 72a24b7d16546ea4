//! Export limits: how many exports of rows may be in progress, in total and for one caller. An export keeps its days, its
//! encoder and up to two chunks in memory until its client has read it.

use std::{collections::HashMap, num::NonZero, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::problem::{Problem, ProblemCode};
use crate::{access::Caller, source::CallerId};

/// A caller may have this part of all exports.
const CALLER_SHARE_DIVISOR: usize = 4;

/// `Retry-After` of exports beyond a limit.
const EXPORT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Counts the exports in progress. Clones share the counts.
#[derive(Clone, Debug)]
pub struct ExportLimits {
    max_exports: usize,
    exports: Arc<Mutex<ExportCounts>>,
}

#[derive(Debug, Default)]
struct ExportCounts {
    total: usize,
    /// Without callers that have none.
    by_caller: HashMap<CallerId, usize>,
}

/// An export in progress. It ends when this is dropped.
#[derive(Debug)]
pub struct ExportPermit {
    exports: Arc<Mutex<ExportCounts>>,
    caller: Option<CallerId>,
}

impl ExportLimits {
    /// At most `max_exports` exports at a time.
    #[must_use]
    pub fn new(max_exports: NonZero<usize>) -> Self {
        Self { max_exports: max_exports.get(), exports: Arc::default() }
    }

    /// Begins an export for a caller. Callers without access control share only the total.
    ///
    /// # Errors
    /// The problem to respond with: 429 if the caller has too many exports, 503 if there are too many in total.
    pub fn begin(&self, caller: &Caller) -> Result<ExportPermit, Problem> {
        let refuse = |code, detail: &str| Err(Problem::new(code, detail).with_retry_after(EXPORT_RETRY_AFTER));
        let mut exports = self.exports.lock();
        if let Some(caller) = caller.id() {
            let own = exports.by_caller.get(&caller).copied().unwrap_or_default();
            if own >= self.max_exports.div_ceil(CALLER_SHARE_DIVISOR) {
                return refuse(ProblemCode::TooManyRequests, "this caller has too many exports in progress");
            }
        }
        if exports.total >= self.max_exports {
            return refuse(ProblemCode::Overloaded, "the maximum number of concurrent exports is reached");
        }
        exports.total += 1;
        if let Some(caller) = caller.id() {
            *exports.by_caller.entry(caller).or_default() += 1;
        }
        drop(exports);
        Ok(ExportPermit { exports: Arc::clone(&self.exports), caller: caller.id() })
    }
}

impl Drop for ExportPermit {
    fn drop(&mut self) {
        let mut exports = self.exports.lock();
        exports.total -= 1;
        let Some(caller) = self.caller else { return };
        if let Some(own) = exports.by_caller.get_mut(&caller) {
            *own -= 1;
            if *own == 0 {
                exports.by_caller.remove(&caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{access::Scopes, table::AccessView};

    fn caller(name: &str) -> Caller {
        Caller::named(name, Scopes::all(), AccessView::default())
    }

    #[test]
    fn one_caller_has_a_quarter_of_the_exports_and_all_callers_together_have_the_total() {
        let limits = ExportLimits::new(const { NonZero::new(8).unwrap() });
        let begin = |name: &str| limits.begin(&caller(name));

        let mut permits: Vec<_> = ["a", "a", "b", "b", "c", "c", "d"].map(|name| begin(name).unwrap()).into();
        assert!(begin("a").is_err());
        permits.push(limits.begin(&Caller::anonymous()).unwrap());
        assert!(begin("e").is_err() && limits.begin(&Caller::anonymous()).is_err());

        drop(permits);
        assert!(begin("a").is_ok());
        assert!(limits.exports.lock().by_caller.is_empty());
    }
}
