//! The throttle as its callers see it, in tokio's paused time.

use std::{sync::Mutex, time::Duration};

use adaptive_throttle::{LearnedLimit, RateLimitHints, Throttle, ThrottleConfig, TrafficClass};
use feishu_simulator::rate_limit::RateLimits;
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

const LATENCY: Duration = Duration::from_millis(100);

/// Upper limit of the paused time of a test, so that a throttle that stops fails the test.
const MAX_DURATION: Duration = Duration::from_secs(3600);

fn throttle_with_ceiling(ceiling: f64) -> Throttle<u64> {
    Throttle::new(&ThrottleConfig { ceiling: Some(ceiling), ..ThrottleConfig::default() })
}

async fn call(throttle: &Throttle<u64>, caller: u64, class: TrafficClass) -> Instant {
    let permit = throttle.acquire(caller, class).await;
    let sent = Instant::now();
    sleep(LATENCY).await;
    permit.accepted(&RateLimitHints::default());
    sent
}

#[tokio::test(start_paused = true)]
async fn a_backfill_delays_an_interactive_call_by_one_permit_at_most() {
    let throttle = throttle_with_ceiling(5.0);
    for _ in 0..1000 {
        let throttle = throttle.clone();
        tokio::spawn(async move { call(&throttle, 1, TrafficClass::Background).await });
    }
    sleep(Duration::from_secs(20)).await;

    let started = Instant::now();
    let sent = call(&throttle, 2, TrafficClass::Interactive).await;

    assert!(sent - started <= Duration::from_millis(2 * 200 + 1), "waited {:?}", sent - started);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_stops_waiting_uses_no_permit() {
    let throttle = throttle_with_ceiling(1.0);
    throttle.acquire(1, TrafficClass::Interactive).await.accepted(&RateLimitHints::default());
    let started = Instant::now();
    for _ in 0..50 {
        let result = timeout(Duration::from_millis(1), throttle.acquire(1, TrafficClass::Interactive)).await;
        assert!(result.is_err());
    }

    let sent = call(&throttle, 2, TrafficClass::Interactive).await;

    assert!(sent - started <= Duration::from_millis(1001), "waited {:?}", sent - started);
    assert_eq!(throttle.snapshot().queued_interactive, 0);
}

#[tokio::test(start_paused = true)]
async fn a_granted_permit_of_a_dropped_caller_is_freed() {
    let throttle = throttle_with_ceiling(1.0);
    let unwanted = throttle.acquire(1, TrafficClass::Interactive);
    // The first poll returns a permit.
    let mut granted = Box::pin(throttle.acquire(1, TrafficClass::Interactive));
    drop(unwanted);
    assert!((&mut granted).now_or_never().is_some());
    drop(granted);

    let snapshot = throttle.snapshot();

    assert_eq!(snapshot.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn every_call_receives_a_permit() {
    let throttle = throttle_with_ceiling(50.0);
    let calls = (0..200).map(|id| {
        let class = if id % 2 == 0 { TrafficClass::Interactive } else { TrafficClass::Background };
        call(&throttle, id, class)
    });

    let served = calls.collect::<FuturesUnordered<_>>().count().await;

    assert_eq!(served, 200);
    assert_eq!(throttle.snapshot().in_flight, 0);
}

/// Sends `calls` calls against `limits` until all are accepted. Returns the number of refused calls.
async fn send_all(throttle: &Throttle<u64>, limits: &str, calls: u64) -> u64 {
    let started = Instant::now();
    let limits = Mutex::new(limits.parse::<RateLimits>().unwrap());
    let calls = (0..calls).map(|_| async {
        loop {
            let permit = throttle.acquire(1, TrafficClass::Background).await;
            sleep(LATENCY / 2).await;
            let admitted = limits.lock().unwrap().admit(started.elapsed());
            sleep(LATENCY / 2).await;
            match admitted {
                Ok(()) => return permit.accepted(&RateLimitHints::default()),
                Err(refusal) => permit.refused(&RateLimitHints { reset: Some(refusal.reset), limit: None }),
            }
        }
    });
    let all = calls.collect::<FuturesUnordered<_>>().count();
    timeout(MAX_DURATION, all).await.expect("the calls to be accepted within an hour");
    throttle.snapshot().refused
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_processed_at_the_limit() {
    let throttle = Throttle::new(&ThrottleConfig::default());
    let started = Instant::now();

    let refused = send_all(&throttle, "20/s", 4000).await;

    assert!(started.elapsed() < Duration::from_secs(4000 / 20 + 15), "took {:?}", started.elapsed());
    assert!(refused < 20, "{refused} refused");
    assert_eq!(throttle.snapshot().window, Some(Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_are_in_flight_than_the_rate_needs() {
    let throttle = throttle_with_ceiling(10.0);
    let calls = (0..100).map(|_| async {
        call(&throttle, 1, TrafficClass::Background).await;
        throttle.snapshot().in_flight
    });

    let max_in_flight = calls.collect::<FuturesUnordered<_>>().fold(0, |max, now| async move { max.max(now) }).await;

    assert!(max_in_flight <= 3, "{max_in_flight} in flight");
}

#[tokio::test(start_paused = true)]
async fn the_estimated_time_is_close_to_the_real_one() {
    let throttle = throttle_with_ceiling(5.0);
    let started = Instant::now();
    let estimate = throttle.estimate(100);

    let calls = (0..100).map(|_| call(&throttle, 1, TrafficClass::Interactive));
    calls.collect::<FuturesUnordered<_>>().count().await;

    let took = started.elapsed();
    assert!(estimate.abs_diff(took) < Duration::from_secs(2), "estimated {estimate:?}, took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_learned_limit_is_restored_unless_it_is_a_day_old() {
    let now = Timestamp::UNIX_EPOCH;
    let learned = LearnedLimit { calls: 50.0, window_seconds: 1.0, learned_at: now };
    let (fresh, late) =
        (Throttle::<u64>::new(&ThrottleConfig::default()), Throttle::<u64>::new(&ThrottleConfig::default()));

    fresh.restore(&learned, now);
    late.restore(&learned, now + Duration::from_secs(86_400));

    assert_eq!(fresh.learned_limit(now), Some(learned));
    assert_eq!(late.learned_limit(now), None);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_permit_no_longer_counts_as_in_flight() {
    let throttle = throttle_with_ceiling(5.0);
    let permit = throttle.acquire(1, TrafficClass::Interactive).await;
    assert_eq!(throttle.snapshot().in_flight, 1);

    drop(permit);

    assert_eq!(throttle.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_reduction_begins_at_its_time_and_ends_at_once_without_a_new_call() {
    let throttle = throttle_with_ceiling(10.0);
    throttle.reduce(0.1, Instant::now() + Duration::from_secs(10));
    for _ in 0..1000 {
        let throttle = throttle.clone();
        tokio::spawn(async move { call(&throttle, 1, TrafficClass::Interactive).await });
    }
    let sent_in = async |seconds: u64| {
        let before = throttle.snapshot().sent;
        sleep(Duration::from_secs(seconds)).await;
        throttle.snapshot().sent - before
    };

    let at_full_rate = sent_in(10).await;
    let reduced = sent_in(10).await;
    throttle.reduce(0.1, Instant::now() + Duration::from_secs(1000));
    let again = sent_in(10).await;

    assert!((95..=101).contains(&at_full_rate) && (9..=11).contains(&reduced), "{at_full_rate}, {reduced}");
    assert!((95..=101).contains(&again), "{again}");
}
