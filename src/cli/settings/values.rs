//! Types and parsers of setting values.

use std::{
    net::SocketAddr,
    num::{NonZero, NonZeroU64},
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use bytesize::ByteSize;
use clap::ValueEnum;
use reqwest::Url;
use secrecy::SecretString;

/// Whether something is enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Enabled.
    #[default]
    On,
    /// Disabled.
    Off,
}

/// The text without surrounding blanks, line ends and byte order marks, which editors and secret stores add.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || character == '\u{feff}')
}

/// An id or name, trimmed.
#[expect(clippy::unnecessary_wraps, reason = "clap expects a result")]
pub(super) fn id(text: &str) -> Result<String, String> {
    Ok(trimmed(text).to_owned())
}

/// The name of a claim, or the path of a nested claim with dots.
pub(super) fn claim(text: &str) -> Result<String, String> {
    let name = trimmed(text);
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("expected the name of one claim, with dots for nested claims".to_owned());
    }
    Ok(name.to_owned())
}

/// A secret, trimmed.
#[expect(clippy::unnecessary_wraps, reason = "clap expects a result")]
pub(super) fn secret(text: &str) -> Result<SecretString, String> {
    Ok(trimmed(text).into())
}

/// An address to listen on: an IP address and a port.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let expected = "expected an IP address (127.0.0.1 for this machine only, 0.0.0.0 for all) and a port";
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    if port.parse::<u16>().is_ok() {
        return Err(format!("{expected}; write 127.0.0.1:{port}"));
    }
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Err(format!("{expected}; the port is missing"));
    }
    Err(expected.to_owned())
}

/// A whole number from 1.
pub(super) fn count(text: &str) -> Result<NonZero<usize>, String> {
    text.parse().map_err(|_| "expected a whole number from 1".to_owned())
}

/// A whole number of people from 1.
pub(super) fn people(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "expected a whole number from 1".to_owned())
}

/// A whole number of calls.
pub(super) fn calls(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "expected a whole number".to_owned())
}

/// A size in bytes.
pub(super) fn size(text: &str) -> Result<ByteSize, String> {
    text.parse().map_err(|_| "expected a size in B, KiB, MiB or GiB".to_owned())
}

/// The base URL of a service, without query, fragment or credentials.
pub(crate) fn base_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| "expected an http or https URL".to_owned())?;
    let is_base = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    if !is_base
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err("expected an http or https URL without query, fragment or credentials".to_owned());
    }
    Ok(url)
}

/// A host name, without a port.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = !text.is_empty() && !text.ends_with('.') && text.bytes().all(is_allowed);
    if is_name { Ok(text.to_owned()) } else { Err("expected host names without ports".to_owned()) }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A duration from 1 ms to 24 h, such as `60s` or `2min`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    duration_up_to(DAY, text).ok_or_else(|| "expected a duration from 1ms to 24h".to_owned())
}

/// A duration from 1 ms to 31 days, such as `10min` or `72h`.
pub(super) fn long_duration(text: &str) -> Result<Duration, String> {
    let parsed = duration_up_to(31 * DAY, text);
    parsed.ok_or_else(|| "expected a duration from 1ms to 744h".to_owned())
}

/// A duration from 1 ms to `max`.
fn duration_up_to(max: Duration, text: &str) -> Option<Duration> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    parsed.filter(|duration| (1..=max.as_millis()).contains(&duration.as_millis()))
}

/// A duration from 5 s to 60 s.
pub(super) fn lease(text: &str) -> Result<Duration, String> {
    let parsed = duration_up_to(Duration::from_secs(60), text).filter(|lease| *lease >= Duration::from_secs(5));
    parsed.ok_or_else(|| "expected a duration from 5s to 60s".to_owned())
}

/// A duration that may be zero.
pub(super) fn delay(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { duration(text) }
}

/// A share of something.
#[derive(Clone, Copy, Debug)]
pub struct Share(pub f64);

impl Share {
    /// The accepted shares.
    pub(crate) const RANGE: RangeInclusive<f64> = 0.0..=1.0;
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share = text.parse().ok().filter(|share| Self::RANGE.contains(share));
        share.map(Self).ok_or("expected a share from 0 to 1")
    }
}

/// A number of calls per second.
#[derive(Clone, Copy, Debug)]
pub struct CallRate(pub f64);

impl CallRate {
    /// The accepted rates.
    pub(crate) const RANGE: RangeInclusive<f64> = 0.001..=1000.0;
}

impl FromStr for CallRate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rate = text.parse().ok().filter(|rate| Self::RANGE.contains(rate));
        rate.map(Self).ok_or("expected calls a second, from 0.001 to 1000")
    }
}

/// A number of days, which may be zero.
#[derive(Clone, Copy, Debug)]
pub struct WarmDays(pub u16);

impl WarmDays {
    /// Ten years.
    pub(crate) const MAX: u16 = 3660;
}

impl FromStr for WarmDays {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let days = text.parse().ok().filter(|days| *days <= Self::MAX);
        days.map(Self).ok_or("expected a number of days from 0 to 3660")
    }
}

/// An age in days, such as `730d`.
#[derive(Clone, Copy, Debug)]
pub struct RetentionDays(pub u16);

impl FromStr for RetentionDays {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let days = text.strip_suffix('d').and_then(|days| days.parse().ok()).filter(|days| (1..=36_600).contains(days));
        days.map(Self).ok_or("expected a number of days from 1d to 36600d")
    }
}
