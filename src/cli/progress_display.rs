//! The progress of a backfill on standard error or, without a terminal, as lines on standard output.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::query::BackfillProgress;

/// Interval of progress lines if standard error is not a terminal.
const PROGRESS_LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows the progress: a bar on a terminal, otherwise lines at intervals.
pub(super) async fn show(progress: watch::Receiver<BackfillProgress>) {
    if std::io::stderr().is_terminal() { show_bar(progress).await } else { show_lines(progress).await }
}

async fn show_bar(mut progress: watch::Receiver<BackfillProgress>) {
    let style = ProgressStyle::with_template("{bar:30} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    while progress.changed().await.is_ok() {
        let latest = *progress.borrow_and_update();
        bar.set_length(latest.days as u64);
        bar.set_position(latest.done as u64);
        bar.set_message(format(&latest));
    }
}

async fn show_lines(mut progress: watch::Receiver<BackfillProgress>) {
    while progress.changed().await.is_ok() {
        println!("{}", format(&progress.borrow_and_update()));
        // Ends with the backfill.
        let has_ended = async { while progress.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(PROGRESS_LINE_INTERVAL, has_ended).await;
    }
}

/// The progress as text: days, calls, rate and remaining time.
pub(super) fn format(progress: &BackfillProgress) -> String {
    let BackfillProgress { days, done, fetched, calls, .. } = progress;
    let rate = progress.calls_per_second();
    let remaining = progress.remaining_time().filter(|_| done < days);
    let remaining = remaining.map_or_else(String::new, |left| format!(", {} left", indicatif::HumanDuration(left)));
    format!("{done} of {days} days ({fetched} fetched), {calls} calls, {rate:.1}/s{remaining}")
}
