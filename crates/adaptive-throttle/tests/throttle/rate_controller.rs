//! Properties of the throttle's controller against hidden limits, in virtual time.

use std::time::Duration;

use feishu_pulse::{
    feishu::throttle::{ThrottleConfig, controller::Controller},
    sim::limit::{Limit, Limits},
};
use proptest::prelude::*;
use rstest::rstest;

#[path = "../../benches/throttle/simulation.rs"]
mod simulation;

use simulation::{Headers, Run, Upstream, simulate};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fixed(calls: u32, window: Duration, phase: f64) -> Limits {
    Limits::new(&[Limit::Fixed { calls, window, phase: window.mul_f64(phase) }])
}

fn upstream(limits: Limits, headers: Headers, longest: u64) -> Upstream {
    let latency = (Duration::from_millis(20), Duration::from_millis(longest));
    Upstream { limits: vec![(Duration::ZERO, limits)], headers, latency }
}

fn worked_off(upstream: Upstream, length: Duration, seed: u64) -> Run {
    simulate(&mut Controller::new(&ThrottleConfig::default()), upstream, length, seed)
}

/// The share of `allowed` calls that was taken from `from` to `to`, and the share of calls refused.
#[expect(clippy::cast_precision_loss, reason = "counts of calls")]
fn shares(run: &Run, from: Duration, to: Duration, allowed: u32) -> (f64, f64) {
    let (taken, refused) = run.counted(from, to);
    (taken as f64 / f64::from(allowed), refused as f64 / (taken + refused).max(1) as f64)
}

fn any_headers() -> impl Strategy<Value = Headers> {
    prop_oneof![Just(Headers::Exact), Just(Headers::Whole), Just(Headers::Absent)]
}

fn any_published() -> impl Strategy<Value = (u32, Duration)> {
    let per_second = prop::sample::select(vec![1, 3, 5, 10, 20, 50, 100]).prop_map(|calls| (calls, SECOND));
    let per_minute = prop::sample::select(vec![10, 20, 100, 1000]).prop_map(|calls| (calls, MINUTE));
    prop_oneof![per_second, per_minute]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_second_holds_more_calls_than_the_ceiling(
        ceiling in 1_u32..60, limit in 1_u32..120, phase in 0.0..1.0, headers in any_headers(), longest in 20_u64..500,
        seed: u64,
    ) {
        let config = ThrottleConfig { ceiling: Some(f64::from(ceiling)), ..ThrottleConfig::default() };
        let upstream = upstream(fixed(limit, SECOND, phase), headers, longest);

        let run = simulate(&mut Controller::new(&config), upstream, seconds(90), seed);

        let first_and_one_too_many = run.sent.windows(ceiling as usize + 1).map(|calls| (calls[0], calls[ceiling as usize]));
        for (first, one_too_many) in first_and_one_too_many {
            prop_assert!(one_too_many >= first + SECOND, "{first:?} {one_too_many:?}");
        }
    }

    #[test]
    fn a_ceiling_below_one_call_a_second_holds_too(ceiling in 0.05..1.0_f64, seed: u64) {
        let config = ThrottleConfig { ceiling: Some(ceiling), ..ThrottleConfig::default() };

        let run = simulate(&mut Controller::new(&config), upstream(Limits::default(), Headers::Absent, 300), seconds(300), seed);

        prop_assert!(run.sent.len() > 10);
        for pair in run.sent.windows(2) {
            prop_assert!(pair[1] >= pair[0] + Duration::from_secs_f64(1.0 / ceiling));
        }
    }

    #[test]
    fn every_published_limit_is_found_and_kept(
        (calls, window) in any_published(), phase in 0.0..1.0, headers in any_headers(), seed: u64,
    ) {
        let (from, to) = if window == SECOND { (seconds(600), seconds(900)) } else { (seconds(1200), seconds(2400)) };

        let run = worked_off(upstream(fixed(calls, window, phase), headers, 200), to, seed);

        let windows = u32::try_from(to.saturating_sub(from).as_secs() / window.as_secs()).expect("few");
        let (taken, refused) = shares(&run, from, to, calls * windows);
        prop_assert!(taken >= 0.96, "{taken}");
        prop_assert!(refused <= 0.015, "{refused}");
    }

    #[test]
    fn a_handful_of_calls_goes_into_a_closed_window(
        (calls, window) in any_published(), phase in 0.0..1.0, headers in any_headers(), seed: u64,
    ) {
        let run = worked_off(upstream(fixed(calls, window, phase), headers, 200), seconds(400), seed);

        prop_assert!(run.worst_closure() <= 9, "{}", run.worst_closure());
    }

    #[test]
    fn no_limit_stops_the_calls_for_ever(
        calls in 1_u32..200, window in 1_u64..60, phase in 0.0..1.0, headers in any_headers(), longest in 20_u64..500,
        seed: u64,
    ) {
        let run = worked_off(upstream(fixed(calls, seconds(window), phase), headers, longest), seconds(900), seed);

        for minutes in 0..5 {
            let (taken, _) = run.counted(seconds(minutes * 180), seconds(minutes * 180 + 180));
            prop_assert!(taken > 0, "in minute {}", minutes * 3);
        }
    }
}

