//! Serves a simulated Feishu until Ctrl-C.

use std::{io, process::ExitCode};

use clap::Parser;
use feishu_simulator::{SimulateArgs, Simulator};
use jiff::Timestamp;

/// A simulated Feishu that serves the `admin_user_stats` API of an invented tenant.
#[derive(Debug, Parser)]
#[command(name = "feishu-simulator", version, about, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    simulate: SimulateArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Cli::parse().simulate).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the library takes the clock as an argument; this is the real one")]
async fn run(args: &SimulateArgs) -> io::Result<()> {
    let config = args.config();
    let (app_id, app_secret) = (config.app_id.clone(), config.app_secret.clone());
    let listen = config.listen;
    let simulator = Simulator::start(config, Timestamp::now)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}")))?;
    println!("The simulated Feishu is at {}. Its app is {app_id} with the secret {app_secret}.", simulator.base_url());
    tokio::signal::ctrl_c().await?;
    simulator.shutdown().await;
    Ok(())
}
