//! A backfill that is killed at any moment: it leaves no half day, loses no finished one, and fetches none twice.

use std::{
    collections::BTreeSet,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use feishu_pulse::{
    model::{Clock as _, Day, DayRange, Geo, SystemClock},
    sim::{SimConfig, Simulator},
};

use crate::{lake::Lake, truth::file_equals_truth};

const DAYS: u16 = 30;

/// More kills than it takes on a slow machine.
const ENOUGH: u64 = 30;

/// The real binary with its archive in the lake.
fn backfill(lake: &Lake, simulator: &Simulator, range: DayRange) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-pulse"));
    let (from, to) = (range.first().to_string(), range.last().to_string());
    command.env_clear().args(["backfill", "--from", &from, "--to", &to]);
    command.args(["--archive", lake.root().to_str().expect("UTF-8"), "--base-url", &simulator.base_url()]);
    command.env("FEISHU_APP_ID", "cli_demo").env("FEISHU_APP_SECRET", "demo-secret");
    command.current_dir(lake.root()).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("the binary")
}

/// Days whose file can be seen.
fn finished(lake: &Lake, range: DayRange) -> BTreeSet<Day> {
    range.days().filter(|day| lake.file(&day.to_string()).exists()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_killed_again_and_again_ends_with_the_truth() {
    let lake = Lake::new();
    let latency = Duration::from_millis(15);
    let config = SimConfig { users: 300, days: DAYS + 10, latency, jitter: latency, ..SimConfig::default() };
    let simulator = Simulator::start(config, Arc::new(SystemClock)).await.expect("a simulator");
    let last = Geo::Cn.latest_produced(SystemClock.now()).plus(-1);
    let range = DayRange::ending(last, DAYS);
    let chance = &mut fastrand::Rng::with_seed(7);

    let mut kills = 0;
    loop {
        let held = finished(&lake, range);
        for day in &held {
            file_equals_truth(&lake.file(&day.to_string()), simulator.tenant(), *day);
        }
        simulator.ledger().clear();
        let mut process = backfill(&lake, &simulator, range);
        // Longer each time: a run that is always killed before its first day proves nothing.
        let patience = Duration::from_millis(chance.u64(100..600 + 300 * kills));
        let ended = tokio::time::timeout(patience, ended(&mut process)).await;
        if ended.is_err() {
            process.kill().expect("SIGKILL");
            kills += 1;
        }
        process.wait().expect("a status");
        let asked: BTreeSet<Day> = simulator
            .ledger()
            .stats_calls()
            .into_iter()
            .filter_map(|call| call.query)
            .flat_map(|query| query.span.days())
            .collect();
        assert!(held.is_disjoint(&asked), "finished days were fetched again after {kills} kills");
        if ended.is_ok() {
            break;
        }
        assert!(kills < ENOUGH, "{} days after {kills} kills", finished(&lake, range).len());
    }

    assert!(kills >= 3, "the backfill was too quick to be killed more than {kills} times");
    for day in range.days() {
        file_equals_truth(&lake.file(&day.to_string()), simulator.tenant(), day);
    }
}

async fn ended(process: &mut Child) {
    while process.try_wait().expect("a child").is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
