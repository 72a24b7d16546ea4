//! [`RedisStore`]: the record in a Redis or Valkey server, found directly or through Sentinel.
//!
//! The record is a hash with the fields `nonce` and `record`. One script compares the nonce and writes both. It is sent
//! whole each time (`EVAL`), because a server that was restarted or failed over has no stored scripts. Nothing else of the
//! server is used, neither its clock nor expiry, so that Valkey, Redis from version 4, Dragonfly and managed services run it.

use std::{fmt, future::Future, str::FromStr, time::Duration};

use async_trait::async_trait;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo as _,
    RedisError, TlsMode,
    aio::MultiplexedConnection,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};
use reqwest::Url;
use tokio::time::Instant;

use super::{
    lease_store::{LeaseStore, LeaseStoreError, RecordVersion, SwapOutcome},
    record::FleetRecord,
};
use crate::model::redact::redacted_setting;

/// Time limit of one command. A connection without an answer is closed: behind it can be a server that has failed over.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(500);

/// Time limit of a new connection, with name resolution, Sentinel, TLS and authentication.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);

/// Minimum time between the end of an attempt to connect and the next attempt, and the maximum of what is added to it by
/// chance, so that the replicas do not all connect to a returning server at once.
const OPEN_INTERVAL: Duration = Duration::from_secs(1);
const OPEN_JITTER: Duration = Duration::from_millis(500);

/// Port of a Sentinel without a port in its address.
const SENTINEL_PORT: u16 = 26_379;

/// Compares the stored nonce with the expected one, which is empty for a missing record, and writes nonce and record.
const SWAP_SCRIPT: &str = "\
local stored = redis.call('HGET', KEYS[1], 'nonce') or ''
if stored ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'nonce', ARGV[2], 'record', ARGV[3])
return 1";

/// The address of a Redis or Valkey server. `Display` and `Debug` show no credentials.
#[derive(Clone)]
pub struct RedisAddress {
    /// The address without credentials.
    shown: String,
    target: Target,
}

#[derive(Clone)]
enum Target {
    /// A server.
    Server(ConnectionInfo),
    /// The primary server of this name, which the Sentinels know.
    Sentinel { sentinels: Vec<ConnectionInfo>, name: String, server: ConnectionInfo },
}

/// The text is not the address of a Redis server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected redis://host:6379, rediss://… for TLS, or redis+sentinel://host:26379,host:26379/name")]
pub struct ParseRedisAddressError;

/// Holds the record in a hash of a Redis server. The version is the nonce of the record.
///
/// It has one connection. After any failure the connection is closed, and the next command opens one, with names resolved
/// again.
pub struct RedisStore {
    address: RedisAddress,
    key: String,
    connection: Option<MultiplexedConnection>,
    /// No attempt to connect before this instant.
    next_open: Option<Instant>,
}

impl RedisStore {
    /// The hash with this key. Connects with the first operation.
    #[must_use]
    pub const fn new(address: RedisAddress, key: String) -> Self {
        Self { address, key, connection: None, next_open: None }
    }

    /// Sends a command.
    async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, LeaseStoreError> {
        // The connection is put back only after an answer. An error of the server also closes it: a server that answers
        // READONLY or LOADING is not the primary server any more.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.open().await?,
        };
        let answer = within(COMMAND_TIMEOUT, command.query_async(&mut connection)).await?;
        self.connection = Some(connection);
        Ok(answer)
    }

    async fn open(&mut self) -> Result<MultiplexedConnection, LeaseStoreError> {
        if self.next_open.is_some_and(|next| Instant::now() < next) {
            return Err(LeaseStoreError("the connection failed and is opened again within 1.5 s".into()));
        }
        let opened = within(OPEN_TIMEOUT, self.address.connect()).await;
        self.next_open = Some(Instant::now() + OPEN_INTERVAL + OPEN_JITTER.mul_f64(fastrand::f64()));
        opened
    }
}

#[async_trait]
impl LeaseStore for RedisStore {
    async fn read(&mut self) -> Result<Option<(FleetRecord, RecordVersion)>, LeaseStoreError> {
        let mut command = redis::cmd("HMGET");
        command.arg(&self.key).arg("nonce").arg("record");
        let (nonce, text): (Option<String>, Option<String>) = self.query(&command).await?;
        let (Some(nonce), Some(text)) = (nonce, text) else { return Ok(None) };
        let record = serde_json::from_str(&text).map_err(|error| {
            LeaseStoreError(format!("the record in the key {} is invalid: {error}", self.key).into())
        })?;
        Ok(Some((record, RecordVersion(nonce))))
    }

