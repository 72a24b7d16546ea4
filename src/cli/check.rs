//! `check`: diagnoses settings, credentials, scope and data range, and suggests remedies.

use std::{process::ExitCode, sync::Arc};

use clap::Args;
use reqwest::Url;

use super::{
    error::CliError,
    setting_error::SettingError,
    settings::{Settings, values::base_url},
};
use crate::{
    app::{BuildError, GatewayConfig},
    feishu::{
        access_probe::AccessProbe,
        quota::{MonthlyCalls, MonthlyQuota},
        state_file,
    },
    model::{Clock, Geo, SystemClock},
};

mod archive;
mod departments;
mod finding;
mod fleet;
mod live;
mod permissions;
mod remedy;

use finding::Finding;

/// Exit code if a check failed.
const FAILED_CHECK_EXIT_CODE: u8 = 1;

/// The share of the monthly quota above which `check` reports a problem.
const QUOTA_WARNING_SHARE: f64 = 0.8;

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Only check whether a running gateway is alive, as a container health check does
    #[arg(long)]
    live: bool,

    /// The address of that gateway. By default the address in `PULSE_LISTEN`
    #[arg(long, value_name = "URL", requires = "live", value_parser = base_url)]
    url: Option<Url>,

    #[command(flatten)]
    settings: Settings,
}

/// Runs all checks and prints the results. The exit code is 0 if all passed, 1 if one failed, and 2 if settings are
/// invalid.
pub(super) async fn run(args: &CheckArgs) -> Result<ExitCode, CliError> {
    if args.live {
        let url = args.url.clone().unwrap_or_else(|| args.settings.local_url(args.settings.listen));
        return Ok(print_findings(&[live::check(url).await]));
    }
    let errors = args.settings.errors();
    if !errors.is_empty() {
        for error in &errors {
            eprintln!("error: {error}");
        }
        return Ok(ExitCode::from(SettingError::EXIT_CODE));
    }
    Ok(print_findings(&run_checks(&args.settings.gateway_config()?).await?))
}

async fn run_checks(config: &GatewayConfig) -> Result<Vec<Finding>, CliError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let probe = AccessProbe::new(&config.feishu, Arc::clone(&clock))
        .map_err(|error| SettingError::build(&BuildError::from(error)))?;
    let mut findings = vec![Finding::passed("settings", "valid"), check_token(&probe).await];
    // Without a token every geo would fail for the same reason.
    if findings.iter().all(Finding::is_passed) {
        for geo in &config.geos {
            findings.push(check_data(&probe, *geo, &*clock).await);
        }
    }
    findings.push(archive::check(config).await);
    findings.extend(fleet::check_store(config).await?);
    findings.extend(fleet::check_tls(config)?);
    findings.extend(permissions::check(config));
    findings.extend(departments::check(config, Arc::clone(&clock)).await);
    findings.extend(
        config
            .feishu
            .state_file
            .as_ref()
            .map(|path| check_monthly_calls(state_file::recorded_calls(path), config, &*clock)),
    );
    Ok(findings)
}

async fn check_token(probe: &AccessProbe) -> Finding {
    match probe.check_token().await {
        Ok(()) => Finding::passed("token", "Feishu accepts the app's credentials"),
        Err(error) => Finding::load_error("token", &error, None),
    }
}

async fn check_data(probe: &AccessProbe, geo: Geo, clock: &dyn Clock) -> Finding {
    let (subject, day) = (format!("data of {geo}"), geo.latest_produced(clock.now()));
    match probe.has_rows(geo, day).await {
        Ok(true) => Finding::passed(subject, format!("Feishu returns people for {day}")),
        Ok(false) => Finding::failed_with(
            subject,
            format!("Feishu returns nobody for {day}, the latest day"),
            remedy::NO_ROWS.to_owned(),
        ),
        Err(error) => Finding::load_error(subject, &error, Some(geo)),
    }
}

fn check_monthly_calls(
    recorded: std::io::Result<Option<MonthlyCalls>>,
    config: &GatewayConfig,
    clock: &dyn Clock,
) -> Finding {
    let subject = "month's calls";
    let current_month = MonthlyQuota::month_at(clock.now());
    let made = match recorded {
        Ok(recorded) => {
            recorded.filter(|recorded| recorded.month == current_month).map_or(0, |recorded| recorded.calls)
        }
        Err(error) => {
            return Finding::failed_with(
                subject,
                format!("the state file cannot be read: {error}"),
                remedy::STATE_FILE.to_owned(),
            );
        }
    };
    let Some(monthly) = config.feishu.quota.monthly_limit else {
        return Finding::passed(subject, format!("{made} calls since {current_month}, without a configured limit"));
    };
    let message = format!("{made} of {monthly} calls since {current_month}");
    if made as f64 >= QUOTA_WARNING_SHARE * monthly as f64 {
        return Finding::failed_with(subject, message, remedy::MONTHLY_QUOTA.to_owned());
    }
    Finding::passed(subject, message)
}

/// Prints the findings and returns the exit code.
fn print_findings(findings: &[Finding]) -> ExitCode {
    for finding in findings {
        println!("{finding}");
    }
    if findings.iter().all(Finding::is_passed) { ExitCode::SUCCESS } else { ExitCode::from(FAILED_CHECK_EXIT_CODE) }
}
