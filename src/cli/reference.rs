//! The settings as a page of documentation, written from the same definitions as `--help`: `docs/settings.md`.

use std::fmt::Write as _;

use clap::{Arg, Args as _, Command};

use super::Settings;

/// What stands above the table.
const INTRODUCTION: &str = "\
# Settings

<!-- Written by `feishu-pulse settings` from the definitions in src/cli/settings.rs; do not edit. -->

Options of `feishu-pulse serve`, or environment variables; an option wins over its variable. `check` and `backfill` take the
same ones. A setting that is missing or impossible ends the command with one line that names it, and exit code 2.

Durations are written as `500ms`, `60s`, `2min` or `1h`, sizes as `512MiB` or `4GiB`, flags as `true` and `false`.
";

/// What others read from the environment.
const ELSEWHERE: &str = "
## Variables that libraries read

| variable | meaning |
| --- | --- |
| `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, … | how a bucket in `PULSE_ARCHIVE` is reached; [archive.md](archive.md) has the details |
| `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | a proxy between the gateway and Feishu |
| `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | what traces say of the process; its name is `feishu-pulse` by default |
| `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT` | headers that the collector wants, such as `authorization=…`, and how long it may take (ms) |
| `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | which requests are traced: by default all, or what the caller's `traceparent` says |
";

/// The whole page.
pub(super) fn settings() -> String {
    let mut page = INTRODUCTION.to_owned();
    page += "\n| variable | option | default | meaning |\n| --- | --- | --- | --- |\n";
    let command = Settings::augment_args(Command::new("serve"));
    command.get_arguments().for_each(|setting| row(&mut page, setting));
    page + ELSEWHERE
}

fn row(page: &mut String, setting: &Arg) {
    let variable = setting.get_env().map(|name| code(&name.to_string_lossy()));
    let meaning = setting.get_help().map(ToString::to_string).unwrap_or_default();
    // Writing to memory does not fail.
    let _ = writeln!(
        page,
        "| {} | {} | {} | {}{} |",
        variable.unwrap_or_else(|| "–".to_owned()),
        option(setting),
        default(setting),
        meaning.replace('|', "\\|"),
        choices(setting),
    );
}

fn option(setting: &Arg) -> String {
    let name = format!("--{}", setting.get_long().unwrap_or_default());
    let value = setting.get_value_names().filter(|_| takes_value(setting)).map(|names| names.join(" "));
    code(&value.map_or_else(|| name.clone(), |value| format!("{name} {value}")))
}

fn default(setting: &Arg) -> String {
    if !takes_value(setting) {
        return code("false");
    }
    let values: Vec<_> = setting.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if values.is_empty() { "none".to_owned() } else { code(&values.join(",")) }
}

/// The values that a setting knows by name.
fn choices(setting: &Arg) -> String {
    let values = setting.get_possible_values();
    if !takes_value(setting) || values.is_empty() {
        return String::new();
    }
    let values: Vec<_> = values.iter().map(|value| code(value.get_name())).collect();
    format!(": {}", values.join(" or "))
}

fn takes_value(setting: &Arg) -> bool {
    setting.get_action().takes_values()
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_documentation_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");
        let page = std::fs::read_to_string(path).expect("docs/settings.md");

        assert!(page == settings(), "docs/settings.md is stale: run `just generate`");
    }

    #[test]
    fn every_setting_can_be_given_in_the_environment() {
        let command = Settings::augment_args(Command::new("serve"));

        for setting in command.get_arguments() {
            assert!(setting.get_env().is_some(), "--{} has no variable", setting.get_id());
            assert!(setting.get_help().is_some(), "--{} has no meaning", setting.get_id());
        }
    }
}
