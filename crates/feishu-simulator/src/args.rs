//! The command line arguments of the simulator.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use jiff::SignedDuration;

use crate::{
    OverLimitStatus, PageTokenStyle, RateLimits, RowOrder, SchemaDrift, SimulatorConfig, TenantGeo, TenantProfile,
};

/// The arguments of `feishu-simulator` and of `feishu-pulse simulate`. All other settings have the defaults of
/// [`SimulatorConfig`].
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,

    /// Number of people per geo
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    pub users: u32,

    /// Days of history; the last is the latest day produced at the start
    #[arg(long, value_name = "COUNT", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..))]
    pub days: u16,

    /// Habits and names of the people
    #[arg(long, value_name = "PROFILE", value_enum, default_value_t)]
    pub profile: TenantProfile,

    /// Enabled geos; the first is the tenant's home geo
    #[arg(long, value_name = "GEO,…", value_delimiter = ',', default_value = "cn")]
    pub geos: Vec<TenantGeo>,

    /// Seed of all random values; the same seed generates the same tenant
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// Rate limits such as 50/s, 1000/min, 50/s,1000/min, sliding:50/s, bucket:50/s:5 or none
    #[arg(long, value_name = "LIMITS", default_value = "none")]
    pub limit: RateLimits,

    /// HTTP status of calls that exceed the rate limit
    #[arg(long, value_name = "STATUS", value_enum, default_value_t)]
    pub refuse_with: OverLimitStatus,

    /// Successful calls per calendar month; unlimited if not given
    #[arg(long, value_name = "CALLS")]
    pub quota: Option<u64>,

    /// Minimum latency of a call, such as 100ms
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = parse_duration)]
    pub latency: Duration,

    /// Maximum additional latency of a call, such as 20ms
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = parse_duration)]
    pub jitter: Duration,

    /// Lifetime of access tokens, such as 2h or 3s
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = parse_duration)]
    pub token_ttl: Duration,

    /// Format of page tokens
    #[arg(long, value_name = "STYLE", value_enum, default_value_t)]
    pub page_tokens: PageTokenStyle,

    /// Order of rows of a range of several days
    #[arg(long, value_name = "ORDER", value_enum, default_value_t)]
    pub row_order: RowOrder,

    /// How much the types of rows deviate from the documentation
    #[arg(long, value_name = "DEGREE", value_enum, default_value_t)]
    pub drift: SchemaDrift,
}

/// The error for a text that is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration such as 100ms, 3s, 5min or 2h")]
struct ParseDurationError;

impl SimulateArgs {
    /// The configuration for these arguments.
    #[must_use]
    pub fn config(&self) -> SimulatorConfig {
        SimulatorConfig {
            listen: self.listen,
            seed: self.seed,
            token_ttl: self.token_ttl,
            profile: self.profile,
            geos: self.geos.clone(),
            users: self.users,
            days: self.days,
            page_tokens: self.page_tokens,
            row_order: self.row_order,
            schema_drift: self.drift,
            limits: self.limit.clone(),
            over_limit_status: self.refuse_with,
            quota: self.quota,
            latency: self.latency,
            jitter: self.jitter,
            ..SimulatorConfig::default()
        }
    }
}

fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let signed = text.parse::<SignedDuration>().map_err(|_| ParseDurationError)?;
    Duration::try_from(signed).map_err(|_| ParseDurationError)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        simulate: SimulateArgs,
    }

    fn parse(line: &str) -> Result<SimulatorConfig, clap::Error> {
        let arguments = std::iter::once("simulate").chain(line.split_whitespace());
        Command::try_parse_from(arguments).map(|command| command.simulate.config())
    }

    #[test]
    fn without_arguments_the_defaults_apply() {
        let (config, default) = (parse("").expect("a configuration"), SimulatorConfig::default());

        assert_eq!((config.users, config.days, config.seed), (default.users, default.days, default.seed));
        assert_eq!((config.geos, config.token_ttl), (default.geos, default.token_ttl));
        assert_eq!(config.listen.to_string(), "127.0.0.1:8090");
    }

    #[test]
    fn every_argument_sets_its_field() {
        let line = "--listen 127.0.0.1:9 --users 20 --geos us,jp --limit 50/s,1000/min --latency 100ms --jitter 20ms \
                     --profile story --token-ttl 3s --page-tokens opaque --refuse-with 400 --drift off --row-order by-person --quota 9";

        let config = parse(line).expect("a configuration");

        assert_eq!(config.geos, [TenantGeo::Us, TenantGeo::Jp]);
        assert_eq!((config.latency, config.jitter), (Duration::from_millis(100), Duration::from_millis(20)));
        assert_eq!(config.profile, TenantProfile::Story);
        assert_eq!((config.token_ttl, config.quota), (Duration::from_secs(3), Some(9)));
        assert_eq!((config.page_tokens, config.row_order), (PageTokenStyle::Opaque, RowOrder::ByPerson));
        assert_eq!((config.over_limit_status, config.schema_drift), (OverLimitStatus::BadRequest, SchemaDrift::Off));
    }

    #[test]
    fn drift_accepts_on_and_off() {
        let drift = |line: &str| parse(line).expect("a configuration").schema_drift;

        assert_eq!([drift("--drift on"), drift("--drift off")], [SchemaDrift::Usual, SchemaDrift::Off]);
    }

    #[test]
    fn invalid_values_are_rejected() {
        for wrong in ["--limit fast", "--latency 100", "--latency -1s", "--geos cn,de", "--refuse-with 503", "--days 0"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
