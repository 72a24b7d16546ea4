//! `check --live`: checks that a gateway responds, for container runtimes with command health checks.

use std::time::Duration;

use reqwest::{Client, Url};

use super::finding::Finding;

/// Time limit of the health request.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Requests `/livez` from the gateway at `url`.
pub(super) async fn check(mut url: Url) -> Finding {
    url.set_path(&format!("{}/livez", url.path().trim_end_matches('/')));
    match request_status(url.clone()).await {
        Ok(status) if status.is_success() => Finding::passed("gateway", format!("{url} responds")),
        Ok(status) => not_alive(format!("{url} responds with status {status}")),
        Err(error) => not_alive(format!("{url} does not respond: {}", error.without_url())),
    }
}

async fn request_status(url: Url) -> Result<reqwest::StatusCode, reqwest::Error> {
    // A proxy cannot reach the loopback address of this machine.
    let client = Client::builder().timeout(TIMEOUT).no_proxy();
    // The certificate contains the name of the service and not the loopback address. The request contains no secrets.
    let is_loopback = url.host_str().is_some_and(|host| host == "127.0.0.1" || host == "[::1]");
    let client = client.tls_danger_accept_invalid_certs(is_loopback).build()?;
    Ok(client.get(url).send().await?.status())
}

fn not_alive(problem: String) -> Finding {
    Finding::failed_with(
        "gateway",
        problem,
        "Check that the gateway is running, read its log, and check that --url is its address.".to_owned(),
    )
}
