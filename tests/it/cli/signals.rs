//! Signals that end the process: the second one, and one that `nohup` disables.

use std::{
    io::{BufRead as _, BufReader, Lines},
    process::ChildStderr,
    time::Duration,
};

use feishu_pulse::model::{Clock as _, SystemClock};
use feishu_simulator::{Simulator, SimulatorConfig};
use serde_json::Value;

use crate::{
    cli::process::{CREDENTIALS, RunningProcess},
    support::eventually,
};

/// The log of a process, line by line.
struct Log(Lines<BufReader<ChildStderr>>);

impl Log {
    fn of(process: &mut RunningProcess) -> Self {
        Self(BufReader::new(process.0.stderr.take().expect("a log")).lines())
    }

    /// Reads up to the line that contains `text`.
    fn line_with(&mut self, text: &str) -> Value {
        let mut lines = self.0.by_ref().map_while(Result::ok);
        let line = lines.find(|line| line.contains(text)).unwrap_or_else(|| panic!("no line has {text:?}"));
        serde_json::from_str(&line).expect("JSON")
    }

    fn address(&mut self) -> String {
        format!("http://{}", self.line_with("\"serving\"")["address"].as_str().expect("an address"))
    }
}

async fn slow_simulator() -> Simulator {
    let simulation = SimulatorConfig { users: 40, latency: Duration::from_secs(300), ..SimulatorConfig::default() };
    Simulator::start(simulation, || SystemClock.now()).await.expect("a simulator")
}

fn settings(base: &str) -> Vec<(&str, &str)> {
    let settings = [("FEISHU_BASE_URL", base), ("PULSE_LISTEN", "127.0.0.1:0"), ("PULSE_LOG_FORMAT", "json")];
    [&CREDENTIALS[..], &settings].concat()
}

#[tokio::test]
async fn a_second_signal_ends_the_wait_for_running_requests() {
    let simulator = slow_simulator().await;
    let base = simulator.base_url();
    let mut gateway = RunningProcess::start(&["serve"], &settings(&base));
    let mut log = Log::of(&mut gateway);
    let request = tokio::spawn(reqwest::get(format!("{}/v1/user-days?period=7d", log.address())));
    eventually(async || !simulator.call_log().token_calls().is_empty()).await;

    gateway.signal("TERM");
    log.line_with("shutting down");
    gateway.signal("INT");

    log.line_with("a second signal ended the shutdown");
    assert!(gateway.exit_status().await.success());
    assert!(request.await.expect("no panic").is_err());
}

#[tokio::test]
async fn a_second_signal_ends_the_drain_delay() {
    let simulator = slow_simulator().await;
    let base = simulator.base_url();
    let settings = [&settings(&base)[..], &[("PULSE_DRAIN_DELAY", "1h")]].concat();
    let mut gateway = RunningProcess::start(&["serve"], &settings);
    let mut log = Log::of(&mut gateway);
    let live = format!("{}/livez", log.address());

    gateway.signal("TERM");
    log.line_with("shutting down");
    assert!(reqwest::get(&live).await.is_ok());
    gateway.signal("TERM");

    assert!(gateway.exit_status().await.success());
}

#[tokio::test]
async fn a_process_under_nohup_outlives_its_terminal() {
    let simulator = slow_simulator().await;
    let base = simulator.base_url();
    let settings = [&settings(&base)[..], &[("PULSE_DRAIN_DELAY", "1h")]].concat();
    let mut gateway = RunningProcess::start_prepared("trap '' HUP", &["serve"], &settings);
    let mut log = Log::of(&mut gateway);
    let live = format!("{}/livez", log.address());

    gateway.signal("HUP");
    gateway.signal("TERM");
    log.line_with("shutting down");

    // SIGTERM is the first signal that counts.
    assert!(reqwest::get(&live).await.is_ok());
    gateway.signal("TERM");
    log.line_with("a second signal ended the shutdown");
    assert!(gateway.exit_status().await.success());
}
