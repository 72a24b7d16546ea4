//! [`Transport`], how a replica connects to the leader: over TLS or not.

use std::{sync::Arc, time::Duration};

use reqwest::Client;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{VerifierBuilderError, WebPkiClientVerifier},
    version::TLS13,
};
use tokio::sync::watch;

/// What the address of a replica begins with if it serves TLS.
const TLS_SCHEME: &str = "https://";

/// What the URL of a replica without TLS begins with.
const PLAIN_SCHEME: &str = "http://";

/// The only version of HTTP between replicas.
const ALPN_HTTP2: &[u8] = b"h2";

/// Time limit of a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A leader that answers no ping for this long is unreachable. A day can take hours, so an answer has no time limit.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// How a replica connects to the leader. All replicas of a fleet do it alike.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Without TLS.
    Plain(LeaderConnections),
    /// Over TLS with the latest certificate.
    Tls(watch::Receiver<FleetTls>),
}

/// Why a leader cannot be reached by this transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TransportMismatch {
    /// Only the leader has a certificate.
    #[error(
        "the leader serves TLS, but this replica has no certificate: PULSE_FLEET_TLS_CERT must be set at all replicas or at none"
    )]
    OnlyLeader,
    /// Only this replica has a certificate.
    #[error(
        "the leader serves no TLS, but this replica has a certificate: PULSE_FLEET_TLS_CERT must be set at all replicas or at none"
    )]
    OnlyHere,
}

/// The connections to the leader.
#[derive(Clone, Debug)]
pub struct LeaderConnections {
    /// For days, whose requests last as long as their fetches.
    pub(super) for_days: Client,
    /// For everything else, so that it does not queue behind days on one connection.
    pub(super) for_the_rest: Client,
}

/// TLS between replicas, made from one certificate. A replica presents it as a server and as a client.
#[derive(Clone, Debug)]
pub struct FleetTls {
    /// Serves other replicas. They must present a certificate of the same authority.
    pub server: Arc<ServerConfig>,
    /// Why other replicas refuse the certificate at present, for example because it has expired.
    pub fault: Option<Error>,
    connections: LeaderConnections,
}

impl Transport {
    /// Without TLS.
    ///
    /// # Errors
    /// If the HTTP client cannot be set up.
    pub fn plain() -> Result<Self, reqwest::Error> {
        Ok(Self::Plain(LeaderConnections::new(|client| client)?))
    }

    /// The address that other replicas read in the record, from a host and a port.
    #[must_use]
    pub fn address(host_and_port: &str, has_tls: bool) -> String {
        format!("{}{host_and_port}", if has_tls { TLS_SCHEME } else { "" })
    }

    /// The base URL of a replica with this address in the record.
    ///
    /// # Errors
    /// If this replica and the other one do not both serve TLS, or both not.
    pub(super) fn base_url(&self, address: &str) -> Result<String, TransportMismatch> {
        match (self, address.starts_with(TLS_SCHEME)) {
            (Self::Plain(_), false) => Ok(format!("{PLAIN_SCHEME}{address}")),
            (Self::Tls(_), true) => Ok(address.to_owned()),
            (Self::Plain(_), true) => Err(TransportMismatch::OnlyLeader),
            (Self::Tls(_), false) => Err(TransportMismatch::OnlyHere),
        }
    }

    /// The connections, with the latest certificate.
    pub(super) fn connections(&self) -> LeaderConnections {
        match self {
            Self::Plain(connections) => connections.clone(),
            Self::Tls(latest) => latest.borrow().connections.clone(),
        }
    }
}

impl LeaderConnections {
    fn new(with_tls: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Result<Self, reqwest::Error> {
        // A client keeps one connection to the leader.
        let client = || {
            let builder = Client::builder()
                // Replicas reach each other directly.
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                // A response for a caller is passed on as it is.
                .no_gzip()
                .connect_timeout(CONNECT_TIMEOUT)
                // One connection for all requests, whose end shows in time even if the machine is gone.
                .http2_prior_knowledge()
                .http2_keep_alive_interval(PING_INTERVAL)
                .http2_keep_alive_timeout(PING_TIMEOUT)
                .http2_adaptive_window(true);
            with_tls(builder).build()
        };
        Ok(Self { for_days: client()?, for_the_rest: client()? })
    }
}

impl FleetTls {
    /// TLS with this certificate and its intermediate certificates. A connection is made if the certificate of the other
    /// replica is from one of `authorities`, and, at the side that connects, has `name`: replicas reach each other by
    /// addresses, which no certificate contains.
    ///
    /// # Errors
    /// If the certificate and the key do not match, or there is no authority.
    pub fn new(
        certificates: &[CertificateDer<'static>],
        key: &PrivateKeyDer<'static>,
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        authorities.into_iter().try_for_each(|authority| roots.add(authority))?;
        let (roots, provider) = (Arc::new(roots), Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let unusable = |error: VerifierBuilderError| Error::General(error.to_string());
        let of_clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build();
        let of_clients = of_clients.map_err(unusable)?;
        let of_servers = Arc::new(NamedServerVerifier::new(roots, &provider, name).map_err(unusable)?);

        let (certificate, intermediates) = certificates.split_first().ok_or(Error::NoCertificatesPresented)?;
        let now = UnixTime::now();
        let fault = of_servers.verify(certificate, intermediates, &[], now).err();
        let fault = fault.or_else(|| of_clients.verify_client_cert(certificate, intermediates, now).err());

        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(of_clients)
            .with_single_cert(certificates.to_vec(), key.clone_key())?;
        server.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(of_servers)
            .with_client_auth_cert(certificates.to_vec(), key.clone_key())?;
        client.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        // A resumed session is not verified again.
        client.resumption = Resumption::disabled();
        let connections = LeaderConnections::new(|builder| builder.tls_backend_preconfigured(client.clone()));
        let connections = connections.map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { server: Arc::new(server), fault, connections })
    }
}

/// Verifies the certificates of servers as usual, but for one name instead of the one that the server is reached by.
#[derive(Debug)]
struct NamedServerVerifier {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl NamedServerVerifier {
    fn new(
        roots: Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
        name: ServerName<'static>,
    ) -> Result<Self, VerifierBuilderError> {
        let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build()?;
        Ok(Self { inner, name })
    }

    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.inner.verify_server_cert(certificate, intermediates, &self.name, ocsp_response, now)
    }
}

impl ServerCertVerifier for NamedServerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _reached_by: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(certificate, intermediates, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
