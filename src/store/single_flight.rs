//! Single-flight: at most one fetch per day, which always runs to its end.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{Instrument as _, Span};

use crate::{
    model::DayKey,
    prometheus::{Collector, Exposition, MetricCounter},
    source::{DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay, Priority},
};

/// Shares one load per day among all callers that request it at the same time.
///
/// The fetch runs on its own task, so a client that disconnects neither cancels it nor makes the next waiter start
/// again from the first page.
#[derive(Debug)]
pub struct SingleFlight<S> {
    inner: Arc<S>,
    flights: Arc<Flights>,
    started: MetricCounter,
    collapsed: MetricCounter,
}

type FlightResult = Option<Result<LoadedDay, LoadError>>;
type Flights = Mutex<HashMap<DayKey, Flight>>;

/// A load in progress.
#[derive(Debug)]
struct Flight {
    result: watch::Receiver<FlightResult>,
    depth: Depth,
    priority: Priority,
    /// The trace span of the caller that started the load. Callers that join link their spans to it.
    span: Span,
}

/// Removes the entry of a load when the load ends or panics. An entry that stayed would block its day forever.
struct FlightGuard {
    flights: Arc<Flights>,
    key: DayKey,
}

impl<S: DaySource> SingleFlight<S> {
    /// Loads from `inner`, each day at most once at a time.
    pub fn new(inner: S) -> Self {
        let (started, collapsed) = (MetricCounter::default(), MetricCounter::default());
        Self { inner: Arc::new(inner), flights: Arc::default(), started, collapsed }
    }

    /// Joins the day's load in progress, or starts one.
    fn join(&self, key: &DayKey, depth: Depth, context: LoadContext) -> watch::Receiver<FlightResult> {
        let mut flights = self.flights.lock();
        match flights.entry(key.clone()) {
            Entry::Occupied(mut flight) => {
                self.collapsed.increment();
                Span::current().follows_from(&flight.get().span);
                if context.priority < flight.get().priority {
                    flight.get_mut().priority = context.priority;
                    self.raise_priority(key.clone(), flight.get().depth, context);
                }
                flight.get().result.clone()
            }
            Entry::Vacant(vacant) => {
                self.started.increment();
                let span = tracing::info_span!("fetch", geo = %key.geo, day = %key.day);
                let result = self.start(key.clone(), depth, context, &span);
                vacant.insert(Flight { result, depth, priority: context.priority, span }).result.clone()
            }
        }
    }

    fn start(&self, key: DayKey, depth: Depth, context: LoadContext, span: &Span) -> watch::Receiver<FlightResult> {
        let (outcome, result) = watch::channel(None);
        let inner = Arc::clone(&self.inner);
        let guard = FlightGuard { flights: Arc::clone(&self.flights), key };
        let fetch = async move {
            let loaded = inner.load(&guard.key, depth, context).await;
            drop(guard);
            // An error means that no caller waits any more. The inner source has already stored the day.
            let _ = outcome.send(Some(loaded));
        };
        tokio::spawn(fetch.instrument(span.clone()));
        result
    }

    /// Requests the day again at a higher priority. The inner source applies that priority to the load in progress.
    fn raise_priority(&self, key: DayKey, depth: Depth, context: LoadContext) {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.load(&key, depth, context).await }.in_current_span());
    }
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

impl<S: DaySource> Collector for SingleFlight<S> {
    fn collect(&self, page: &mut Exposition) {
        let in_flight = self.flights.lock().len();
        page.counter("feishu_pulse_day_fetches_total", "Fetches of a day that were started.")
            .sample(self.started.get() as f64);
        page.counter(
            "feishu_pulse_collapsed_callers_total",
            "Callers that waited for a fetch that was already in progress.",
        )
        .sample(self.collapsed.get() as f64);
        page.gauge("feishu_pulse_day_fetches_in_flight", "Fetches of a day in progress.").sample(in_flight as f64);
    }
}

#[async_trait]
impl<S: DaySource> DaySource for SingleFlight<S> {
    async fn load(&self, key: &DayKey, depth: Depth, context: LoadContext) -> Result<LoadedDay, LoadError> {
        loop {
            let mut flight = self.join(key, depth, context);
            let result = flight.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
            match result.ok().flatten().unwrap_or(Err(LoadError::Abandoned)) {
                // The load in progress was one of the digest, and the archive had it.
                Ok(LoadedDay::Digest(_)) if depth == Depth::Rows => {}
                loaded => return loaded,
            }
        }
    }

