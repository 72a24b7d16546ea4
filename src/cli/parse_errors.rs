//! Errors of command line parsing, printed as one line for each invalid value.

use std::{error::Error as _, ffi::OsString, process::ExitCode};

use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::setting_error::SettingError;
use crate::model::redact::redacted_setting;

/// Prints help to standard output and errors to standard error. Of an error only the first line is printed.
pub(super) fn report(error: clap::Error, command: &Command) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
    }
    for error in invalid_values(error, command) {
        eprintln!("{}", first_line(&error, command));
    }
    ExitCode::from(SettingError::EXIT_CODE)
}

fn first_line(error: &clap::Error, command: &Command) -> String {
    if let Some(line) = invalid_value_line(error, command) {
        return line;
    }
    let mut text = error.render().to_string();
    // A URL can contain a password.
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) {
        text = text.replace(value.as_str(), &redacted_setting(value));
    }
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// A line that names the variable and the option of an invalid value, and says what is allowed.
fn invalid_value_line(error: &clap::Error, command: &Command) -> Option<String> {
    let option = invalid_option(error)?;
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else { return None };
    let allowed = match (error.get(ContextKind::ValidValue), error.source()) {
        (Some(ContextValue::Strings(values)), _) if !values.is_empty() => {
            format!("expected one of {}, such as {}", values.join(", "), values[0])
        }
        (_, Some(reason)) => reason.to_string(),
        _ => return None,
    };
    let setting = match variable(&option, command) {
        Some(variable) => format!("{variable} (--{option})"),
        None => format!("--{option}"),
    };
    // A URL can contain a password.
    Some(format!("error: {setting} is \"{}\": {allowed}", redacted_setting(value)))
}

/// The environment variable of the option, if it has one in the command that is executed.
fn variable(option: &str, command: &Command) -> Option<String> {
    let executed = std::env::args().skip(1).find_map(|name| command.find_subcommand(name))?;
    let argument = executed.get_arguments().find(|argument| argument.get_long() == Some(option))?;
    Some(argument.get_env()?.to_string_lossy().into_owned())
}

/// All invalid values. clap stops at the first one, and an operator wants to fix all of them at once. After each error
/// the option is changed to accept any value, and parsing is repeated.
fn invalid_values(first: clap::Error, command: &Command) -> Vec<clap::Error> {
    let mut lenient_options: Vec<String> = Vec::new();
    let mut errors = vec![first];
    while let Some(option) = errors.last().and_then(invalid_option).filter(|option| !lenient_options.contains(option)) {
        lenient_options.push(option);
        errors.extend(lenient_command(command, &lenient_options).try_get_matches_from(std::env::args_os()).err());
    }
    errors
}

/// The long name of the option whose value is invalid.
fn invalid_option(error: &clap::Error) -> Option<String> {
    let is_value = matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue);
    match error.get(ContextKind::InvalidArg) {
        // `--listen <ADDRESS>`
        Some(ContextValue::String(usage)) if is_value => usage.strip_prefix("--")?.split(' ').next().map(str::to_owned),
        _ => None,
    }
}

/// The command with these options accepting any value.
fn lenient_command(command: &Command, options: &[String]) -> Command {
    let is_lenient = |argument: &Arg| argument.get_long().is_some_and(|long| options.iter().any(|one| one == long));
    command.clone().mut_subcommands(|command| {
        command.mut_args(|argument| {
            if is_lenient(&argument) { argument.value_parser(clap::value_parser!(OsString)) } else { argument }
        })
    })
}
