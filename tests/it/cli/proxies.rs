//! Forward proxies in the environment.

use std::io::Read as _;

use feishu_pulse::model::{Clock as _, SystemClock};
use feishu_simulator::{Simulator, SimulatorConfig};
use rstest::rstest;
use tokio::net::TcpListener;

use crate::cli::process::{CREDENTIALS, RunningProcess};

/// Runs `check` with these settings, and returns its report.
async fn check(settings: &[(&str, &str)]) -> String {
    let settings = [&CREDENTIALS[..], settings].concat();
    let process = RunningProcess::start(&["check"], &settings);
    let output = tokio::task::spawn_blocking(move || {
        let mut process = process;
        let mut report = String::new();
        let mut stdout = process.0.stdout.take().expect("a report");
        stdout.read_to_string(&mut report).expect("text");
        report
    });
    output.await.expect("no panic")
}

#[rstest]
#[case::http("HTTP_PROXY")]
#[case::lower_case("http_proxy")]
#[case::all("ALL_PROXY")]
#[tokio::test]
async fn services_of_this_machine_are_reached_without_a_proxy(#[case] variable: &str) {
    let simulator = Simulator::start(SimulatorConfig { users: 5, ..SimulatorConfig::default() }, || SystemClock.now());
    let simulator = simulator.await.expect("a simulator");
    let base = simulator.base_url();
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", proxy.local_addr().expect("an address"));
    let by_name = base.replace("127.0.0.1", "localhost");

    for base in [&base, &by_name] {
        let settings = [
            ("FEISHU_BASE_URL", base.as_str()),
            (variable, &address),
            ("PULSE_ARCHIVE", "s3://lake"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ];
        let report = check(&settings).await;
        assert!(report.contains("ok       token") && report.contains("ok       data of cn"), "{report}");
        assert!(report.contains("PROBLEM  archive"), "{report}");
    }

    let connection = proxy.accept();
    assert!(futures_util::FutureExt::now_or_never(connection).is_none(), "the proxy was used");
}

#[rstest]
#[case::all_hosts("*", false)]
#[case::another_host("example.com", true)]
#[tokio::test]
async fn no_proxy_with_an_asterisk_holds_for_addresses(#[case] no_proxy: &str, #[case] uses_proxy: bool) {
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", proxy.local_addr().expect("an address"));
    // No address of a host (RFC 1112): a direct connection fails at once.
    let settings =
        [("FEISHU_BASE_URL", "http://240.0.0.1:9"), ("HTTP_PROXY", address.as_str()), ("NO_PROXY", no_proxy)];

    let connected = tokio::select! {
        connection = proxy.accept() => connection.is_ok(),
        report = check(&settings) => {
            assert!(report.contains("PROBLEM  token"), "{report}");
            futures_util::FutureExt::now_or_never(proxy.accept()).is_some()
        }
    };

    assert_eq!(connected, uses_proxy);
}

#[rstest]
#[case("HTTP_PROXY", "http://proxy:port")]
#[case("https_proxy", "socks5://proxy:1080")]
#[case("ALL_PROXY", "proxy 3128")]
#[tokio::test]
async fn a_proxy_that_is_no_address_is_an_error(#[case] variable: &str, #[case] value: &str) {
    let mut serve = RunningProcess::start(&["serve"], &[&CREDENTIALS[..], &[(variable, value)]].concat());
    let status = serve.exit_status().await;
    let mut stderr = String::new();
    serve.0.stderr.take().expect("an output").read_to_string(&mut stderr).expect("text");

    assert_eq!((status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.starts_with(&format!("error: {variable} ({value}) ")), "{stderr}");
}
