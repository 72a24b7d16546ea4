//! How close the throttle comes to hidden limits, beside other clients: `cargo bench --bench throttle`.
//!
//! Prints the tables of `docs/throttle.md`. Everything happens in virtual time, so the figures are the same on any
//! machine.

use std::time::Duration;

use fastrand::Rng;
use feishu_pulse::{
    feishu::throttle::{ThrottleConfig, controller::Controller},
    sim::limit::{Limit, Limits},
};

mod clients;
mod simulation;

use clients::{Adaptive, Informed, Sequential};
use simulation::{Client, Headers, Run, Upstream, simulate};

/// Runs of one scenario, each with other phases and other chances.
const SEEDS: u64 = 3;
/// The backlog whose time is told: what the limit allows in ten minutes.
const BACKLOG: f64 = 600.0;
/// Round trips in milliseconds: those of the first table, and all.
const USUAL: (u64, u64) = (50, 300);
const LATENCIES: [(u64, u64); 4] = [(20, 50), USUAL, (20, 500), (450, 500)];
const HEADERS: [Headers; 3] = [Headers::Whole, Headers::Exact, Headers::Absent];

/// A kind of limit, by name.
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

/// What one client made of one limit, averaged over the seeds.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    allowed: f64,
    sent: f64,
    refused: f64,
    /// Shares of what was allowed: from the start, and once it has settled.
    cold: f64,
    steady: f64,
    closure: usize,
    minutes: Option<f64>,
}

fn main() {
    println!("{}", compared());
    println!("{}", everywhere());
}

/// Every client against every limit, on a usual line, with headers as Feishu documents them.
fn compared() -> String {
    let head = "| limit | allowed | sent | refused % | steady % | first 10 min % | into one closed window | 10 min of backlog takes \
                | sequential % / refused % | informed % / refused % (at) | adaptive % / refused % |\n\
                | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n";
    LIMITS.iter().fold(head.to_owned(), |table, limit| {
        let ours = measure(limit, Headers::Whole, USUAL, &|| Box::new(ours()));
        let sequential = measure(limit, Headers::Whole, USUAL, &|| Box::new(Sequential::default()));
        let adaptive = measure(limit, Headers::Whole, USUAL, &|| Box::new(Adaptive::default()));
        let (share, informed) = informed(limit, USUAL);
        let minutes = ours.minutes.map_or("> 20 min".to_owned(), |minutes| format!("{minutes:.1} min"));
        table
            + &format!(
                "| {limit} | {:.0} | {:.0} | {:.2} | **{:.1}** | {:.1} | {} | {minutes} | {} | {} ({:.0} %) | {} |\n",
                ours.allowed,
                ours.sent,
                100.0 * ours.refused / ours.sent.max(1.0),
                100.0 * ours.steady,
                100.0 * ours.cold,
                ours.closure,
                sequential.brief(),
                informed.brief(),
                100.0 * share,
                adaptive.brief(),
            )
    })
}

/// The throttle on every line, with and without headers; beside it the best a client could do that paces.
fn everywhere() -> String {
    let columns = |name: &str| LATENCIES.map(|(shortest, longest)| format!("{name}, {shortest}–{longest} ms"));
    let names = HEADERS.map(|headers| columns(&format!("{headers:?} headers").to_lowercase())).concat();
    let head = [vec!["limit".to_owned()], names, columns("informed").to_vec()].concat();
    let line = vec!["---".to_owned(); head.len()];
    let rows = LIMITS.iter().map(|limit| {
        let every = HEADERS.iter().flat_map(|headers| LATENCIES.map(|latency| (*headers, latency)));
        let ours = every.map(|(headers, latency)| measure(limit, headers, latency, &|| Box::new(ours())).brief());
        let informed = LATENCIES.map(|latency| informed(limit, latency).1.brief());
        [vec![(*limit).to_owned()], ours.collect(), informed.to_vec()].concat()
    });
    let rows = [head, line].into_iter().chain(rows);
    rows.map(|row| format!("| {} |", row.join(" | "))).collect::<Vec<_>>().join("\n")
}

fn ours() -> Controller {
    Controller::new(&ThrottleConfig::default())
}

