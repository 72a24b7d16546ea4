//! The command line: what can be asked of the binary, and what each answer needs.

use std::{io::Write as _, net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio::net::{TcpListener, TcpSocket};

mod backfill;
mod check;
mod demo;
mod key;
mod problems;
mod reference;
mod refusal;
mod settings;

pub use backfill::BackfillArgs;
pub use check::CheckArgs;
pub use demo::DemoArgs;
pub use key::KeyArgs;
pub use settings::{Settings, UnusableSetting};

use crate::{
    api,
    app::{self, GatewayConfig, telemetry},
    model::SystemClock,
    sim::{SimulateArgs, Simulator},
};

/// The exit code for a setting that is missing or impossible.
const BAD_SETTING: u8 = 2;

/// A caching HTTP proxy and aggregation service in front of Feishu's `admin_user_stats` API.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the gateway
    Serve(Box<Settings>),
    /// Try it: a simulated Feishu and the gateway in one process, on loopback
    Demo(Box<DemoArgs>),
    /// Fill the archive with the days of a range; safe to break off and to run again
    Backfill(Box<BackfillArgs>),
    /// Serve the simulated Feishu alone
    Simulate(Box<SimulateArgs>),
    /// Make access keys
    Key(KeyArgs),
    /// See whether everything is set up: settings, credentials, scope, data range; or whether a gateway runs
    Check(Box<CheckArgs>),
    /// Print the OpenAPI document
    Openapi,
    /// Print the reference of all settings, as Markdown
    #[command(hide = true)]
    Settings,
    /// Print what every kind of problem means, as Markdown
    #[command(hide = true)]
    Problems,
}

/// Why a command ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A setting is missing or impossible.
    #[error(transparent)]
    Setting(#[from] UnusableSetting),
    /// The address can't be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// A day could not be fetched.
    #[error("{0}; what was fetched by then is archived: run it again to go on")]
    Backfill(#[from] crate::source::LoadError),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Does what the command line says; a failure is one line on standard error.
pub async fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refusal::refuse(error),
    };
    match cli.command.run().await {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(if matches!(failure, Failure::Setting(_)) { BAD_SETTING } else { 1 })
        }
    }
}

impl Command {
    async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Serve(settings) => serve(&settings).await?,
            Self::Demo(args) => demo::run(&args).await?,
            Self::Backfill(args) => backfill::run(&args).await?,
            Self::Simulate(args) => simulate(&args).await?,
            Self::Key(args) => key::run(&args)?,
            Self::Check(args) => return check::run(&args).await,
            Self::Openapi => {
                let document = api::openapi().to_pretty_json().map_err(std::io::Error::other)?;
                writeln!(std::io::stdout().lock(), "{document}")?;
            }
            Self::Settings => write!(std::io::stdout().lock(), "{}", reference::settings())?,
            Self::Problems => write!(std::io::stdout().lock(), "{}", problems::page())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn serve(settings: &Settings) -> Result<(), Failure> {
    let config = settings.gateway()?;
    let told = telemetry::init(&settings.telemetry()).map_err(|error| UnusableSetting::telemetry(&error))?;
    let config = GatewayConfig { log_filter: Some(told.log_filter.clone()), ..config };
    let ending = app::shutdown_signal()?;
    let gateway =
        app::build(config, std::sync::Arc::new(SystemClock)).map_err(|error| UnusableSetting::build(&error))?;
    gateway.claim_archive().await.map_err(|error| UnusableSetting::build(&error))?;
    let listener = listen(settings.listen)?;
    tracing::info!(address = %listener.local_addr()?, upstream = %settings.base_url, "serving");
    if let Some(address) = settings.admin_listen {
        let listener = listen(address)?;
        tracing::info!(address = %listener.local_addr()?, "serving probes, metrics and the log level");
        tokio::spawn(app::serve_operations(gateway.operations.clone(), listener));
    }
    let served = app::serve(gateway, listener, ending).await;
    told.end().await;
    served.map_err(|error| UnusableSetting::tls(&error))?;
    Ok(())
}

async fn simulate(args: &SimulateArgs) -> Result<(), Failure> {
    let ending = app::shutdown_signal()?;
    let config = args.config();
    let (address, app_id, app_secret) = (config.listen, config.app_id.clone(), config.app_secret.clone());
    let simulator = Simulator::start(config, std::sync::Arc::new(SystemClock)).await;
    let simulator = simulator.map_err(|error| Failure::Listen { address, error })?;
    println!("The simulated Feishu is at {}. Its app is {app_id} with the secret {app_secret}.", simulator.base_url());
    ending.await;
    simulator.shutdown().await;
    Ok(())
}

/// Connections that the operating system holds for us until they are accepted. Of more that come at once, each is tried again
/// by its client after a second; by itself tokio asks for 128.
const QUEUE: u32 = 1024;

fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // So that a restart need not wait for the connections of the process before it.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(QUEUE)
    };
    listen().map_err(|error| Failure::Listen { address, error })
}

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, time::Duration};

    use super::*;

    #[tokio::test]
    async fn many_may_connect_before_any_is_accepted() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        // The operating system has a bound of its own.
        let bound =
            std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|text| text.trim().parse().ok());
        let many = bound.map_or(100, |bound: usize| bound.min(300));

        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(5));
        let connected: Result<Vec<_>, _> = (0..many).map(connect).collect();

        assert!(connected.is_ok(), "{connected:?}");
    }
}
