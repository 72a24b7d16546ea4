//! The binary: command-line errors, help, the demo, and shutdown.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use feishu_pulse::model::{Clock as _, SystemClock};
use feishu_simulator::{Simulator, SimulatorConfig};
use rstest::rstest;
use serde_json::Value;

use crate::support::eventually;

pub(crate) const CREDENTIALS: [(&str, &str); 2] = [("FEISHU_APP_ID", "cli_demo"), ("FEISHU_APP_SECRET", "demo-secret")];

/// The binary with an empty environment, without an archive, and with its state in a temporary directory.
fn binary(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-pulse"));
    command.args(arguments);
    with_environment(command, environment)
}

/// The same, started by a shell that first runs `preparation`, such as `umask 022`.
fn prepared_binary(preparation: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new("sh");
    let script = format!("{preparation}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_feishu-pulse")]).args(arguments);
    with_environment(command, environment)
}

fn with_environment(mut command: Command, environment: &[(&str, &str)]) -> Command {
    let state = std::env::temp_dir().join(format!("feishu-pulse-{}", std::process::id()));
    command.env_clear();
    command.env("PULSE_ARCHIVE", "none").env("PULSE_WARM", "off").env("PULSE_STATE_DIR", state);
    command.envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    binary(arguments, environment).output().expect("the binary")
}

/// All settings, as the command `settings` prints them.
pub(crate) fn settings() -> Vec<Value> {
    let settings: Vec<Value> = serde_json::from_slice(&run(&["settings"], &[]).stdout).expect("JSON");
    assert!(settings.len() > 30, "{settings:?}");
    settings
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// A running process. Drop kills it.
pub(crate) struct RunningProcess(pub(crate) Child);

impl RunningProcess {
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self(binary(arguments, environment).spawn().expect("the binary"))
    }

    pub(crate) fn start_prepared(preparation: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self(prepared_binary(preparation, arguments, environment).spawn().expect("the binary"))
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0.id())]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    pub(crate) async fn exit_status(&mut self) -> std::process::ExitStatus {
        eventually(async || self.0.try_wait().expect("a child").is_some()).await;
        self.0.wait().expect("a status")
    }
}

impl Drop for RunningProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_address_in_use_is_reported_in_one_line() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();

    let output = run(&["serve", "--listen", &address], &[CREDENTIALS[0], CREDENTIALS[1], ("PULSE_LOG", "off")]);

    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr).lines().count(), 1);
    assert!(text(&output.stderr).contains(&address));
    assert!(text(&output.stderr).contains("set PULSE_LISTEN (--listen) to another port"));
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let settings = settings();
    let variables = settings.iter().map(|setting| setting["variable"].as_str().expect("a variable"));
    for blank in ["", " ", "\r\n"] {
        let environment: Vec<_> = variables.clone().map(|variable| (variable, blank)).collect();

        let output = run(&["check"], &environment);

        let stderr = text(&output.stderr);
        assert!(stderr.lines().all(|line| line.contains("is not set")), "{stderr}");
        assert_eq!(stderr.lines().count(), 2, "the app's id and secret: {stderr}");
    }
}

#[rstest]
#[case::check("check", &["Feishu:", "Server:", "Access control:", "Storage:", "Days:"], &[])]
#[case::backfill("backfill", &["Feishu:", "Storage:"], &["PULSE_MAX_REQUESTS", "PULSE_LISTEN]", "Access control:"])]
fn the_help_shows_what_a_command_reads_under_headings(
    #[case] command: &str,
    #[case] shown: &[&str],
    #[case] hidden: &[&str],
) {
    let output = run(&[command, "--help"], &[]);

    let help = text(&output.stdout);
    assert!(shown.iter().all(|text| help.contains(text)), "{help}");
    assert!(!hidden.iter().any(|text| help.contains(text)), "{help}");
}

