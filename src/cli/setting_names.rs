//! How texts for operators name a setting, and an example of each.

/// A valid value of each setting, and of options that are not settings. Secrets have none, because an example of a secret
/// would be used as one: the example of their file stands for it.
const EXAMPLES: [(&str, &str); 62] = [
    ("FEISHU_APP_ID", "cli_a1b2c3d4e5f6"),
    ("FEISHU_APP_SECRET_FILE", "/run/secrets/feishu-app-secret"),
    ("FEISHU_BASE_URL", "https://open.feishu.cn"),
    ("PULSE_LISTEN", "127.0.0.1:8080"),
    ("PULSE_ADMIN_LISTEN", "127.0.0.1:9090"),
    ("PULSE_ADMIN_HOSTS", "pulse-admin"),
    ("PULSE_PUBLIC_URL", "https://bi.example.com/pulse"),
    ("PULSE_API_KEYS_FILE", "/run/secrets/access-keys"),
    ("PULSE_OIDC_ISSUER", "https://login.example.com"),
    ("PULSE_OIDC_AUDIENCE", "feishu-pulse"),
    ("PULSE_OIDC_CLIENT_ID", "feishu-pulse-dashboard"),
    ("PULSE_OIDC_SCOPES_CLAIM", "realm_access.roles"),
    ("PULSE_OIDC_DEPARTMENTS_CLAIM", "departments"),
    ("PULSE_OIDC_PSEUDONYMOUS_CLAIM", "pseudonymous"),
    ("PULSE_PSEUDONYM_KEY_FILE", "/run/secrets/pseudonym-key"),
    ("PULSE_ALLOW_ANONYMOUS", "false"),
    ("PULSE_MIN_GROUP", "5"),
    ("PULSE_REQUESTS_PER_MINUTE", "600"),
    ("PULSE_CORS_ORIGINS", "https://bi.example.com,http://localhost:3000"),
    ("PULSE_FRAME_ANCESTORS", "self,https://portal.example.com"),
    ("PULSE_DROP_IN_EXTENDED", "on"),
    ("PULSE_FLEET", "redis://redis:6379"),
    ("PULSE_FLEET_FILE", "/run/secrets/fleet"),
    ("PULSE_FLEET_LISTEN", "0.0.0.0:9091"),
    ("PULSE_FLEET_ADDRESS", "10.1.2.3:9091"),
    ("PULSE_FLEET_LEASE", "10s"),
    ("PULSE_FLEET_TLS_CERT", "/run/secrets/fleet-tls/tls.crt"),
    ("PULSE_FLEET_TLS_KEY", "/run/secrets/fleet-tls/tls.key"),
    ("PULSE_FLEET_TLS_CA", "/run/secrets/fleet-tls/ca.crt"),
    ("PULSE_FLEET_TLS_NAME", "feishu-pulse-fleet"),
    ("PULSE_REQUEST_TIMEOUT", "60s"),
    ("PULSE_MAX_REQUESTS", "1024"),
    ("PULSE_MAX_EXPORTS", "32"),
    ("PULSE_MAX_CONNECTIONS", "16384"),
    ("PULSE_TLS_CERT", "/run/secrets/tls.crt"),
    ("PULSE_TLS_KEY", "/run/secrets/tls.key"),
    ("PULSE_DRAIN_DELAY", "5s"),
    ("PULSE_CACHE_BYTES", "512MiB"),
    ("PULSE_ARCHIVE", "s3://lake/feishu-pulse"),
    ("PULSE_ARCHIVE_CACHE", "/var/cache/feishu-pulse"),
    ("PULSE_ARCHIVE_CACHE_BYTES", "10GiB"),
    ("PULSE_WARM", "on"),
    ("PULSE_WARM_DAYS", "35"),
    ("PULSE_SETTLING_TIME", "6h"),
    ("PULSE_REFRESH_INTERVAL", "30min"),
    ("PULSE_LATE_CONFIRMATION", "6h"),
    ("PULSE_LATE_OLD_AGE", "72h"),
    ("PULSE_LATE_OLD_CONFIRMATION", "10min"),
    ("PULSE_RETENTION", "730d"),
    ("PULSE_UPSTREAM_RATE", "50"),
    ("PULSE_UPSTREAM_MONTHLY_QUOTA", "10000"),
    ("PULSE_QUOTA_RESERVE", "0.2"),
    ("PULSE_STATE_DIR", "/var/lib/feishu-pulse"),
    ("PULSE_GEOS", "cn,sg"),
    ("PULSE_BUSINESS_METRICS", "on"),
    ("PULSE_LOG", "info,feishu_pulse::feishu=debug"),
    ("PULSE_LOG_FORMAT", "json"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
    ("--url", "http://127.0.0.1:8080"),
    ("--from", "2026-11-01"),
    ("--to", "2026-11-30"),
    ("--user-id-type", "open_id"),
];

/// A setting by both names: `PULSE_LISTEN (--listen)`.
pub(super) fn both_names(variable: &str) -> String {
    format!("{variable} (--{})", option(variable))
}

/// The long option of the setting with this variable: the variable without its prefix.
fn option(variable: &str) -> String {
    let prefix = ["PULSE_", "FEISHU_", "OTEL_EXPORTER_"].into_iter().find_map(|prefix| variable.strip_prefix(prefix));
    prefix.unwrap_or(variable).to_ascii_lowercase().replace('_', "-")
}

/// The end of a refusal: an example of the setting with this variable, or of the option with this name. Empty if there is
/// none.
pub(super) fn example(name: &str) -> String {
    let find = |name: &str| EXAMPLES.iter().find(|(other, _)| *other == name);
    let example = find(name).or_else(|| find(&format!("{name}_FILE")));
    example.map(|(name, value)| format!("; for example {name}={value}")).unwrap_or_default()
}
