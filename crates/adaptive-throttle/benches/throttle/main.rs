//! Measures how much of hidden limits the throttle uses, next to other clients:
//! `cargo bench -p adaptive-throttle --bench throttle`. With the name of a table after `--`, only that table is
//! printed.
//!
//! Prints the tables of `docs/throttle.md`. The simulation runs in virtual time with fixed seeds, so the results are
//! the same on every machine.

use std::time::Duration;

use adaptive_throttle::{RateController, ThrottleConfig};
use fastrand::Rng;
use feishu_simulator::rate_limit::{RateLimit, RateLimits};

mod clients;
mod disturbances;
mod first_minutes;
mod fleet;
mod handover;
mod simulation;

use clients::{CubicClient, FixedRateClient, SequentialClient};
use simulation::{RefusalHeaders, SimulatedClient, SimulatedServer, SimulationResult, simulate};

/// Simulations of one scenario, each with other phases and other latencies.
const SEEDS: u32 = 3;
/// Changes the seed of the phases, so that they do not depend on the latencies.
const PHASE_SEED: u64 = 0x5eed;
/// The size of the backlog whose duration is measured: the calls that the limit allows in this time, in seconds.
const BACKLOG_SECONDS: f64 = 600.0;
/// Seconds after which a client counts as settled.
const SETTLE_SECONDS: f64 = 600.0;
/// The same for limits below one call per second.
const SLOW_SETTLE_SECONDS: f64 = 1200.0;
/// The largest share of refused calls at which the client with a known limit is accepted.
const MAX_REFUSED_SHARE: f64 = 0.01;
/// The shares of the limit that the client with a known limit tries.
const KNOWN_LIMIT_SHARES: [f64; 16] =
    [1.0, 0.998, 0.99, 0.98, 0.96, 0.94, 0.92, 0.9, 0.87, 0.84, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4];

/// A range of round trips in milliseconds.
#[derive(Clone, Copy, Debug)]
struct LatencyRange {
    min_ms: u64,
    max_ms: u64,
}

/// The latencies of the first table.
const USUAL: LatencyRange = LatencyRange { min_ms: 50, max_ms: 300 };
const LATENCIES: [LatencyRange; 4] = [
    LatencyRange { min_ms: 20, max_ms: 50 },
    USUAL,
    LatencyRange { min_ms: 20, max_ms: 500 },
    LatencyRange { min_ms: 450, max_ms: 500 },
];
const HEADERS: [RefusalHeaders; 3] = [RefusalHeaders::Whole, RefusalHeaders::Exact, RefusalHeaders::Absent];

/// The limits by name; see [`parse_limits`].
const LIMITS: [&str; 23] = [
    "1/s",
    "3/s",
    "5/s",
    "10/s",
    "20/s",
    "50/s",
    "100/s",
    "10/min",
    "20/min",
    "100/min",
    "1000/min",
    "50/s and 1000/min",
    "sliding 1/s",
    "sliding 5/s",
    "sliding 50/s",
    "sliding 100/s",
    "sliding 10/min",
    "sliding 1000/min",
    "bucket 50/s, burst 50",
    "bucket 50/s, burst 5",
    "bucket 10/s, burst 5",
    "bucket 100/min, burst 100",
    "30/s (not published)",
];

/// The results of one client at one limit, as means over the seeds.
#[derive(Clone, Copy, Debug, Default)]
struct Measurement {
    /// Calls that the limit allows while the client is settled.
    allowed: f64,
    /// Calls sent while settled.
    sent: f64,
    /// Calls refused while settled.
    refused: f64,
    /// Accepted calls as a share of what the limit allows, in the first ten minutes.
    first_share: f64,
    /// The same while settled.
    settled_share: f64,
    /// The most calls refused in a row.
    longest_lockout: usize,
    /// Minutes until the backlog is done; `None` if it is not done within the simulation.
    backlog_minutes: Option<f64>,
}

/// A client with a known limit, and the share of the limit at which it sends.
#[derive(Clone, Copy, Debug, Default)]
struct KnownLimitMeasurement {
    share: f64,
    measurement: Measurement,
}

