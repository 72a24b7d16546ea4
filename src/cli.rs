//! The command line: commands and their execution.

use std::{io::Write as _, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use rustix::{fs::Mode, process::umask};
use tokio::runtime::Runtime;

mod backfill;
mod check;
#[cfg(feature = "demo")]
mod demo;
mod error;
mod key;
mod parse_errors;
mod problems;
mod progress_display;
mod reference;
mod serve;
mod setting_error;
mod setting_names;
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

use self::settings::{headings, values::trimmed};
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
#[must_use]
pub fn run() -> ExitCode {
    // The runtime is not in `main`, because the compiler would build all commands once more for the binary.
    match Runtime::new() {
        Ok(runtime) => runtime.block_on(execute()),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn execute() -> ExitCode {
    restrict_new_files();
    // The help does not show values of the environment, because URLs can contain passwords.
    let hide_values = |command: clap::Command| command.mut_args(|argument| argument.hide_env_values(true));
    let command = Cli::command().mut_subcommands(hide_values).mut_subcommand("backfill", hide_server_settings);
    let command = command.mut_subcommands(|command| command.mut_args(without_blank_variable));
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

/// Hides the settings of the server in the help of a command that does not serve.
fn hide_server_settings(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| {
        let is_server = matches!(argument.get_help_heading(), Some(headings::SERVER | headings::ACCESS));
        argument.hide(is_server)
    })
}

/// An empty variable counts as unset: templates and compose files set variables that have no value.
fn without_blank_variable(argument: clap::Arg) -> clap::Arg {
    let value = argument.get_env().and_then(std::env::var_os);
    let is_blank = value.is_some_and(|value| value.to_str().is_some_and(|value| trimmed(value).is_empty()));
    if is_blank { argument.env(None) } else { argument }
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
            Self::Demo(args) => Box::pin(demo::run(&args)).await?,
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