#[rstest]
#[case::per_second(50, SECOND)]
#[case::few_per_second(10, SECOND)]
#[case::per_minute(1000, MINUTE)]
#[case::few_per_minute(100, MINUTE)]
fn a_limit_that_drops_to_a_tenth_and_rises_again_is_followed(
    #[case] calls: u32,
    #[case] window: Duration,
    #[values(Headers::Exact, Headers::Absent)] headers: Headers,
) {
    let patience = if window == SECOND { 1 } else { 3 };
    let (drop, rise, end) = (seconds(600 * patience), seconds(1200 * patience), seconds(3600 * patience));
    let limits = vec![
        (Duration::ZERO, fixed(calls, window, 0.3)),
        (drop, fixed(calls / 10, window, 0.6)),
        (rise, fixed(calls, window, 0.1)),
    ];
    let upstream = Upstream { limits, ..upstream(Limits::default(), headers, 200) };

    let run = worked_off(upstream, end, 7);

    let windows = 300 / u32::try_from(window.as_secs()).expect("short");
    for (until, calls) in [(drop, calls), (rise, calls / 10), (end, calls)] {
        let (taken, refused) = shares(&run, until.saturating_sub(seconds(300)), until, calls * windows);
        assert!(taken > 0.9, "{taken} before {until:?}");
        assert!(refused < 0.03, "{refused} before {until:?}");
    }
}

#[test]
fn other_traffic_under_the_same_limit_is_made_room_for() {
    let mut chance = fastrand::Rng::with_seed(3);
    // Of 50 calls a second somebody else takes 11 to 20, at random.
    let share = (0..600).map(|_| 30 + chance.u32(0..10)).collect::<Vec<_>>();
    let limits = share.iter().enumerate().map(|(second, left)| {
        let from = seconds(second as u64) + SECOND.mul_f64(0.2);
        (if second == 0 { Duration::ZERO } else { from }, fixed(*left, SECOND, 0.2))
    });
    let upstream = Upstream { limits: limits.collect(), ..upstream(Limits::default(), Headers::Absent, 200) };

    let run = worked_off(upstream, seconds(600), 1);

    let (taken, refused) = shares(&run, seconds(300), seconds(600), share[300..].iter().sum());
    assert!(taken > 0.75, "{taken}");
    assert!(refused < 0.05, "{refused}");
}

#[test]
fn what_was_learned_saves_the_search() {
    let mut controller = Controller::new(&ThrottleConfig::default());
    controller.recall(50.0, SECOND);

    let run = simulate(&mut controller, upstream(fixed(50, SECOND, 0.4), Headers::Exact, 200), seconds(60), 1);

    let (taken, _) = shares(&run, Duration::ZERO, seconds(60), 50 * 60);
    assert!(taken > 0.95, "{taken}");
}
