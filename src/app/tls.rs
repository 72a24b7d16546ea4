//! TLS for the listener. The certificate and its key are reloaded when their files change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How often the files are checked for changes.
const RELOAD_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Paths of the certificate and its private key, both in PEM format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by its intermediate certificates.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or has invalid content.
    #[error("{}: {error}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        error: rustls::pki_types::pem::Error,
    },
    /// The certificate and the key do not match, or their type is not supported.
    #[error("the TLS certificate and key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// Performs TLS handshakes with the latest certificate.
#[derive(Clone)]
pub struct ReloadingTlsAcceptor {
    latest: watch::Receiver<Arc<ServerConfig>>,
}

impl ReloadingTlsAcceptor {
    /// Loads the files, and reloads them on changes for as long as the result exists. If a new pair is invalid, the
    /// previous one stays in use.
    ///
    /// # Errors
    /// [`TlsError`] if the files cannot be used now.
    pub fn load_and_watch(files: TlsFiles) -> Result<Self, TlsError> {
        let loaded = files.modified_at();
        let (sender, latest) = watch::channel(files.load()?);
        tokio::spawn(reload_on_change(files, loaded, sender));
        Ok(Self { latest })
    }

    /// Performs the handshake.
    ///
    /// # Errors
    /// Fails if the client does not support a safe version of TLS.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> std::io::Result<TlsStream<S>> {
        let config = Arc::clone(&self.latest.borrow());
        TlsAcceptor::from(config).accept(stream).await
    }
}

async fn reload_on_change(
    files: TlsFiles,
    mut loaded: [Option<SystemTime>; 2],
    sender: watch::Sender<Arc<ServerConfig>>,
) {
    let mut interval = tokio::time::interval(RELOAD_CHECK_INTERVAL);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = sender.closed() => return,
        }
        let modified_at = files.modified_at();
        if modified_at == loaded {
            continue;
        }
        loaded = modified_at;
        match files.load() {
            Ok(config) => {
                sender.send_replace(config);
                tracing::info!("the TLS certificate was reloaded");
            }
            Err(error) => tracing::error!(%error, "the new TLS certificate is invalid; the previous one stays in use"),
        }
    }
}

impl TlsFiles {
    fn modified_at(&self) -> [Option<SystemTime>; 2] {
        let at = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
        [at(&self.certificate), at(&self.key)]
    }

    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let file_error = |path: &Path| {
            let path = path.to_owned();
            move |error| TlsError::File { path, error }
        };
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(&self.certificate).map_err(file_error(&self.certificate))?.collect();
        let certificates = certificates.map_err(file_error(&self.certificate))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(file_error(&self.key))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
