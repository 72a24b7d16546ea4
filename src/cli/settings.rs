//! The settings of `serve`. Each can be given as an option or in the environment.

pub(super) mod access;
pub(super) mod fleet;
pub(super) mod headings;
mod secret;
pub(super) mod values;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZero,
    path::PathBuf,
    time::Duration,
};

use adaptive_throttle::ThrottleConfig;
use bytesize::ByteSize;
use clap::Args;
use reqwest::Url;
use secrecy::SecretString;

use self::{
    access::AccessSettings,
    fleet::FleetSettings,
    headings::{DAYS, FEISHU, OBSERVATION, SERVER, STORAGE},
    secret::SecretSetting,
    values::{
        CallRate, RetentionDays, Share, Switch, WarmDays, base_url, calls, count, delay, duration, host_name, id,
        listen_address, long_duration, secret, size,
    },
};
use super::{setting_error::SettingError, setting_names::both_names};
use crate::{
    api::MetricsListener,
    app::{
        GatewayConfig, ServerConfig, TlsFiles,
        maintenance::MaintenanceConfig,
        telemetry::{self, LogFormat, TelemetryConfig},
    },
    feishu::{FeishuConfig, quota::QuotaConfig, token::AppCredentials},
    model::Geo,
    proxy,
    store::{ArchiveLocation, DiskCacheConfig, FreshnessPolicy},
};

