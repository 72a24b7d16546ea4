//! How far estimates are from the actual time. Prints the table of docs/throttle.md:
//! `cargo test --test it estimates -- --ignored --nocapture`.

use std::time::Duration;

use adaptive_throttle::ThrottleConfig;
use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, PageTokenStyle, SimulatorConfig};
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::Value;
use tokio::time::Instant;

use crate::support::{ApiResponse, NOON, Setup, eventually};

const MONTH: &str = "/v1/reports/activity?trailing=held&start_date=2026-10-10&end_date=2026-11-09";
const ANOTHER_MONTH: &str = "/v1/reports/activity?trailing=held&start_date=2026-09-01&end_date=2026-10-01";

/// One row of the table.
#[derive(Clone, Copy, Debug)]
struct Case {
    users: u32,
    calls_per_second: u32,
    page_tokens: PageTokenStyle,
    /// Whether a day was fetched before, so that the number of rows per day is known.
    size_is_known: bool,
    /// Whether another caller waits for another month.
    other_caller: bool,
}

impl Case {
    /// A gateway that has used its limit before.
    async fn setup(self, folder: &std::path::Path) -> Setup {
        let state_file = folder.join("state.json");
        let state = serde_json::json!({
            "calls": { "month": "2026-11-01", "calls": 1, "exhausted": false },
            "limit": { "calls": self.calls_per_second, "window_seconds": 1.0, "learned_at": NOON },
        });
        std::fs::write(&state_file, state.to_string()).expect("a written file");
        let simulation = SimulatorConfig {
            users: self.users,
            turnover: 0.0,
            days: 120,
            page_tokens: self.page_tokens,
            limits: format!("{}/s", self.calls_per_second).parse().expect("a limit"),
            latency: Duration::from_millis(100),
            jitter: Duration::from_millis(200),
            ..SimulatorConfig::default()
        };
        Setup::with(simulation, |config| {
            config.feishu.throttle = ThrottleConfig::default();
            config.feishu.state_file = Some(state_file);
            config.request_timeout = Duration::from_secs(1_000);
        })
        .await
    }
}

/// The seconds that the gateway estimates for the month: `Retry-After`, and `seconds_left` of the job at `location`.
async fn estimates(setup: &Setup, location: &str) -> (String, String) {
    let request = setup.http.get(format!("{}{MONTH}", setup.base)).header("prefer", "wait=0");
    let answer = ApiResponse::read(request.send().await.expect("an answer")).await;
    let retry_after = answer.headers.get("retry-after").map_or("-", |value| value.to_str().expect("text"));
    let job = setup.get(location).await.json();
    (retry_after.to_owned(), job["seconds_left"].as_u64().map_or_else(|| "-".to_owned(), |left| left.to_string()))
}