    async fn stored(&self, keys: &[DayKey], depth: Depth) -> Vec<Option<LoadedDay>> {
        self.inner.stored(keys, depth).await
    }

    async fn forecast(&self, keys: &[DayKey], depth: Depth) -> Forecast {
        let collapsed = {
            let flights = self.flights.lock();
            !keys.is_empty() && keys.iter().all(|key| flights.contains_key(key))
        };
        Forecast { collapsed, ..self.inner.forecast(keys, depth).await }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use jiff::Timestamp;

    use super::*;
    use crate::{
        model::{DataScope, Day, Geo, UserIdType},
        source::CallerId,
        table::{DayMetadata as _, DayTableBuilder},
    };

    const CONTEXT: LoadContext = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };

    /// Takes one minute per load, and panics if configured to.
    #[derive(Default)]
    struct SlowSource {
        loads: AtomicUsize,
        ended: AtomicUsize,
        priorities: Mutex<Vec<Priority>>,
        panics: bool,
    }

    #[async_trait]
    impl DaySource for SlowSource {
        async fn load(&self, key: &DayKey, _: Depth, context: LoadContext) -> Result<LoadedDay, LoadError> {
            self.loads.fetch_add(1, Ordering::SeqCst);
            self.priorities.lock().push(context.priority);
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(!self.panics, "configured to panic");
            self.ended.fetch_add(1, Ordering::SeqCst);
            let day = DayTableBuilder::new(key.clone(), Arc::default()).finish(Timestamp::UNIX_EPOCH);
            Ok(LoadedDay::Rows(Arc::new(day)))
        }

        async fn stored(&self, keys: &[DayKey], _: Depth) -> Vec<Option<LoadedDay>> {
            vec![None; keys.len()]
        }

        async fn forecast(&self, _: &[DayKey], _: Depth) -> Forecast {
            Forecast::default()
        }
    }

    fn key(day: i8) -> DayKey {
        let day = Day::new(2026, 11, day).unwrap();
        DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_of_the_same_day_share_one_fetch() {
        let source = Arc::new(SlowSource::default());
        let flight = SingleFlight::new(source.clone());
        let (one, two) = (key(1), key(2));

        let (a, b, c) = tokio::join!(
            flight.load(&one, Depth::Rows, CONTEXT),
            flight.load(&one, Depth::Rows, CONTEXT),
            flight.load(&two, Depth::Rows, CONTEXT)
        );

        assert_eq!(a.unwrap().key(), b.unwrap().key());
        assert_eq!(c.unwrap().key(), &two);
        assert_eq!(source.loads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_disconnects_does_not_cancel_the_fetch() {
        let source = Arc::new(SlowSource::default());
        let flight = SingleFlight::new(source.clone());

        let left = tokio::time::timeout(Duration::from_secs(1), flight.load(&key(1), Depth::Rows, CONTEXT)).await;
        let joined = flight.load(&key(1), Depth::Rows, CONTEXT).await;

        assert!(left.is_err());
        assert!(joined.is_ok());
        assert_eq!((source.loads.load(Ordering::SeqCst), source.ended.load(Ordering::SeqCst)), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_urgent_caller_raises_the_priority_of_a_load_in_progress() {
        let source = Arc::new(SlowSource::default());
        let flight = SingleFlight::new(source.clone());
        let background = LoadContext { priority: Priority::Background, ..CONTEXT };

        let (patient, hasty) = (key(1), key(1));
        let _ = tokio::join!(flight.load(&patient, Depth::Rows, background), flight.load(&hasty, Depth::Rows, CONTEXT));

        assert_eq!(*source.priorities.lock(), [Priority::Background, Priority::Interactive]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_panics_does_not_block_its_day() {
        let source = Arc::new(SlowSource { panics: true, ..SlowSource::default() });
        let flight = SingleFlight::new(source.clone());

        assert_eq!(flight.load(&key(1), Depth::Rows, CONTEXT).await.err(), Some(LoadError::Abandoned));
        assert_eq!(flight.load(&key(1), Depth::Rows, CONTEXT).await.err(), Some(LoadError::Abandoned));

        assert_eq!(source.loads.load(Ordering::SeqCst), 2);
    }
}
