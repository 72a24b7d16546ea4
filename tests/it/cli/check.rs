//! `check`: the binary reports what is wrong with a setup and what to do about it, as text and by its exit code.

use std::{
    io::{BufRead as _, BufReader},
    process::Output,
};

use feishu_pulse::{
    feishu::quota::MonthlyQuota,
    model::{Clock as _, Geo, SystemClock},
};
use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, Simulator, SimulatorConfig};
use rstest::rstest;
use serde_json::{Value, json};

use crate::cli::process::{CREDENTIALS, RunningProcess, run, settings, text};

const SECRET: &str = CREDENTIALS[1].1;

async fn simulator() -> Simulator {
    Simulator::start(SimulatorConfig { users: 40, ..SimulatorConfig::default() }, || SystemClock.now())
        .await
        .expect("a simulator")
}

/// Runs `check` with valid settings, overridden by `settings`. The state directory does not exist yet.
async fn check(base_url: &str, settings: &[(&str, &str)]) -> Output {
    let state = tempfile::tempdir().expect("a folder");
    let path = state.path().join("state");
    let path = path.to_str().expect("UTF-8");
    let usual = [CREDENTIALS[0], CREDENTIALS[1], ("FEISHU_BASE_URL", base_url), ("PULSE_STATE_DIR", path)];
    let owned = usual.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let settings: Vec<(String, String)> = owned.collect();
    let running = tokio::task::spawn_blocking(move || {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        run(&["check"], &settings)
    });
    running.await.expect("no panic")
}

/// The exit code and the findings. Asserts that the output has no secrets and no text on stderr.
fn findings(output: &Output) -> (Option<i32>, &str) {
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let report = text(&output.stdout);
    assert!(!report.contains(SECRET) && !report.contains("Bearer"), "{report}");
    (output.status.code(), report)
}

#[tokio::test]
async fn a_valid_setup_has_no_findings_and_makes_one_call() {
    let simulator = simulator().await;

    let output = check(&simulator.base_url(), &[]).await;

    let (code, report) = findings(&output);
    assert_eq!(code, Some(0), "{report}");
    assert!(!report.contains("PROBLEM") && report.lines().all(|line| line.starts_with("ok ")), "{report}");
    let calls = simulator.call_log().stats_calls();
    assert_eq!((calls.len(), simulator.call_log().token_calls().len()), (1, 1));
    assert_eq!(calls[0].query.as_ref().map(|query| query.page_size), Some(1));
}

#[tokio::test]
async fn a_key_for_a_department_that_no_row_has_is_a_warning() {
    let (simulator, folder) = (simulator().await, tempfile::tempdir().expect("a folder"));
    let paths = ["data", "keys"].map(|name| folder.path().join(name).to_str().expect("UTF-8").to_owned());
    let [archive, keys] = &paths;
    let line = |name: &str, department: &str| {
        let hash = feishu_pulse::access::KeyHash::of(name);
        format!(
            "{{\"name\":\"{name}\",\"sha256\":\"{hash}\",\"scopes\":[\"users:read\"],\"departments\":[\"{department}\"]}}\n"
        )
    };
    let day = Geo::Cn.latest_produced(SystemClock.now()).plus(-2);
    let home = simulator.tenant().geos().next().expect("a geo");
    let existing = simulator.tenant().rows_of(home, day.date())[0].department_path.clone();
    std::fs::write(keys, line("good", &existing) + &line("misspelt", "Reserch")).expect("a file");
    let settings = [("PULSE_ARCHIVE", archive.as_str()), ("PULSE_API_KEYS_FILE", keys)];

    let before = check(&simulator.base_url(), &settings).await;
    let base = simulator.base_url();
    let (archive, state) = (archive.clone(), folder.path().to_str().expect("UTF-8").to_owned());
    let filling = tokio::task::spawn_blocking(move || {
        let settings = [CREDENTIALS[0], CREDENTIALS[1], ("FEISHU_BASE_URL", &*base), ("PULSE_ARCHIVE", &*archive)];
        let day = day.to_string();
        run(&["backfill", "--from", &day, "--to", &day], &[&settings[..], &[("PULSE_STATE_DIR", &*state)]].concat())
    });
    let filled = filling.await.expect("no panic");
    assert!(filled.status.success(), "{}", text(&filled.stderr));
    let calls = simulator.call_log().stats_calls().len();
    let after = check(&simulator.base_url(), &settings).await;

    let (code, report) = findings(&before);
    assert!(code == Some(0) && !report.contains("WARNING"), "{report}");
    let (code, report) = findings(&after);
    assert_eq!((code, report.matches("WARNING").count()), (Some(0), 1), "{report}");
    assert!(report.contains("misspelt") && report.contains("Reserch"), "{report}");
    assert_eq!(simulator.call_log().stats_calls().len(), calls + 1, "only the check of the data range makes a call");
}