/// A page names only the next one, so nothing tells how many pages a day has before its last page is received.
#[rstest]
#[case::of_a_new_tenant(None)]
#[case::of_a_tenant_whose_days_were_fetched_with_other_ids(Some("union_id"))]
#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_needs_a_day_of_the_tenant(#[case] fetched_with: Option<&str>) {
    let folder = tempfile::tempdir().expect("a folder");
    let case = Case {
        users: 600,
        calls_per_second: 50,
        page_tokens: PageTokenStyle::Opaque,
        size_is_known: fetched_with.is_some(),
        other_caller: false,
    };
    let setup = case.setup(folder.path()).await;
    if let Some(user_id_type) = fetched_with {
        let day = "trailing=held&start_date=2026-11-15&end_date=2026-11-15";
        setup.get(&format!("/v1/reports/activity?{day}&user_id_type={user_id_type}")).await.json();
    }
    // No day is completed: five pages arrive.
    setup.simulator.faults().push(InjectedFault::new(FaultKind::Hang).on(FaultTarget::Stats).after(5).times(u32::MAX));
    let calls = setup.upstream_calls();
    let request = setup.http.get(format!("{}{MONTH}", setup.base)).header("prefer", "respond-async");
    let accepted = ApiResponse::read(request.send().await.expect("an answer")).await;
    let accepted_job: Value = serde_json::from_str(&accepted.text).expect("JSON");
    eventually(async || setup.upstream_calls() > calls + 5).await;

    let location = accepted.headers["location"].to_str().expect("a path");
    let (retry_after, seconds_left) = estimates(&setup, location).await;

    if fetched_with.is_some() {
        assert!(accepted_job["seconds_left"].is_u64() && seconds_left != "-", "{accepted_job}, {seconds_left}");
        return;
    }
    // A polling interval.
    assert_eq!((retry_after.as_str(), seconds_left.as_str()), ("10", "-"));
    assert_eq!(
        (&accepted.headers["retry-after"], &accepted_job["seconds_left"]),
        (&"10".parse().unwrap(), &Value::Null)
    );
    // When the calls in flight have timed out, the first day arrives.
    setup.simulator.faults().clear();
    eventually(async || setup.get(location).await.json()["seconds_left"].is_u64()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes; prints a table"]
async fn estimates_of_a_month_after_three_seconds() {
    let case = |users, calls_per_second, page_tokens, size_is_known, other_caller| Case {
        users,
        calls_per_second,
        page_tokens,
        size_is_known,
        other_caller,
    };
    println!(
        "| people | limit | page tokens | size known | another caller | after, s | `Retry-After` | `seconds_left` | actual |"
    );
    println!("| --: | --- | --- | --- | --- | --: | --: | --: | --: |");
    for case in [
        case(600, 20, PageTokenStyle::Opaque, true, false),
        case(600, 50, PageTokenStyle::Opaque, true, false),
        case(600, 20, PageTokenStyle::Opaque, true, true),
        case(600, 20, PageTokenStyle::Opaque, false, false),
        case(6_000, 20, PageTokenStyle::PageNumber, true, false),
        case(6_000, 50, PageTokenStyle::PageNumber, true, false),
        case(6_000, 50, PageTokenStyle::Opaque, true, false),
        case(6_000, 50, PageTokenStyle::Opaque, true, true),
        case(6_000, 50, PageTokenStyle::Opaque, false, false),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let setup = case.setup(folder.path()).await;
        if case.size_is_known {
            setup.get("/v1/reports/activity?trailing=held&start_date=2026-11-15&end_date=2026-11-15").await.json();
        }
        let began = Instant::now();
        let other = case.other_caller.then(|| {
            let request = setup.http.get(format!("{}{ANOTHER_MONTH}", setup.base));
            tokio::spawn(async move { request.send().await })
        });
        let request = setup.http.get(format!("{}{MONTH}", setup.base)).header("prefer", "respond-async");
        let accepted = ApiResponse::read(request.send().await.expect("an answer")).await;
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
        let location = accepted.headers["location"].to_str().expect("a path").to_owned();
        let first = accepted.headers["retry-after"].to_str().expect("text").to_owned();
        let mut rows = vec![(began.elapsed(), first, "-".to_owned())];
        for after in [3, 10, 30, u64::MAX] {
            let until = Duration::from_secs(after);
            while began.elapsed() < until && setup.get(&location).await.json()["state"] == "running" {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            if began.elapsed() >= until {
                let (retry_after, seconds_left) = estimates(&setup, &location).await;
                rows.push((began.elapsed(), retry_after, seconds_left));
            }
        }
        let total = began.elapsed();
        for (after, retry_after, seconds_left) in rows {
            println!(
                "| {} | {}/s | {:?} | {} | {} | {:.1} | {retry_after} | {seconds_left} | {:.1} |",
                case.users,
                case.calls_per_second,
                case.page_tokens,
                case.size_is_known,
                case.other_caller,
                after.as_secs_f64(),
                total.saturating_sub(after).as_secs_f64(),
            );
        }
        if let Some(other) = other {
            other.abort();
        }
    }
}
