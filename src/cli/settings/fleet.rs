//! The settings of several replicas.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::Args;
use rustls::pki_types::ServerName;

use super::{
    headings::FLEET,
    values::{lease, listen_address, trimmed},
};
use crate::{
    app::{FleetConfig, FleetStore, FleetTlsFiles, TlsFiles, UNREACHABLE_LIMIT},
    cli::{setting_error::SettingError, setting_names::both_names},
    fleet::RedisAddress,
    store::ArchiveLocation,
};

/// The lease in a Redis server, and in a bucket, if none is set.
const DEFAULT_LEASE: Duration = Duration::from_secs(10);
const DEFAULT_BUCKET_LEASE: Duration = Duration::from_secs(20);

/// Settings of a fleet.
#[derive(Clone, Debug, Args)]
pub(super) struct FleetSettings {
    /// Where several replicas agree on the one that calls Feishu: `none` for one replica, a Redis or Valkey server
    /// (`redis://host:6379`, `rediss://…` for TLS, `redis+sentinel://host,host/name`), or `archive` for the bucket of the
    /// archive. Several replicas need an archive in a bucket
    #[arg(id = "fleet", long = "fleet", env = "PULSE_FLEET", value_name = "STORE", hide_env_values = true, default_value = "none", help_heading = FLEET)]
    pub(super) store: StoreSetting,

    /// A file that contains the value of `PULSE_FLEET`, which may contain a password
    #[arg(id = "fleet_file", long = "fleet-file", env = "PULSE_FLEET_FILE", value_name = "PATH", help_heading = FLEET)]
    pub(super) store_file: Option<PathBuf>,

    /// The address to listen on for other replicas, which is used only with `PULSE_FLEET`. They exchange days with names,
    /// without TLS if `PULSE_FLEET_TLS_CERT` is not set
    #[arg(id = "fleet_listen", long = "fleet-listen", env = "PULSE_FLEET_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:9091", value_parser = listen_address, help_heading = FLEET)]
    pub(super) listen: SocketAddr,

    /// Where other replicas reach this one: a host and a port such as `pulse-0.pulse:9091`, or an IP address, which gets the
    /// port of `PULSE_FLEET_LISTEN`. By default `PULSE_FLEET_LISTEN`, if that is the address of one interface
    #[arg(id = "fleet_address", long = "fleet-address", env = "PULSE_FLEET_ADDRESS", value_name = "HOST:PORT", value_parser = replica_address, help_heading = FLEET)]
    pub(super) address: Option<ReplicaAddress>,

    /// How long the record must be unchanged before another replica may lead, from 5s to 60s. Default: 10s, and 20s in a bucket
    #[arg(id = "fleet_lease", long = "fleet-lease", env = "PULSE_FLEET_LEASE", value_name = "DURATION", value_parser = lease, help_heading = FLEET)]
    pub(super) lease: Option<Duration>,

    /// The certificate of this replica in PEM format, followed by its intermediate certificates, for TLS between replicas in
    /// both directions. All replicas have one or none. The file is read again when it changes
    #[arg(id = "fleet_tls_cert", long = "fleet-tls-cert", env = "PULSE_FLEET_TLS_CERT", value_name = "PATH", help_heading = FLEET)]
    pub(super) tls_cert: Option<PathBuf>,

    /// The private key of that certificate in PEM format
    #[arg(id = "fleet_tls_key", long = "fleet-tls-key", env = "PULSE_FLEET_TLS_KEY", value_name = "PATH", help_heading = FLEET)]
    pub(super) tls_key: Option<PathBuf>,

    /// The certificates of the authority in PEM format. A replica accepts others only with a certificate of this authority
    #[arg(id = "fleet_tls_ca", long = "fleet-tls-ca", env = "PULSE_FLEET_TLS_CA", value_name = "PATH", help_heading = FLEET)]
    pub(super) tls_ca: Option<PathBuf>,

    /// The DNS name that the certificates of all replicas contain. It need not exist in DNS
    #[arg(id = "fleet_tls_name", long = "fleet-tls-name", env = "PULSE_FLEET_TLS_NAME", value_name = "NAME", default_value = "feishu-pulse-fleet", value_parser = tls_name, help_heading = FLEET)]
    pub(super) tls_name: ServerName<'static>,
}

/// The value of `PULSE_FLEET`.
#[derive(Clone, Debug)]
pub(crate) enum StoreSetting {
    /// One replica.
    None,
    /// Several replicas, whose record is in this store.
    Store(FleetStore),
}

