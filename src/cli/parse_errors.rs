//! What the command line says when it cannot be understood: one line for each fault.

use std::{ffi::OsString, process::ExitCode};

use clap::{
    Arg, Command, CommandFactory as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{BAD_SETTING, Cli};

/// Help goes to standard output; of a fault, the first line says it all.
pub(super) fn refuse(error: clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
    }
    for fault in faults(error) {
        eprintln!("{}", first_line(&fault));
    }
    ExitCode::from(BAD_SETTING)
}

fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let wanted = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.is_empty());
    wanted.collect::<Vec<_>>().join(" ")
}

/// Every value that cannot be read. clap stops at the first; whoever sets up a service wants to mend all of them at
/// once, so each faulty option is made to take anything, to see what comes behind it.
fn faults(first: clap::Error) -> Vec<clap::Error> {
    let mut forgiven: Vec<String> = Vec::new();
    let mut faults = vec![first];
    while let Some(option) = faults.last().and_then(faulty_option).filter(|option| !forgiven.contains(option)) {
        forgiven.push(option);
        faults.extend(forgiving(&forgiven).try_get_matches_from(std::env::args_os()).err());
    }
    faults
}

/// The long name of the option whose value an error is about.
fn faulty_option(error: &clap::Error) -> Option<String> {
    let is_value = matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue);
    match error.get(ContextKind::InvalidArg) {
        // `--listen <ADDRESS>`
        Some(ContextValue::String(usage)) if is_value => usage.strip_prefix("--")?.split(' ').next().map(str::to_owned),
        _ => None,
    }
}

fn forgiving(options: &[String]) -> Command {
    let forgiven = |argument: &Arg| argument.get_long().is_some_and(|long| options.iter().any(|one| one == long));
    Cli::command().mut_subcommands(|command| {
        command.mut_args(|argument| {
            if forgiven(&argument) { argument.value_parser(clap::value_parser!(OsString)) } else { argument }
        })
    })
}