#[tokio::test]
async fn a_wrong_secret_is_one_finding() {
    let simulator = simulator().await;

    let output = check(&simulator.base_url(), &[("FEISHU_APP_SECRET", "hush-hush")]).await;

    let (code, report) = findings(&output);
    assert_eq!((code, report.matches("PROBLEM").count()), (Some(1), 1), "{report}");
    assert!(
        report.contains("10014") && report.contains("FEISHU_APP_SECRET") && !report.contains("hush-hush"),
        "{report}"
    );
    assert_eq!(simulator.call_log().stats_calls().len(), 0);
}

#[rstest]
#[case::scope_missing(99_991_672, "admin:admin_user_stat:readonly")]
#[case::outside_the_data_range(1_051_002, "data range")]
#[case::address_not_allowed(99_991_401, "IP allow list")]
#[case::app_not_installed(11_210, "installed")]
#[case::quota_spent(99_991_403, "next month")]
#[case::rate_limit(99_991_400, "again in a minute")]
#[case::failing(2_200, "Wait a minute")]
#[tokio::test]
async fn an_error_of_feishu_is_reported_with_its_remedy(#[case] fault: i64, #[case] remedy: &str) {
    let simulator = simulator().await;
    simulator.faults().push(InjectedFault::new(FaultKind::error_code(fault)).on(FaultTarget::Stats).times(u32::MAX));

    let output = check(&simulator.base_url(), &[]).await;

    let (code, report) = findings(&output);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains(&fault.to_string()) && report.contains(remedy), "{report}");
    assert_eq!(simulator.call_log().stats_calls().len(), 1, "check makes no second attempt");
}

#[tokio::test]
async fn empty_variables_of_the_storage_count_as_unset() {
    let simulator = simulator().await;
    let storage = [
        ("PULSE_ARCHIVE", "s3://bucket"),
        ("AWS_ENDPOINT_URL_S3", ""),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];

    let output = check(&simulator.base_url(), &storage).await;

    let (_, report) = findings(&output);
    assert!(report.contains("PROBLEM  archive") && !report.contains("is not a URL"), "{report}");
}

#[tokio::test]
async fn blanks_and_byte_order_marks_around_credentials_are_ignored() {
    let simulator = simulator().await;
    let credentials = [("FEISHU_APP_ID", "\u{feff}cli_demo\r\n"), ("FEISHU_APP_SECRET", " demo-secret\n")];

    let output = check(&simulator.base_url(), &credentials).await;

    let (code, report) = findings(&output);
    assert_eq!(code, Some(0), "{report}");
}

#[tokio::test]
async fn a_geo_that_is_not_enabled_is_the_only_finding() {
    let simulator = simulator().await;

    let output = check(&simulator.base_url(), &[("PULSE_GEOS", "cn,jp")]).await;

    let (code, report) = findings(&output);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("ok       data of cn") && report.contains("PROBLEM  data of jp"), "{report}");
    assert!(report.contains("remove it from PULSE_GEOS"), "{report}");
}

#[tokio::test]
async fn an_app_whose_data_range_is_empty_is_a_finding() {
    let simulator =
        Simulator::start(SimulatorConfig { users: 0, ..SimulatorConfig::default() }, || SystemClock.now()).await;
    let simulator = simulator.expect("a simulator");

    let output = check(&simulator.base_url(), &[]).await;

    let (code, report) = findings(&output);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("nobody") && report.contains("data range"), "{report}");
}

#[tokio::test]
async fn an_unreachable_upstream_is_reported_with_its_remedy() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);

    let output = check(&address, &[]).await;

    let (code, report) = findings(&output);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("no connection") && report.contains("firewall"), "{report}");
}

#[tokio::test]
async fn the_calls_of_the_month_are_read_from_the_state_of_the_gateway() {
    let (simulator, state) = (simulator().await, tempfile::tempdir().expect("a folder"));
    let month = MonthlyQuota::month_at(SystemClock.now());
    let state_text = format!("{{\"calls\":{{\"month\":\"{month}\",\"calls\":850}},\"limit\":null}}");
    std::fs::write(state.path().join("upstream.json"), state_text).expect("a file");
    let path = state.path().to_str().expect("UTF-8");

    let plenty = check(&simulator.base_url(), &[("PULSE_STATE_DIR", path)]).await;
    let monthly = [("PULSE_STATE_DIR", path), ("PULSE_UPSTREAM_MONTHLY_QUOTA", "1000")];
    let few = check(&simulator.base_url(), &monthly).await;

    assert_eq!(findings(&plenty).0, Some(0));
    assert!(findings(&plenty).1.contains("850"), "{}", findings(&plenty).1);
    assert_eq!(findings(&few).0, Some(1));
    assert!(findings(&few).1.contains("850 of 1000"), "{}", findings(&few).1);
}

