//! The settings of `serve`. Each can be given as an option or in the environment; `--help` is their reference.

mod access;
pub(super) mod values;

use std::{
    net::SocketAddr,
    num::NonZero,
    path::{Path, PathBuf},
    time::Duration,
};

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use reqwest::Url;
use secrecy::SecretString;

pub(super) use self::values::base_url;
use self::{
    access::AccessSettings,
    values::{delay, duration, rate, retention, share},
};
use crate::{
    api::MetricsPlace,
    app::{
        BuildError, GatewayConfig, ServerConfig, TlsFiles, UnusableTls,
        telemetry::{self, LogFormat, TelemetryConfig, TelemetryError},
        upkeep::UpkeepConfig,
    },
    feishu::{FeishuConfig, quota::QuotaConfig, throttle::ThrottleConfig, token::Credentials},
    model::Geo,
    store::Location,
};

/// What an operator can set.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// The app's id, from Feishu's developer console (`cli_…`)
    #[arg(long, env = "FEISHU_APP_ID", value_name = "ID")]
    pub app_id: Option<String>,

    /// The app's secret. Rather set it in the environment, or in a file: a command line can be seen by others
    #[arg(long, env = "FEISHU_APP_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub app_secret: Option<SecretString>,

    /// A file that holds the app's secret, instead of the secret itself
    #[arg(long, env = "FEISHU_APP_SECRET_FILE", value_name = "PATH")]
    pub app_secret_file: Option<PathBuf>,

    /// The address of Feishu; `https://open.larksuite.com` for Lark
    #[arg(long, env = "FEISHU_BASE_URL", value_name = "URL", default_value = "https://open.feishu.cn", value_parser = base_url)]
    pub base_url: Url,

    /// Where to listen. Anything but loopback also needs access control, or --allow-anonymous
    #[arg(long, env = "PULSE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Where to serve /metrics, /livez, /readyz and /log-level for operators, and /metrics nowhere else. Nothing about people
    /// is told there, but whoever reaches it can change what is logged
    #[arg(long, env = "PULSE_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,

    /// Who is let in.
    #[command(flatten)]
    access: AccessSettings,

    /// How long a request may wait for days that are not held yet, such as 60s or 2min
    #[arg(long, env = "PULSE_REQUEST_TIMEOUT", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub request_timeout: Duration,

    /// The most requests under way at once, those that wait for Feishu included; more are turned away with 503
    #[arg(long, env = "PULSE_MAX_REQUESTS", value_name = "COUNT", default_value = "1024")]
    pub max_requests: NonZero<usize>,

    /// The most connections at once; more are turned away with 503, but for probes, and if they are many, closed at once
    #[arg(long, env = "PULSE_MAX_CONNECTIONS", value_name = "COUNT", default_value = "16384")]
    pub max_connections: NonZero<usize>,

    /// A certificate (PEM, followed by those between it and the root): HTTPS is served instead of HTTP. Read again when
    /// the file changes
    #[arg(long, env = "PULSE_TLS_CERT", value_name = "PATH", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM)
    #[arg(long, env = "PULSE_TLS_KEY", value_name = "PATH", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// How long requests are still taken after SIGTERM, while /readyz says that the process ends: as long as a load
    /// balancer needs to notice
    #[arg(long, env = "PULSE_DRAIN_DELAY", value_name = "DURATION", default_value = "0s", value_parser = delay)]
    pub drain_delay: Duration,

    /// How much memory days may take, such as 512MiB or 4GiB
    #[arg(long, env = "PULSE_CACHE_BYTES", value_name = "SIZE", default_value = "1GiB")]
    pub cache_bytes: ByteSize,

    /// Where finished days are archived: a path or `file:///path`, `s3://bucket/prefix` (with the usual `AWS_…` variables,
    /// `AWS_ENDPOINT_URL` among them), `memory://` or `none`
    #[arg(long, env = "PULSE_ARCHIVE", value_name = "URL", default_value = "data")]
    pub archive: Location,

    /// Whether days are fetched as they are produced, before anybody asks
    #[arg(long, env = "PULSE_WARM", value_name = "SWITCH", value_enum, default_value_t)]
    pub warm: Switch,

    /// How many of the latest days are fetched at the start, where they are not held
    #[arg(long, env = "PULSE_WARM_DAYS", value_name = "DAYS", default_value_t = 35, value_parser = clap::value_parser!(u16).range(..=3660))]
    pub warm_days: u16,

    /// Days older than this are deleted from the archive, such as 730d; without it, none are
    #[arg(long, env = "PULSE_RETENTION", value_name = "DAYS", value_parser = retention)]
    pub retention: Option<u16>,

    /// The most calls a second that Feishu is asked; without it, only Feishu's own limit counts, which is found out
    #[arg(long, env = "PULSE_UPSTREAM_RATE", value_name = "CALLS", value_parser = rate)]
    pub upstream_rate: Option<f64>,

    /// The most calls a month (UTC+8) that Feishu is asked; without it, only the tenant's own quota counts
    #[arg(long, env = "PULSE_UPSTREAM_MONTHLY_QUOTA", value_name = "CALLS")]
    pub upstream_monthly_quota: Option<u64>,

    /// The share of those calls, 0 to 1, that is kept for requests: background work stops short of it
    #[arg(long, env = "PULSE_QUOTA_RESERVE", value_name = "SHARE", default_value = "0.2", value_parser = share)]
    pub quota_reserve: f64,

    /// Where to keep what a restart must not forget: the month's calls and the rate limit that was found
    #[arg(long, env = "PULSE_STATE_DIR", value_name = "PATH", default_value = "data")]
    pub state_dir: PathBuf,

    /// The geos that the tenant has (cn, us, sg, jp), with commas; the first is the tenant's own
    #[arg(long, env = "PULSE_GEOS", value_name = "GEO,…", default_value = "cn", value_delimiter = ',')]
    pub geos: Vec<Geo>,

    /// The OpenTelemetry collector that traces are sent to, such as `http://collector:4318`; without it, none are
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = base_url)]
    pub otlp_endpoint: Option<Url>,

    /// Whether /metrics tells figures of the newest final day: how many people were active, and with which feature
    #[arg(long, env = "PULSE_BUSINESS_METRICS", value_name = "SWITCH", value_enum, default_value_t = Switch::Off)]
    pub business_metrics: Switch,

    /// What to log: a level, or levels by target such as `info,feishu_pulse::feishu=debug`
    #[arg(long, env = "PULSE_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// How log lines are written
    #[arg(long, env = "PULSE_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// Something that is done or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is done.
    #[default]
    On,
    /// It is not.
    Off,
}

