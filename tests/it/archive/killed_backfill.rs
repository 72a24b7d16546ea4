//! A backfill that is killed at random times: it leaves no partial day, loses no finished one, and fetches none twice.

use std::{
    collections::BTreeSet,
    process::{Child, Command, Stdio},
    time::Duration,
};

use feishu_pulse::model::{Clock as _, Day, DayRange, Geo, SystemClock};
use feishu_simulator::{Simulator, SimulatorConfig};

use crate::{
    archive::{lake::Lake, truth::file_equals_truth},
    support::eventually,
};

const DAYS: u16 = 30;

/// Upper limit of the kills. A slow machine needs fewer.
const MAX_KILLS: u64 = 30;

/// Starts the binary with its archive in the lake.
fn backfill(lake: &Lake, simulator: &Simulator, range: DayRange) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-pulse"));
    let (from, to) = (range.first().to_string(), range.last().to_string());
    command.env_clear().args(["backfill", "--from", &from, "--to", &to]);
    command.args(["--archive", lake.root().to_str().expect("UTF-8"), "--base-url", &simulator.base_url()]);
    command.env("FEISHU_APP_ID", "cli_demo").env("FEISHU_APP_SECRET", "demo-secret");
    command.current_dir(lake.root()).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("the binary")
}

/// The days that have a file.
fn finished(lake: &Lake, range: DayRange) -> BTreeSet<Day> {
    range.days().filter(|day| lake.file(&day.to_string()).exists()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_is_killed_repeatedly_ends_with_correct_files() {
    let lake = Lake::new();
    let latency = Duration::from_millis(15);
    let config =
        SimulatorConfig { users: 300, days: DAYS + 10, latency, jitter: latency, ..SimulatorConfig::default() };
    let simulator = Simulator::start(config, || SystemClock.now()).await.expect("a simulator");
    let last = Geo::Cn.latest_produced(SystemClock.now()).plus(-1);
    let range = DayRange::ending(last, DAYS);
    let rng = &mut fastrand::Rng::with_seed(7);

    let mut kills = 0;
    loop {
        let finished_before = finished(&lake, range);
        for day in &finished_before {
            file_equals_truth(&lake.file(&day.to_string()), simulator.tenant(), *day);
        }
        simulator.call_log().clear();
        let mut process = backfill(&lake, &simulator, range);
        // The run time grows, so that some runs finish a day before they are killed.
        let run_time = Duration::from_millis(rng.u64(100..600 + 300 * kills));
        let ended = eventually(async || process.try_wait().expect("a child").is_some());
        let ended = tokio::time::timeout(run_time, ended).await;
        if ended.is_err() {
            process.kill().expect("SIGKILL");
            kills += 1;
        }
        process.wait().expect("a status");
        assert!(lake.days().iter().all(|name| name.ends_with("/part-0.parquet")), "{:?}", lake.days());
        let fetched: BTreeSet<Day> = simulator
            .call_log()
            .stats_calls()
            .into_iter()
            .filter_map(|call| call.query)
            .filter_map(|query| DayRange::new(Day::from_date(*query.days.start()), Day::from_date(*query.days.end())))
            .flat_map(DayRange::days)
            .collect();
        assert!(finished_before.is_disjoint(&fetched), "finished days were fetched again after {kills} kills");
        if ended.is_ok() {
            break;
        }
        assert!(kills < MAX_KILLS, "{} days after {kills} kills", finished(&lake, range).len());
    }

    assert!(kills >= 3, "the backfill was too quick to be killed more than {kills} times");
    for day in range.days() {
        file_equals_truth(&lake.file(&day.to_string()), simulator.tenant(), day);
    }
}
