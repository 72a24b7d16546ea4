//! The host name of a request, at both listeners.

use feishu_pulse::{api, app};
use feishu_simulator::SimulatorConfig;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{access::callers::send, support::Setup};

/// A gateway with an operations listener, and the address of that listener.
pub(super) async fn with_operations_listener(admin_hosts: &[&str]) -> (Setup, String) {
    let mut settings = None;
    let simulation = SimulatorConfig { users: 5, ..SimulatorConfig::default() };
    let setup = Setup::with(simulation, |config| {
        config.metrics = api::MetricsListener::Operations;
        config.admin_hosts = admin_hosts.iter().map(|name| (*name).to_owned()).collect();
        settings = Some(config.clone());
    })
    .await;
    let gateway = app::build(settings.expect("settings"), setup.clock.clone()).expect("a gateway");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(app::serve_operations(gateway.api, listener));
    (setup, address)
}

/// Sends a request as it is, and returns the status line and the body.
async fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("a response");
    response
}

#[rstest]
#[case::none("")]
#[case::two("Host: localhost\r\nHost: localhost\r\n")]
#[case::two_names("Host: localhost\r\nHost: evil.example\r\n")]
#[case::empty("Host:\r\n")]
#[case::malformed("Host: local host\r\n")]
#[tokio::test]
async fn a_request_without_exactly_one_host_is_400_at_both_listeners(#[case] hosts: &str) {
    let (setup, operations) = with_operations_listener(&[]).await;
    let main = setup.base.trim_start_matches("http://");

    for (address, path) in [(main, "/livez"), (main, "/open-apis/x"), (&operations, "/livez")] {
        let request = format!("GET {path} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let response = exchange(address, &request).await;
        assert!(response.starts_with("HTTP/1.1 400 ") && response.contains("the header `Host` is "), "{response}");
    }
}

#[tokio::test]
async fn http_1_0_needs_no_host() {
    let (setup, _) = with_operations_listener(&[]).await;

    let response = exchange(setup.base.trim_start_matches("http://"), "GET /livez HTTP/1.0\r\n\r\n").await;

    assert!(response.starts_with("HTTP/1.0 200 "), "{response}");
}

#[tokio::test]
async fn the_operations_listener_serves_only_addresses_loopback_names_and_configured_names() {
    let (setup, address) = with_operations_listener(&["pulse-admin"]).await;
    let request = |method: Method, host: &str| {
        let request = setup.http.request(method, format!("http://{address}/log-level"));
        send(request.header("host", host.to_owned()).body("info"))
    };

    for host in ["localhost:9090", "10.1.2.3:9090", "[fd00::1]:9090", "pulse-admin:9090"] {
        // Without a log filter, the path exists for nobody who is served.
        assert_eq!(request(Method::PUT, host).await.status, StatusCode::NOT_FOUND, "{host}");
    }
    for host in ["evil.example", "pulse-admin.evil.example:9090", "10.1.2.3.evil.example"] {
        let refused = request(Method::PUT, host).await;
        assert_eq!(refused.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
        assert_eq!(refused.problem()["code"], "host_not_served");
        assert!(refused.text.contains("PULSE_ADMIN_HOSTS"), "{}", refused.text);
        let metrics = setup.http.get(format!("http://{address}/metrics")).header("host", host);
        assert_eq!(send(metrics).await.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
}