/// A setting that is missing or impossible. One line says which, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnusableSetting(String);

impl Settings {
    /// The gateway that is wanted.
    ///
    /// # Errors
    /// The first setting that is missing or impossible.
    pub fn gateway(&self) -> Result<GatewayConfig, UnusableSetting> {
        self.check_listen()?;
        self.without_listening()
    }

    /// The same for a command that listens nowhere.
    ///
    /// # Errors
    /// The first setting that is missing or impossible.
    pub fn without_listening(&self) -> Result<GatewayConfig, UnusableSetting> {
        let geos = self.distinct_geos()?;
        let feishu = FeishuConfig {
            throttle: ThrottleConfig { ceiling: self.upstream_rate, ..ThrottleConfig::default() },
            quota: QuotaConfig { monthly: self.upstream_monthly_quota, reserve: self.quota_reserve },
            memo: Some(self.state_dir.join("upstream.json")),
            ..FeishuConfig::new(self.base_url.clone(), self.credentials()?, geos[0])
        };
        Ok(GatewayConfig {
            cache_bytes: self.cache_bytes.as_u64(),
            request_timeout: self.request_timeout,
            archive: self.archive.clone(),
            upkeep: UpkeepConfig {
                warm_days: (self.warm == Switch::On).then_some(self.warm_days),
                retention_days: self.retention,
                ..UpkeepConfig::default()
            },
            server: ServerConfig {
                tls: self.tls(),
                max_connections: self.max_connections,
                max_requests: self.max_requests,
                drain_delay: self.drain_delay,
            },
            metrics: if self.admin_listen.is_some() { MetricsPlace::Apart } else { MetricsPlace::Here },
            business_metrics: self.business_metrics == Switch::On,
            access: self.access.config()?,
            least_group: self.access.min_group,
            cors_origins: self.access.cors_origins.clone(),
            drop_in_extended: self.access.drop_in_extended == Switch::On,
            ..GatewayConfig::new(feishu, geos)
        })
    }