/// The settings of an operator.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// The app's id, from Feishu's developer console (`cli_…`)
    #[arg(long, env = "FEISHU_APP_ID", value_name = "ID", value_parser = id, help_heading = FEISHU)]
    pub app_id: Option<String>,

    /// The app's secret. Prefer the environment or a file, because other users can see command lines
    #[arg(long, env = "FEISHU_APP_SECRET", value_name = "SECRET", hide_env_values = true, value_parser = secret, help_heading = FEISHU)]
    pub app_secret: Option<SecretString>,

    /// A file that contains the app's secret
    #[arg(long, env = "FEISHU_APP_SECRET_FILE", value_name = "PATH", help_heading = FEISHU)]
    pub app_secret_file: Option<PathBuf>,

    /// The address of Feishu. For Lark: `https://open.larksuite.com`
    #[arg(long, env = "FEISHU_BASE_URL", value_name = "URL", default_value = "https://open.feishu.cn", value_parser = base_url, help_heading = FEISHU)]
    pub base_url: Url,

    /// The address to listen on. An address other than loopback also requires access control or --allow-anonymous
    #[arg(long, env = "PULSE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = listen_address, help_heading = SERVER)]
    pub listen: SocketAddr,

    /// A separate address for /metrics, /livez, /readyz and /log-level. If it is set, /metrics is served only there. It
    /// serves no data about people, but everyone who can reach it can change the log filter
    #[arg(long, env = "PULSE_ADMIN_LISTEN", value_name = "ADDRESS", value_parser = listen_address, help_heading = SERVER)]
    pub admin_listen: Option<SocketAddr>,

    /// Host names under which `PULSE_ADMIN_LISTEN` is reached, separated by commas. Addresses and names of the loopback
    /// interface are always served. A web page can reach other names through its own domain (DNS rebinding)
    #[arg(long, env = "PULSE_ADMIN_HOSTS", value_name = "NAME,…", value_delimiter = ',', value_parser = host_name, help_heading = SERVER)]
    pub admin_hosts: Vec<String>,

    /// The URL at which callers reach the gateway through a reverse proxy, such as `https://bi.example.com/pulse`. Its path is
    /// part of the addresses in responses (`Location`, `Link`, redirects), and it is the server in the OpenAPI document. The
    /// proxy may remove the path from requests or not
    #[arg(long, env = "PULSE_PUBLIC_URL", value_name = "URL", value_parser = base_url, help_heading = SERVER)]
    pub public_url: Option<Url>,

    /// Access control.
    #[command(flatten)]
    access: AccessSettings,

    /// Several replicas.
    #[command(flatten)]
    fleet: FleetSettings,

    /// How long a request may wait for days that are not available yet, such as 60s or 2min
    #[arg(long, env = "PULSE_REQUEST_TIMEOUT", value_name = "DURATION", default_value = "60s", value_parser = duration, help_heading = SERVER)]
    pub request_timeout: Duration,

    /// Maximum number of concurrent requests, including those that wait for Feishu or whose response is not read yet.
    /// Further requests receive 503
    #[arg(long, env = "PULSE_MAX_REQUESTS", value_name = "COUNT", default_value = "1024", value_parser = count, help_heading = SERVER)]
    pub max_requests: NonZero<usize>,

    /// Maximum number of concurrent exports of rows (CSV, NDJSON, Parquet, XLSX). Further exports receive
    /// 503. A caller may have a quarter of them; its further exports receive 429
    #[arg(long, env = "PULSE_MAX_EXPORTS", value_name = "COUNT", default_value = "32", value_parser = count, help_heading = SERVER)]
    pub max_exports: NonZero<usize>,

    /// Maximum number of concurrent connections. Further connections are closed at once, including those of probes; see
    /// `PULSE_ADMIN_LISTEN`. It is lowered if the limit of open files is too small for it
    #[arg(long, env = "PULSE_MAX_CONNECTIONS", value_name = "COUNT", default_value = "16384", value_parser = count, help_heading = SERVER)]
    pub max_connections: NonZero<usize>,

    /// A certificate in PEM format, followed by its intermediate certificates. If it is set, HTTPS is served instead of
    /// HTTP. The file is read again when it changes
    #[arg(long, env = "PULSE_TLS_CERT", value_name = "PATH", help_heading = SERVER)]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key in PEM format
    #[arg(long, env = "PULSE_TLS_KEY", value_name = "PATH", help_heading = SERVER)]
    pub tls_key: Option<PathBuf>,

    /// How long requests are still accepted after SIGTERM while /readyz reports the shutdown. A load balancer needs
    /// this time to notice
    #[arg(long, env = "PULSE_DRAIN_DELAY", value_name = "DURATION", default_value = "0s", value_parser = delay, help_heading = SERVER)]
    pub drain_delay: Duration,

    /// Memory limit of cached days and responses, such as 512MiB or 4GiB
    #[arg(long, env = "PULSE_CACHE_BYTES", value_name = "SIZE", default_value = "1GiB", value_parser = size, help_heading = STORAGE)]
    pub cache_bytes: ByteSize,

    /// Where final days are archived: a path or `file:///path`, `s3://bucket/prefix` (configured with the usual `AWS_…`
    /// variables, including `AWS_ENDPOINT_URL`), `memory://` or `none`
    #[arg(long, env = "PULSE_ARCHIVE", value_name = "URL", default_value = "data", help_heading = STORAGE)]
    pub archive: ArchiveLocation,

    /// A folder of this machine that keeps files of an archive in a bucket, so that they are not read from the bucket again,
    /// also after a restart. It contains what employees did, and no other files. Without it nothing is kept
    #[arg(long, env = "PULSE_ARCHIVE_CACHE", value_name = "PATH", help_heading = STORAGE)]
    pub archive_cache: Option<PathBuf>,

    /// Limit of the files in `PULSE_ARCHIVE_CACHE`, such as 10GiB. The least recently used days are deleted first
    #[arg(long, env = "PULSE_ARCHIVE_CACHE_BYTES", value_name = "SIZE", default_value = "10GiB", value_parser = size, help_heading = STORAGE)]
    pub archive_cache_bytes: ByteSize,

    /// Whether days are fetched as soon as Feishu has produced them
    #[arg(long, env = "PULSE_WARM", value_name = "SWITCH", value_enum, default_value_t, help_heading = DAYS)]
    pub warm: Switch,

    /// How many of the latest days are fetched at the start if they are missing
    #[arg(long, env = "PULSE_WARM_DAYS", value_name = "DAYS", default_value = "35", help_heading = DAYS)]
    pub warm_days: WarmDays,

    /// How long after its production a day is fetched again until it is final
    #[arg(long, env = "PULSE_SETTLING_TIME", value_name = "DURATION", default_value = "6h", value_parser = long_duration, help_heading = DAYS)]
    pub settling_time: Duration,

    /// How often a day that can still change is fetched again while it is requested. A company of more than 120 people fetches
    /// it less often, so that all these fetches cost at most 24 calls a day, and at most a tenth of the monthly quota; after
    /// `PULSE_SETTLING_TIME` it is fetched once more
    #[arg(long, env = "PULSE_REFRESH_INTERVAL", value_name = "DURATION", default_value = "30min", value_parser = long_duration, help_heading = DAYS)]
    pub refresh_interval: Duration,

    /// A late day, for which Feishu sent no or unusually few rows, is accepted as it is if two fetches at least this far
    /// apart return the same rows
    #[arg(long, env = "PULSE_LATE_CONFIRMATION", value_name = "DURATION", default_value = "6h", value_parser = long_duration, help_heading = DAYS)]
    pub late_confirmation: Duration,

    /// The age after which a late day is old, and is accepted after `PULSE_LATE_OLD_CONFIRMATION`
    #[arg(long, env = "PULSE_LATE_OLD_AGE", value_name = "DURATION", default_value = "72h", value_parser = long_duration, help_heading = DAYS)]
    pub late_old_age: Duration,

    /// The same as `PULSE_LATE_CONFIRMATION`, for old days. They are also fetched again at this interval
    #[arg(long, env = "PULSE_LATE_OLD_CONFIRMATION", value_name = "DURATION", default_value = "10min", value_parser = long_duration, help_heading = DAYS)]
    pub late_old_confirmation: Duration,

    /// Age after which days expire, such as 730d: they are deleted from the archive and not fetched again. Without it
    /// no day expires
    #[arg(long, env = "PULSE_RETENTION", value_name = "DAYS", help_heading = DAYS)]
    pub retention: Option<RetentionDays>,

    /// Maximum number of calls to Feishu per second. Without it only Feishu's own limit applies, which is determined
    /// automatically
    #[arg(long, env = "PULSE_UPSTREAM_RATE", value_name = "CALLS", help_heading = FEISHU)]
    pub upstream_rate: Option<CallRate>,

    /// Maximum number of calls to Feishu per month (UTC+8). Without it only the tenant's own quota applies
    #[arg(long, env = "PULSE_UPSTREAM_MONTHLY_QUOTA", value_name = "CALLS", value_parser = calls, help_heading = FEISHU)]
    pub upstream_monthly_quota: Option<u64>,

    /// The share of the monthly calls, from 0 to 1, that is reserved for requests. Background work does not use it
    #[arg(long, env = "PULSE_QUOTA_RESERVE", value_name = "SHARE", default_value = "0.2", help_heading = FEISHU)]
    pub quota_reserve: Share,

    /// A folder for state that must survive a restart: the number of calls in this month, the determined rate limit, and
    /// how many rows each day had
    #[arg(long, env = "PULSE_STATE_DIR", value_name = "PATH", default_value = "data", help_heading = STORAGE)]
    pub state_dir: PathBuf,

    /// The geos of the tenant (cn, us, sg, jp), separated by commas. The first is the tenant's own
    #[arg(long, env = "PULSE_GEOS", value_name = "GEO,…", default_value = "cn", value_delimiter = ',', help_heading = FEISHU)]
    pub geos: Vec<Geo>,

    /// Whether /metrics includes figures of the newest final day: the number of active people, in total and by feature
    #[arg(long, env = "PULSE_BUSINESS_METRICS", value_name = "SWITCH", value_enum, default_value_t = Switch::Off, help_heading = OBSERVATION)]
    pub business_metrics: Switch,

    /// The log filter: a level, or levels by target such as `info,feishu_pulse::feishu=debug`
    #[arg(long, env = "PULSE_LOG", value_name = "FILTER", default_value = "info", help_heading = OBSERVATION)]
    pub log: String,

    /// The format of log lines
    #[arg(long, env = "PULSE_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t, help_heading = OBSERVATION)]
    pub log_format: LogFormat,

    /// The OpenTelemetry collector that traces are sent to, such as `http://collector:4318`. Without it no traces are
    /// sent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = base_url, help_heading = OBSERVATION)]
    pub otlp_endpoint: Option<Url>,
}

