//! A stub source: generates days, counts loads, and can fail or block on request.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use feishu_pulse::{
    model::{DataScope, DayKey},
    source::{DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay},
    table::{DayTableBuilder, Dictionaries, Row},
};
use tokio::sync::watch;

/// Number of people on every day.
pub(crate) const PEOPLE: usize = 7;

/// A source of generated days in place of upstream.
pub(crate) struct Stub {
    pub(crate) dictionaries: Arc<Dictionaries>,
    loads: AtomicUsize,
    /// Number of loads that have ended.
    ended: AtomicUsize,
    error: Mutex<Option<LoadError>>,
    /// Loads wait while this is false.
    open: watch::Sender<bool>,
}

impl Stub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            dictionaries: Arc::default(),
            loads: AtomicUsize::default(),
            ended: AtomicUsize::default(),
            error: Mutex::default(),
            open: watch::Sender::new(true),
        })
    }

    /// Number of loads that were started.
    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    /// Number of loads that have ended.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// Makes every load fail with `error`; `None` makes loads succeed again.
    pub(crate) fn fail(&self, error: Option<LoadError>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Blocks all loads, or lets them continue.
    pub(crate) fn set_blocked(&self, blocked: bool) {
        self.open.send_replace(!blocked);
    }
}

#[async_trait]
impl DaySource for Stub {
    async fn load(&self, key: &DayKey, _: Depth, _: LoadContext) -> Result<LoadedDay, LoadError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        // Other tasks run in the meantime, as they would during an upstream call.
        tokio::task::yield_now().await;
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        self.ended.fetch_add(1, Ordering::SeqCst);
        if let Some(error) = self.error.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(error);
        }
        let dictionary = self.dictionaries.for_id_type(key.user_id_type);
        let mut builder = DayTableBuilder::new(key.clone(), dictionary);
        for person in 0..PEOPLE {
            let user_id = format!("{}_{person}", key.user_id_type.name());
            if !matches!(&key.scope, DataScope::User(only) if **only != *user_id) {
                builder.push(&Row { user_id: Some(user_id), user_name: key.day.to_string(), ..Row::default() });
            }
        }
        // The fetch time is late enough for the day to be final.
        Ok(LoadedDay::Rows(Arc::new(builder.finish(key.geo.produced_at(key.day.plus(3))))))
    }

    async fn stored(&self, keys: &[DayKey], _: Depth) -> Vec<Option<LoadedDay>> {
        vec![None; keys.len()]
    }

    async fn forecast(&self, keys: &[DayKey], _: Depth) -> Forecast {
        Forecast { calls: keys.len() as u64, ..Forecast::default() }
    }
}
