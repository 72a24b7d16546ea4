//! TLS for the listener: the certificate and its key, read again when the files change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Where the certificate and its key are, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum UnusableTls {
    /// A file cannot be read, or holds something else.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: rustls::pki_types::pem::Error,
    },
    /// The certificate and the key do not belong together, or are of a kind that is not supported.
    #[error("certificate and key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// Makes connections secure.
#[derive(Clone)]
pub struct Tls {
    latest: watch::Receiver<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files, and from then on again whenever they change, for as long as anyone holds the result. A pair
    /// that cannot be used leaves the one before it in place.
    ///
    /// # Errors
    /// [`UnusableTls`], where the files cannot be used now.
    pub fn watching(files: TlsFiles) -> Result<Self, UnusableTls> {
        let seen = files.written_at();
        let (sender, latest) = watch::channel(files.read()?);
        tokio::spawn(follow(files, seen, sender));
        Ok(Self { latest })
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// Where the client does not speak TLS, or no kind of it that is safe.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.latest.borrow());
        TlsAcceptor::from(config).accept(stream).await
    }
}

async fn follow(files: TlsFiles, mut seen: [Option<SystemTime>; 2], sender: watch::Sender<Arc<ServerConfig>>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = sender.closed() => return,
        }
        let written_at = files.written_at();
        if written_at == seen {
            continue;
        }
        seen = written_at;
        match files.read() {
            Ok(config) => {
                sender.send_replace(config);
                tracing::info!("the TLS certificate was read anew");
            }
            Err(error) => tracing::error!(%error, "the new TLS certificate cannot be used; the old one stays"),
        }
    }
}

impl TlsFiles {
    fn written_at(&self) -> [Option<SystemTime>; 2] {
        let at = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
        [at(&self.certificate), at(&self.key)]
    }

    fn read(&self) -> Result<Arc<ServerConfig>, UnusableTls> {
        let wrong = |path: &Path| {
            let path = path.to_owned();
            move |error| UnusableTls::File { path, error }
        };
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(&self.certificate).map_err(wrong(&self.certificate))?.collect();
        let certificates = certificates.map_err(wrong(&self.certificate))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(wrong(&self.key))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
