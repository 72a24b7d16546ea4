//! Errors of command line parsing, printed as one line for each invalid value.

use std::{any::TypeId, error::Error as _, ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    setting_error::SettingError,
    setting_names::{both_names, example},
};
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
    // clap does not say which value is not UTF-8.
    let not_utf8 = if error.kind() == ErrorKind::InvalidUtf8 { variables_not_utf8(command) } else { Vec::new() };
    for error in &not_utf8 {
        eprintln!("error: {error}");
    }
    if not_utf8.is_empty() {
        for error in invalid_values(error, command) {
            eprintln!("{}", first_line(&error, command));
        }
    }
    ExitCode::from(SettingError::EXIT_CODE)
}

/// The settings whose variable is not UTF-8. A path need not be.
fn variables_not_utf8(command: &Command) -> Vec<SettingError> {
    let arguments = executed(command).into_iter().flat_map(Command::get_arguments);
    let texts = arguments.filter(|argument| argument.get_value_parser().type_id() != TypeId::of::<PathBuf>());
    let variables = texts.filter_map(Arg::get_env).filter(|variable| {
        let value = std::env::var_os(variable);
        value.is_some_and(|value| value.to_str().is_none())
    });
    variables.map(|variable| SettingError::of(&variable.to_string_lossy(), "is not UTF-8")).collect()
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

/// A line that names the variable and the option of an invalid value, says what is allowed, and gives an example.
fn invalid_value_line(error: &clap::Error, command: &Command) -> Option<String> {
    let option = invalid_option(error)?;
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else { return None };
    let allowed = match (error.get(ContextKind::ValidValue), error.source()) {
        (Some(ContextValue::Strings(values)), _) if !values.is_empty() => {
            format!("expected one of {}", values.join(", "))
        }
        (_, Some(reason)) => reason.to_string(),
        _ => return None,
    };
    let (setting, example) = match variable(&option, command) {
        Some(variable) => (both_names(&variable), example(&variable)),
        None => (format!("--{option}"), example(&format!("--{option}"))),
    };
    // A URL can contain a password.
    Some(format!("error: {setting} is \"{}\": {allowed}{example}", redacted_setting(value)))
}

/// The environment variable of the option, if it has one in the command that is executed.
fn variable(option: &str, command: &Command) -> Option<String> {
    let argument = executed(command)?.get_arguments().find(|argument| argument.get_long() == Some(option))?;
    Some(argument.get_env()?.to_string_lossy().into_owned())
}

/// The subcommand that is executed.
fn executed(command: &Command) -> Option<&Command> {
    std::env::args_os().skip(1).find_map(|name| command.find_subcommand(name))
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
