//! The command `simulate`: serves the simulated Feishu alone.

use feishu_simulator::{SimulateArgs, Simulator};

use super::error::CliError;
use crate::{
    app,
    model::{Clock as _, SystemClock},
};

/// Serves until the process receives a signal to stop.
pub(super) async fn run(args: &SimulateArgs) -> Result<(), CliError> {
    let shutdown = app::ShutdownSignals::install()?.first.cancelled_owned();
    let config = args.config();
    let (address, app_id, app_secret) = (config.listen, config.app_id.clone(), config.app_secret.clone());
    let simulator = Simulator::start(config, || SystemClock.now()).await;
    let simulator = simulator.map_err(|error| CliError::Listen { address, setting: "--listen", error })?;
    println!("The simulated Feishu is at {}. Its app is {app_id} with the secret {app_secret}.", simulator.base_url());
    shutdown.await;
    let calls = simulator.call_log();
    let (answered, rejected) = (calls.successful_stats_calls().len(), calls.rate_limited_calls().len());
    println!("It answered {answered} calls for pages and rejected {rejected} over its rate limit.");
    simulator.shutdown().await;
    Ok(())
}
