//! Body budget: bounds the bytes of large response bodies from the time when they are written until clients have read them.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Problem, ProblemCode};

/// Size of a body in bytes up to which it does not count.
const SMALL_BODY_BYTES: u64 = 64 << 10;

/// Unit of the budget, in bytes.
const UNIT_BYTES: u64 = 1 << 10;

/// `Retry-After` of responses beyond the budget.
const BODY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The bytes that large bodies may have together. Clones share them.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    units: Arc<Semaphore>,
    max_units: u32,
}

/// The bytes of one body. They are returned when the last clone is dropped. As an extension of a response, it moves with the
/// body.
#[derive(Clone, Debug)]
pub struct BodyPermit {
    _units: Arc<OwnedSemaphorePermit>,
}

impl BodyBudget {
    /// A budget of about `bytes` bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let max_units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX);
        Self { units: Arc::new(Semaphore::new(max_units as usize)), max_units }
    }

    /// Counts a body of `bytes` bytes; `None` if it is small. A body beyond the whole budget is allowed alone.
    ///
    /// # Errors
    /// The problem to respond with, if the budget is used up.
    pub fn take(&self, bytes: u64) -> Result<Option<BodyPermit>, Problem> {
        if bytes <= SMALL_BODY_BYTES {
            return Ok(None);
        }
        let units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX).min(self.max_units);
        let permit = Arc::clone(&self.units).try_acquire_many_owned(units);
        permit.map(|units| Some(BodyPermit { _units: Arc::new(units) })).map_err(|_| {
            let detail = "clients have not read too many large responses yet";
            Problem::new(ProblemCode::Overloaded, detail).with_retry_after(BODY_RETRY_AFTER)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_count_until_they_are_dropped_and_a_larger_one_than_the_budget_is_allowed_alone() {
        let budget = BodyBudget::new(200 << 10);
        let take = |kib: u64| budget.take(kib << 10);

        let first = take(150).unwrap();
        assert!(take(100).is_err());
        assert!(take(64).unwrap().is_none());
        drop(first);

        let alone = take(1000).unwrap();
        assert!(alone.is_some() && take(65).is_err());
    }
}