    async fn swap(&mut self, expected: Option<&RecordVersion>, record: &FleetRecord) -> SwapOutcome {
        let text = match serde_json::to_string(record) {
            Ok(text) => text,
            Err(error) => return SwapOutcome::Unknown(LeaseStoreError(error.to_string().into())),
        };
        let expected = expected.map_or("", |version| &version.0);
        let mut command = redis::cmd("EVAL");
        command.arg(SWAP_SCRIPT).arg(1).arg(&self.key).arg(expected).arg(&record.nonce.0).arg(text);
        match self.query::<i64>(&command).await {
            Ok(1) => SwapOutcome::Done(RecordVersion(record.nonce.0.clone())),
            Ok(_) => SwapOutcome::Lost,
            Err(error) => SwapOutcome::Unknown(error),
        }
    }

    async fn remove(&mut self) -> Result<(), LeaseStoreError> {
        let mut command = redis::cmd("DEL");
        command.arg(&self.key);
        self.query::<i64>(&command).await.map(drop)
    }
}

impl RedisAddress {
    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(OPEN_TIMEOUT))
            .set_response_timeout(Some(COMMAND_TIMEOUT));
        let client = match &self.target {
            Target::Server(server) => Client::open(server.clone())?,
            Target::Sentinel { sentinels, name, server } => primary(sentinels, name, server).await?,
        };
        client.get_multiplexed_async_connection_with_config(&config).await
    }
}

/// Asks the Sentinels, in random order, for the primary server. The client checks that the server regards itself as such.
async fn primary(sentinels: &[ConnectionInfo], name: &str, server: &ConnectionInfo) -> Result<Client, RedisError> {
    let mut addresses: Vec<ConnectionAddr> = sentinels.iter().map(|sentinel| sentinel.addr().clone()).collect();
    fastrand::shuffle(&mut addresses);
    let mut builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)?;
    if matches!(server.addr(), ConnectionAddr::TcpTls { .. }) {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    let settings = server.redis_settings();
    builder = builder.set_client_to_redis_db(settings.db());
    builder = settings.username().into_iter().fold(builder, SentinelClientBuilder::set_client_to_redis_username);
    builder = settings.password().into_iter().fold(builder, SentinelClientBuilder::set_client_to_redis_password);
    if let Some(settings) = sentinels.first().map(ConnectionInfo::redis_settings) {
        builder = settings.username().into_iter().fold(builder, SentinelClientBuilder::set_client_to_sentinel_username);
        builder = settings.password().into_iter().fold(builder, SentinelClientBuilder::set_client_to_sentinel_password);
    }
    builder.build()?.async_get_client().await
}

impl FromStr for RedisAddress {
    type Err = ParseRedisAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").ok_or(ParseRedisAddressError)?;
        let target = match scheme {
            "redis" | "rediss" => Target::Server(connection_info(text)?),
            "redis+sentinel" => sentinel_target("redis", rest)?,
            "rediss+sentinel" => sentinel_target("rediss", rest)?,
            _ => return Err(ParseRedisAddressError),
        };
        Ok(Self { shown: redacted_setting(text), target })
    }
}

fn connection_info(url: &str) -> Result<ConnectionInfo, ParseRedisAddressError> {
    // A text that has no host would be the local server.
    Url::parse(url).ok().filter(Url::has_host).ok_or(ParseRedisAddressError)?;
    url.into_connection_info().map_err(|_| ParseRedisAddressError)
}