/// The share of the limit at which a client that knows it gets most through with at most 1 % refused.
fn informed(limit: &str, latency: (u64, u64)) -> (f64, Figures) {
    let shares = [1.0, 0.998, 0.99, 0.98, 0.96, 0.94, 0.92, 0.9, 0.87, 0.84, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4];
    let tried = shares.iter().map(|share| {
        (*share, measure(limit, Headers::Absent, latency, &|| Box::new(Informed::new(rate(limit) * share))))
    });
    let mut fit = tried.filter(|(_, figures)| figures.refused <= 0.01 * figures.sent);
    fit.next().unwrap_or((0.0, Figures::default()))
}

/// Lets a client work until it has settled, then as long again.
fn measure(limit: &str, headers: Headers, latency: (u64, u64), client: &dyn Fn() -> Box<dyn Client>) -> Figures {
    let settle = if rate(limit) < 1.0 { 1200.0 } else { 600.0 };
    let mut sum = Figures { allowed: rate(limit) * settle, ..Figures::default() };
    let mut minutes = Some(0.0);
    for seed in 0..SEEDS {
        let upstream = Upstream {
            limits: vec![(Duration::ZERO, limits(limit, seed))],
            headers,
            latency: (Duration::from_millis(latency.0), Duration::from_millis(latency.1)),
        };
        let run = simulate(client().as_mut(), upstream, Duration::from_secs_f64(2.0 * settle), seed);
        sum.add(&run, rate(limit), settle);
        let done = done(&run, whole(rate(limit) * BACKLOG)).map(|done| done.as_secs_f64() / 60.0);
        minutes = minutes.zip(done).map(|(sum, done)| sum + done / seeds());
    }
    Figures { minutes, ..sum }
}

/// When `calls` calls had been taken.
fn done(run: &Run, calls: usize) -> Option<Duration> {
    run.arrived.iter().filter(|(_, taken)| *taken).map(|(at, _)| *at).nth(calls.checked_sub(1)?)
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "counts of calls")]
    fn add(&mut self, run: &Run, rate: f64, settle: f64) {
        let at = Duration::from_secs_f64;
        let (taken, refused) = run.counted(at(settle), at(2.0 * settle));
        let (early, _) = run.counted(at(0.0), at(BACKLOG));
        self.sent += (taken + refused) as f64 / seeds();
        self.refused += refused as f64 / seeds();
        self.steady += taken as f64 / (rate * settle) / seeds();
        self.cold += early as f64 / (rate * BACKLOG) / seeds();
        self.closure = self.closure.max(run.worst_closure());
    }

    fn brief(&self) -> String {
        if self.sent < 1.0 {
            return "–".to_owned();
        }
        format!("{:.1} / {:.1}", 100.0 * self.steady, 100.0 * self.refused / self.sent)
    }
}

/// Calls per second that a limit allows in the long run.
fn rate(limit: &str) -> f64 {
    parse(limit, 0.0).iter().map(sustained).fold(f64::INFINITY, f64::min)
}

fn sustained(limit: &Limit) -> f64 {
    match *limit {
        Limit::Fixed { calls, window, .. } | Limit::Sliding { calls, window } => {
            f64::from(calls) / window.as_secs_f64()
        }
        Limit::Bucket { rate, .. } => rate,
    }
}

fn limits(limit: &str, seed: u64) -> Limits {
    Limits::new(&parse(limit, Rng::with_seed(seed ^ 0x5eed).f64()))
}

/// Limits by name, fixed windows beginning at `phase` of their length.
fn parse(limit: &str, phase: f64) -> Vec<Limit> {
    let calls = |text: &str| -> (u32, Duration) {
        let (calls, unit) = text.split_once('/').expect("a limit has a window");
        let window = Duration::from_secs(if unit.starts_with("min") { 60 } else { 1 });
        (calls.parse().expect("a limit is a number"), window)
    };
    if let Some(sliding) = limit.strip_prefix("sliding ") {
        let (calls, window) = calls(sliding);
        return vec![Limit::Sliding { calls, window }];
    }
    if let Some(bucket) = limit.strip_prefix("bucket ") {
        let (refill, burst) = bucket.split_once(", burst ").expect("a bucket has a burst");
        let (calls, window) = calls(refill);
        let burst = burst.parse().expect("a burst is a number");
        return vec![Limit::Bucket { rate: f64::from(calls) / window.as_secs_f64(), burst }];
    }
    let fixed = |text: &str| {
        let (calls, window) = calls(text);
        Limit::Fixed { calls, window, phase: window.mul_f64(phase) }
    };
    limit.trim_end_matches(" (not published)").split(" and ").map(fixed).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn seeds() -> f64 {
    SEEDS as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of calls")]
fn whole(number: f64) -> usize {
    number as usize
}
