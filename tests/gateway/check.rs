//! `check`: the real binary says what is wrong with a set-up and what to do about it, in words and by its exit code.

use std::{
    io::{BufRead as _, BufReader},
    process::Output,
    sync::Arc,
};

use feishu_pulse::{
    feishu::quota::Quota,
    model::{Clock as _, SystemClock},
    sim::{Calls, Fault, Mishap, SimConfig, Simulator},
};
use rstest::rstest;
use serde_json::Value;

use crate::process::{CREDENTIALS, Running, run, text};

const SECRET: &str = CREDENTIALS[1].1;

async fn simulator() -> Simulator {
    Simulator::start(SimConfig { users: 40, ..SimConfig::default() }, Arc::new(SystemClock)).await.expect("a simulator")
}

/// Runs `check` with usable settings and those given; later ones win. The state is kept in a folder of its own.
async fn check(base_url: &str, settings: &[(&str, &str)]) -> Output {
    let state = tempfile::tempdir().expect("a folder");
    let path = state.path().to_str().expect("UTF-8");
    let usual = [CREDENTIALS[0], CREDENTIALS[1], ("FEISHU_BASE_URL", base_url), ("PULSE_STATE_DIR", path)];
    let owned = usual.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let settings: Vec<(String, String)> = owned.collect();
    let running = tokio::task::spawn_blocking(move || {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        run(&["check"], &settings)
    });
    running.await.expect("no panic")
}

/// What was said, with the exit code. However it ends, no secret is told and nothing but findings is said.
fn told(output: &Output) -> (Option<i32>, &str) {
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(!told.contains(SECRET) && !told.contains("Bearer"), "{told}");
    (output.status.code(), told)
}

#[tokio::test]
async fn a_good_set_up_has_no_findings_and_costs_one_call_for_a_row() {
    let simulator = simulator().await;

    let output = check(&simulator.base_url(), &[]).await;

    let (code, told) = told(&output);
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("PROBLEM") && told.lines().all(|line| line.starts_with("ok ")), "{told}");
    let calls = simulator.ledger().stats_calls();
    assert_eq!((calls.len(), simulator.ledger().token_calls().len()), (1, 1));
    assert_eq!(calls[0].query.as_ref().map(|query| query.page_size), Some(1));
}

#[tokio::test]
async fn a_wrong_secret_is_one_finding() {
    let simulator = simulator().await;

    let output = check(&simulator.base_url(), &[("FEISHU_APP_SECRET", "hush-hush")]).await;

    let (code, told) = told(&output);
    assert_eq!((code, told.matches("PROBLEM").count()), (Some(1), 1), "{told}");
    assert!(told.contains("10014") && told.contains("FEISHU_APP_SECRET") && !told.contains("hush-hush"), "{told}");
    assert_eq!(simulator.ledger().stats_calls().len(), 0);
}

#[rstest]
#[case::scope_missing(99_991_672, "admin:admin_user_stat:readonly")]
#[case::outside_the_data_range(1_051_002, "data range")]
#[case::address_not_allowed(99_991_401, "IP allow list")]
#[case::app_not_installed(11_210, "installed")]
#[case::quota_spent(99_991_403, "next month")]
#[case::rate_limit(99_991_400, "look again")]
#[case::failing(2_200, "FEISHU_BASE_URL")]
#[tokio::test]
async fn what_feishu_finds_wrong_is_told_with_what_to_do(#[case] fault: i64, #[case] cure: &str) {
    let simulator = simulator().await;
    simulator.faults().push(Fault::new(Mishap::code(fault)).on(Calls::Stats).times(u32::MAX));

    let output = check(&simulator.base_url(), &[]).await;

    let (code, told) = told(&output);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&fault.to_string()) && told.contains(cure), "{told}");
    assert_eq!(simulator.ledger().stats_calls().len(), 1, "a doctor does not insist");
}

#[tokio::test]
async fn a_geo_that_is_not_enabled_is_named_and_the_others_are_well() {
    let simulator = simulator().await;

    let output = check(&simulator.base_url(), &[("PULSE_GEOS", "cn,jp")]).await;

    let (code, told) = told(&output);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("ok       data of cn") && told.contains("PROBLEM  data of jp"), "{told}");
    assert!(told.contains("take it out of PULSE_GEOS"), "{told}");
}

#[tokio::test]
async fn an_app_that_sees_nobody_is_told_so() {
    let simulator = Simulator::start(SimConfig { users: 0, ..SimConfig::default() }, Arc::new(SystemClock)).await;
    let simulator = simulator.expect("a simulator");

    let output = check(&simulator.base_url(), &[]).await;

    let (code, told) = told(&output);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("nobody") && told.contains("data range"), "{told}");
}

#[tokio::test]
async fn an_upstream_out_of_reach_is_told_with_what_to_look_at() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", nobody.local_addr().expect("an address"));
    drop(nobody);

    let output = check(&address, &[]).await;

    let (code, told) = told(&output);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("no connection") && told.contains("firewall"), "{told}");
}

#[tokio::test]
async fn the_months_calls_are_taken_from_what_the_gateway_has_noted() {
    let (simulator, state) = (simulator().await, tempfile::tempdir().expect("a folder"));
    let month = Quota::month_at(SystemClock.now());
    let memo = format!("{{\"calls\":{{\"month\":\"{month}\",\"calls\":850}},\"limit\":null}}");
    std::fs::write(state.path().join("upstream.json"), memo).expect("a file");
    let path = state.path().to_str().expect("UTF-8");

    let plenty = check(&simulator.base_url(), &[("PULSE_STATE_DIR", path)]).await;
    let monthly = [("PULSE_STATE_DIR", path), ("PULSE_UPSTREAM_MONTHLY_QUOTA", "1000")];
    let few = check(&simulator.base_url(), &monthly).await;

    assert_eq!(told(&plenty).0, Some(0));
    assert!(told(&plenty).1.contains("850"), "{}", told(&plenty).1);
    assert_eq!(told(&few).0, Some(1));
    assert!(told(&few).1.contains("850 of 1000"), "{}", told(&few).1);
}

#[test]
fn every_unusable_setting_is_told_in_a_line_of_its_own() {
    let settings = [("PULSE_LISTEN", "0.0.0.0:80"), ("PULSE_GEOS", "cn,cn"), ("PULSE_LOG", "a=b=c")];

    let output = run(&["check"], &settings);

    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert_eq!(told.lines().count(), 5, "{told}");
    for setting in ["PULSE_LISTEN", "FEISHU_APP_ID", "FEISHU_APP_SECRET", "PULSE_GEOS", "PULSE_LOG"] {
        assert_eq!(told.lines().filter(|line| line.starts_with(&format!("error: {setting} "))).count(), 1, "{told}");
    }
}

#[test]
fn every_value_that_cannot_be_read_is_told_too() {
    let settings =
        [("PULSE_LISTEN", "here"), ("PULSE_CACHE_BYTES", "much"), ("PULSE_GEOS", "mars"), ("PULSE_LOG_FORMAT", "xml")];

    let output = run(&["check"], &settings);

    let told = text(&output.stderr);
    assert_eq!((output.status.code(), told.lines().count()), (Some(2), 4), "{told}");
    for option in ["--listen", "--cache-bytes", "--geos", "--log-format"] {
        assert_eq!(told.lines().filter(|line| line.contains(option)).count(), 1, "{told}");
    }
}

#[tokio::test]
async fn a_running_gateway_is_found_alive_and_its_operators_address_has_the_metrics() {
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
    let mut gateway = Running::start(&["serve"], &settings);
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
    assert_eq!(told(&dead).0, Some(1));
}