#[tokio::test]
async fn a_certificate_that_other_replicas_refuse_is_a_finding() {
    let (simulator, folder) = (simulator().await, tempfile::tempdir().expect("a folder"));
    let path = |file: &str| folder.path().join(file).to_str().expect("UTF-8").to_owned();
    let certified = rcgen::generate_simple_self_signed(["pulse".to_owned()]).expect("a certificate");
    // A certificate that nobody has signed is its own authority.
    for (file, text) in [("crt", certified.cert.pem()), ("key", certified.signing_key.serialize_pem())] {
        std::fs::write(path(file), text).expect("written");
    }
    let (certificate, key) = (path("crt"), path("key"));
    for (name, expected) in [("pulse", "ok       fleet TLS "), ("other", "PROBLEM  fleet TLS ")] {
        let settings = [
            ("PULSE_FLEET", "redis://127.0.0.1:1"),
            ("PULSE_ARCHIVE", "s3://lake"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            ("PULSE_FLEET_ADDRESS", "10.1.2.3:9091"),
            ("PULSE_FLEET_TLS_CERT", &certificate),
            ("PULSE_FLEET_TLS_KEY", &key),
            ("PULSE_FLEET_TLS_CA", &certificate),
            ("PULSE_FLEET_TLS_NAME", name),
        ];

        let output = check(&simulator.base_url(), &settings).await;

        let (_, report) = findings(&output);
        assert!(report.contains(expected), "{report}");
    }
}

#[test]
fn every_invalid_setting_is_reported_on_its_own_line() {
    let settings = [
        ("PULSE_LISTEN", "0.0.0.0:80"),
        ("PULSE_GEOS", "cn,cn"),
        ("PULSE_LOG", "a=b=c"),
        ("PULSE_OIDC_AUDIENCE", "feishu-pulse"),
        ("PULSE_PSEUDONYM_KEY_FILE", "no-such-file"),
    ];

    let output = run(&["check"], &settings);

    let report = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{report}");
    let missing = ["FEISHU_APP_ID", "FEISHU_APP_SECRET"];
    assert_eq!(report.lines().count(), settings.len() + missing.len(), "{report}");
    for setting in settings.map(|(name, _)| name).into_iter().chain(missing) {
        assert_eq!(report.lines().filter(|line| line.contains(&format!("{setting} (--"))).count(), 1, "{report}");
    }
}

#[test]
fn every_value_that_cannot_be_parsed_is_reported() {
    let settings = settings();
    let environment: Vec<_> =
        settings.iter().map(|setting| (setting["variable"].as_str().expect("a variable"), "?")).collect();
    // Any text is a path, a name or a secret.
    let is_typed = |setting: &&Value| setting["schema"] != json!({ "type": "string" });
    let typed: Vec<_> =
        settings.iter().filter(is_typed).map(|setting| setting["option"].as_str().expect("an option")).collect();

    let output = run(&["check"], &environment);

    let report = text(&output.stderr);
    assert_eq!((output.status.code(), report.lines().count()), (Some(2), typed.len()), "{report}");
    for option in typed {
        // `PULSE_WARM (--warm) is "…": expected …`
        let named = |line: &&str| line.contains(&format!("(--{option}) is \"?***\": expected "));
        assert_eq!(report.lines().filter(named).count(), 1, "--{option} is not in\n{report}");
    }
}

#[tokio::test]
async fn a_running_gateway_passes_the_live_check_and_serves_metrics_on_the_admin_listener() {
    let simulator = simulator().await;
    let base = simulator.base_url();
    let state = tempfile::tempdir().expect("a folder");
    let settings = [
        CREDENTIALS[0],
        CREDENTIALS[1],
        ("FEISHU_BASE_URL", base.as_str()),
        ("PULSE_STATE_DIR", state.path().to_str().expect("UTF-8")),
        ("PULSE_LISTEN", "127.0.0.1:0"),
        ("PULSE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("PULSE_LOG_FORMAT", "json"),
    ];
    let mut gateway = RunningProcess::start(&["serve"], &settings);
    let mut log = BufReader::new(gateway.0.stderr.take().expect("a log")).lines().map_while(Result::ok);
    let mut address = || {
        let line: Value = serde_json::from_str(&log.next().expect("a line")).expect("JSON");
        format!("http://{}", line["address"].as_str().expect("an address"))
    };
    let (main, operators) = (address(), address());

    let metrics = reqwest::get(format!("{operators}/metrics")).await.expect("an answer");
    let not_here = reqwest::get(format!("{main}/metrics")).await.expect("an answer");
    let nothing_else = reqwest::get(format!("{operators}/v1/coverage")).await.expect("an answer");
    let alive = [run(&["check", "--live", "--url", &main], &[]), run(&["check", "--live", "--url", &operators], &[])];
    drop(gateway);
    let dead = run(&["check", "--live"], &[("PULSE_LISTEN", main.trim_start_matches("http://"))]);

    assert!(metrics.text().await.expect("a page").contains("feishu_pulse_build_info"));
    assert_eq!((not_here.status().as_u16(), nothing_else.status().as_u16()), (404, 404));
    assert!(alive.iter().all(|output| output.status.success()));
    assert_eq!(findings(&dead).0, Some(1));
}
