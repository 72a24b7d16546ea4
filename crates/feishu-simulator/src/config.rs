//! What kind of Feishu is simulated: the tenant, its habits and its limits.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::ValueEnum;

use super::limit::Limits;
use crate::model::Geo;

/// The whole simulation. `Default` is a friendly tenant: 2,000 people, 60 days, no limit, no latency, no faults.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The seed of everything: people, figures, ids, jitter, drift.
    pub seed: u64,

    /// The one app that is known.
    pub app_id: String,
    /// That app's secret.
    pub app_secret: String,
    /// How long an access token lives, in whole seconds; upstream documents at most two hours.
    pub token_ttl: Duration,
    /// What access tokens look like.
    pub token_style: TokenStyle,
    /// Whether the app has the scope `contact:user.employee_id:readonly`; without it rows withhold `user_id`s of that type.
    pub employee_ids: bool,

    /// The geos that are enabled, at least one; the first is the tenant's own.
    pub geos: Vec<Geo>,
    /// People per geo over the whole history, at most 2^30.
    pub users: u32,
    /// Days of history, at least one, that end with the latest day produced when the simulator starts. Later days are
    /// produced as the clock goes on.
    pub days: u16,
    /// The share of people, `0.0..=1.0`, who join (half of it) or leave (the other half) during the history. At zero
    /// every person has a row on every day.
    pub turnover: f64,
    /// Whether people have rows for days on which they were not active.
    pub inactive_rows: bool,

    /// What page tokens look like.
    pub page_tokens: PageTokenStyle,
    /// The order of rows over a span of several days.
    pub row_order: RowOrder,
    /// How far the types of a row stray from the documentation.
    pub drift: Drift,

    /// The rate limits of the stats path.
    pub limits: Limits,
    /// The HTTP status of a call over the limit.
    pub refuse_with: RefusalStatus,
    /// When and how `x-ogw-ratelimit-*` headers come.
    pub rate_hints: RateHints,
    /// Successful stats calls that a calendar month holds; `None` is without end.
    pub quota: Option<u64>,
    /// How long every call takes at least.
    pub latency: Duration,
    /// How much longer a call may take, drawn evenly from zero to this.
    pub jitter: Duration,
}

/// What access tokens look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenStyle {
    /// `t-` and 32 hexadecimal digits.
    #[default]
    Short,
    /// Three base64 parts of nearly 4 KB, like the newer ones.
    Jwt,
}

/// What page tokens look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PageTokenStyle {
    /// `2`, `3`, …: the number of the next page, as in upstream's samples, good only for the query it was issued to.
    #[default]
    Numeric,
    /// The same numbers, taken at their word: any page can be asked for, issued or not.
    PageNumber,
    /// Random-looking text, different for each query.
    Opaque,
}

/// The order of rows over a span of several days; upstream promises none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum RowOrder {
    /// All people of the first day, then all of the second.
    #[default]
    ByDate,
    /// All days of the first person, then all of the second.
    ByPerson,
    /// No order, though always the same one for the same query.
    Shuffled,
}

/// How far the types of a row stray from the documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Drift {
    /// Exactly as documented.
    Off,
    /// As users report: most rows as documented; in others the mail and search counters are integers, or zeros and
    /// empty texts become `""`, `null` or absent; unknown fields turn up.
    #[default]
    #[value(alias = "on")]
    Usual,
    /// Every row is ragged, and documented integers may be strings as well.
    Wild,
}

/// The HTTP status of a call over the rate limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RefusalStatus {
    /// 429, as documented.
    #[default]
    #[value(name = "429")]
    TooManyRequests,
    /// 400, as on older APIs.
    #[value(name = "400")]
    BadRequest,
}

/// When and how `x-ogw-ratelimit-limit` and `x-ogw-ratelimit-reset` come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateHints {
    /// How `x-ogw-ratelimit-reset` is written.
    pub reset: ResetHint,
    /// Whether successful replies carry the headers as well (then with a reset of zero).
    pub on_success: bool,
}

/// How `x-ogw-ratelimit-reset` is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResetHint {
    /// Neither header is sent.
    Absent,
    /// Whole seconds, rounded up.
    #[default]
    Seconds,
    /// Seconds with three decimals.
    Decimal,
    /// Always this text, such as `86400`, `-1` or `soon`.
    Fixed(String),
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            app_id: "cli_demo".to_owned(),
            app_secret: "demo-secret".to_owned(),
            token_ttl: Duration::from_secs(7200),
            token_style: TokenStyle::default(),
            employee_ids: true,
            geos: vec![Geo::Cn],
            users: 2000,
            days: 60,
            turnover: 0.08,
            inactive_rows: true,
            page_tokens: PageTokenStyle::default(),
            row_order: RowOrder::default(),
            drift: Drift::default(),
            limits: Limits::default(),
            refuse_with: RefusalStatus::default(),
            rate_hints: RateHints::default(),
            quota: None,
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
        }
    }
}

impl SimConfig {
    /// The geo of a call that names none: the first one enabled.
    #[must_use]
    pub fn home(&self) -> Geo {
        self.geos.first().copied().unwrap_or(Geo::Cn)
    }
}
