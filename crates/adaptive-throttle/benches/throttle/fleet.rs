//! Several replicas under one hidden limit.

use std::time::Duration;

use adaptive_throttle::{RateController, ThrottleConfig};

use crate::{
    count, rate, server,
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
    format_shares(total, limit)
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

fn format_shares(counts: CallCounts, limit: &str) -> String {
    let allowed = rate(limit) * LENGTH.saturating_sub(SETTLED).as_secs_f64() * f64::from(SEEDS);
    let sent = count((counts.accepted + counts.refused).max(1));
    format!("{:.1} / {:.1}", 100.0 * count(counts.accepted) / allowed, 100.0 * count(counts.refused) / sent)
}
