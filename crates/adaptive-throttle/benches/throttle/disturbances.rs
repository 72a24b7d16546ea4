//! How soon a settled client uses the whole limit again after a short disturbance.

use std::{ops::Range, time::Duration};

use adaptive_throttle::{RateController, ThrottleConfig, WindowLimit};

use crate::{
    ClientFactory, count, cubic, evenly, is_per_minute, phase, rate, server,
    simulation::{Participant, SimulatedClient, simulate_together},
    throttle,
};

/// Simulations of one disturbance.
const SEEDS: u32 = 10;
/// When the disturbance begins: every client has settled.
const BEGIN: Duration = Duration::from_secs(1200);
/// How long a second client sends calls.
const SECOND_CLIENT: Duration = Duration::from_secs(30);
/// How long the server refuses every call without a reason. It is longer than a window of a second, so that it looks
/// like a limit per minute.
const FALSE_REFUSALS: Duration = Duration::from_secs(3);
/// The time after the disturbance after which the client should use the whole limit again.
const RECOVERY: Duration = Duration::from_secs(30);
/// The time in which use is measured after that, for limits per second.
const MEASURED: Duration = Duration::from_secs(30);
/// The same for limits per minute: two windows, from the beginning of one.
const MINUTE_MEASURED: Duration = Duration::from_secs(120);
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    /// A second throttle that knows the same limit, as during a rolling update.
    SecondThrottle,
    /// A client that sends evenly at half the limit.
    HalfTheLimit,
    /// The server refuses every call.
    FalseRefusals,
}

const DISTURBANCES: [Disturbance; 3] =
    [Disturbance::SecondThrottle, Disturbance::HalfTheLimit, Disturbance::FalseRefusals];

/// What one client used after a disturbance.
#[derive(Clone, Copy, Debug, Default)]
struct Recovery {
    /// Accepted calls as a share of what the limit allows, from 30 s after the disturbance: the mean.
    share: f64,
    /// The same in the worst simulation.
    worst_share: f64,
    /// The most calls refused in a row since the beginning of the disturbance.
    longest_lockout: usize,
}

/// The throttle and CUBIC after each disturbance.
pub(crate) fn table(limits: &[&str]) -> String {
    let head = "| limit | second throttle for 30 s: % (worst; most refused) | CUBIC | half the limit used for 30 s \
                | CUBIC | all refused for 3 s | CUBIC |\n\
                | --- | --: | --: | --: | --: | --: | --: |\n";
    limits.iter().fold(head.to_owned(), |table, limit| {
        let cells = DISTURBANCES.iter().flat_map(|disturbance| {
            [
                measure(limit, *disturbance, &|| Box::new(throttle())).format("**"),
                measure(limit, *disturbance, &cubic).format(""),
            ]
        });
        table + &format!("| {limit} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
    })
}

fn measure(limit: &str, disturbance: Disturbance, client: &ClientFactory<'_>) -> Recovery {
    let mut recovery = Recovery { worst_share: f64::INFINITY, ..Recovery::default() };
    for seed in 0..u64::from(SEEDS) {
        let mut server = server(limit, seed);
        let during =
            BEGIN..BEGIN + if disturbance == Disturbance::FalseRefusals { FALSE_REFUSALS } else { SECOND_CLIENT };
        let mut second = second_client(limit, disturbance);
        if second.is_none() {
            server.outage = during.clone();
        }
        let measured = measured(limit, seed, during.end + RECOVERY);
        let mut client = client();
        let mut participants = vec![Participant { client: client.as_mut(), active: Duration::ZERO..measured.end }];
        if let Some(second) = &mut second {
            participants.push(Participant { client: second.as_mut(), active: during.clone() });
        }
        let results = simulate_together(participants, server, measured.end, seed);
        let accepted = results[0].count_between(measured.start, measured.end).accepted;
        let share = count(accepted) / (rate(limit) * measured.end.saturating_sub(measured.start).as_secs_f64());
        recovery.share += share / f64::from(SEEDS);
        recovery.worst_share = recovery.worst_share.min(share);
        recovery.longest_lockout = recovery.longest_lockout.max(results[0].longest_lockout_in(BEGIN..Duration::MAX));
    }
    recovery
}

/// The other client during the disturbance, if there is one.
fn second_client(limit: &str, disturbance: Disturbance) -> Option<Box<dyn SimulatedClient>> {
    match disturbance {
        Disturbance::SecondThrottle => {
            let window = if is_per_minute(limit) { MINUTE } else { Duration::from_secs(1) };
            let mut controller = RateController::new(&ThrottleConfig::default());
            controller.restore(WindowLimit { calls: rate(limit) * window.as_secs_f64(), window });
            Some(Box::new(controller))
        }
        Disturbance::HalfTheLimit => Some(evenly(rate(limit) / 2.0)()),
        Disturbance::FalseRefusals => None,
    }
}

/// The time in which use is measured; not before `from`. For limits per minute it begins with a window.
fn measured(limit: &str, seed: u64, from: Duration) -> Range<Duration> {
    if !is_per_minute(limit) {
        return from..from + MEASURED;
    }
    let first = MINUTE.mul_f64(phase(seed));
    let windows = (from.saturating_sub(first).as_secs_f64() / MINUTE.as_secs_f64()).ceil();
    let begin = first + MINUTE.mul_f64(windows);
    begin..begin + MINUTE_MEASURED
}

impl Recovery {
    fn format(&self, emphasis: &str) -> String {
        let Self { share, worst_share, longest_lockout } = self;
        format!("{emphasis}{:.1}{emphasis} ({:.1}; {longest_lockout})", 100.0 * share, 100.0 * worst_share)
    }
}
