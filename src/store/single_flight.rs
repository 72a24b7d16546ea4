//! Single-flight: at most one fetch per day, and it always runs to its end.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::watch;
use tracing::{Instrument as _, Span};

use crate::{
    meter::{Count, Exposition, Meter},
    model::DayKey,
    source::{DaySource, Forecast, LoadContext, LoadError, Priority},
    table::Partition,
};

/// The fetch runs on a task of its own: a client that hangs up neither cancels it nor makes the next
/// waiter start again from page one.
#[derive(Debug)]
pub struct SingleFlight<S> {
    inner: Arc<S>,
    flights: Arc<Flights>,
    started: Count,
    collapsed: Count,
}

type Outcome = Option<Result<Arc<Partition>, LoadError>>;
type Flights = Mutex<HashMap<DayKey, Flight>>;

/// A fetch under way.
#[derive(Debug)]
struct Flight {
    landed: watch::Receiver<Outcome>,
    priority: Priority,
    /// Belongs to the caller who started it; those who joined it point to it.
    span: Span,
}

/// Takes the flight off the list, also when the fetch panics: an entry left behind would block its day for ever.
struct Landing {
    flights: Arc<Flights>,
    key: DayKey,
}

impl<S: DaySource> SingleFlight<S> {
    /// At most one load of a day from `inner` at a time.
    pub fn new(inner: S) -> Self {
        let (started, collapsed) = (Count::default(), Count::default());
        Self { inner: Arc::new(inner), flights: Arc::default(), started, collapsed }
    }

    /// Joins the flight for this day, or starts it.
    fn join(&self, key: &DayKey, context: LoadContext) -> watch::Receiver<Outcome> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        match flights.entry(key.clone()) {
            Entry::Occupied(mut flight) => {
                self.collapsed.add_one();
                Span::current().follows_from(&flight.get().span);
                if context.priority < flight.get().priority {
                    flight.get_mut().priority = context.priority;
                    self.hurry(key.clone(), context);
                }
                flight.get().landed.clone()
            }
            Entry::Vacant(place) => {
                self.started.add_one();
                let span = tracing::info_span!("fetch", geo = %key.geo, day = %key.day);
                let landed = self.start(key.clone(), context, &span);
                place.insert(Flight { landed, priority: context.priority, span }).landed.clone()
            }
        }
    }

    fn start(&self, key: DayKey, context: LoadContext, span: &Span) -> watch::Receiver<Outcome> {
        let (outcome, landed) = watch::channel(None);
        let inner = Arc::clone(&self.inner);
        let landing = Landing { flights: Arc::clone(&self.flights), key };
        let fetch = async move {
            let loaded = inner.load(&landing.key, context).await;
            drop(landing);
            // Nobody may be waiting any more; what counts was kept below.
            let _ = outcome.send(Some(loaded));
        };
        tokio::spawn(fetch.instrument(span.clone()));
        landed
    }

    /// Asks for the day once more, urgently: below, that lends its urgency to the fetch under way.
    fn hurry(&self, key: DayKey, context: LoadContext) {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.load(&key, context).await }.in_current_span());
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl<S: DaySource> Meter for SingleFlight<S> {
    fn write(&self, page: &mut Exposition) {
        let under_way = self.flights.lock().unwrap_or_else(PoisonError::into_inner).len();
        page.counter("feishu_pulse_day_fetches_total", "Fetches of a day that were begun.")
            .value(self.started.get() as f64);
        page.counter(
            "feishu_pulse_collapsed_callers_total",
            "Callers who waited for a fetch that was already under way.",
        )
        .value(self.collapsed.get() as f64);
        page.gauge("feishu_pulse_day_fetches_in_flight", "Fetches of a day under way.").value(under_way as f64);
    }
}

#[async_trait]
impl<S: DaySource> DaySource for SingleFlight<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError> {
        let mut flight = self.join(key, context);
        let landed = flight.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        landed.ok().flatten().unwrap_or(Err(LoadError::Abandoned))
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        let collapsed = {
            let flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            !keys.is_empty() && keys.iter().all(|key| flights.contains_key(key))
        };
        Forecast { collapsed, ..self.inner.forecast(keys).await }
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
        model::{Day, Geo, Scope, UserIdType},
        source::CallerId,
        table::PartitionBuilder,
    };

    const CONTEXT: LoadContext = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };

    /// Takes a minute for a day, and panics on the day it is told to.
    #[derive(Default)]
    struct Slow {
        loads: AtomicUsize,
        ended: AtomicUsize,
        urgencies: Mutex<Vec<Priority>>,
        panics: bool,
    }

    #[async_trait]
    impl DaySource for Slow {
        async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError> {
            self.loads.fetch_add(1, Ordering::SeqCst);
            self.urgencies.lock().unwrap().push(context.priority);
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(!self.panics, "told to");
            self.ended.fetch_add(1, Ordering::SeqCst);
            Ok(Arc::new(PartitionBuilder::new(key.clone(), Arc::default()).finish(Timestamp::UNIX_EPOCH)))
        }

        async fn forecast(&self, _: &[DayKey]) -> Forecast {
            Forecast::default()
        }
    }

    fn key(day: i8) -> DayKey {
        let day = Day::new(2026, 11, day).unwrap();
        DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_of_the_same_day_share_one_fetch() {
        let slow = Arc::new(Slow::default());
        let flight = SingleFlight::new(slow.clone());
        let (one, two) = (key(1), key(2));

        let (a, b, c) =
            tokio::join!(flight.load(&one, CONTEXT), flight.load(&one, CONTEXT), flight.load(&two, CONTEXT));

        assert!(Arc::ptr_eq(&a.unwrap(), &b.unwrap()));
        assert_eq!(c.unwrap().key(), &two);
        assert_eq!(slow.loads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_leaves_does_not_cancel_the_fetch() {
        let slow = Arc::new(Slow::default());
        let flight = SingleFlight::new(slow.clone());

        let left = tokio::time::timeout(Duration::from_secs(1), flight.load(&key(1), CONTEXT)).await;
        let joined = flight.load(&key(1), CONTEXT).await;

        assert!(left.is_err());
        assert!(joined.is_ok());
        assert_eq!((slow.loads.load(Ordering::SeqCst), slow.ended.load(Ordering::SeqCst)), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_in_a_hurry_lends_its_urgency_to_the_fetch_under_way() {
        let slow = Arc::new(Slow::default());
        let flight = SingleFlight::new(slow.clone());
        let background = LoadContext { priority: Priority::Background, ..CONTEXT };

        let (patient, hasty) = (key(1), key(1));
        let _ = tokio::join!(flight.load(&patient, background), flight.load(&hasty, CONTEXT));

        assert_eq!(*slow.urgencies.lock().unwrap(), [Priority::Background, Priority::Interactive]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_panics_does_not_block_its_day() {
        let slow = Arc::new(Slow { panics: true, ..Slow::default() });
        let flight = SingleFlight::new(slow.clone());

        assert_eq!(flight.load(&key(1), CONTEXT).await.err(), Some(LoadError::Abandoned));
        assert_eq!(flight.load(&key(1), CONTEXT).await.err(), Some(LoadError::Abandoned));

        assert_eq!(slow.loads.load(Ordering::SeqCst), 2);
    }
}
