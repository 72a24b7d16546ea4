//! A mutex that ignores poisoning.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex that stays usable after a thread panicked while it held the lock.
///
/// A test that panics then fails with its own message and not with a poisoned lock in a later call. The lock is held
/// only for short operations and never across an await.
#[derive(Debug, Default)]
pub(crate) struct NonPoisoningMutex<T>(Mutex<T>);

impl<T> NonPoisoningMutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
