//! Several replicas under one hidden limit.

use std::time::Duration;

use adaptive_throttle::{RateController, ThrottleConfig};

use crate::{
    count,
    handover::{Handover, Transferred, simulate_handover},
    rate, server,
    simulation::{CallCounts, Participant, simulate_together},
    throttle,
};

/// Simulations of one fleet.
const SEEDS: u32 = 5;
/// Until then, every replica has settled.
const SETTLED: Duration = Duration::from_secs(1200);
const LENGTH: Duration = Duration::from_secs(2400);
/// The numbers of replicas and the limits of the table.
const FLEETS: [(u32, &str); 5] = [(3, "50/s"), (8, "50/s"), (3, "1000/min"), (8, "5/s"), (8, "10/min")];

/// Simulations of one hand-over.
const HANDOVER_SEEDS: u32 = 20;
/// The limits of the table of hand-overs.
const HANDOVER_LIMITS: [&str; 5] = ["10/min", "100/min", "1000/min", "50/s", "sliding 10/min"];
/// How long a successor is measured, from the end of its predecessor.
const MEASURED_SECONDS: f64 = 300.0;
/// A leader that is released, and one that is killed a second after its last renewal. A successor reads the record a second
/// later.
const HANDOVERS: [(&str, Handover); 2] = [
    ("released", Handover { counted_at: SETTLED, end: SETTLED, read_at: seconds_later(1), start: seconds_later(1) }),
    (
        "killed",
        Handover { counted_at: SETTLED, end: seconds_later(1), read_at: seconds_later(1), start: seconds_later(12) },
    ),
];

/// How the replicas share the limit.
#[derive(Clone, Copy, Debug)]
enum Sharing {
    /// Each has a throttle of its own.
    Independent,
    /// Each has a throttle with an equal part of the limit, which is known, as its ceiling.
    EqualParts,
    /// One replica sends the calls of all.
    Leader,
}

/// The share of the limit and of refused calls for each way to share the limit, if all replicas are busy and if one is.
pub(crate) fn table() -> String {
    let head = "| replicas, limit | independent % / refused % | equal parts | one leader | independent, one busy \
                | equal parts, one busy |\n| --- | --: | --: | --: | --: | --: |\n";
    FLEETS.iter().fold(head.to_owned(), |table, (replicas, limit)| {
        let cells = [
            measure(Sharing::Independent, *replicas, *replicas, limit),
            measure(Sharing::EqualParts, *replicas, *replicas, limit),
            measure(Sharing::Leader, *replicas, 1, limit),
            measure(Sharing::Independent, *replicas, 1, limit),
            measure(Sharing::EqualParts, *replicas, 1, limit),
        ];
        table + &format!("| {replicas}, {limit} | {} |\n", cells.join(" | "))
    })
}

/// The share of the limit that a successor uses in the first five minutes, and the share of its calls that are refused, by
/// what it gets from its predecessor.
pub(crate) fn handover_table() -> String {
    let head = "| limit | leader was | nothing % / refused % | the limit | the limit and the calls |\n\
                | --- | --- | --: | --: | --: |\n";
    let rows = HANDOVER_LIMITS.iter().flat_map(|limit| HANDOVERS.iter().map(move |handover| (limit, handover)));
    rows.fold(head.to_owned(), |table, (limit, (name, handover))| {
        let all = [Transferred::Nothing, Transferred::Limit, Transferred::LimitAndCalls];
        let cells = all.map(|transferred| measure_handover(*handover, transferred, limit));
        table + &format!("| {limit} | {name} | {} |\n", cells.join(" | "))
    })
}

fn measure_handover(handover: Handover, transferred: Transferred, limit: &str) -> String {
    let until = handover.end + Duration::from_secs_f64(MEASURED_SECONDS);
    let mut total = CallCounts::default();
    for seed in 0..u64::from(HANDOVER_SEEDS) {
        let result = simulate_handover(handover, transferred, server(limit, seed), until, seed);
        let counts = result.count_between(handover.start, until);
        total.accepted += counts.accepted;
        total.refused += counts.refused;
    }
    format_shares(total, rate(limit) * MEASURED_SECONDS * f64::from(HANDOVER_SEEDS))
}

/// A time after all replicas have settled.
const fn seconds_later(seconds: u64) -> Duration {
    Duration::from_secs(SETTLED.as_secs() + seconds)
}

fn measure(sharing: Sharing, replicas: u32, busy: u32, limit: &str) -> String {
    let mut total = CallCounts::default();
    for seed in 0..u64::from(SEEDS) {
        let mut controllers = (0..busy).map(|_| controller(sharing, replicas, limit)).collect::<Vec<_>>();
        let participants = controllers.iter_mut().map(|client| Participant { client, active: Duration::ZERO..LENGTH });
        for result in simulate_together(participants.collect(), server(limit, seed), LENGTH, seed) {
            let counts = result.count_between(SETTLED, LENGTH);
            total.accepted += counts.accepted;
            total.refused += counts.refused;
        }
    }
    format_shares(total, rate(limit) * LENGTH.saturating_sub(SETTLED).as_secs_f64() * f64::from(SEEDS))
}

fn controller(sharing: Sharing, replicas: u32, limit: &str) -> RateController {
    match sharing {
        Sharing::Independent | Sharing::Leader => throttle(),
        Sharing::EqualParts => {
            let ceiling = Some(rate(limit) / f64::from(replicas));
            RateController::new(&ThrottleConfig { ceiling, ..ThrottleConfig::default() })
        }
    }
}

fn format_shares(counts: CallCounts, allowed: f64) -> String {
    let sent = count((counts.accepted + counts.refused).max(1));
    format!("{:.1} / {:.1}", 100.0 * count(counts.accepted) / allowed, 100.0 * count(counts.refused) / sent)
}