/// The name of a table, and the function that makes it.
type Table = (&'static str, fn() -> String);

/// Makes a new client for each simulation.
type ClientFactory<'a> = dyn Fn() -> Box<dyn SimulatedClient> + 'a;

fn main() {
    let tables: [Table; 6] = [
        ("settled", client_table),
        ("first", || first_minutes::table(&LIMITS)),
        ("disturbed", || disturbances::table(&LIMITS)),
        ("fleet", fleet::table),
        ("handover", fleet::handover_table),
        ("latencies", latency_table),
    ];
    let is_chosen = |name: &str| std::env::args().any(|argument| argument == name);
    let all = !tables.iter().any(|(name, _)| is_chosen(name));
    for (_, table) in tables.iter().filter(|(name, _)| all || is_chosen(name)) {
        println!("{}", table());
    }
}

/// Every client at every limit, at the usual latencies and with headers as Feishu documents them.
fn client_table() -> String {
    let head = "| limit | allowed | sent | refused % | settled % | first 10 min % | refused in one lockout \
                | time for a 10 min backlog \
                | sequential % / refused % | known limit % / refused % (at) | CUBIC % / refused % |\n\
                | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n";
    LIMITS.iter().fold(head.to_owned(), |table, limit| {
        let throttle = measure(limit, RefusalHeaders::Whole, USUAL, &|| Box::new(throttle()));
        let sequential = measure(limit, RefusalHeaders::Whole, USUAL, &sequential);
        let cubic = measure(limit, RefusalHeaders::Whole, USUAL, &cubic);
        let known_limit = measure_known_limit(limit, USUAL);
        let minutes = throttle.backlog_minutes.map_or("> 20 min".to_owned(), |minutes| format!("{minutes:.1} min"));
        table
            + &format!(
                "| {limit} | {:.0} | {:.0} | {:.2} | **{:.1}** | {:.1} | {} | {minutes} | {} | {} ({:.0} %) | {} |\n",
                throttle.allowed,
                throttle.sent,
                100.0 * throttle.refused / throttle.sent.max(1.0),
                100.0 * throttle.settled_share,
                100.0 * throttle.first_share,
                throttle.longest_lockout,
                sequential.format_shares(),
                known_limit.measurement.format_shares(),
                100.0 * known_limit.share,
                cubic.format_shares(),
            )
    })
}

/// The throttle at all latencies, with and without headers, and the client with a known limit.
fn latency_table() -> String {
    let columns = |name: &str| LATENCIES.map(|latency| format!("{name}, {}–{} ms", latency.min_ms, latency.max_ms));
    let throttle_columns = HEADERS.map(|headers| columns(headers_label(headers))).concat();
    let head = [vec!["limit".to_owned()], throttle_columns, columns("known limit").to_vec()].concat();
    let separator = vec!["---".to_owned(); head.len()];
    let rows = LIMITS.iter().map(|limit| {
        let scenarios = HEADERS.iter().flat_map(|headers| LATENCIES.map(|latency| (*headers, latency)));
        let throttle = scenarios
            .map(|(headers, latency)| measure(limit, headers, latency, &|| Box::new(throttle())).format_shares());
        let known_limit = LATENCIES.map(|latency| measure_known_limit(limit, latency).measurement.format_shares());
        [vec![(*limit).to_owned()], throttle.collect(), known_limit.to_vec()].concat()
    });
    let rows = [head, separator].into_iter().chain(rows);
    rows.map(|row| format!("| {} |", row.join(" | "))).collect::<Vec<_>>().join("\n")
}

fn headers_label(headers: RefusalHeaders) -> &'static str {
    match headers {
        RefusalHeaders::Whole => "whole seconds",
        RefusalHeaders::Exact => "exact resets",
        RefusalHeaders::Absent => "no headers",
    }
}

fn throttle() -> RateController {
    RateController::new(&ThrottleConfig::default())
}

fn sequential() -> Box<dyn SimulatedClient> {
    Box::new(SequentialClient::default())
}

fn cubic() -> Box<dyn SimulatedClient> {
    Box::new(CubicClient::default())
}

/// Clients that send `rate` calls per second evenly.
fn evenly(rate: f64) -> impl Fn() -> Box<dyn SimulatedClient> {
    move || Box::new(FixedRateClient::new(rate))
}

/// Runs one client against one server.
fn run(client: &ClientFactory<'_>, server: SimulatedServer, length: Duration, seed: u64) -> SimulationResult {
    simulate(client().as_mut(), server, length, seed)
}

/// A server with headers as Feishu documents them and the usual latencies.
fn server(limit: &str, seed: u64) -> SimulatedServer {
    server_with(limit, RefusalHeaders::Whole, USUAL, seed)
}

fn server_with(limit: &str, headers: RefusalHeaders, latency: LatencyRange, seed: u64) -> SimulatedServer {
    SimulatedServer {
        limits: vec![(Duration::ZERO, RateLimits::new(&parse_limits(limit, phase(seed))))],
        outage: Duration::ZERO..Duration::ZERO,
        headers,
        min_latency: Duration::from_millis(latency.min_ms),
        max_latency: Duration::from_millis(latency.max_ms),
    }
}

/// Measures a client that knows the limit and sends evenly, at the largest share of the limit that has at most 1 % of
/// its calls refused.
fn measure_known_limit(limit: &str, latency: LatencyRange) -> KnownLimitMeasurement {
    let measurements = KNOWN_LIMIT_SHARES.iter().map(|share| {
        let client = evenly(rate(limit) * share);
        KnownLimitMeasurement { share: *share, measurement: measure(limit, RefusalHeaders::Absent, latency, &client) }
    });
    let mut accepted = measurements.filter(|KnownLimitMeasurement { measurement, .. }| {
        measurement.refused <= MAX_REFUSED_SHARE * measurement.sent
    });
    accepted.next().unwrap_or_default()
}

