//! Kept loads: loads of whole days that go on although no request waits for them any more. The rows of everyone are
//! archived and answer later requests of all callers; the rows of one person or department are needed only by a request
//! that waits for them.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::{
    model::DayKey,
    source::{CallerId, LoadError},
};

/// Maximum number of days that are kept for one caller at a time: a year.
pub(super) const MAX_KEPT_DAYS: usize = 366;

/// The days whose loads are kept. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptLoads {
    /// Requests without a named caller share one entry.
    days: Arc<Mutex<HashMap<Option<CallerId>, HashSet<DayKey>>>>,
}

/// One kept load. The day is removed when this is dropped.
#[derive(Debug)]
pub(super) struct KeptLoad {
    loads: KeptLoads,
    caller: Option<CallerId>,
    key: DayKey,
}

/// A load on a task of its own. If this is dropped before the load ends, the load is kept or aborted.
pub(super) struct RequestedLoad<T> {
    task: JoinHandle<Result<T, LoadError>>,
    /// The task holds a clone until it ends.
    kept: Arc<Mutex<Option<KeptLoad>>>,
    loads: KeptLoads,
    caller: Option<CallerId>,
    key: DayKey,
}

impl KeptLoads {
    /// Whether the load of a day is kept for this caller.
    pub(super) fn is_kept(&self, caller: Option<CallerId>, key: &DayKey) -> bool {
        self.days.lock().get(&caller).is_some_and(|days| days.contains(key))
    }

    /// Keeps the load of a day. `None` if the day is kept for this caller already, or if the caller has too many.
    pub(super) fn try_keep(&self, caller: Option<CallerId>, key: &DayKey) -> Option<KeptLoad> {
        let mut days = self.days.lock();
        let own = days.entry(caller).or_default();
        let is_new = own.len() < MAX_KEPT_DAYS && own.insert(key.clone());
        is_new.then(|| KeptLoad { loads: self.clone(), caller, key: key.clone() })
    }

    /// Starts the `load` of a day that is kept if its request ends before it.
    pub(super) fn start<T: Send + 'static>(
        &self,
        caller: Option<CallerId>,
        key: DayKey,
        load: impl Future<Output = Result<T, LoadError>> + Send + 'static,
    ) -> RequestedLoad<T> {
        let kept = Arc::new(Mutex::new(None));
        let held = Arc::clone(&kept);
        let load = async move {
            let loaded = load.await;
            drop(held);
            loaded
        };
        RequestedLoad { task: tokio::spawn(load.in_current_span()), kept, loads: self.clone(), caller, key }
    }
}

impl<T> Future for RequestedLoad<T> {
    type Output = Result<T, LoadError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = Pin::new(&mut self.task).poll(context);
        ended.map(|loaded| loaded.unwrap_or(Err(LoadError::Abandoned)))
    }
}

impl<T> Drop for RequestedLoad<T> {
    fn drop(&mut self) {
        if self.task.is_finished() {
            return;
        }
        match self.loads.try_keep(self.caller, &self.key) {
            Some(kept) => *self.kept.lock() = Some(kept),
            None => self.task.abort(),
        }
    }
}

impl Drop for KeptLoad {
    fn drop(&mut self) {
        let mut days = self.loads.days.lock();
        if let Some(own) = days.get_mut(&self.caller) {
            own.remove(&self.key);
            if own.is_empty() {
                days.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;

    use super::*;
    use crate::model::{DataScope, Day, Geo, UserIdType};

    fn key(offset: i32) -> DayKey {
        let day = Day::new(2026, 1, 1).unwrap().plus(offset);
        DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day }
    }

    #[tokio::test]
    async fn a_load_continues_after_its_request_until_the_caller_has_a_year_of_them() {
        let (loads, caller) = (KeptLoads::default(), Some(CallerId(1)));
        let (release, released) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let load = async move {
            released.await.unwrap();
            done.send(()).unwrap();
            Ok(())
        };
        drop(loads.start(caller, key(0), load));
        for day in 1..400 {
            drop(loads.start(caller, key(day), pending::<Result<(), _>>()));
        }
        assert_eq!(loads.days.lock()[&caller].len(), MAX_KEPT_DAYS);
        assert!(loads.try_keep(Some(CallerId(2)), &key(0)).is_some());

        release.send(()).unwrap();
        is_done.await.unwrap();
        while loads.days.lock()[&caller].contains(&key(0)) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_load_that_is_not_kept_is_aborted() {
        let loads = KeptLoads::default();
        let (_kept, (alive, aborted)) = (loads.try_keep(None, &key(0)), oneshot::channel::<()>());
        let load = async move {
            let _alive = alive;
            pending::<Result<(), _>>().await
        };
        let requested = loads.start(None, key(0), load);
        tokio::task::yield_now().await;
        drop(requested);
        assert!(aborted.await.is_err());
    }
}