impl Settings {
    /// The configuration of the gateway.
    ///
    /// # Errors
    /// The first setting that is missing or invalid.
    pub fn gateway_config(&self) -> Result<GatewayConfig, SettingError> {
        self.check_listen()?;
        let fleet = self.fleet.config(&self.archive)?;
        Ok(GatewayConfig { fleet, ..self.config_of_one()? })
    }

    /// The configuration for a command that does not listen.
    ///
    /// # Errors
    /// The first setting that is missing or invalid, or if there are other replicas, beside whose leader the command would
    /// call Feishu.
    pub fn gateway_config_without_listener(&self) -> Result<GatewayConfig, SettingError> {
        if self.fleet.config(&self.archive)?.is_some() {
            let fault =
                "is set, and only the leader of the replicas calls Feishu: start the backfill with POST /v1/backfills";
            return Err(SettingError::of("PULSE_FLEET", fault));
        }
        self.config_of_one()
    }

    /// The configuration of a gateway without other replicas.
    fn config_of_one(&self) -> Result<GatewayConfig, SettingError> {
        proxy::check_environment().map_err(|error| SettingError::new(error.to_string()))?;
        let geos = self.distinct_geos()?;
        let feishu = FeishuConfig {
            throttle: ThrottleConfig { ceiling: self.upstream_rate.map(|rate| rate.0), ..ThrottleConfig::default() },
            quota: QuotaConfig { monthly_limit: self.upstream_monthly_quota, interactive_share: self.quota_reserve.0 },
            state_file: Some(self.state_dir.join("upstream.json")),
            ..FeishuConfig::new(self.base_url.clone(), self.credentials()?, geos[0])
        };
        Ok(GatewayConfig {
            cache_bytes: self.cache_bytes.as_u64(),
            request_timeout: self.request_timeout,
            archive: self.archive.clone(),
            archive_cache: self.disk_cache()?,
            freshness: FreshnessPolicy {
                settling_time: self.settling_time,
                confirmation_gap: self.late_confirmation,
                old_age: self.late_old_age,
                old_confirmation_gap: self.late_old_confirmation,
                refresh_interval: self.refresh_interval,
                retention_days: self.retention.map(|days| days.0),
                ..FreshnessPolicy::default()
            }
            .within_quota(self.upstream_monthly_quota),
            history_file: Some(self.state_dir.join("days.json")),
            maintenance: MaintenanceConfig {
                warm_days: (self.warm == Switch::On).then_some(self.warm_days.0),
                ..MaintenanceConfig::default()
            },
            server: ServerConfig {
                tls: self.tls()?,
                max_connections: self.max_connections,
                max_requests: self.max_requests,
                max_exports: self.max_exports,
                drain_delay: self.drain_delay,
                ..ServerConfig::default()
            },
            metrics: if self.admin_listen.is_some() { MetricsListener::Operations } else { MetricsListener::Main },
            business_metrics: self.business_metrics == Switch::On,
            access: self.access.config()?,
            min_group_size: self.access.min_group,
            cors_origins: self.access.cors_origins.clone(),
            admin_hosts: self.admin_hosts.clone(),
            public_url: self.public_url.clone(),
            dashboard: self.access.dashboard()?,
            drop_in_extended: self.access.drop_in_extended == Switch::On,
            ..GatewayConfig::new(feishu, geos)
        })
    }

