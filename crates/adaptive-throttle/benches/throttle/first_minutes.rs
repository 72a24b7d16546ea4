//! How a client that knows nothing about the limit uses the first minutes.

use std::time::Duration;

use crate::{
    ClientFactory, USUAL, count, cubic, evenly, measure_known_limit, rate, sequential, server,
    simulation::SimulationResult, throttle,
};

/// Simulations of one limit: more than for the settled state, because the phase of the windows matters more.
const SEEDS: u32 = 20;
/// Until this time a lockout counts as part of the search. Every search ends within it, because the calls of 60 s show
/// each published limit.
const SEARCH: Duration = Duration::from_secs(60);
/// The time that is measured.
const LENGTH: Duration = Duration::from_secs(600);

/// The first ten minutes of one client at one limit, over all seeds.
#[derive(Clone, Copy, Debug)]
struct FirstMinutes {
    /// Accepted calls of the first minute as a share of what the limit allows: the mean.
    minute: f64,
    /// The same in the worst simulation.
    worst_minute: f64,
    /// Accepted calls of ten minutes as a share of what the limit allows: the mean.
    ten_minutes: f64,
    /// The same in the worst simulation.
    worst_ten_minutes: f64,
    /// Refused calls as a share of the calls that the limit allows in ten minutes: the mean.
    refused: f64,
    /// The most calls refused in a row during the search.
    search_lockout: usize,
    /// The same afterwards.
    later_lockout: usize,
}

/// The first minutes of every client at every limit, at the usual latencies and with headers as Feishu documents them.
pub(crate) fn table(limits: &[&str]) -> String {
    let head = "| limit | first 60 s % (worst) | first 10 min % (worst) | refused in 10 min % \
                | most refused in one lockout, first 60 s | afterwards | sequential % / refused % \
                | known limit % / refused % | CUBIC % / refused % (most in one lockout) |\n\
                | --- | --: | --: | --: | --: | --: | --: | --: | --: |\n";
    limits.iter().fold(head.to_owned(), |table, limit| {
        let throttle = measure(limit, &|| Box::new(throttle()));
        let share = measure_known_limit(limit, USUAL).share;
        let known_limit = measure(limit, &evenly(rate(limit) * share));
        let cubic = measure(limit, &cubic);
        table
            + &format!(
                "| {limit} | **{:.1}** ({:.1}) | **{:.1}** ({:.1}) | {:.2} | {} | {} | {} | {} | {} ({}) |\n",
                100.0 * throttle.minute,
                100.0 * throttle.worst_minute,
                100.0 * throttle.ten_minutes,
                100.0 * throttle.worst_ten_minutes,
                100.0 * throttle.refused,
                throttle.search_lockout,
                throttle.later_lockout,
                measure(limit, &sequential).format_shares(),
                known_limit.format_shares(),
                cubic.format_shares(),
                cubic.search_lockout.max(cubic.later_lockout),
            )
    })
}

fn measure(limit: &str, client: &ClientFactory<'_>) -> FirstMinutes {
    let results =
        (0..u64::from(SEEDS)).map(|seed| crate::run(client, server(limit, seed), LENGTH, seed)).collect::<Vec<_>>();
    let accepted = |until: Duration| {
        let allowed = rate(limit) * until.as_secs_f64();
        results.iter().map(move |result| share(result, until, allowed))
    };
    let refused = results.iter().map(|result| count(result.count_between(Duration::ZERO, LENGTH).refused));
    let lockouts = |range: std::ops::Range<Duration>| {
        results.iter().map(|result| result.longest_lockout_in(range.clone())).max().unwrap_or(0)
    };
    FirstMinutes {
        minute: accepted(SEARCH).sum::<f64>() / f64::from(SEEDS),
        worst_minute: accepted(SEARCH).fold(f64::INFINITY, f64::min),
        ten_minutes: accepted(LENGTH).sum::<f64>() / f64::from(SEEDS),
        worst_ten_minutes: accepted(LENGTH).fold(f64::INFINITY, f64::min),
        refused: refused.sum::<f64>() / f64::from(SEEDS) / (rate(limit) * LENGTH.as_secs_f64()),
        search_lockout: lockouts(Duration::ZERO..SEARCH),
        later_lockout: lockouts(SEARCH..LENGTH),
    }
}

/// Accepted calls until `until` as a share of the `allowed` calls.
fn share(result: &SimulationResult, until: Duration, allowed: f64) -> f64 {
    count(result.count_between(Duration::ZERO, until).accepted) / allowed
}

impl FirstMinutes {
    /// The share of the limit and of refused calls in ten minutes, in percent.
    fn format_shares(&self) -> String {
        format!("{:.1} / {:.1}", 100.0 * self.ten_minutes, 100.0 * self.refused)
    }
}