/// Parses `[user:password@]host[:port],…/name[?db=…&sentinel_username=…&sentinel_password=…]`. The user before `@` is that
/// of the server; the Sentinels have their own.
fn sentinel_target(scheme: &str, rest: &str) -> Result<Target, ParseRedisAddressError> {
    let (userinfo, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (hosts, name) = rest.split_once('/').ok_or(ParseRedisAddressError)?;
    let (name, query) = name.split_once('?').unwrap_or((name, ""));
    if name.is_empty() || name.contains('/') {
        return Err(ParseRedisAddressError);
    }
    let at = if userinfo.is_empty() { "" } else { "@" };
    // Only user, password and database of this URL are used.
    let mut server = Url::parse(&format!("{scheme}://{userinfo}{at}server")).map_err(|_| ParseRedisAddressError)?;
    let mut sentinel_user = (String::new(), String::new());
    for (parameter, value) in Url::parse(&format!("x://x?{query}")).map_err(|_| ParseRedisAddressError)?.query_pairs() {
        match &*parameter {
            "db" => server.set_path(&value),
            "sentinel_username" => sentinel_user.0 = value.into_owned(),
            "sentinel_password" => sentinel_user.1 = value.into_owned(),
            _ => return Err(ParseRedisAddressError),
        }
    }
    let sentinels = hosts.split(',').map(|host| {
        let mut url = Url::parse(&format!("{scheme}://{host}")).map_err(|_| ParseRedisAddressError)?;
        if url.port().is_none() {
            url.set_port(Some(SENTINEL_PORT)).map_err(|()| ParseRedisAddressError)?;
        }
        url.set_username(&sentinel_user.0).map_err(|()| ParseRedisAddressError)?;
        let password = Some(sentinel_user.1.as_str()).filter(|password| !password.is_empty());
        url.set_password(password).map_err(|()| ParseRedisAddressError)?;
        connection_info(url.as_str())
    });
    Ok(Target::Sentinel {
        sentinels: sentinels.collect::<Result<_, _>>()?,
        name: name.to_owned(),
        server: connection_info(server.as_str())?,
    })
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

async fn within<T>(
    limit: Duration,
    operation: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, LeaseStoreError> {
    match tokio::time::timeout(limit, operation).await {
        Ok(Ok(answer)) => Ok(answer),
        // The category and the code contain nothing of the request.
        Ok(Err(error)) => Err(LeaseStoreError(match error.code() {
            Some(code) => format!("{}: {code}", error.category()).into(),
            None if error.is_io_error() => format!("{}: {error}", error.category()).into(),
            None => error.category().into(),
        })),
        Err(_) => Err(LeaseStoreError(format!("no answer within {} ms", limit.as_millis()).into())),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("redis://cache:6379", "redis://cache:6379")]
    #[case("rediss://me:hush@cache.example.com/3", "rediss://***@cache.example.com/3")]
    #[case("redis+sentinel://a,b:1,[::1]:2/main", "redis+sentinel://a,b:1,[::1]:2/main")]
    #[case("rediss+sentinel://:hu%2Fsh@a/main?sentinel_password=hush", "rediss+sentinel://***@a/main?***")]
    fn an_address_is_shown_without_credentials(#[case] text: &str, #[case] shown: &str) {
        let address: RedisAddress = text.parse().unwrap();
        assert_eq!((address.to_string(), format!("{address:?}")), (shown.to_owned(), shown.to_owned()));
    }

    #[rstest]
    #[case("")]
    #[case("cache:6379")]
    #[case("redis://")]
    #[case("http://cache")]
    #[case("redis+unix:///run/redis.sock")]
    #[case("redis://cache/notadatabase")]
    #[case("redis+sentinel://a,b")]
    #[case("redis+sentinel://a,b/")]
    #[case("redis+sentinel:///main")]
    #[case("redis+sentinel://a,,b/main")]
    #[case("redis+sentinel://a/main?unknown=1")]
    fn an_invalid_address_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<RedisAddress>().err(), Some(ParseRedisAddressError));
    }

    #[test]
    fn sentinels_have_their_own_credentials_and_port() {
        let text = "redis+sentinel://me:se%2Fcret@a,b:7/main?db=3&sentinel_username=s&sentinel_password=x%26y";
        let RedisAddress { target: Target::Sentinel { sentinels, name, server }, .. } = text.parse().unwrap() else {
            panic!("an address of Sentinels");
        };
        let of = |info: &ConnectionInfo| {
            let settings = info.redis_settings();
            (settings.username().map(String::from), settings.password().map(String::from), settings.db())
        };
        let addresses: Vec<String> = sentinels.iter().map(|sentinel| sentinel.addr().to_string()).collect();
        assert_eq!((addresses, name.as_str()), (vec!["a:26379".to_owned(), "b:7".to_owned()], "main"));
        assert_eq!(of(&server), (Some("me".to_owned()), Some("se/cret".to_owned()), 3));
        assert_eq!(of(&sentinels[1]), (Some("s".to_owned()), Some("x&y".to_owned()), 0));
    }
}
