//! The command line: commands and their execution.

use std::{io::Write as _, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use rustix::{fs::Mode, process::umask};

mod backfill;
mod check;
#[cfg(feature = "demo")]
mod demo;
mod error;
mod key;
mod parse_errors;
mod problems;
mod reference;
mod serve;
mod setting_error;
mod settings;
#[cfg(feature = "demo")]
mod simulate;

pub use backfill::BackfillArgs;
pub use check::CheckArgs;
#[cfg(feature = "demo")]
pub use demo::DemoArgs;
pub use error::CliError;
pub use key::KeyArgs;
pub use setting_error::SettingError;
pub use settings::Settings;

use crate::api;

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
    #[cfg(feature = "demo")]
    Demo(Box<DemoArgs>),
    /// Archive the days of a range. It can be interrupted and run again
    Backfill(Box<BackfillArgs>),
    /// Serve only the simulated Feishu
    #[cfg(feature = "demo")]
    Simulate(Box<feishu_simulator::SimulateArgs>),
    /// Create access keys
    Key(KeyArgs),
    /// Check settings, credentials, scope and data range, or whether a gateway is running
    Check(Box<CheckArgs>),
    /// Print the OpenAPI document
    Openapi,
    /// Print the reference of all settings, as JSON
    #[command(hide = true)]
    Settings,
    /// Print the meaning of every problem code, as Markdown
    #[command(hide = true)]
    Problems,
}

/// Parses and executes the command line. A failure is printed as one line on standard error.
pub async fn run() -> ExitCode {
    restrict_new_files();
    // The help does not show values of the environment, because URLs can contain passwords.
    let hide_values = |command: clap::Command| command.mut_args(|argument| argument.hide_env_values(true));
    let command = Cli::command().mut_subcommands(hide_values);
    let parsed = command.clone().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return parse_errors::report(error, &command),
    };
    match cli.command.run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_code()
        }
    }
}

/// Makes new files and folders accessible to this user only. A stricter umask stays.
fn restrict_new_files() {
    let inherited = umask(Mode::RWXG | Mode::RWXO);
    umask(inherited | Mode::RWXG | Mode::RWXO);
}

impl Command {
    async fn run(self) -> Result<ExitCode, CliError> {
        match self {
            Self::Serve(settings) => serve::run(&settings).await?,
            #[cfg(feature = "demo")]
            Self::Demo(args) => demo::run(&args).await?,
            Self::Backfill(args) => backfill::run(&args).await?,
            #[cfg(feature = "demo")]
            Self::Simulate(args) => simulate::run(&args).await?,
            Self::Key(args) => key::run(&args)?,
            Self::Check(args) => return check::run(&args).await,
            Self::Openapi => {
                let document = api::openapi();
                writeln!(std::io::stdout().lock(), "{document:#}")?;
            }
            Self::Settings => writeln!(std::io::stdout().lock(), "{:#}", reference::settings())?,
            Self::Problems => write!(std::io::stdout().lock(), "{}", problems::page())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
