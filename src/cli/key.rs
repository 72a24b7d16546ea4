//! `key`: creates access keys.

use std::io::Write as _;

use clap::{Args, Subcommand};

use super::{error::CliError, setting_error::SettingError};
use crate::access::{AccessKey, KeyLine, Scope};

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Create a key. Prints the key, which is shown only once, and its line for the keys file
    New(NewArgs),
}

/// Arguments of `key new`.
#[derive(Debug, Args)]
struct NewArgs {
    /// The key's name: 1 to 64 of the characters A-Z a-z 0-9 . _ -
    #[arg(long, value_name = "NAME")]
    name: String,

    /// What the key allows: reports:read (figures), users:read (also rows), admin (backfills, deletion of days,
    /// metrics)
    #[arg(long, value_name = "SCOPE", required = true, value_delimiter = ',')]
    scope: Vec<Scope>,

    /// Path of a department whose people the key may see, such as 总部/研发. Can be repeated. Without it the key may see
    /// everyone
    #[arg(long, value_name = "PATH")]
    department: Vec<String>,

    /// Show people under pseudonyms and without names
    #[arg(long)]
    pseudonymous: bool,
}

/// Executes the command.
pub(super) fn run(args: &KeyArgs) -> Result<(), CliError> {
    let KeyCommand::New(new) = &args.command;
    let key = AccessKey::random()?;
    let line = KeyLine {
        name: new.name.clone(),
        sha256: key.hash().to_string(),
        scopes: new.scope.clone(),
        departments: (!new.department.is_empty()).then(|| new.department.clone()),
        pseudonymous: new.pseudonymous,
    };
    line.to_entry(true).map_err(|faults| SettingError::key_line(&faults))?;
    // Only the line goes to standard output, so that it can be appended to the file.
    eprintln!("The key (it cannot be shown again):\n\n  {}\n", key.reveal());
    eprintln!("The line for PULSE_API_KEYS_FILE (it contains no secret):\n");
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}
