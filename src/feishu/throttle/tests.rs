//! The throttle as its callers see it, under paused time.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, sleep, timeout};

use super::{Hints, Throttle, ThrottleConfig};
use crate::source::{CallerId, LoadContext, Priority};

const LATENCY: Duration = Duration::from_millis(100);

fn caller(priority: Priority, id: u64) -> LoadContext {
    LoadContext { priority, caller: CallerId(id) }
}

fn throttle(ceiling: f64) -> Throttle {
    Throttle::new(&ThrottleConfig { ceiling: Some(ceiling), ..ThrottleConfig::default() })
}

async fn call(throttle: &Throttle, context: LoadContext) -> Instant {
    let permit = throttle.acquire(context).await;
    let sent = Instant::now();
    sleep(LATENCY).await;
    permit.accepted(&Hints::default());
    sent
}

#[tokio::test(start_paused = true)]
async fn a_backfill_delays_an_interactive_call_by_one_slot_at_most() {
    let throttle = throttle(5.0);
    for _ in 0..1000 {
        let throttle = throttle.clone();
        tokio::spawn(async move { call(&throttle, caller(Priority::Background, 1)).await });
    }
    sleep(Duration::from_secs(20)).await;

    let asked = Instant::now();
    let sent = call(&throttle, caller(Priority::Interactive, 2)).await;

    assert!(sent - asked <= Duration::from_millis(2 * 200 + 1), "waited {:?}", sent - asked);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_takes_no_slot_with_it() {
    let throttle = throttle(1.0);
    throttle.acquire(caller(Priority::Interactive, 1)).await.accepted(&Hints::default());
    let began = Instant::now();
    for _ in 0..50 {
        let left = timeout(Duration::from_millis(1), throttle.acquire(caller(Priority::Interactive, 1))).await;
        assert!(left.is_err());
    }

    let sent = call(&throttle, caller(Priority::Interactive, 2)).await;

    assert!(sent - began <= Duration::from_millis(1001), "waited {:?}", sent - began);
    assert_eq!(throttle.snapshot().queued_interactive, 0);
}

#[tokio::test(start_paused = true)]
async fn a_permit_nobody_came_for_goes_to_the_next() {
    let throttle = throttle(1.0);
    let unwanted = throttle.acquire(caller(Priority::Interactive, 1));
    // Asked once, it is granted at once; then it is dropped before it is asked again.
    let mut granted = Box::pin(throttle.acquire(caller(Priority::Interactive, 1)));
    drop(unwanted);
    assert!((&mut granted).now_or_never().is_some());
    drop(granted);

    let snapshot = throttle.snapshot();

    assert_eq!(snapshot.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn everybody_is_served_in_the_end() {
    let throttle = throttle(50.0);
    let calls = (0..200).map(|id| {
        let priority = if id % 2 == 0 { Priority::Interactive } else { Priority::Background };
        call(&throttle, caller(priority, id))
    });

    let served = calls.collect::<FuturesUnordered<_>>().count().await;

    assert_eq!(served, 200);
    assert_eq!(throttle.snapshot().in_flight, 0);
}
