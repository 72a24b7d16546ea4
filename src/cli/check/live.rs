//! `check --live`: whether a gateway answers, for container runtimes that look by running a command.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use reqwest::{Client, Url};

use super::Finding;
use crate::cli::Settings;

/// A gateway that takes longer to say that it lives does not.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Where the gateway with these settings can be reached from the same machine.
pub(super) fn address(settings: &Settings) -> Url {
    let listen = settings.listen;
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if settings.tls_cert.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", SocketAddr::new(ip, listen.port()));
    url.parse().unwrap_or_else(|_| unreachable!("an address makes a URL"))
}

/// Asks the gateway at `url`.
pub(super) async fn look(mut url: Url) -> Finding {
    url.set_path(&format!("{}/livez", url.path().trim_end_matches('/')));
    match ask(url.clone()).await {
        Ok(status) if status.is_success() => Finding::well("gateway", format!("{url} answers")),
        Ok(status) => dead(format!("{url} answers {status}")),
        Err(error) => dead(format!("{url} does not answer: {}", error.without_url())),
    }
}

async fn ask(url: Url) -> Result<reqwest::StatusCode, reqwest::Error> {
    // A proxy leads elsewhere, not to this machine.
    let client = Client::builder().timeout(TIMEOUT).no_proxy();
    // A certificate names the service, not this machine's own address; nothing is told to whoever answers.
    let is_own = url.host_str().is_some_and(|host| host == "127.0.0.1" || host == "[::1]");
    let client = client.tls_danger_accept_invalid_certs(is_own).build()?;
    Ok(client.get(url).send().await?.status())
}

fn dead(what: String) -> Finding {
    Finding::trouble("gateway", what, "See that it runs, what it logs, and that --url is its address.".to_owned())
}
