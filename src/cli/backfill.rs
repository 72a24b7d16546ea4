//! `backfill`: fills the archive from the command line and shows the progress.

use std::{sync::Arc, time::Duration};

use clap::Args;
use tokio::sync::watch;

use super::{error::CliError, progress_display, setting_error::SettingError, settings::Settings};
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
    let display = progress_display::show(progress.subscribe());
    let result = tokio::select! {
        result = gateway.backfiller.run(&request, CallerId::from_name("backfill"), &progress) => Some(result),
        () = display => None,
        () = signals.first.cancelled() => None,
    };
    if let (None, Some((archive, _))) = (&result, &gateway.archive) {
        let save = async {
            if let Some(upstream) = &gateway.upstream {
                let _ = tokio::time::timeout(FLUSH_TIMEOUT, upstream.save_chains()).await;
            }
            archive.flush(FLUSH_TIMEOUT).await;
        };
        tokio::select! {
            () = save => {}
            () = signals.second.cancelled() => {}
        }
    }
    telemetry_guard.end().await;
    match result {
        Some(result) => {
            result?;
            println!("{range} is archived: {}", progress_display::format(&progress.borrow()));
        }
        None => println!(
            "interrupted; {}. Run the command again to continue.",
            progress_display::format(&progress.borrow())
        ),
    }
    Ok(())
}
