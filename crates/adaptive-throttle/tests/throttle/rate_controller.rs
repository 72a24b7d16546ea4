//! The controller against hidden limits, in virtual time.

use std::time::Duration;

use adaptive_throttle::{NextSend, RateController, RateLimitHints, ThrottleConfig, WindowLimit};
use feishu_simulator::rate_limit::{RateLimit, RateLimits};
use proptest::prelude::*;
use rstest::rstest;

#[path = "../../benches/throttle/simulation.rs"]
mod simulation;

#[path = "../../benches/throttle/handover.rs"]
mod handover;

use handover::{Handover, Transferred, simulate_handover};
use simulation::{
    Participant, RefusalHeaders, SimulatedClient, SimulatedServer, SimulationResult, simulate, simulate_together,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fixed(calls: u32, window: Duration, phase: f64) -> RateLimits {
    RateLimits::new(&[RateLimit::FixedWindow { calls, window, phase: window.mul_f64(phase) }])
}

fn server(limits: RateLimits, headers: RefusalHeaders, max_latency_ms: u64) -> SimulatedServer {
    SimulatedServer {
        limits: vec![(Duration::ZERO, limits)],
        outage: Duration::ZERO..Duration::ZERO,
        headers,
        min_latency: Duration::from_millis(20),
        max_latency: Duration::from_millis(max_latency_ms),
    }
}

/// The latencies and headers of the benchmark's tables.
fn usual_server(limits: RateLimits) -> SimulatedServer {
    SimulatedServer { min_latency: Duration::from_millis(50), ..server(limits, RefusalHeaders::Whole, 300) }
}

fn restored(limit: WindowLimit) -> RateController {
    let mut controller = RateController::new(&ThrottleConfig::default());
    controller.restore(limit);
    controller
}

fn simulate_default(server: SimulatedServer, length: Duration, seed: u64) -> SimulationResult {
    simulate(&mut RateController::new(&ThrottleConfig::default()), server, length, seed)
}

struct Shares {
    /// Accepted calls as a share of the allowed calls.
    accepted: f64,
    /// Refused calls as a share of the sent calls.
    refused: f64,
}

/// The shares between `from` and `to`, in which `allowed` calls were allowed.
#[expect(clippy::cast_precision_loss, reason = "counts of calls")]
fn shares(result: &SimulationResult, from: Duration, to: Duration, allowed: u32) -> Shares {
    let counts = result.count_between(from, to);
    let sent = (counts.accepted + counts.refused).max(1);
    Shares { accepted: counts.accepted as f64 / f64::from(allowed), refused: counts.refused as f64 / sent as f64 }
}

fn any_headers() -> impl Strategy<Value = RefusalHeaders> {
    prop_oneof![Just(RefusalHeaders::Exact), Just(RefusalHeaders::Whole), Just(RefusalHeaders::Absent)]
}

fn any_published() -> impl Strategy<Value = (u32, Duration)> {
    let per_second = prop::sample::select(vec![1, 3, 5, 10, 20, 50, 100]).prop_map(|calls| (calls, SECOND));
    let per_minute = prop::sample::select(vec![10, 20, 100, 1000]).prop_map(|calls| (calls, MINUTE));
    prop_oneof![per_second, per_minute]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_second_has_more_calls_than_the_ceiling(
        ceiling in 1_u32..60, limit in 1_u32..120, phase in 0.0..1.0, headers in any_headers(),
        max_latency_ms in 20_u64..500, seed: u64,
    ) {
        let config = ThrottleConfig { ceiling: Some(f64::from(ceiling)), ..ThrottleConfig::default() };
        let server = server(fixed(limit, SECOND, phase), headers, max_latency_ms);

        let result = simulate(&mut RateController::new(&config), server, seconds(90), seed);

        let spans = result.sent.windows(ceiling as usize + 1).map(|calls| (calls[0], calls[ceiling as usize]));
        for (first, one_too_many) in spans {
            prop_assert!(one_too_many >= first + SECOND, "{first:?} {one_too_many:?}");
        }
    }

    #[test]
    fn a_ceiling_below_one_call_a_second_holds_too(ceiling in 0.05..1.0_f64, seed: u64) {
        let config = ThrottleConfig { ceiling: Some(ceiling), ..ThrottleConfig::default() };
        let server = server(RateLimits::default(), RefusalHeaders::Absent, 300);

        let result = simulate(&mut RateController::new(&config), server, seconds(300), seed);

        prop_assert!(result.sent.len() > 10);
        for pair in result.sent.windows(2) {
            prop_assert!(pair[1] >= pair[0] + Duration::from_secs_f64(1.0 / ceiling));
        }
    }

    #[test]
    fn every_published_limit_is_found_and_used(
        (calls, window) in any_published(), phase in 0.0..1.0, headers in any_headers(), seed: u64,
    ) {
        let (from, to) = if window == SECOND { (seconds(600), seconds(900)) } else { (seconds(1200), seconds(2400)) };

        let result = simulate_default(server(fixed(calls, window, phase), headers, 200), to, seed);

        let windows = u32::try_from(to.saturating_sub(from).as_secs() / window.as_secs()).expect("few");
        let Shares { accepted, refused } = shares(&result, from, to, calls * windows);
        prop_assert!(accepted >= 0.96, "{accepted}");
        prop_assert!(refused <= 0.015, "{refused}");
    }

    #[test]
    fn few_calls_are_refused_in_one_lockout(
        (calls, window) in any_published(), phase in 0.0..1.0, headers in any_headers(), seed: u64,
    ) {
        let result = simulate_default(server(fixed(calls, window, phase), headers, 200), seconds(400), seed);

        let (search, settled) = (seconds(0)..seconds(60), seconds(60)..seconds(400));
        let (search, settled) = (result.longest_lockout_in(search), result.longest_lockout_in(settled));
        prop_assert!(search <= 25, "{search} during the search");
        prop_assert!(settled <= 8, "{settled} afterwards");
    }

    #[test]
    fn no_limit_stops_calls_permanently(
        calls in 1_u32..200, window in 1_u64..60, phase in 0.0..1.0, headers in any_headers(),
        max_latency_ms in 20_u64..500, seed: u64,
    ) {
        let server = server(fixed(calls, seconds(window), phase), headers, max_latency_ms);

        let result = simulate_default(server, seconds(900), seed);

        for minutes in 0..5 {
            let counts = result.count_between(seconds(minutes * 180), seconds(minutes * 180 + 180));
            prop_assert!(counts.accepted > 0, "from minute {}", minutes * 3);
        }
    }
}

#[rstest]
fn a_limit_per_second_is_used_from_the_first_minute(
    #[values(1, 3, 5, 10, 20, 50, 100)] calls: u32,
    #[values(0.3, 0.6, 0.9)] phase: f64,
) {
    let server = usual_server(fixed(calls, SECOND, phase));

    let result = simulate_default(server, seconds(600), u64::from(calls));

    let minute = shares(&result, seconds(0), seconds(60), calls * 60);
    let ten_minutes = shares(&result, seconds(0), seconds(600), calls * 600);
    assert!(minute.accepted >= 0.9, "{} in the first minute", minute.accepted);
    assert!(ten_minutes.accepted >= 0.97, "{} in ten minutes", ten_minutes.accepted);
    assert!(ten_minutes.refused <= 0.01, "{} refused", ten_minutes.refused);
}

#[rstest]
fn a_limit_per_minute_is_used_from_the_first_ten_minutes(
    #[values(10, 20, 100, 1000)] calls: u32,
    #[values(0.3, 0.6, 0.9)] phase: f64,
) {
    let result = simulate_default(usual_server(fixed(calls, MINUTE, phase)), seconds(600), u64::from(calls));

    let Shares { accepted, refused } = shares(&result, seconds(0), seconds(600), calls * 10);
    assert!(accepted >= 0.97, "{accepted}");
    assert!(refused <= 0.01, "{refused}");
}

#[rstest]
#[case::small_per_second(5, SECOND)]
#[case::per_second(50, SECOND)]
#[case::per_minute(1000, MINUTE)]
fn the_limit_is_used_again_soon_after_a_second_client(
    #[case] calls: u32,
    #[case] window: Duration,
    #[values(RefusalHeaders::Whole, RefusalHeaders::Absent)] headers: RefusalHeaders,
) {
    let limit = WindowLimit { calls: f64::from(calls), window };
    // From 30 s after the second client; windows of a minute begin in the middle of a minute.
    let (from, windows) = if window == SECOND { (370, 30) } else { (390, 2) };
    let until = seconds(from + windows * window.as_secs());
    let allowed = calls * u32::try_from(windows).expect("few");
    let accepted = (0..5).map(|seed| {
        let (mut first, mut second) = (restored(limit), restored(limit));
        let server = SimulatedServer { headers, ..usual_server(fixed(calls, window, 0.5)) };
        let participants = vec![
            Participant { client: &mut first, active: seconds(0)..until },
            Participant { client: &mut second, active: seconds(310)..seconds(340) },
        ];
        let results = simulate_together(participants, server, until, seed);
        shares(&results[0], seconds(from), until, allowed).accepted
    });

    let mean = accepted.sum::<f64>() / 5.0;
    assert!(mean >= 0.95, "{mean}");
}

#[rstest]
#[case::small_per_second(5, SECOND)]
#[case::per_second(50, SECOND)]
#[case::per_minute(1000, MINUTE)]
fn the_limit_is_used_again_soon_after_refusals_without_a_reason(
    #[case] calls: u32,
    #[case] window: Duration,
    #[values(RefusalHeaders::Whole, RefusalHeaders::Absent)] headers: RefusalHeaders,
) {
    let outage = seconds(300)..seconds(303);
    let server = SimulatedServer { outage, headers, ..usual_server(fixed(calls, window, 0.5)) };
    let mut controller = restored(WindowLimit { calls: f64::from(calls), window });

    let result = simulate(&mut controller, server, seconds(1000), 5);

    let (from, windows) = if window == SECOND { (333, 30) } else { (390, 2) };
    let until = seconds(from + windows * window.as_secs());
    let allowed = calls * u32::try_from(windows).expect("few");
    let Shares { accepted, .. } = shares(&result, seconds(from), until, allowed);
    assert!(accepted >= 0.95, "{accepted}");
}

#[rstest]
#[case::per_second(50, SECOND)]
#[case::small_per_second(10, SECOND)]
#[case::per_minute(1000, MINUTE)]
#[case::small_per_minute(100, MINUTE)]
fn the_rate_follows_a_limit_that_drops_to_a_tenth_and_rises_again(
    #[case] calls: u32,
    #[case] window: Duration,
    #[values(RefusalHeaders::Exact, RefusalHeaders::Absent)] headers: RefusalHeaders,
) {
    let time_scale = if window == SECOND { 1 } else { 3 };
    let (drop, rise, end) = (seconds(600 * time_scale), seconds(1200 * time_scale), seconds(3600 * time_scale));
    let limits = vec![
        (Duration::ZERO, fixed(calls, window, 0.3)),
        (drop, fixed(calls / 10, window, 0.6)),
        (rise, fixed(calls, window, 0.1)),
    ];
    let server = SimulatedServer { limits, ..server(RateLimits::default(), headers, 200) };

    let result = simulate_default(server, end, 7);

    let windows = 300 / u32::try_from(window.as_secs()).expect("short");
    for (until, calls) in [(drop, calls), (rise, calls / 10), (end, calls)] {
        let Shares { accepted, refused } = shares(&result, until.saturating_sub(seconds(300)), until, calls * windows);
        assert!(accepted > 0.9, "{accepted} before {until:?}");
        assert!(refused < 0.03, "{refused} before {until:?}");
    }
}

#[test]
fn trials_of_the_former_limit_leave_most_of_a_lower_limit_to_use() {
    let accepted = (0..8).map(|seed| {
        let limits = vec![(seconds(0), fixed(50, SECOND, 0.3)), (seconds(600), fixed(5, SECOND, 0.6))];
        let server = SimulatedServer { limits, ..usual_server(RateLimits::default()) };
        let result = simulate_default(server, seconds(780), seed);
        shares(&result, seconds(600), seconds(780), 5 * 180).accepted
    });

    let mean = accepted.sum::<f64>() / 8.0;
    assert!(mean >= 0.92, "{mean}");
}

#[test]
fn the_rate_adapts_to_another_client_under_the_same_limit() {
    let mut rng = fastrand::Rng::with_seed(3);
    // Another client uses 11 to 20 of 50 calls per second, at random.
    let remaining = (0..600).map(|_| 30 + rng.u32(0..10)).collect::<Vec<_>>();
    let limits = remaining.iter().enumerate().map(|(second, calls)| {
        let from = seconds(second as u64) + SECOND.mul_f64(0.2);
        (if second == 0 { Duration::ZERO } else { from }, fixed(*calls, SECOND, 0.2))
    });
    let server =
        SimulatedServer { limits: limits.collect(), ..server(RateLimits::default(), RefusalHeaders::Absent, 200) };

    let result = simulate_default(server, seconds(600), 1);

    let Shares { accepted, refused } = shares(&result, seconds(300), seconds(600), remaining[300..].iter().sum());
    assert!(accepted > 0.75, "{accepted}");
    assert!(refused < 0.05, "{refused}");
}

#[test]
fn a_restored_limit_is_used_at_once() {
    let mut controller = restored(WindowLimit { calls: 50.0, window: SECOND });

    let result = simulate(&mut controller, server(fixed(50, SECOND, 0.4), RefusalHeaders::Exact, 200), seconds(60), 1);

    let Shares { accepted, .. } = shares(&result, Duration::ZERO, seconds(60), 50 * 60);
    assert!(accepted > 0.95, "{accepted}");
}

#[rstest]
fn a_limit_per_minute_above_the_restored_one_is_found(
    #[values(RefusalHeaders::Whole, RefusalHeaders::Absent)] headers: RefusalHeaders,
) {
    let mut controller = restored(WindowLimit { calls: 600.0, window: MINUTE });
    let server = SimulatedServer { headers, ..usual_server(fixed(1000, MINUTE, 0.4)) };

    let result = simulate(&mut controller, server, seconds(5400), 1);

    let Shares { accepted, refused } = shares(&result, seconds(4800), seconds(5400), 10_000);
    assert!(accepted >= 0.95, "{accepted}");
    assert!(refused <= 0.01, "{refused}");
}

/// A controller that uses a share of the rate for some time.
struct ReducedForSomeTime {
    controller: RateController,
    share: f64,
    reduced: std::ops::Range<Duration>,
    /// The limit at the last change of the reduction, and at the end of the time.
    limits: Vec<Option<WindowLimit>>,
}

impl SimulatedClient for ReducedForSomeTime {
    fn next_send(&mut self, now: Duration) -> NextSend {
        let passed = usize::from(now >= self.reduced.start) + usize::from(now >= self.reduced.end);
        if self.limits.len() < passed {
            self.limits.push(self.controller.limit());
            let from = if passed == 1 { self.reduced.start } else { Duration::MAX };
            self.controller.reduce(self.share, from);
        }
        match self.controller.next_send(now) {
            // It is called again when the reduction ends.
            NextSend::At(at) if now < self.reduced.end => NextSend::At(at.min(self.reduced.end)),
            next => next,
        }
    }

    fn on_sent(&mut self, now: Duration) {
        self.controller.on_sent(now);
    }

    fn on_accepted(&mut self, sent: Duration, now: Duration) {
        self.controller.on_accepted(sent, now, &RateLimitHints::default());
    }

    fn on_refused(&mut self, sent: Duration, now: Duration, hints: &RateLimitHints) {
        self.controller.on_refused(sent, now, hints);
    }
}

#[rstest]
#[case::per_second(50, SECOND)]
#[case::small_per_second(5, SECOND)]
#[case::per_minute(1000, MINUTE)]
#[case::small_per_minute(10, MINUTE)]
fn a_reduction_holds_and_leaves_the_limit_unchanged_and_the_whole_rate_is_used_at_once_afterwards(
    #[case] calls: u32,
    #[case] window: Duration,
    #[values(1.0 / 2.0, 1.0 / 3.0, 1.0 / 8.0)] share: f64,
    #[values(RefusalHeaders::Whole, RefusalHeaders::Absent)] headers: RefusalHeaders,
) {
    let reduced = seconds(1200)..seconds(1800);
    let mut client = ReducedForSomeTime {
        controller: RateController::new(&ThrottleConfig::default()),
        share,
        reduced: reduced.clone(),
        limits: Vec::new(),
    };
    let server = SimulatedServer { headers, ..usual_server(fixed(calls, window, 0.4)) };

    let result = simulate(&mut client, server, seconds(2100), 3);

    let rate = f64::from(calls) / window.as_secs_f64();
    let sent = result.sent.iter().filter(|sent| reduced.contains(sent)).count();
    #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
    let used = (sent as f64 - 1.0) / (rate * 600.0);
    // No call is sent at the edges of windows of a second. A running probe raises the rate a little.
    assert!((0.7 * share..=1.1 * share).contains(&used), "{used} of the limit in the reduction");
    let refused = result.count_between(reduced.start + SECOND, reduced.end).refused;
    assert_eq!(refused, 0);
    assert_eq!(client.limits[0], client.limits[1]);
    let windows = u32::try_from(300 / window.as_secs()).expect("few");
    let Shares { accepted, refused } = shares(&result, reduced.end, seconds(2100), calls * windows);
    assert!(accepted >= 0.95, "{accepted} after it");
    assert!(refused <= 0.02, "{refused} refused after it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_call_comes_earlier_than_a_reduction_permits(
        calls in 1_u32..100, share in 0.05..0.5_f64, headers in any_headers(), seed: u64,
    ) {
        let mut controller = restored(WindowLimit { calls: f64::from(calls), window: SECOND });
        controller.reduce(share, Duration::ZERO);

        let result = simulate(&mut controller, server(fixed(calls, SECOND, 0.3), headers, 200), seconds(60), seed);

        prop_assert!(result.sent.len() > 1);
        // A probe of up to 4 calls a window may run.
        let interval = Duration::from_secs_f64(1.0 / (share * f64::from(calls + 4)));
        for pair in result.sent.windows(2) {
            prop_assert!(pair[1] >= pair[0] + interval.saturating_sub(Duration::from_micros(1)));
        }
    }
}

#[rstest]
#[case::released(seconds(1200), seconds(1201), seconds(1201))]
#[case::killed(seconds(1201), seconds(1201), seconds(1212))]
fn a_successor_that_gets_the_calls_of_the_last_minute_stays_within_the_window_of_its_predecessor(
    #[case] end: Duration,
    #[case] read_at: Duration,
    #[case] start: Duration,
    #[values(10, 100)] calls: u32,
) {
    let handover = Handover { counted_at: seconds(1200), end, read_at, start };
    let until = end + seconds(300);
    let measure = |transferred| {
        let (mut accepted, mut refused) = (0, 0);
        for seed in 0..8_u32 {
            let limits = RateLimits::new(&[RateLimit::SlidingWindow { calls, window: MINUTE }]);
            let result = simulate_handover(handover, transferred, usual_server(limits), until, u64::from(seed));
            let counts = result.count_between(start, until);
            (accepted, refused) = (accepted + counts.accepted, refused + counts.refused);
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
        let used = accepted as f64 / f64::from(8 * 5 * calls);
        (used, refused)
    };

    let (used, refused) = measure(Transferred::LimitAndCalls);
    let (used_without, refused_without) = measure(Transferred::Limit);
    let (used_cold, _) = measure(Transferred::Nothing);

    assert!(used >= 0.95, "{used}");
    assert!(used >= used_without && used > used_cold, "{used}, without the calls {used_without}, cold {used_cold}");
    assert!(refused < refused_without, "{refused}, without the calls {refused_without}");
}

#[test]
fn calls_of_another_process_use_the_limit_up_and_do_not_delay_the_next_call_further() {
    let mut predecessor = restored(WindowLimit { calls: 100.0, window: MINUTE });
    for call in 0..10 {
        predecessor.on_sent(seconds(100 + call));
    }
    let recent = predecessor.recent_calls(seconds(110));
    let due = |controller: &RateController| controller.next_send(seconds(5));

    // Ten calls of a hundred: the next call is due at once.
    let mut successor = restored(WindowLimit { calls: 100.0, window: MINUTE });
    successor.restore_calls(&recent, Duration::ZERO, seconds(5));
    assert!(matches!(due(&successor), NextSend::At(at) if at <= seconds(5)), "{:?}", due(&successor));
    // The same calls again are not other calls.
    let before = successor.recent_calls(seconds(5));
    successor.restore_calls(&recent, Duration::ZERO, seconds(5));
    assert_eq!(successor.recent_calls(seconds(5)), before);

    // Ten calls of ten: the next call is due when the first of them is a minute old.
    for (age, expected) in [(0, 55), (20, 35)] {
        let mut successor = restored(WindowLimit { calls: 10.0, window: MINUTE });
        successor.restore_calls(&recent, seconds(age), seconds(5));
        let NextSend::At(at) = due(&successor) else { panic!("a time") };
        assert!(at.abs_diff(seconds(expected)) <= seconds(3), "{at:?} instead of {expected} s");
    }
}

#[test]
fn without_a_limit_the_search_continues_at_the_rate_of_another_process() {
    let config = ThrottleConfig { start_rate: 5.0, ..ThrottleConfig::default() };
    let mut predecessor = RateController::new(&config);
    for call in 0..200 {
        predecessor.on_sent(seconds(100) + Duration::from_millis(25) * call);
    }
    let recent = predecessor.recent_calls(seconds(105));

    let mut successor = RateController::new(&config);
    successor.restore_calls(&recent, Duration::ZERO, seconds(5));

    assert!((successor.rate() - 40.0).abs() < 1.0, "{}", successor.rate());
    assert_eq!(successor.limit(), None);
}
