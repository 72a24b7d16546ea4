//! Parsers of setting values.

use std::time::Duration;

use clap::ValueEnum;
use reqwest::Url;

/// Whether something is enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Enabled.
    #[default]
    On,
    /// Disabled.
    Off,
}

/// The base URL of a service, without query, fragment or credentials.
pub(crate) fn base_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| "expected a URL such as https://open.feishu.cn".to_owned())?;
    let is_base = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    if !is_base
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err("expected an http or https address without query, fragment or credentials".to_owned());
    }
    Ok(url)
}

/// A duration from 1 ms to 24 h, such as `60s` or `2min`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    let valid = parsed.filter(|duration| (1..=86_400_000).contains(&duration.as_millis()));
    valid.ok_or_else(|| "expected a duration from 1ms to 24h, such as 60s or 2min".to_owned())
}

/// A duration that may be zero.
pub(super) fn delay(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { duration(text) }
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    let valid = text.parse().ok().filter(|share: &f64| (0.0..=1.0).contains(share));
    valid.ok_or_else(|| "expected a share from 0 to 1, such as 0.2".to_owned())
}

/// A number of days, such as `730d`.
pub(super) fn retention(text: &str) -> Result<u16, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok()).filter(|days| (1..=36_600).contains(days));
    days.ok_or_else(|| "expected a number of days, such as 730d".to_owned())
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    let valid = text.parse().ok().filter(|rate: &f64| (0.001..=1000.0).contains(rate));
    valid.ok_or_else(|| "expected calls a second, from 0.001 to 1000".to_owned())
}
