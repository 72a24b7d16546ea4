//! Measures a restart with one year of 20,000 people, or of `PULSE_BENCH_PEOPLE`, in the archive: `cargo bench --bench archive`.
//!
//! Fills an archive in the folder `PULSE_BENCH_LAKE` (default: a temporary folder) from the simulated Feishu, unless it
//! is filled already. Then starts the binary repeatedly and requests a report on the year. Prints lines of JSON;
//! `benches/archive/run` shows them beside the results of `DuckDB` on the same files.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use adaptive_throttle::ThrottleConfig;
use feishu_pulse::{
    app::{self, GatewayConfig},
    feishu::{FeishuConfig, token::AppCredentials},
    model::{Clock as _, DataScope, DayRange, Geo, SystemClock, UserIdType},
    query::{BackfillProgress, BackfillRequest},
    source::{CallerId, Priority},
    store::ArchiveLocation,
};
use feishu_simulator::{Simulator, SimulatorConfig};
use tokio::{net::TcpListener, sync::watch, time::Instant};

const DEFAULT_PEOPLE: u32 = 20_000;
const DAYS: u16 = 365;
const ROUNDS: usize = 7;

/// The fixed address of the simulator. It is part of the archive's owner record, so it must be the same in every run.
const SIMULATOR: &str = "127.0.0.1:39365";

fn people() -> u32 {
    std::env::var("PULSE_BENCH_PEOPLE").map_or(DEFAULT_PEOPLE, |number| number.parse().expect("a number"))
}

#[tokio::main]
async fn main() {
    let scratch = tempfile::tempdir().expect("a folder");
    let lake = std::env::var_os("PULSE_BENCH_LAKE").map_or_else(|| scratch.path().join("lake"), PathBuf::from);
    let listen = SIMULATOR.parse().expect("an address");
    let simulation = SimulatorConfig { listen, users: people(), days: DAYS + 40, ..SimulatorConfig::default() };
    let simulator = Simulator::start(simulation, || SystemClock.now()).await.expect("a simulator");
    // The year ends with the second latest day, because the latest one is provisional.
    let year = DayRange::ending(Geo::Cn.latest_produced(SystemClock.now()).plus(-1), DAYS);
    fill(&lake, &simulator, year).await;
    print_size(&lake, year);
    simulator.call_log().clear();

    let path = format!("/v1/reports/activity?start_date={}&end_date={}", year.first(), year.last());
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(restart(&lake, &simulator, &path).await);
    }
    let figure = |name: &str, of: fn(&Round) -> f64| {
        let mut times: Vec<f64> = rounds.iter().map(of).collect();
        times.sort_by(f64::total_cmp);
        println!("{}", serde_json::json!({ "figure": name, "median": times[ROUNDS / 2], "worst": times[ROUNDS - 1] }));
    };
    figure("start to /readyz, ms", |round| round.ready);
    figure("first year of activity, ms", |round| round.first);
    figure("the same again, ms", |round| round.second);
    figure("memory after it, MB", |round| round.resident);
    let calls = simulator.call_log().stats_calls().len();
    println!("{}", serde_json::json!({ "figure": "upstream calls", "median": calls, "worst": calls }));
    println!("{}", serde_json::json!({ "first": year.first().to_string(), "last": year.last().to_string() }));
}

/// The results of one restart: times in milliseconds, memory in megabytes.
struct Round {
    ready: f64,
    first: f64,
    second: f64,
    resident: f64,
}

/// Fetches the year with a backfill through the whole gateway.
async fn fill(lake: &Path, simulator: &Simulator, year: DayRange) {
    let credentials = AppCredentials {
        app_id: simulator.config().app_id.clone(),
        app_secret: simulator.config().app_secret.as_str().into(),
    };
    let base_url = simulator.base_url().parse().expect("a URL");
    let feishu = FeishuConfig {
        throttle: ThrottleConfig { start_rate: 5_000.0, ..ThrottleConfig::default() },
        ..FeishuConfig::new(base_url, credentials, Geo::Cn)
    };
    let config = GatewayConfig {
        cache_bytes: 256 << 20,
        archive: ArchiveLocation::Folder(lake.to_owned()),
        ..GatewayConfig::new(feishu, vec![Geo::Cn])
    };
    let gateway = app::build(config, Arc::new(SystemClock)).expect("a gateway");
    let request = BackfillRequest {
        range: year,
        geos: vec![Geo::Cn],
        user_id_type: UserIdType::OpenId,
        scope: DataScope::Everyone,
        priority: Priority::Background,
    };
    let (began, progress) = (Instant::now(), watch::Sender::new(BackfillProgress::default()));
    gateway.backfiller.run(&request, CallerId::from_name("backfill"), &progress).await.expect("a year");
    let fetched = progress.borrow().fetched;
    eprintln!("{fetched} days fetched and archived in {:.0} s", began.elapsed().as_secs_f64());
}

/// Prints the size of the files.
fn print_size(lake: &Path, year: DayRange) {
    let bytes: u64 = year
        .days()
        .map(|day| lake.join(format!("user_days/geo=cn/user_id_type=open_id/date={day}/part-0.parquet")))
        .map(|file| file.metadata().expect("a file of each day").len())
        .sum();
    let megabytes = bytes as f64 / 1e6;
    println!("{}", serde_json::json!({ "figure": "the year on disk, MB", "median": megabytes, "worst": megabytes }));
}

/// Starts the binary, requests `path` twice, and kills it.
async fn restart(lake: &Path, simulator: &Simulator, path: &str) -> Round {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let state = tempfile::tempdir().expect("a folder");
    let http = reqwest::Client::builder().no_gzip().build().expect("a client");
    let get = |path: &str| http.get(format!("http://{address}{path}")).send();

    let started = Instant::now();
    let mut process = serve(lake, simulator, state.path(), &address.to_string());
    while !get("/readyz").await.is_ok_and(|answer| answer.status().is_success()) {
        assert!(started.elapsed() < Duration::from_secs(60), "the gateway is not ready within 60 s");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let ready = milliseconds(started);
    let mut times = [0.0; 2];
    for time in &mut times {
        let started = Instant::now();
        let answer = get(path).await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
        let body: serde_json::Value = answer.json().await.expect("JSON");
        assert_eq!(body["data"].as_array().map(Vec::len), Some(usize::from(DAYS)));
        *time = milliseconds(started);
    }
    let metrics = get("/metrics").await.expect("an answer").text().await.expect("a body");
    let figure = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    assert_eq!(figure("feishu_pulse_archive_reads_total{read=\"rows\"}"), Some(0.0), "no rows are decoded");
    let resident = figure("process_resident_memory_bytes").unwrap_or(f64::NAN) / 1e6;
    process.kill().expect("a running process");
    process.wait().expect("a status");
    Round { ready, first: times[0], second: times[1], resident }
}

fn serve(lake: &Path, simulator: &Simulator, state: &Path, listen: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-pulse"));
    command.env_clear().arg("serve").stdin(Stdio::null()).stdout(Stdio::null());
    command.env("FEISHU_BASE_URL", simulator.base_url()).env("PULSE_ARCHIVE", lake).env("PULSE_STATE_DIR", state);
    command.env("FEISHU_APP_ID", &simulator.config().app_id).env("FEISHU_APP_SECRET", &simulator.config().app_secret);
    command.env("PULSE_LISTEN", listen).env("PULSE_WARM", "off").env("PULSE_LOG", "warn");
    // The settings of the allocator.
    command.envs(std::env::vars().filter(|(name, _)| name.starts_with("MIMALLOC_")));
    command.spawn().expect("the binary")
}

fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e4).round() / 10.0
}