impl FleetSettings {
    /// The configuration of the fleet; `None` for one replica.
    pub(super) fn config(&self, archive: &ArchiveLocation) -> Result<Option<FleetConfig>, SettingError> {
        let tls = self.tls()?;
        let StoreSetting::Store(store) = self.store()? else { return Ok(None) };
        if !matches!(archive, ArchiveLocation::Bucket { .. }) {
            let fault = format!(
                "is {archive}, which other replicas cannot read, but {} is set: all replicas need one bucket",
                both_names("PULSE_FLEET")
            );
            return Err(SettingError::of("PULSE_ARCHIVE", fault));
        }
        let in_bucket = matches!(store, FleetStore::Archive);
        let lease = self.lease.unwrap_or(if in_bucket { DEFAULT_BUCKET_LEASE } else { DEFAULT_LEASE });
        Ok(Some(FleetConfig { store, address: self.address()?, tls, lease, unreachable_limit: UNREACHABLE_LIMIT }))
    }

    fn tls(&self) -> Result<Option<FleetTlsFiles>, SettingError> {
        let files = [
            ("PULSE_FLEET_TLS_CERT", &self.tls_cert),
            ("PULSE_FLEET_TLS_KEY", &self.tls_key),
            ("PULSE_FLEET_TLS_CA", &self.tls_ca),
        ];
        if let [Some(certificate), Some(key), Some(authorities)] = files.map(|(_, path)| path.clone()) {
            let pair = TlsFiles { certificate, key };
            return Ok(Some(FleetTlsFiles { pair, authorities, name: self.tls_name.clone() }));
        }
        let find = |is_set| files.iter().find(|(_, path)| path.is_some() == is_set).map(|(name, _)| *name);
        let (Some(set), Some(unset)) = (find(true), find(false)) else { return Ok(None) };
        let fault = format!("is not set, but {} is: set all three files or none", both_names(set));
        Err(SettingError::of(unset, fault))
    }

    fn store(&self) -> Result<StoreSetting, SettingError> {
        let Some(path) = &self.store_file else { return Ok(self.store.clone()) };
        if !matches!(self.store, StoreSetting::None) {
            let fault = format!("and {} are both set: remove one of them", both_names("PULSE_FLEET_FILE"));
            return Err(SettingError::of("PULSE_FLEET", fault));
        }
        let location = path.display();
        let fault = |fault: String| SettingError::of("PULSE_FLEET_FILE", format_args!("is \"{location}\", {fault}"));
        let text = std::fs::read_to_string(path).map_err(|error| fault(format!("which cannot be read: {error}")))?;
        text.parse().map_err(|expected: String| fault(format!("whose content is invalid: {expected}")))
    }

    fn address(&self) -> Result<String, SettingError> {
        match &self.address {
            Some(ReplicaAddress::HostAndPort(address)) => Ok(address.clone()),
            Some(ReplicaAddress::Ip(ip)) => Ok(SocketAddr::new(*ip, self.listen.port()).to_string()),
            None if !self.listen.ip().is_unspecified() => Ok(self.listen.to_string()),
            None => Err(SettingError::of("PULSE_FLEET_ADDRESS", "is not set: other replicas must reach this one")),
        }
    }
}

impl FromStr for StoreSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match trimmed(text) {
            "none" => Ok(Self::None),
            "archive" => Ok(Self::Store(FleetStore::Archive)),
            address => match address.parse::<RedisAddress>() {
                Ok(address) => Ok(Self::Store(FleetStore::Redis(Box::new(address)))),
                // The text may contain a password, so it is not shown.
                Err(error) => Err(format!("{error}, or archive, or none")),
            },
        }
    }
}

/// The value of `PULSE_FLEET_ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReplicaAddress {
    /// A host and a port.
    HostAndPort(String),
    /// An address without a port. Kubernetes gives a pod its address like this, also for IPv6.
    Ip(IpAddr),
}

fn tls_name(text: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(text.to_owned()).ok().filter(|name| matches!(name, ServerName::DnsName(_)));
    name.ok_or_else(|| "expected a DNS name".to_owned())
}

fn replica_address(text: &str) -> Result<ReplicaAddress, String> {
    if let Ok(ip) = text.parse() {
        return Ok(ReplicaAddress::Ip(ip));
    }

    let valid = format!("http://{text}").parse::<reqwest::Url>().ok().filter(|url| {
        let is_bare =
            url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        is_bare && url.has_host() && text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    });
    let expected = || "expected a host and a port, or an IP address".to_owned();
    valid.map(|_| ReplicaAddress::HostAndPort(text.to_owned())).ok_or_else(expected)
}
