//! The command line of the simulator.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use jiff::SignedDuration;

use super::{Drift, Limits, PageTokenStyle, RefusalStatus, RowOrder, SimConfig};
use crate::model::Geo;

/// What `feishu-pulse simulate` understands; whatever is not named keeps [`SimConfig`]'s default.
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,

    /// People per geo
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    pub users: u32,

    /// Days of history, which end with the latest day produced
    #[arg(long, value_name = "COUNT", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..))]
    pub days: u16,

    /// The geos that are enabled; the first is the tenant's own
    #[arg(long, value_name = "GEO,…", value_delimiter = ',', default_value = "cn")]
    pub geos: Vec<Geo>,

    /// The seed of everything: the same seed invents the same tenant
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// Rate limits such as 50/s, 1000/min, 50/s,1000/min, sliding:50/s, bucket:50/s:5 or none
    #[arg(long, value_name = "LIMITS", default_value = "none")]
    pub limit: Limits,

    /// The HTTP status of calls over the limit
    #[arg(long, value_name = "STATUS", value_enum, default_value_t)]
    pub refuse_with: RefusalStatus,

    /// Successful calls that a calendar month holds; without end if not given
    #[arg(long, value_name = "CALLS")]
    pub quota: Option<u64>,

    /// How long every call takes at least, such as 100ms
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = parse_duration)]
    pub latency: Duration,

    /// How much longer a call may take
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = parse_duration)]
    pub jitter: Duration,

    /// How long access tokens live, such as 2h or 3s
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = parse_duration)]
    pub token_ttl: Duration,

    /// What page tokens look like
    #[arg(long, value_name = "STYLE", value_enum, default_value_t)]
    pub page_tokens: PageTokenStyle,

    /// The order of rows over a span of several days
    #[arg(long, value_name = "ORDER", value_enum, default_value_t)]
    pub row_order: RowOrder,

    /// How far the types of a row stray from the documentation
    #[arg(long, value_name = "DEGREE", value_enum, default_value_t)]
    pub drift: Drift,
}

/// A text that is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration such as 100ms, 3s, 5min or 2h")]
struct ParseDurationError;

impl SimulateArgs {
    /// The simulation that was asked for.
    #[must_use]
    pub fn config(&self) -> SimConfig {
        SimConfig {
            listen: self.listen,
            seed: self.seed,
            token_ttl: self.token_ttl,
            geos: self.geos.clone(),
            users: self.users,
            days: self.days,
            page_tokens: self.page_tokens,
            row_order: self.row_order,
            drift: self.drift,
            limits: self.limit.clone(),
            refuse_with: self.refuse_with,
            quota: self.quota,
            latency: self.latency,
            jitter: self.jitter,
            ..SimConfig::default()
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

    fn parse(words: &str) -> Result<SimConfig, clap::Error> {
        let words = std::iter::once("simulate").chain(words.split_whitespace());
        Command::try_parse_from(words).map(|command| command.simulate.config())
    }

    #[test]
    fn no_words_at_all_mean_the_friendly_tenant() {
        let (asked, friendly) = (parse("").expect("a simulation"), SimConfig::default());

        assert_eq!((asked.users, asked.days, asked.seed), (friendly.users, friendly.days, friendly.seed));
        assert_eq!((asked.geos, asked.token_ttl), (friendly.geos, friendly.token_ttl));
        assert_eq!(asked.listen.to_string(), "127.0.0.1:8090");
    }

    #[test]
    fn every_word_has_its_effect() {
        let words = "--listen 127.0.0.1:9 --users 20 --geos us,jp --limit 50/s,1000/min --latency 100ms --jitter 20ms \
                     --token-ttl 3s --page-tokens opaque --refuse-with 400 --drift off --row-order by-person --quota 9";

        let asked = parse(words).expect("a simulation");

        assert_eq!(asked.geos, [Geo::Us, Geo::Jp]);
        assert_eq!((asked.latency, asked.jitter), (Duration::from_millis(100), Duration::from_millis(20)));
        assert_eq!((asked.token_ttl, asked.quota), (Duration::from_secs(3), Some(9)));
        assert_eq!((asked.page_tokens, asked.row_order), (PageTokenStyle::Opaque, RowOrder::ByPerson));
        assert_eq!((asked.refuse_with, asked.drift), (RefusalStatus::BadRequest, Drift::Off));
    }

    #[test]
    fn drift_can_be_switched_on_and_off() {
        let drift = |words: &str| parse(words).expect("a simulation").drift;

        assert_eq!([drift("--drift on"), drift("--drift off")], [Drift::Usual, Drift::Off]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in ["--limit fast", "--latency 100", "--latency -1s", "--geos cn,de", "--refuse-with 503", "--days 0"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
