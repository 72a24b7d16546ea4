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
    units: Arc<OwnedSemaphorePermit>,
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
        permit.map(|units| Some(BodyPermit { units: Arc::new(units) })).map_err(|_| {
            let detail = "clients have not read too many large responses yet";
            Problem::new(ProblemCode::Overloaded, detail).with_retry_after(BODY_RETRY_AFTER)
        })
    }

    /// Counts a body that has grown to `bytes` bytes. Returns whether the budget suffices.
    #[must_use]
    pub fn grow(&self, permit: &mut Option<BodyPermit>, bytes: u64) -> bool {
        let held = permit.as_ref().map_or(0, |permit| permit.units.num_permits());
        let units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX);
        let lacking = units.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
        if bytes <= SMALL_BODY_BYTES || lacking == 0 {
            return true;
        }
        let Ok(mut more) = Arc::clone(&self.units).try_acquire_many_owned(lacking) else { return false };
        // While a body grows, nobody else has its permit.
        if let Some(held) = permit.take().and_then(|permit| Arc::into_inner(permit.units)) {
            more.merge(held);
        }
        *permit = Some(BodyPermit { units: Arc::new(more) });
        true
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

    #[test]
    fn a_body_that_grows_counts_with_its_last_size() {
        let budget = BodyBudget::new(200 << 10);
        let mut permit = None;

        assert!(budget.grow(&mut permit, 60 << 10) && permit.is_none());
        assert!(budget.grow(&mut permit, 100 << 10) && budget.grow(&mut permit, 150 << 10));
        assert!(budget.take(100 << 10).is_err() && !budget.grow(&mut permit, 250 << 10));

        drop(permit);
        assert!(budget.take(200 << 10).is_ok());
    }
}
