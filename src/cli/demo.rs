//! `demo`: a simulated Feishu and the gateway in one process, for a first look without any set-up.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Args;
use secrecy::SecretString;
use tokio::net::TcpListener;

use super::{Failure, UnusableSetting};
use crate::{
    app::{
        self, GatewayConfig,
        telemetry::{self, LogFormat, TelemetryConfig},
        upkeep::UpkeepConfig,
    },
    feishu::{FeishuConfig, token::Credentials},
    model::SystemClock,
    sim::{Limits, SimConfig, Simulator},
    store::Location,
};

/// What the demonstration shows.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Where the gateway listens; where that is taken, any free port of the same address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// People of the simulated tenant
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    users: u32,

    /// Days of its history
    #[arg(long, value_name = "COUNT", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,

    /// Its rate limit, which the gateway has to find out
    #[arg(long, value_name = "LIMIT", default_value = "50/s")]
    limit: Limits,
}

/// Runs both until Ctrl-C.
pub(super) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() {
        return Err(UnusableSetting::listen("the demonstration listens on loopback only").into());
    }
    let told = TelemetryConfig { filter: "warn".to_owned(), format: LogFormat::Text, collector: None };
    let _told = telemetry::init(&told).map_err(|error| UnusableSetting::telemetry(&error))?;
    let ending = app::shutdown_signal()?;
    let simulation = SimConfig {
        users: args.users,
        days: args.days,
        limits: args.limit.clone(),
        latency: Duration::from_millis(60),
        jitter: Duration::from_millis(60),
        ..SimConfig::default()
    };
    let config = gateway(&simulation);
    let simulator = Simulator::start(simulation, Arc::new(SystemClock)).await?;
    let config = config(&simulator);
    let gateway = app::build(config, Arc::new(SystemClock)).map_err(|error| UnusableSetting::build(&error))?;
    let listener = listen(args.listen).await?;
    print_guide(args, &simulator.base_url(), listener.local_addr()?);
    // Ends both at once: nobody waits for a demonstration to drain.
    tokio::select! {
        () = ending => {}
        // Without TLS, serving cannot fail.
        _ = app::serve(gateway, listener, std::future::pending()) => {}
    }
    Ok(())
}

/// A gateway for the simulated tenant, once its address is known.
fn gateway(simulation: &SimConfig) -> impl FnOnce(&Simulator) -> GatewayConfig + use<> {
    let credentials = Credentials {
        app_id: simulation.app_id.clone(),
        app_secret: SecretString::from(simulation.app_secret.as_str()),
    };
    let geos = simulation.geos.clone();
    move |simulator| {
        let base_url = simulator.base_url().parse().unwrap_or_else(|_| unreachable!("an address makes a URL"));
        GatewayConfig {
            archive: Location::Memory,
            business_metrics: true,
            // What is shown is what the visitor asks for.
            upkeep: UpkeepConfig { warm_days: None, ..UpkeepConfig::default() },
            ..GatewayConfig::new(FeishuConfig::new(base_url, credentials, geos[0]), geos)
        }
    }
}

async fn listen(wanted: SocketAddr) -> Result<TcpListener, Failure> {
    if let Ok(listener) = TcpListener::bind(wanted).await {
        return Ok(listener);
    }
    super::listen(SocketAddr::new(wanted.ip(), 0))
}

fn print_guide(args: &DemoArgs, upstream: &str, address: SocketAddr) {
    let DemoArgs { users, days, .. } = args;
    println!(
        "\
A simulated Feishu of {users} people and {days} days, and the gateway in front of it.

  API                http://{address}
  Swagger UI         http://{address}/docs
  simulated Feishu   {upstream}

Try it. The first answer takes some seconds, since the gateway has to find out how fast Feishu may be asked; ask
again, and it comes from memory:

  curl 'http://{address}/v1/reports/activity?period=7d'

Against a real tenant:

  FEISHU_APP_ID=cli_... FEISHU_APP_SECRET=... feishu-pulse serve

Ctrl-C ends both."
    );
}
