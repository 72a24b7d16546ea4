//! The bottom of a test: days by a formula, in turns of the executor, counted and spoilt at will.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use feishu_pulse::{
    model::{DayKey, Scope},
    source::{DaySource, Forecast, LoadContext, LoadError},
    table::{Directories, Partition, PartitionBuilder, Row},
};
use tokio::sync::watch;

/// People of every day.
pub(crate) const PEOPLE: usize = 7;

/// Makes days where upstream would be asked.
pub(crate) struct Stub {
    pub(crate) directories: Arc<Directories>,
    loads: AtomicUsize,
    /// Loads that came to their end.
    ended: AtomicUsize,
    error: Mutex<Option<LoadError>>,
    /// Loads pass only while it is open.
    open: watch::Sender<bool>,
}

impl Stub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            directories: Arc::default(),
            loads: AtomicUsize::default(),
            ended: AtomicUsize::default(),
            error: Mutex::default(),
            open: watch::Sender::new(true),
        })
    }

    /// How often a day was asked for.
    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    /// How many of these loads came to their end.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// Makes every load fail, or none.
    pub(crate) fn fail(&self, error: Option<LoadError>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Lets no load pass, or all.
    pub(crate) fn hold(&self, hold: bool) {
        self.open.send_replace(!hold);
    }
}

#[async_trait]
impl DaySource for Stub {
    async fn load(&self, key: &DayKey, _: LoadContext) -> Result<Arc<Partition>, LoadError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        // Others get a turn, as they would while upstream is asked.
        tokio::task::yield_now().await;
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        self.ended.fetch_add(1, Ordering::SeqCst);
        if let Some(error) = self.error.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(error);
        }
        let directory = Arc::clone(self.directories.of(key.user_id_type));
        let mut builder = PartitionBuilder::new(key.clone(), directory);
        for person in 0..PEOPLE {
            let user_id = format!("{}_{person}", key.user_id_type.name());
            if !matches!(&key.scope, Scope::User(only) if **only != *user_id) {
                builder.push(&Row { user_id: Some(user_id), user_name: key.day.to_string(), ..Row::default() });
            }
        }
        // Late enough to be final.
        Ok(Arc::new(builder.finish(key.geo.produced_at(key.day.plus(3)))))
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        Forecast { calls: keys.len() as u64, ..Forecast::default() }
    }
}