    /// What is logged and traced.
    #[must_use]
    pub fn telemetry(&self) -> TelemetryConfig {
        TelemetryConfig { filter: self.log.clone(), format: self.log_format, collector: self.otlp_endpoint.clone() }
    }

    fn tls(&self) -> Option<TlsFiles> {
        let pair = self.tls_cert.clone().zip(self.tls_key.clone());
        pair.map(|(certificate, key)| TlsFiles { certificate, key })
    }

    /// Every setting that is missing or impossible.
    #[must_use]
    pub fn faults(&self) -> Vec<UnusableSetting> {
        let faults = [
            self.check_listen().err(),
            self.app_id().err(),
            self.secret().err(),
            self.distinct_geos().err(),
            self.access.fault(),
            telemetry::check(&self.log).err().map(|error| UnusableSetting::telemetry(&error.into())),
        ];
        faults.into_iter().flatten().collect()
    }

    fn check_listen(&self) -> Result<(), UnusableSetting> {
        if self.listen.ip().is_loopback() || self.access.is_controlled() || self.access.allow_anonymous {
            return Ok(());
        }
        Err(UnusableSetting(format!(
            "PULSE_LISTEN is {}, which others can reach, and there is no access control: set PULSE_API_KEYS_FILE (see \
             `feishu-pulse key new`) or PULSE_OIDC_ISSUER, or listen on 127.0.0.1, or say --allow-anonymous \
             (PULSE_ALLOW_ANONYMOUS=true) if everyone who can reach it may see everything",
            self.listen
        )))
    }

    fn distinct_geos(&self) -> Result<Vec<Geo>, UnusableSetting> {
        let mut geos: Vec<Geo> = Vec::new();
        for geo in &self.geos {
            if geos.contains(geo) {
                return Err(UnusableSetting(format!("PULSE_GEOS names {geo} more than once")));
            }
            geos.push(*geo);
        }
        if geos.is_empty() { Err(UnusableSetting("PULSE_GEOS names no geo".into())) } else { Ok(geos) }
    }

    fn credentials(&self) -> Result<Credentials, UnusableSetting> {
        Ok(Credentials { app_id: self.app_id()?.to_owned(), app_secret: self.secret()? })
    }

    fn app_id(&self) -> Result<&str, UnusableSetting> {
        let app_id = self.app_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
        app_id.ok_or_else(|| {
            UnusableSetting("FEISHU_APP_ID is not set: the app's id, from Feishu's developer console".into())
        })
    }

    fn secret(&self) -> Result<SecretString, UnusableSetting> {
        let secret = secret(
            ("FEISHU_APP_SECRET", self.app_secret.as_ref()),
            ("FEISHU_APP_SECRET_FILE", self.app_secret_file.as_deref()),
        )?;
        secret.ok_or_else(|| {
            UnusableSetting(
                "FEISHU_APP_SECRET is not set, nor FEISHU_APP_SECRET_FILE: the app's secret, from Feishu's developer console"
                    .into(),
            )
        })
    }
}

