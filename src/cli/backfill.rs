//! `backfill`: fills the archive from the command line, and shows how far it is.

use std::{io::IsTerminal as _, sync::Arc, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::{Failure, Settings, UnusableSetting};
use crate::{
    app::{
        self,
        telemetry::{self, TelemetryConfig},
    },
    model::{Day, DayRange, Scope, SystemClock, UserIdType},
    query::{Order, Progress},
    source::{CallerId, Priority},
    store::Location,
};

/// Without a terminal, a line is written this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How long days that were fetched may take to be written once the command is broken off.
const ENDING: Duration = Duration::from_secs(10);

/// What shall be held.
#[derive(Clone, Debug, Args)]
pub struct BackfillArgs {
    /// First day (YYYY-MM-DD)
    #[arg(long, value_name = "DAY")]
    from: Day,

    /// Last day; days that Feishu has not produced yet are left out
    #[arg(long, value_name = "DAY")]
    to: Day,

    /// Which ids the rows carry: `open_id`, `union_id` or `user_id`
    #[arg(long, value_name = "TYPE", default_value = "open_id")]
    user_id_type: UserIdType,

    #[command(flatten)]
    settings: Settings,
}

/// Fills the archive; Ctrl-C ends it between two days, and the next run goes on from there.
pub(super) async fn run(args: &BackfillArgs) -> Result<(), Failure> {
    let range = DayRange::new(args.from, args.to).ok_or_else(UnusableSetting::range)?;
    let config = args.settings.without_listening()?;
    if config.archive == Location::Nowhere {
        return Err(UnusableSetting::no_archive().into());
    }
    // The progress is what is shown; the log only where something is wrong.
    let told = TelemetryConfig { filter: "warn".to_owned(), ..args.settings.telemetry() };
    let told = telemetry::init(&told).map_err(|error| UnusableSetting::telemetry(&error))?;
    let ending = app::shutdown_signal()?;
    let order = Order {
        range,
        geos: config.geos.clone(),
        user_id_type: args.user_id_type,
        scope: Scope::Everyone,
        priority: Priority::Background,
    };
    let gateway = app::build(config, Arc::new(SystemClock)).map_err(|error| UnusableSetting::build(&error))?;
    gateway.claim_archive().await.map_err(|error| UnusableSetting::build(&error))?;

    let progress = watch::Sender::new(Progress::default());
    let shown = show(progress.subscribe());
    let filled = tokio::select! {
        filled = gateway.filler.fill(&order, CallerId::of_name("backfill"), &progress) => Some(filled),
        () = shown => None,
        () = ending => None,
    };
    if let (None, Some((archive, _))) = (&filled, &gateway.archive) {
        archive.flush(ENDING).await;
    }
    told.end().await;
    match filled {
        Some(filled) => {
            filled?;
            println!("{range} is archived: {}", line(&progress.borrow()));
        }
        None => println!("broken off; {}. Run it again to go on.", line(&progress.borrow())),
    }
    Ok(())
}

/// Shows the progress as it changes: a bar on a terminal, else a line now and then.
async fn show(progress: watch::Receiver<Progress>) {
    if std::io::stderr().is_terminal() { show_bar(progress).await } else { show_lines(progress).await }
}

async fn show_bar(mut progress: watch::Receiver<Progress>) {
    let style = ProgressStyle::with_template("{bar:30} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    while progress.changed().await.is_ok() {
        let latest = *progress.borrow_and_update();
        bar.set_length(latest.days as u64);
        bar.set_position(latest.done as u64);
        bar.set_message(line(&latest));
    }
}

async fn show_lines(mut progress: watch::Receiver<Progress>) {
    while progress.changed().await.is_ok() {
        println!("{}", line(&progress.borrow_and_update()));
        tokio::time::sleep(LINE_EVERY).await;
    }
}

fn line(progress: &Progress) -> String {
    let Progress { days, done, fetched, calls, .. } = progress;
    let rate = progress.calls_per_second();
    let left = progress.left().filter(|_| done < days);
    let left = left.map_or_else(String::new, |left| format!(", {} left", indicatif::HumanDuration(left)));
    format!("{done} of {days} days ({fetched} fetched), {calls} calls, {rate:.1}/s{left}")
}
