//! Single-flight: at most one fetch per day, which runs as long as a caller waits for it.

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
/// The fetch runs on its own task, so a caller that leaves neither cancels it for others nor makes the next one start again
/// from the first page. It is cancelled when no caller waits any more: the query engine keeps the loads that shall go on.
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
    result: Arc<watch::Sender<FlightResult>>,
    depth: Depth,
    priority: Priority,
    /// The trace span of the caller that started the load. Callers that join link their spans to it.
    span: Span,
}

/// Removes the entry of a load when the load ends or panics. An entry that stayed would block its day forever.
struct FlightGuard {
    flights: Arc<Flights>,
    key: DayKey,
    result: Arc<watch::Sender<FlightResult>>,
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
                    self.raise_priority(key.clone(), flight.get(), context);
                }
                flight.get().result.subscribe()
            }
            Entry::Vacant(vacant) => {
                self.started.increment();
                let span = tracing::info_span!("fetch", geo = %key.geo, day = %key.day);
                let (result, receiver) = watch::channel(None);
                let result = Arc::new(result);
                self.start(key.clone(), depth, context, Arc::clone(&result), &span);
                vacant.insert(Flight { result, depth, priority: context.priority, span });
                receiver
            }
        }
    }

    fn start(
        &self,
        key: DayKey,
        depth: Depth,
        context: LoadContext,
        result: Arc<watch::Sender<FlightResult>>,
        span: &Span,
    ) {
        let inner = Arc::clone(&self.inner);
        let guard = FlightGuard { flights: Arc::clone(&self.flights), key, result: Arc::clone(&result) };
        let fetch = async move {
            let loaded = tokio::select! {
                biased;
                loaded = inner.load(&guard.key, depth, context) => loaded,
                () = guard.abandoned() => return,
            };
            drop(guard);
            // An error means that no caller waits any more. The inner source has already stored the day.
            let _ = result.send(Some(loaded));
        };
        tokio::spawn(fetch.instrument(span.clone()));
    }

    /// Requests the day again at a higher priority. The inner source applies that priority to the load in progress.
    fn raise_priority(&self, key: DayKey, flight: &Flight, context: LoadContext) {
        let (inner, depth, result) = (Arc::clone(&self.inner), flight.depth, Arc::clone(&flight.result));
        let request = async move {
            tokio::select! {
                _ = inner.load(&key, depth, context) => {}
                () = result.closed() => {}
            }
        };
        tokio::spawn(request.in_current_span());
    }
}

impl FlightGuard {
    /// Completes when no caller waits for the load any more. Then it has no entry, so no caller can join it.
    async fn abandoned(&self) {
        loop {
            self.result.closed().await;
            let mut flights = self.flights.lock();
            if self.result.receiver_count() == 0 {
                self.remove_from(&mut flights);
                return;
            }
        }
    }

    /// Removes the entry of this load. Another load of the day may have taken its place.
    fn remove_from(&self, flights: &mut HashMap<DayKey, Flight>) {
        if flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(&flight.result, &self.result)) {
            flights.remove(&self.key);
        }
    }
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        self.remove_from(&mut self.flights.lock());
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
    async fn a_fetch_goes_on_while_a_caller_waits_for_it_and_is_cancelled_after_the_last_one() {
        let source = Arc::new(SlowSource::default());
        let flight = SingleFlight::new(source.clone());
        let (second, one) = (Duration::from_secs(1), key(1));

        let (left, joined) = tokio::join!(
            tokio::time::timeout(second, flight.load(&one, Depth::Rows, CONTEXT)),
            flight.load(&one, Depth::Rows, CONTEXT)
        );
        assert!(left.is_err() && joined.is_ok());
        let both_left = tokio::time::timeout(second, flight.load(&key(2), Depth::Rows, CONTEXT)).await;
        assert!(both_left.is_err());
        tokio::time::sleep(Duration::from_secs(120)).await;

        assert_eq!((source.loads.load(Ordering::SeqCst), source.ended.load(Ordering::SeqCst)), (2, 1));
        assert!(flight.flights.lock().is_empty());
        assert!(flight.load(&key(2), Depth::Rows, CONTEXT).await.is_ok());
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
