//! `backfill`: fills the archive from the command line and shows the progress.

use std::{io::IsTerminal as _, sync::Arc, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::{error::CliError, setting_error::SettingError, settings::Settings};
use crate::{
    app::{
        self,
        telemetry::{self, TelemetryConfig},
    },
    model::{DataScope, Day, DayRange, SystemClock, UserIdType},
    query::{BackfillProgress, BackfillRequest},
    source::{CallerId, Priority},
    store::ArchiveLocation,
};

/// Interval of progress lines if standard error is not a terminal.
const PROGRESS_LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How long pending archive writes may take after an interruption.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of `backfill`.
#[derive(Clone, Debug, Args)]
pub struct BackfillArgs {
    /// First day (YYYY-MM-DD)
    #[arg(long, value_name = "DAY")]
    from: Day,

    /// Last day (YYYY-MM-DD). Days that Feishu has not produced yet are left out
    #[arg(long, value_name = "DAY")]
    to: Day,

    /// The type of user ids in the rows: `open_id`, `union_id` or `user_id`
    #[arg(long, value_name = "TYPE", default_value = "open_id")]
    user_id_type: UserIdType,

    #[command(flatten)]
    settings: Settings,
}

/// Fills the archive. A signal such as Ctrl-C interrupts it, and the next run continues from there.
pub(super) async fn run(args: &BackfillArgs) -> Result<(), CliError> {
    let range = DayRange::new(args.from, args.to).ok_or_else(SettingError::reversed_range)?;
    let config = args.settings.gateway_config_without_listener()?;
    if config.archive == ArchiveLocation::Disabled {
        return Err(SettingError::no_archive().into());
    }
    // The progress is printed, so the log shows only warnings.
    let telemetry_config = TelemetryConfig { filter: "warn".to_owned(), ..args.settings.telemetry() };
    let telemetry_guard = telemetry::init(&telemetry_config).map_err(|error| SettingError::telemetry(&error))?;
    let signals = app::ShutdownSignals::install()?;
    let request = BackfillRequest {
        range,
        geos: config.geos.clone(),
        user_id_type: args.user_id_type,
        scope: DataScope::Everyone,
        priority: Priority::Background,
    };
    let gateway = app::build(config, Arc::new(SystemClock)).map_err(|error| SettingError::build(&error))?;
    gateway.claim_archive().await.map_err(|error| SettingError::build(&error))?;
    if let Some((archive, _)) = &gateway.archive {
        archive.remove_temp_files().await;
    }

    let progress = watch::Sender::new(BackfillProgress::default());
    let display = show_progress(progress.subscribe());
    let result = tokio::select! {
        result = gateway.backfiller.run(&request, CallerId::from_name("backfill"), &progress) => Some(result),
        () = display => None,
        () = signals.first.cancelled() => None,
    };
    if let (None, Some((archive, _))) = (&result, &gateway.archive) {
        tokio::select! {
            () = archive.flush(FLUSH_TIMEOUT) => {}
            () = signals.second.cancelled() => {}
        }
    }
    telemetry_guard.end().await;
    match result {
        Some(result) => {
            result?;
            println!("{range} is archived: {}", format_progress(&progress.borrow()));
        }
        None => println!("interrupted; {}. Run the command again to continue.", format_progress(&progress.borrow())),
    }
    Ok(())
}

/// Shows the progress: a bar on a terminal, otherwise lines at intervals.
async fn show_progress(progress: watch::Receiver<BackfillProgress>) {
    if std::io::stderr().is_terminal() { show_bar(progress).await } else { show_lines(progress).await }
}

async fn show_bar(mut progress: watch::Receiver<BackfillProgress>) {
    let style = ProgressStyle::with_template("{bar:30} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    while progress.changed().await.is_ok() {
        let latest = *progress.borrow_and_update();
        bar.set_length(latest.days as u64);
        bar.set_position(latest.done as u64);
        bar.set_message(format_progress(&latest));
    }
}

async fn show_lines(mut progress: watch::Receiver<BackfillProgress>) {
    while progress.changed().await.is_ok() {
        println!("{}", format_progress(&progress.borrow_and_update()));
        tokio::time::sleep(PROGRESS_LINE_INTERVAL).await;
    }
}

fn format_progress(progress: &BackfillProgress) -> String {
    let BackfillProgress { days, done, fetched, calls, .. } = progress;
    let rate = progress.calls_per_second();
    let remaining = progress.remaining_time().filter(|_| done < days);
    let remaining = remaining.map_or_else(String::new, |left| format!(", {} left", indicatif::HumanDuration(left)));
    format!("{done} of {days} days ({fetched} fetched), {calls} calls, {rate:.1}/s{remaining}")
}
