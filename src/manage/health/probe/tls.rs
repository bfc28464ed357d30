//! TLS towards backends. It shows that they live, and nothing else: certificates are not looked at.

use super::{Check, Outcome, tcp::Stream};
use crate::manage::health::outcome::Failure;
use std::{fmt, sync::Arc};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

/// The client's side; `None` where there is no TLS at all.
pub(super) struct Tls(Option<TlsConnector>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Default for Tls {
    fn default() -> Self {
        let provider = Arc::new(ring::default_provider());
        let anyone = Arc::new(Anyone(Arc::clone(&provider)));
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map(|builder| {
            builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()
        });
        Self(config.ok().map(|config| TlsConnector::from(Arc::new(config))))
    }
}

impl Tls {
    /// A TLS connection over `stream`.
    pub(super) async fn connect<S: Stream>(&self, stream: S, check: &Check) -> Result<TlsStream<S>, Outcome> {
        let failed = Outcome::Dead(Failure::Tls);
        let connector = self.0.as_ref().ok_or(failed)?;
        let name = ServerName::IpAddress(check.target.ip().into());
        connector.connect(name, stream).await.map_err(|_| failed)
    }
}

/// Takes any certificate.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