#[test]
fn a_key_in_the_keys_file_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    std::fs::write(&path, format!("fpk_{}\n", "a".repeat(43))).unwrap();
    let path = path.to_str().unwrap();

    let output = run(&["serve"], &[CREDENTIALS[0], CREDENTIALS[1], ("PULSE_API_KEYS_FILE", path)]);

    let stderr = text(&output.stderr);
    assert!(stderr.contains("PULSE_API_KEYS_FILE") && stderr.contains("key new"), "{stderr}");
    assert!(!stderr.contains("fpk_aaa"), "{stderr}");
}

/// Starts a gateway that prefetches days, and returns the lines of its log until `end` is logged.
async fn log_until(environment: &[(&str, &str)], end: &str) -> Vec<String> {
    let environment = [&[("PULSE_WARM", "on"), ("PULSE_LISTEN", "127.0.0.1:0")], environment].concat();
    let mut gateway = RunningProcess::start(&["serve"], &environment);
    let log = BufReader::new(gateway.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let (sender, lines) = std::sync::mpsc::channel();
    // Ends with the process.
    std::thread::spawn(move || log.for_each(|line| drop(sender.send(line))));
    let mut read = Vec::new();
    eventually(async || {
        read.extend(lines.try_iter());
        read.iter().any(|line| line.contains(end))
    })
    .await;
    read
}

#[tokio::test]
async fn a_wrong_secret_is_one_error_with_its_remedy_and_one_line_about_the_days() {
    let simulator = Simulator::start(SimulatorConfig::default(), || SystemClock.now()).await.unwrap();
    let base = simulator.base_url();
    let environment = [CREDENTIALS[0], ("FEISHU_APP_SECRET", "wrong"), ("FEISHU_BASE_URL", &base)];

    let log = log_until(&environment, "could not be prefetched").await;

    let of_level = |level: &str| log.iter().filter(|line| line.contains(level)).collect::<Vec<_>>();
    let [error] = of_level(" ERROR ")[..] else { panic!("one error: {log:#?}") };
    assert!(error.contains("Compare FEISHU_APP_ID and FEISHU_APP_SECRET"), "{error}");
    let [warning] = of_level(" WARN ")[..] else { panic!("one warning: {log:#?}") };
    assert!(warning.contains("days=35"), "{warning}");
}

#[tokio::test]
async fn the_log_names_the_addresses_what_is_prefetched_and_when_it_is_available() {
    let simulation = SimulatorConfig { users: 5, ..SimulatorConfig::default() };
    let simulator = Simulator::start(simulation, || SystemClock.now()).await.unwrap();
    let base = simulator.base_url();
    let environment = [CREDENTIALS[0], CREDENTIALS[1], ("FEISHU_BASE_URL", &base), ("PULSE_WARM_DAYS", "3")];

    let log = log_until(&environment, "the latest days are available").await.join("\n");

    assert!(log.contains("/docs") && log.contains("prefetching the latest days"), "{log}");
    assert_eq!(log.matches("days=3 ").count(), 2, "{log}");
}

#[tokio::test]
async fn the_log_names_the_public_addresses_if_there_is_a_public_url() {
    let public = ("PULSE_PUBLIC_URL", "https://bi.example.com/pulse");
    let environment = [CREDENTIALS[0], CREDENTIALS[1], public, ("FEISHU_BASE_URL", "http://127.0.0.1:1")];

    let log = log_until(&environment, "serving").await.join("\n");

    assert!(log.contains("dashboard=https://bi.example.com/pulse "), "{log}");
    assert!(log.contains("docs=\"https://bi.example.com/pulse/docs\""), "{log}");
}

#[test]
fn the_help_lists_every_setting() {
    let output = run(&["serve", "--help"], &CREDENTIALS);

    let help = text(&output.stdout);
    assert!(output.status.success());
    for setting in settings() {
        let setting = setting["variable"].as_str().expect("a variable");
        assert!(
            help.contains(&format!("[env: {setting}=")) || help.contains(&format!("[env: {setting}]")),
            "{setting} is not in\n{help}"
        );
    }
    assert!(!help.contains("demo-secret"));
}

#[test]
fn the_chinese_reference_has_every_setting_with_its_default() {
    let reference = include_str!("../../../docs/zh/settings.md");
    for setting in settings() {
        let variable = setting["variable"].as_str().expect("a variable");
        let row = reference.lines().find(|line| line.starts_with(&format!("| `{variable}` |")));
        let row = row.unwrap_or_else(|| panic!("{variable} is missing"));
        if let Some(default) = setting["default"].as_str() {
            assert!(row.contains(&format!("| `{default}` |")), "{variable}: the default is {default}: {row}");
        }
    }
}

#[test]
fn the_openapi_document_is_printed() {
    let output = run(&["openapi"], &[]);

    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(output.status.success());
    assert_eq!(document["info"]["title"], "feishu-pulse");
}

#[tokio::test]
async fn the_demo_responds_and_ends_with_ctrl_c() {
    let mut demo = RunningProcess::start(&["demo", "--users", "30", "--listen", "127.0.0.1:0"], &[]);
    let mut guide = BufReader::new(demo.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let curl = guide.find(|line| line.trim_start().starts_with("curl ")).expect("something to try");
    let url = curl.split('\'').nth(1).expect("an address").to_owned();

    let answer = reqwest::get(&url).await.expect("an answer");
    let (status, body) = (answer.status(), answer.json::<Value>().await.expect("JSON"));
    let departments = reqwest::get(url.replace("activity", "departments")).await.expect("an answer");
    let departments = departments.text().await.expect("a text");
    let page =
        reqwest::Client::new().get(&url).header("origin", "http://localhost:5173").send().await.expect("an answer");
    let allowed_origin = page.headers().get("access-control-allow-origin").cloned();
    let is_warm = guide.any(|line| line.contains(" is available: 35 of 35 days"));
    demo.signal("INT");

    assert!(status.is_success(), "{body}");
    assert_eq!(body["data"].as_array().map(Vec::len), Some(7));
    // A department of the profile `story`.
    assert!(departments.contains("运营部"), "{departments}");
    assert_eq!(allowed_origin.expect("a page of a development server may read"), "http://localhost:5173");
    assert!(is_warm);
    assert!(demo.exit_status().await.success());
}

#[rstest]
#[tokio::test]
async fn a_signal_ends_the_process_after_the_requests_in_progress(
    #[values("TERM", "INT", "QUIT", "HUP")] signal: &str,
) {
    let latency = Duration::from_millis(200);
    let simulator =
        Simulator::start(SimulatorConfig { users: 40, latency, ..SimulatorConfig::default() }, || SystemClock.now())
            .await
            .unwrap();
    let base = simulator.base_url();
    let settings = [
        CREDENTIALS[0],
        CREDENTIALS[1],
        ("FEISHU_BASE_URL", base.as_str()),
        ("PULSE_LISTEN", "127.0.0.1:0"),
        ("PULSE_LOG", "info,feishu_pulse=trace"),
        ("PULSE_LOG_FORMAT", "json"),
    ];
    let mut gateway = RunningProcess::start(&["serve"], &settings);
    let mut log = BufReader::new(gateway.0.stderr.take().unwrap());
    let mut first = String::new();
    log.read_line(&mut first).expect("a line");
    let serving: Value = serde_json::from_str(&first).expect("JSON");
    let address = serving["address"].as_str().expect("an address");
    let url = format!("http://{address}/v1/user-days?period=7d");
    let _silent = std::net::TcpStream::connect(address).expect("a connection");

    let request = tokio::spawn(reqwest::get(url));
    eventually(async || !simulator.call_log().stats_calls().is_empty()).await;
    gateway.signal(signal);
    let answer = request.await.expect("no panic").expect("an answer");
    let body: Value = answer.json().await.expect("JSON");
    let status = gateway.exit_status().await;

    assert!(status.success());
    let person = &body["data"][0];
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("the log");
    for private in ["demo-secret", "Bearer", person["user_id"].as_str().unwrap(), person["user_name"].as_str().unwrap()]
    {
        assert!(!rest.contains(private) && !first.contains(private), "{private} is in\n{rest}");
    }
    assert!(rest.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{rest}");
}
