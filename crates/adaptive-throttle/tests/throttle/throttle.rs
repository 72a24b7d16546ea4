//! The throttle as its callers see it, under paused time.

use std::{sync::Mutex, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use feishu_pulse::{
    feishu::throttle::{Hints, Learned, Throttle, ThrottleConfig},
    sim::limit::Limits,
    source::{CallerId, LoadContext, Priority},
};

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

/// Works off `calls` calls against `limits`; says how many were refused.
async fn work_off(throttle: &Throttle, limits: &str, calls: u64) -> u64 {
    let began = Instant::now();
    let limits = Mutex::new(limits.parse::<Limits>().unwrap());
    let calls = (0..calls).map(|_| async {
        loop {
            let permit = throttle.acquire(caller(Priority::Background, 1)).await;
            sleep(LATENCY / 2).await;
            let admitted = limits.lock().unwrap().admit(began.elapsed());
            sleep(LATENCY / 2).await;
            match admitted {
                Ok(()) => return permit.accepted(&Hints::default()),
                Err(refusal) => permit.refused(&Hints { reset: Some(refusal.reset), limit: None }),
            }
        }
    });
    calls.collect::<FuturesUnordered<_>>().count().await;
    throttle.snapshot().refused
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_worked_off_at_the_limit() {
    let throttle = Throttle::new(&ThrottleConfig::default());
    let began = Instant::now();

    let refused = work_off(&throttle, "20/s", 4000).await;

    assert!(began.elapsed() < Duration::from_secs(4000 / 20 + 15), "took {:?}", began.elapsed());
    assert!(refused < 20, "{refused} refused");
    assert_eq!(throttle.snapshot().window, Some(Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_are_in_flight_than_the_rate_needs() {
    let throttle = throttle(10.0);
    let calls = (0..100).map(|_| async {
        call(&throttle, caller(Priority::Background, 1)).await;
        throttle.snapshot().in_flight
    });

    let most = calls.collect::<FuturesUnordered<_>>().fold(0, |most, now| async move { most.max(now) }).await;

    assert!(most <= 3, "{most} in flight");
}

#[tokio::test(start_paused = true)]
async fn an_estimate_is_what_the_calls_will_take() {
    let throttle = throttle(5.0);
    let began = Instant::now();
    let estimate = throttle.estimate(100, Priority::Interactive);

    let calls = (0..100).map(|_| call(&throttle, caller(Priority::Interactive, 1)));
    calls.collect::<FuturesUnordered<_>>().count().await;

    let took = began.elapsed();
    assert!(estimate.abs_diff(took) < Duration::from_secs(2), "estimated {estimate:?}, took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_learned_is_handed_on_unless_it_is_old() {
    let now = Timestamp::UNIX_EPOCH;
    let learned = Learned { calls: 50.0, window_seconds: 1.0, learned_at: now };
    let (fresh, late) = (Throttle::new(&ThrottleConfig::default()), Throttle::new(&ThrottleConfig::default()));

    fresh.recall(&learned, now);
    late.recall(&learned, now + Duration::from_secs(86_400));

    assert_eq!(fresh.learned(now), Some(learned));
    assert_eq!(late.learned(now), None);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_dropped_frees_its_place_in_flight() {
    let throttle = throttle(5.0);
    let permit = throttle.acquire(caller(Priority::Interactive, 1)).await;
    assert_eq!(throttle.snapshot().in_flight, 1);

    drop(permit);

    assert_eq!(throttle.snapshot().in_flight, 0);
}
