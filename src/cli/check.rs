//! `check`: a doctor for settings, credentials, scope and data range. It says what is wrong and what to do about it.

use std::{fmt, process::ExitCode, sync::Arc};

use clap::Args;
use reqwest::Url;

use super::{BAD_SETTING, Failure, Settings, UnusableSetting, settings::values::base_url};
use crate::{
    app::{BuildError, GatewayConfig},
    feishu::{
        memo,
        probe::Probe,
        quota::{MonthlyCalls, Quota},
    },
    model::{Clock, Geo, SystemClock},
    source::LoadError,
};

mod archive;
mod cure;
mod live;

/// The exit code where something is amiss.
const FINDINGS: u8 = 1;

/// The share of the month's calls above which somebody should know.
const MUCH: f64 = 0.8;

/// What is to be looked at.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Only ask a running gateway whether it is alive, as a container's health check does
    #[arg(long)]
    live: bool,

    /// The address of that gateway; without it, the one that the settings tell it to listen on
    #[arg(long, value_name = "URL", requires = "live", value_parser = base_url)]
    url: Option<Url>,

    #[command(flatten)]
    settings: Settings,
}

/// One thing that was looked at.
#[derive(Debug)]
struct Finding {
    about: String,
    told: Result<String, Trouble>,
}

/// What is amiss, and what to do about it.
#[derive(Debug)]
struct Trouble {
    what: String,
    cure: String,
}

/// Looks, tells, and sums up in the exit code: 0 where all is well, 1 where not, 2 where the settings are unusable.
pub(super) async fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    if args.live {
        let url = args.url.clone().unwrap_or_else(|| live::address(&args.settings));
        return Ok(report(&[live::look(url).await]));
    }
    let faults = args.settings.faults();
    if !faults.is_empty() {
        for fault in &faults {
            eprintln!("error: {fault}");
        }
        return Ok(ExitCode::from(BAD_SETTING));
    }
    Ok(report(&look(&args.settings.gateway()?).await?))
}

async fn look(config: &GatewayConfig) -> Result<Vec<Finding>, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let probe = Probe::new(&config.feishu, Arc::clone(&clock))
        .map_err(|error| UnusableSetting::build(&BuildError::from(error)))?;
    let mut findings = vec![Finding::well("settings", "usable"), token(&probe).await];
    // Without a token there is nothing to be had; saying so again for each geo would bury the cause.
    if findings.iter().all(Finding::is_well) {
        for geo in &config.geos {
            findings.push(data(&probe, *geo, &*clock).await);
        }
    }
    findings.push(archive::look(config).await);
    findings.extend(config.feishu.memo.as_ref().map(|path| calls(memo::noted_calls(path), config, &*clock)));
    Ok(findings)
}

async fn token(probe: &Probe) -> Finding {
    match probe.token().await {
        Ok(()) => Finding::well("token", "Feishu accepts the app's credentials"),
        Err(error) => Finding::failed("token", &error, None),
    }
}

async fn data(probe: &Probe, geo: Geo, clock: &dyn Clock) -> Finding {
    let (about, day) = (format!("data of {geo}"), geo.latest_produced(clock.now()));
    match probe.shows_anybody(geo, day).await {
        Ok(true) => Finding::well(about, format!("Feishu shows people on {day}")),
        Ok(false) => {
            Finding::trouble(about, format!("Feishu shows nobody on {day}, the latest day"), cure::NOBODY.to_owned())
        }
        Err(error) => Finding::failed(about, &error, Some(geo)),
    }
}

fn calls(noted: std::io::Result<Option<MonthlyCalls>>, config: &GatewayConfig, clock: &dyn Clock) -> Finding {
    let about = "month's calls";
    let month = Quota::month_at(clock.now());
    let made = match noted {
        Ok(noted) => noted.filter(|noted| noted.month == month).map_or(0, |noted| noted.calls),
        Err(error) => {
            return Finding::trouble(about, format!("the count cannot be read: {error}"), cure::MEMO.to_owned());
        }
    };
    let Some(monthly) = config.feishu.quota.monthly else {
        return Finding::well(about, format!("{made} since {month}, without a limit of our own"));
    };
    let told = format!("{made} of {monthly} since {month}");
    if made as f64 >= MUCH * monthly as f64 {
        return Finding::trouble(about, told, cure::CALLS.to_owned());
    }
    Finding::well(about, told)
}

/// Prints the findings. Their sum is the exit code.
fn report(findings: &[Finding]) -> ExitCode {
    for finding in findings {
        println!("{finding}");
    }
    if findings.iter().all(Finding::is_well) { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) }
}

impl Finding {
    fn well(about: impl Into<String>, told: impl Into<String>) -> Self {
        Self { about: about.into(), told: Ok(told.into()) }
    }

    fn trouble(about: impl Into<String>, what: String, cure: String) -> Self {
        Self { about: about.into(), told: Err(Trouble { what, cure }) }
    }

    fn failed(about: impl Into<String>, error: &LoadError, geo: Option<Geo>) -> Self {
        Self::trouble(about, error.to_string(), cure::of(error, geo))
    }

    const fn is_well(&self) -> bool {
        self.told.is_ok()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.told {
            Ok(told) => write!(f, "ok       {:14} {told}", self.about),
            Err(Trouble { what, cure }) => write!(f, "PROBLEM  {:14} {what}\n         {:14} {cure}", self.about, "→"),
        }
    }
}