/// A secret that is given itself, or in a file; each with the name of its setting.
fn secret(
    (name, given): (&str, Option<&SecretString>),
    (file_name, file): (&str, Option<&Path>),
) -> Result<Option<SecretString>, UnusableSetting> {
    use secrecy::ExposeSecret as _;
    let given = given.filter(|secret| !secret.expose_secret().is_empty());
    let Some(path) = file else { return Ok(given.cloned()) };
    if given.is_some() {
        return Err(UnusableSetting(format!("{name} and {file_name} are both set: keep one of them")));
    }
    let place = path.display();
    let read = std::fs::read_to_string(path)
        .map_err(|error| UnusableSetting(format!("{file_name} ({place}) cannot be read: {error}")))?;
    match read.trim() {
        "" => Err(UnusableSetting(format!("{file_name} ({place}) is empty"))),
        secret => Ok(Some(secret.into())),
    }
}

impl UnusableSetting {
    pub(super) fn range() -> Self {
        Self("--to comes before --from".to_owned())
    }

    pub(super) fn no_archive() -> Self {
        Self("PULSE_ARCHIVE is none: there is nothing to fill".to_owned())
    }

    pub(super) fn telemetry(error: &TelemetryError) -> Self {
        Self(error.to_string())
    }

    pub(super) fn key(faults: &[String]) -> Self {
        Self(faults.join("; "))
    }

    pub(super) fn listen(why: &str) -> Self {
        Self(why.to_owned())
    }

    pub(super) fn tls(error: &UnusableTls) -> Self {
        Self(format!("PULSE_TLS_CERT and PULSE_TLS_KEY: {error}"))
    }

    pub(super) fn build(error: &BuildError) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        settings: Settings,
    }

    fn settings(options: &[&str]) -> Result<GatewayConfig, String> {
        let usual = ["feishu-pulse", "--app-id", "cli_a"];
        let parsed = Wrapper::try_parse_from(usual.iter().chain(options));
        parsed.map_err(|error| error.to_string())?.settings.gateway().map_err(|error| error.to_string())
    }

    #[rstest]
    #[case(&[], "FEISHU_APP_SECRET is not set")]
    #[case(&["--app-secret", "s", "--app-secret-file", "x"], "both set")]
    #[case(&["--app-secret-file", "/no/such/file"], "cannot be read")]
    #[case(&["--app-secret", "s", "--listen", "0.0.0.0:80"], "no access control")]
    #[case(&["--app-secret", "s", "--geos", "cn,cn"], "more than once")]
    #[case(&["--app-secret", "s", "--geos", "mars"], "one of cn, us, sg, jp")]
    #[case(&["--app-secret", "s", "--base-url", "ftp://x"], "http or https")]
    #[case(&["--app-secret", "s", "--upstream-rate", "0"], "calls a second")]
    #[case(&["--app-secret", "s", "--request-timeout=-1s"], "such as 60s")]
    fn an_impossible_setting_is_told_in_plain_words(#[case] options: &[&str], #[case] told: &str) {
        let error = settings(options).expect_err("an impossible setting");
        assert!(error.contains(told), "{error}");
    }

    #[test]
    fn the_first_geo_is_the_tenants_own() {
        let config = settings(&["--app-secret", "s", "--geos", "sg,us", "--cache-bytes", "512MiB"]).unwrap();
        assert_eq!((config.feishu.home, config.geos), (Geo::Sg, vec![Geo::Sg, Geo::Us]));
        assert_eq!(config.cache_bytes, 512 << 20);
    }

    #[test]
    fn anything_but_loopback_is_served_only_when_said_so() {
        assert!(settings(&["--app-secret", "s", "--listen", "0.0.0.0:80", "--allow-anonymous"]).is_ok());
        assert!(settings(&["--app-secret", "s", "--listen", "[::1]:80"]).is_ok());
    }
}
