//! The command `demo`: a simulated Feishu and the gateway in one process, without any set-up.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Args;
use feishu_simulator::{RateLimits, Simulator, SimulatorConfig, TenantGeo, TenantProfile};
use secrecy::SecretString;
use tokio::{net::TcpListener, sync::watch};

use super::{error::CliError, progress_display, setting_error::SettingError};
use crate::{
    app::{
        self, GatewayConfig,
        maintenance::MaintenanceConfig,
        telemetry::{self, LogFormat, TelemetryConfig},
    },
    feishu::{FeishuConfig, token::AppCredentials},
    model::{Clock as _, DataScope, DayRange, Geo, SystemClock, UserIdType},
    query::{BackfillProgress, BackfillRequest, Backfiller},
    source::{CallerId, Priority},
    store::ArchiveLocation,
};

/// Number of latest days that are fetched at the start.
const WARM_DAYS: u16 = 35;

/// The arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Address that the gateway listens on; if the port is in use, a free port of the same address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Number of people in the simulated tenant over the whole history
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    users: u32,

    /// Days of history of the simulated tenant
    #[arg(long, value_name = "COUNT", default_value_t = 400, value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,

    /// Habits and names of the people
    #[arg(long, value_name = "PROFILE", value_enum, default_value_t = TenantProfile::Story)]
    profile: TenantProfile,

    /// Rate limit of the simulated Feishu; the gateway has to find it
    #[arg(long, value_name = "LIMIT", default_value = "50/s")]
    limit: RateLimits,
}

/// Runs the simulator and the gateway until Ctrl-C.
pub(super) async fn run(args: &DemoArgs) -> Result<(), CliError> {
    if !args.listen.ip().is_loopback() {
        return Err(SettingError::listen("the demo listens on loopback addresses only").into());
    }
    let telemetry_config = TelemetryConfig { filter: "warn".to_owned(), format: LogFormat::Text, collector: None };
    let _telemetry_guard = telemetry::init(&telemetry_config).map_err(|error| SettingError::telemetry(&error))?;
    let signals = app::ShutdownSignals::install()?;
    let simulation = SimulatorConfig {
        users: args.users,
        days: args.days,
        profile: args.profile,
        limits: args.limit.clone(),
        latency: Duration::from_millis(60),
        jitter: Duration::from_millis(60),
        ..SimulatorConfig::default()
    };
    let geos: Vec<Geo> = simulation.geos.iter().copied().map(gateway_geo).collect();
    let config = gateway(&simulation, geos.clone());
    let simulator = Simulator::start(simulation, || SystemClock.now()).await?;
    let config = config(&simulator);
    let gateway = app::build(config, Arc::new(SystemClock)).map_err(|error| SettingError::build(&error))?;
    let listener = listen(args.listen).await?;
    print_guide(args, &simulator.base_url(), listener.local_addr()?);
    let warming = warm(gateway.backfiller.clone(), geos, args.days);
    let run = async {
        let (served, ()) = tokio::join!(app::serve(gateway, listener, std::future::pending()), warming);
        served
    };
    // Stops without draining: a demo has no callers to wait for.
    tokio::select! {
        () = signals.first.cancelled() => {}
        // Serving fails only on TLS errors, and the demo uses no TLS.
        _ = run => {}
    }
    Ok(())
}

/// Returns a function that builds the gateway's configuration once the simulator's address is known.
fn gateway(simulation: &SimulatorConfig, geos: Vec<Geo>) -> impl FnOnce(&Simulator) -> GatewayConfig + use<> {
    let credentials = AppCredentials {
        app_id: simulation.app_id.clone(),
        app_secret: SecretString::from(simulation.app_secret.as_str()),
    };
    move |simulator| {
        let base_url =
            simulator.base_url().parse().unwrap_or_else(|_| unreachable!("a socket address makes a valid URL"));
        GatewayConfig {
            archive: ArchiveLocation::Memory,
            business_metrics: true,
            // A page of a development server has another port.
            cors_loopback: true,
            // `warm` fetches the latest days and shows the progress.
            maintenance: MaintenanceConfig { warm_days: None, ..MaintenanceConfig::default() },
            ..GatewayConfig::new(FeishuConfig::new(base_url, credentials, geos[0]), geos)
        }
    }
}

/// Converts a geo of the simulator to the gateway's type.
const fn gateway_geo(geo: TenantGeo) -> Geo {
    match geo {
        TenantGeo::Cn => Geo::Cn,
        TenantGeo::Us => Geo::Us,
        TenantGeo::Sg => Geo::Sg,
        TenantGeo::Jp => Geo::Jp,
    }
}

/// Fetches the latest days of the simulated tenant and shows the progress.
async fn warm(backfiller: Backfiller, geos: Vec<Geo>, days: u16) {
    let Some(geo) = geos.first() else { return };
    let range = DayRange::ending(geo.latest_produced(SystemClock.now()), days.min(WARM_DAYS));
    let request = BackfillRequest {
        range,
        geos,
        user_id_type: UserIdType::default(),
        scope: DataScope::Everyone,
        priority: Priority::Background,
    };
    let progress = watch::Sender::new(BackfillProgress::default());
    let display = progress_display::show(progress.subscribe());
    // The display ends when the sender is dropped.
    let run = async move {
        let result = backfiller.run(&request, CallerId::from_name("demo"), &progress).await;
        result.map(|()| *progress.borrow())
    };
    match tokio::join!(run, display).0 {
        Ok(progress) => println!("{range} is available: {}", progress_display::format(&progress)),
        Err(error) => eprintln!("the latest days could not be fetched: {error}"),
    }
}

async fn listen(wanted: SocketAddr) -> Result<TcpListener, CliError> {
    if let Ok(listener) = TcpListener::bind(wanted).await {
        return Ok(listener);
    }
    super::serve::listen(SocketAddr::new(wanted.ip(), 0), "--listen")
}

fn print_guide(args: &DemoArgs, upstream: &str, address: SocketAddr) {
    let DemoArgs { users, days, .. } = args;
    println!(
        "\
A simulated Feishu with {users} people and {days} days of data, and the gateway in front of it.

  dashboard          http://{address}
  API                http://{address}/v1
  Swagger UI         http://{address}/docs
  simulated Feishu   {upstream}

Try it. The latest days are being fetched; a request for days that are not fetched yet waits for them. Repeat the
request, and it is served from memory:

  curl 'http://{address}/v1/reports/activity?period=7d'

Against a real tenant:

  FEISHU_APP_ID=cli_... FEISHU_APP_SECRET=... feishu-pulse serve

Ctrl-C stops both."
    );
}
