//! TLS for a listener. The certificate and its key are reloaded when their files change.

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
    /// Other replicas refuse the certificate.
    #[error("other replicas refuse the certificate: {0}")]
    Refused(rustls::Error),
}

/// Performs TLS handshakes with the latest certificate.
#[derive(Clone)]
pub struct ReloadingTlsAcceptor {
    latest: Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>,
}

impl ReloadingTlsAcceptor {
    /// Loads the files, and reloads them on changes for as long as the result exists. If a new pair is invalid, the
    /// previous one stays in use.
    ///
    /// # Errors
    /// [`TlsError`] if the files cannot be used now.
    pub fn load_and_watch(files: TlsFiles) -> Result<Self, TlsError> {
        let latest = load_and_watch(vec![files.certificate.clone(), files.key.clone()], move |_| files.load())?;
        Ok(Self::new(move || Arc::clone(&latest.borrow())))
    }

    /// Performs handshakes with what `latest` returns.
    pub(super) fn new(latest: impl Fn() -> Arc<ServerConfig> + Send + Sync + 'static) -> Self {
        Self { latest: Arc::new(latest) }
    }

    /// Performs the handshake.
    ///
    /// # Errors
    /// Fails if the client does not support a safe version of TLS.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> std::io::Result<TlsStream<S>> {
        TlsAcceptor::from((self.latest)()).accept(stream).await
    }
}

/// Loads files, and again when one of them changes, for as long as the result exists. `load` gets the value in use, if there is
/// one. If it returns an error, that value stays in use, and the files are read again at each check.
///
/// # Errors
/// [`TlsError`] if the files cannot be used now.
pub(super) fn load_and_watch<T: Send + Sync + 'static>(
    files: Vec<PathBuf>,
    load: impl Fn(Option<&T>) -> Result<T, TlsError> + Send + 'static,
) -> Result<watch::Receiver<T>, TlsError> {
    let loaded = modified_at(&files);
    let (sender, latest) = watch::channel(load(None)?);
    tokio::spawn(reload_on_change(files, loaded, load, sender));
    Ok(latest)
}

async fn reload_on_change<T>(
    files: Vec<PathBuf>,
    mut loaded: Vec<Option<SystemTime>>,
    load: impl Fn(Option<&T>) -> Result<T, TlsError>,
    sender: watch::Sender<T>,
) {
    let mut interval = tokio::time::interval(RELOAD_CHECK_INTERVAL);
    let mut has_failed = false;
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = sender.closed() => return,
        }
        let modified_at = modified_at(&files);
        let has_changed = modified_at != loaded;
        if !has_changed && !has_failed {
            continue;
        }
        loaded = modified_at;
        let reloaded = load(Some(&*sender.borrow()));
        has_failed = reloaded.is_err();
        match reloaded {
            Ok(value) => {
                sender.send_replace(value);
                tracing::info!("the TLS certificate was reloaded");
            }
            Err(error) if has_changed => {
                tracing::error!(%error, "the new TLS certificate cannot be used; the previous one stays in use");
            }
            Err(_) => {}
        }
    }
}

fn modified_at(files: &[PathBuf]) -> Vec<Option<SystemTime>> {
    files.iter().map(|path| path.metadata().and_then(|file| file.modified()).ok()).collect()
}

impl TlsFiles {
    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let (certificates, key) = self.read()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// The certificate with its intermediate certificates, and the key.
    pub(super) fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        Ok((
            read_certificates(&self.certificate)?,
            PrivateKeyDer::from_pem_file(&self.key).map_err(in_file(&self.key))?,
        ))
    }
}

/// The certificates in a PEM file.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(in_file(path))
}

fn in_file(path: &Path) -> impl FnOnce(rustls::pki_types::pem::Error) -> TlsError {
    |error| TlsError::File { path: path.to_owned(), error }
}