    /// The address to listen on for other replicas, if there are any.
    #[must_use]
    pub(super) const fn fleet_listen(&self) -> SocketAddr {
        self.fleet.listen
    }

    /// The configuration of logs and traces.
    #[must_use]
    pub fn telemetry(&self) -> TelemetryConfig {
        TelemetryConfig { filter: self.log.clone(), format: self.log_format, collector: self.otlp_endpoint.clone() }
    }

    /// The URL at which a gateway that listens on `address` is reached from the same machine.
    pub(super) fn local_url(&self, address: SocketAddr) -> Url {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let scheme = if self.tls_cert.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", SocketAddr::new(ip, address.port()));
        url.parse().unwrap_or_else(|_| unreachable!("an address makes a URL"))
    }

    fn tls(&self) -> Result<Option<TlsFiles>, SettingError> {
        match (self.tls_cert.clone(), self.tls_key.clone()) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
            (None, None) => Ok(None),
            (certificate, _) => {
                let [set, unset] = ["PULSE_TLS_CERT", "PULSE_TLS_KEY"];
                let [set, unset] = if certificate.is_some() { [set, unset] } else { [unset, set] };
                let fault = format!("is not set, but {} is: set both or neither", both_names(set));
                Err(SettingError::of(unset, fault))
            }
        }
    }

    /// All settings that are missing or invalid.
    #[must_use]
    pub fn errors(&self) -> Vec<SettingError> {
        let errors = [
            self.check_listen().err(),
            self.tls().err(),
            self.app_id().err(),
            self.secret().err(),
            self.distinct_geos().err(),
            self.fleet.config(&self.archive).err(),
            self.disk_cache().err(),
            proxy::check_environment().err().map(|error| SettingError::new(error.to_string())),
            telemetry::check(&self.log).err().map(|error| SettingError::telemetry(&error.into())),
        ];
        errors.into_iter().flatten().chain(self.access.errors()).collect()
    }

    fn disk_cache(&self) -> Result<Option<DiskCacheConfig>, SettingError> {
        let Some(folder) = self.archive_cache.clone() else { return Ok(None) };
        if !matches!(self.archive, ArchiveLocation::Bucket { .. }) {
            let fault = format!(
                "is set, but {} is {}: only an archive in a bucket has a cache",
                both_names("PULSE_ARCHIVE"),
                self.archive
            );
            return Err(SettingError::of("PULSE_ARCHIVE_CACHE", fault));
        }
        Ok(Some(DiskCacheConfig { folder, max_bytes: self.archive_cache_bytes.as_u64() }))
    }

    fn check_listen(&self) -> Result<(), SettingError> {
        if self.listen.ip().is_loopback() || self.access.is_controlled() || self.access.allow_anonymous {
            return Ok(());
        }
        let [keys, issuer, anonymous] =
            ["PULSE_API_KEYS_FILE", "PULSE_OIDC_ISSUER", "PULSE_ALLOW_ANONYMOUS"].map(both_names);
        let fault = format!(
            "is {}, which other machines can reach, and there is no access control: set {keys}, for which \
             `feishu-pulse key new` creates keys, or {issuer}; or listen on 127.0.0.1; or set {anonymous} to true if \
             everyone who can reach it may see all data",
            self.listen
        );
        Err(SettingError::of("PULSE_LISTEN", fault))
    }

    fn distinct_geos(&self) -> Result<Vec<Geo>, SettingError> {
        let mut geos: Vec<Geo> = Vec::new();
        for geo in &self.geos {
            if geos.contains(geo) {
                let fault = format_args!("contains {geo} more than once: list each geo once");
                return Err(SettingError::of("PULSE_GEOS", fault));
            }
            geos.push(*geo);
        }
        if geos.is_empty() {
            Err(SettingError::of("PULSE_GEOS", "is empty: set it to some of cn, us, sg, jp"))
        } else {
            Ok(geos)
        }
    }

    fn credentials(&self) -> Result<AppCredentials, SettingError> {
        Ok(AppCredentials { app_id: self.app_id()?.to_owned(), app_secret: self.secret()? })
    }

    fn app_id(&self) -> Result<&str, SettingError> {
        let app_id = self.app_id.as_deref().filter(|id| !id.is_empty());
        let fault = "is not set: set it to the app's id from Feishu's developer console";
        app_id.ok_or_else(|| SettingError::of("FEISHU_APP_ID", fault))
    }

    fn secret(&self) -> Result<SecretString, SettingError> {
        let setting = SecretSetting {
            name: "FEISHU_APP_SECRET",
            value: self.app_secret.as_ref(),
            file_name: "FEISHU_APP_SECRET_FILE",
            file: self.app_secret_file.as_deref(),
        };
        setting.read()?.ok_or_else(|| {
            let file = both_names("FEISHU_APP_SECRET_FILE");
            let fault = format!(
                "is not set: set it to the app's secret from Feishu's developer console, or {file} to a file that \
                 contains it"
            );
            SettingError::of("FEISHU_APP_SECRET", fault)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        settings: Settings,
    }

    fn settings(options: &[&str]) -> Result<GatewayConfig, String> {
        let usual = ["feishu-pulse", "--app-id", "cli_a"];
        let parsed = Wrapper::try_parse_from(usual.iter().chain(options));
        parsed.map_err(|error| error.to_string())?.settings.gateway_config().map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_geo_is_the_home_of_the_tenant() {
        let config = settings(&["--app-secret", "s", "--geos", "sg,us", "--cache-bytes", "512MiB"]).unwrap();
        assert_eq!((config.feishu.home_geo, config.geos), (Geo::Sg, vec![Geo::Sg, Geo::Us]));
        assert_eq!(config.cache_bytes, 512 << 20);
    }

    #[test]
    fn a_fleet_needs_a_store_a_bucket_and_an_address() {
        let options =
            ["--app-secret", "s", "--fleet", "archive", "--archive", "s3://lake", "--fleet-listen", "10.1.2.3:9091"];
        let fleet = settings(&options).unwrap().fleet.expect("a fleet");
        assert_eq!((fleet.address.as_str(), fleet.lease), ("10.1.2.3:9091", Duration::from_secs(20)));
        let options =
            ["--app-secret", "s", "--fleet", "redis://c", "--archive", "s3://lake", "--fleet-address", "pod-0:1"];
        let fleet = settings(&options).unwrap().fleet.expect("a fleet");
        assert_eq!((fleet.address.as_str(), fleet.lease), ("pod-0:1", Duration::from_secs(10)));
        assert!(settings(&["--app-secret", "s"]).unwrap().fleet.is_none());
    }

    #[test]
    fn an_address_other_than_loopback_requires_allow_anonymous() {
        assert!(settings(&["--app-secret", "s", "--listen", "0.0.0.0:80", "--allow-anonymous"]).is_ok());
        assert!(settings(&["--app-secret", "s", "--listen", "[::1]:80"]).is_ok());
    }
}
