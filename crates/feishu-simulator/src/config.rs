//! The configuration of the simulator: tenant, API behaviour and limits.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::ValueEnum;

use crate::{RateLimits, TenantGeo};

/// The configuration of the simulator. The default has 2,000 people, 60 days, no rate limit, no quota and no latency.
#[derive(Clone, Debug)]
pub struct SimulatorConfig {
    /// The address to listen on. Port 0 selects a free port.
    pub listen: SocketAddr,
    /// The seed of all random values: people, figures, ids, jitter, schema drift.
    pub seed: u64,

    /// The id of the app. Only this app receives access tokens.
    pub app_id: String,
    /// The secret of the app.
    pub app_secret: String,
    /// The lifetime of an access token, in whole seconds. Feishu documents at most two hours.
    pub token_ttl: Duration,
    /// The format of access tokens.
    pub access_token_style: AccessTokenStyle,
    /// Whether the app has the scope `contact:user.employee_id:readonly`. Without it, rows contain no ids of the kind
    /// `user_id`.
    pub employee_ids: bool,

    /// The habits of the people, and the names.
    pub profile: TenantProfile,
    /// The enabled geos, at least one. The first is the tenant's home geo.
    pub geos: Vec<TenantGeo>,
    /// Number of people per geo over the whole history, at most 2^30.
    pub users: u32,
    /// Days of history, at least one. The last is the latest day produced at the start; later days are added as time
    /// passes.
    pub days: u16,
    /// The share of people, `0.0..=1.0`, who join or leave (half each) during the history. With 0, all people have a
    /// row on every day, provided that [`Self::inactive_rows`] is set. Only [`TenantProfile::Varied`] uses it.
    pub turnover: f64,
    /// Whether people have rows on days on which they were not active.
    pub inactive_rows: bool,

    /// The format of page tokens.
    pub page_tokens: PageTokenStyle,
    /// The order of rows of a range of several days.
    pub row_order: RowOrder,
    /// How much the types of rows deviate from the documentation.
    pub schema_drift: SchemaDrift,

    /// The rate limits of `admin_user_stats`.
    pub limits: RateLimits,
    /// The HTTP status of a call that exceeds a rate limit.
    pub over_limit_status: OverLimitStatus,
    /// The headers `x-ogw-ratelimit-limit` and `x-ogw-ratelimit-reset`.
    pub rate_limit_headers: RateLimitHeaders,
    /// Successful `admin_user_stats` calls per calendar month; `None` means no quota.
    pub quota: Option<u64>,
    /// The minimum latency of a call.
    pub latency: Duration,
    /// The maximum additional latency, with a uniform distribution.
    pub jitter: Duration,
}

/// The habits of the people of the tenant, and the names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TenantProfile {
    /// Independent random values, with names that need escaping or special handling. Made for tests.
    #[default]
    Varied,
    /// A growing company: holidays, departments with different habits, a roll-out of documents in two departments,
    /// dormant and never activated accounts, and client versions that are released and replaced. Made for demos, best
    /// with 400 days.
    Story,
}

/// The format of access tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessTokenStyle {
    /// `t-` and 32 hexadecimal digits.
    #[default]
    Short,
    /// Three base64 parts with nearly 4 KB in total, like newer tokens of Feishu.
    Jwt,
}

/// The format of page tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PageTokenStyle {
    /// The number of the page (`2`, `3`, …), as in the samples of the documentation. Valid only for the query it was
    /// issued for.
    #[default]
    Numeric,
    /// The number of the page, valid for any query and for pages whose token was never issued.
    PageNumber,
    /// Opaque text, different for each query.
    Opaque,
}

/// The order of rows of a range of several days. Feishu documents no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum RowOrder {
    /// By day, then by person.
    #[default]
    ByDate,
    /// By person, then by day.
    ByPerson,
    /// Pseudo-random, but always the same for the same query.
    Shuffled,
}

/// How much the types of rows deviate from the documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SchemaDrift {
    /// No deviation.
    Off,
    /// As users report: most rows are as documented. In the others, mail and search counters are integers, or zeros and
    /// empty texts are `""`, `null` or absent. Some rows have undocumented fields.
    #[default]
    #[value(alias = "on")]
    Usual,
    /// In all rows, integers may be strings, and zeros and empty texts may be `""`, `null` or absent.
    Wild,
}

/// The HTTP status of a call that exceeds a rate limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OverLimitStatus {
    /// 429, as documented.
    #[default]
    #[value(name = "429")]
    TooManyRequests,
    /// 400, as on older APIs.
    #[value(name = "400")]
    BadRequest,
}

/// The headers `x-ogw-ratelimit-limit` and `x-ogw-ratelimit-reset`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimitHeaders {
    /// The format of `x-ogw-ratelimit-reset`.
    pub reset: ResetHeader,
    /// Whether successful replies contain the headers too, with a reset of 0.
    pub on_success: bool,
}

/// The format of `x-ogw-ratelimit-reset`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResetHeader {
    /// Neither header is sent.
    Absent,
    /// Whole seconds, rounded up.
    #[default]
    Seconds,
    /// Seconds with three decimals.
    Decimal,
    /// This text, such as `86400`, `-1` or `soon`.
    Fixed(String),
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            app_id: "cli_demo".to_owned(),
            app_secret: "demo-secret".to_owned(),
            token_ttl: Duration::from_secs(7200),
            access_token_style: AccessTokenStyle::default(),
            employee_ids: true,
            profile: TenantProfile::default(),
            geos: vec![TenantGeo::Cn],
            users: 2000,
            days: 60,
            turnover: 0.08,
            inactive_rows: true,
            page_tokens: PageTokenStyle::default(),
            row_order: RowOrder::default(),
            schema_drift: SchemaDrift::default(),
            limits: RateLimits::default(),
            over_limit_status: OverLimitStatus::default(),
            rate_limit_headers: RateLimitHeaders::default(),
            quota: None,
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
        }
    }
}

impl SimulatorConfig {
    /// The geo of a call without `target_geo`: the first enabled geo.
    #[must_use]
    pub fn home_geo(&self) -> TenantGeo {
        self.geos.first().copied().unwrap_or(TenantGeo::Cn)
    }
}
