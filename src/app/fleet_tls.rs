//! The files of TLS between replicas.

use std::path::PathBuf;

use rustls::pki_types::ServerName;
use tokio::sync::watch;

use super::tls::{TlsError, TlsFiles, load_and_watch, read_certificates};
use crate::fleet::FleetTls;

/// The files of TLS between replicas, in PEM format. All replicas have files of the same authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetTlsFiles {
    /// The certificate of this replica, as a server and as a client, and its key.
    pub pair: TlsFiles,
    /// The certificates of the authorities that the certificates of the replicas are from.
    pub authorities: PathBuf,
    /// The name that the certificates of all replicas have.
    pub name: ServerName<'static>,
}

impl FleetTlsFiles {
    /// Reads the files. The result says whether other replicas accept the certificate.
    ///
    /// # Errors
    /// [`TlsError`] if the files cannot be used.
    pub fn load(&self) -> Result<FleetTls, TlsError> {
        let (certificates, key) = self.pair.read()?;
        let authorities = read_certificates(&self.authorities)?;
        Ok(FleetTls::new(&certificates, &key, authorities, self.name.clone())?)
    }

    /// Reads the files, and again on changes for as long as the result exists. If new files are invalid, or if other replicas
    /// refuse the new certificate but not the one in use, the previous files stay in use. At the start a refused
    /// certificate is used, because stored days can be served.
    ///
    /// # Errors
    /// [`TlsError`] if the files cannot be used now.
    pub(super) fn load_and_watch(self) -> Result<watch::Receiver<FleetTls>, TlsError> {
        let paths = vec![self.pair.certificate.clone(), self.pair.key.clone(), self.authorities.clone()];
        load_and_watch(paths, move |in_use: Option<&FleetTls>| {
            let loaded = self.load()?;
            if let Some(fault) = &loaded.fault {
                if in_use.is_some_and(|in_use| in_use.fault.is_none()) {
                    return Err(TlsError::Refused(fault.clone()));
                }
                tracing::error!(%fault, "other replicas refuse the certificate in PULSE_FLEET_TLS_CERT");
            }
            Ok(loaded)
        })
    }
}