/// Measures a client until it has settled, and then for the same time again.
fn measure(limit: &str, headers: RefusalHeaders, latency: LatencyRange, client: &ClientFactory<'_>) -> Measurement {
    let settle = if rate(limit) < 1.0 { SLOW_SETTLE_SECONDS } else { SETTLE_SECONDS };
    let mut mean = Measurement { allowed: rate(limit) * settle, ..Measurement::default() };
    let mut backlog_minutes = Some(0.0);
    for seed in 0..u64::from(SEEDS) {
        let server = server_with(limit, headers, latency, seed);
        let result = run(client, server, Duration::from_secs_f64(2.0 * settle), seed);
        mean.add(&result, rate(limit), settle);
        let done_at = accepted_at(&result, floor_to_usize(rate(limit) * BACKLOG_SECONDS));
        let minutes = done_at.map(|done_at| done_at.as_secs_f64() / 60.0);
        backlog_minutes = backlog_minutes.zip(minutes).map(|(sum, minutes)| sum + minutes / f64::from(SEEDS));
    }
    Measurement { backlog_minutes, ..mean }
}

/// When the `calls`-th call was accepted.
fn accepted_at(result: &SimulationResult, calls: usize) -> Option<Duration> {
    let mut accepted = result.arrivals.iter().filter(|arrival| arrival.is_accepted);
    accepted.nth(calls.checked_sub(1)?).map(|arrival| arrival.at)
}

impl Measurement {
    /// Adds the result of one seed to the means.
    fn add(&mut self, result: &SimulationResult, rate: f64, settle: f64) {
        let at = Duration::from_secs_f64;
        let settled = result.count_between(at(settle), at(2.0 * settle));
        let first = result.count_between(at(0.0), at(BACKLOG_SECONDS));
        self.sent += count(settled.accepted + settled.refused) / f64::from(SEEDS);
        self.refused += count(settled.refused) / f64::from(SEEDS);
        self.settled_share += count(settled.accepted) / (rate * settle) / f64::from(SEEDS);
        self.first_share += count(first.accepted) / (rate * BACKLOG_SECONDS) / f64::from(SEEDS);
        self.longest_lockout = self.longest_lockout.max(result.longest_lockout_in(Duration::ZERO..Duration::MAX));
    }

    /// The settled share and the share of refused calls, in percent.
    fn format_shares(&self) -> String {
        if self.sent < 1.0 {
            return "–".to_owned();
        }
        format!("{:.1} / {:.1}", 100.0 * self.settled_share, 100.0 * self.refused / self.sent)
    }
}

/// The calls per second that a limit allows in the long run.
fn rate(limit: &str) -> f64 {
    parse_limits(limit, 0.0).iter().map(sustained_rate).fold(f64::INFINITY, f64::min)
}

fn sustained_rate(limit: &RateLimit) -> f64 {
    match *limit {
        RateLimit::FixedWindow { calls, window, .. } | RateLimit::SlidingWindow { calls, window } => {
            f64::from(calls) / window.as_secs_f64()
        }
        RateLimit::TokenBucket { rate, .. } => rate,
    }
}

/// When fixed windows begin, as a share of their length.
fn phase(seed: u64) -> f64 {
    Rng::with_seed(seed ^ PHASE_SEED).f64()
}

/// Whether a limit counts by the minute, also beside a limit per second.
fn is_per_minute(limit: &str) -> bool {
    limit.contains("/min")
}

/// Parses the name of a limit. Fixed windows begin at `phase` of their length.
fn parse_limits(name: &str, phase: f64) -> Vec<RateLimit> {
    let parse_rate = |text: &str| -> (u32, Duration) {
        let (calls, unit) = text.split_once('/').expect("a limit has a window");
        let window = Duration::from_secs(if unit.starts_with("min") { 60 } else { 1 });
        (calls.parse().expect("a limit is a number"), window)
    };
    if let Some(sliding) = name.strip_prefix("sliding ") {
        let (calls, window) = parse_rate(sliding);
        return vec![RateLimit::SlidingWindow { calls, window }];
    }
    if let Some(bucket) = name.strip_prefix("bucket ") {
        let (refill, burst) = bucket.split_once(", burst ").expect("a bucket has a burst");
        let (calls, window) = parse_rate(refill);
        let burst = burst.parse().expect("a burst is a number");
        return vec![RateLimit::TokenBucket { rate: f64::from(calls) / window.as_secs_f64(), burst }];
    }
    let fixed = |text: &str| {
        let (calls, window) = parse_rate(text);
        RateLimit::FixedWindow { calls, window, phase: window.mul_f64(phase) }
    };
    name.trim_end_matches(" (not published)").split(" and ").map(fixed).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a count of calls")]
fn count(calls: usize) -> f64 {
    calls as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of calls")]
fn floor_to_usize(number: f64) -> usize {
    number as usize
}
