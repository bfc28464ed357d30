//! TLS, where a certificate is configured.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    },
    server::TlsStream,
};

/// A certificate and its key.
pub struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file does not read.
    #[error("api.{key} = \"{path}\": {source}: give the path of a PEM file that this user can read")]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// Certificate and key do not fit.
    #[error("api.tls_cert and api.tls_key: {0}: give a certificate and its own private key")]
    Pair(#[from] rustls::Error),
}

impl Tls {
    /// Reads certificate chain and key, both PEM.
    ///
    /// # Errors
    ///
    /// They do not read, or do not fit.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let failed = |name, path: &Path, source| TlsError::File { key: name, path: path.to_owned(), source };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect)
            .map_err(|source| failed("tls_cert", cert, source))?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|source| failed("tls_key", key, source))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}
