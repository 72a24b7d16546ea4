//! `key`: makes access keys.

use std::io::Write as _;

use clap::{Args, Subcommand};

use super::{Failure, UnusableSetting};
use crate::access::{AccessKey, KeyLine, Scope};

/// What is to be done with access keys.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key: it is shown once, and the line for the keys file with it
    New(NewArgs),
}

/// Whose key it is.
#[derive(Debug, Args)]
struct NewArgs {
    /// The key's name: 1 to 64 of the characters A-Z a-z 0-9 . _ -
    #[arg(long, value_name = "NAME")]
    name: String,

    /// What its holder may do: reports:read (figures), users:read (rows too), admin (backfills, forgetting, metrics)
    #[arg(long, value_name = "SCOPE", required = true, value_delimiter = ',')]
    scope: Vec<Scope>,

    /// A department whose people its holder may see, by path, such as 总部/研发; may be given again. Without it, all
    #[arg(long, value_name = "PATH")]
    department: Vec<String>,

    /// Whether its holder sees people under pseudonyms, without names
    #[arg(long)]
    pseudonymous: bool,
}

/// Does it.
pub(super) fn run(args: &KeyArgs) -> Result<(), Failure> {
    let KeyCommand::New(new) = &args.command;
    let key = AccessKey::random()?;
    let line = KeyLine {
        name: new.name.clone(),
        sha256: key.fingerprint().to_string(),
        scopes: new.scope.clone(),
        departments: (!new.department.is_empty()).then(|| new.department.clone()),
        pseudonymous: new.pseudonymous,
    };
    line.holder(true).map_err(|faults| UnusableSetting::key(&faults))?;
    // The line alone goes to standard output, so that it can be appended to the file.
    eprintln!("The key, which cannot be shown again:\n\n  {}\n", key.reveal());
    eprintln!("The line for PULSE_API_KEYS_FILE, which holds no secret:\n");
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}
