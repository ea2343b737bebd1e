//! TLS as a client: whom to trust, and what to say first.

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::{ConnectError, Trust};

/// What was wrong with the server's certificate, once that is known.
///
/// A transport only says that the connection was lost; the user has to know better.
pub(crate) type Fault = OnceLock<rustls::Error>;

/// A TLS configuration; with `alpn` it says that XMPP is wanted (XEP-0368, QUIC).
pub(crate) fn config(
    trust: &Trust,
    alpn: bool,
    fault: &Arc<Fault>,
) -> Result<ClientConfig, ConnectError> {
    let unusable = |error: &dyn std::fmt::Display| ConnectError::Certificates(error.to_string());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = Arc::new(roots(trust)?);
    let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(|error| unusable(&error))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Noting { inner, fault: Arc::clone(fault) }))
        .with_no_client_auth();
    if alpn {
        config.alpn_protocols = vec![b"xmpp-client".to_vec()];
    }
    Ok(config)
}

fn roots(trust: &Trust) -> Result<RootCertStore, ConnectError> {
    let mut store = RootCertStore::empty();
    match trust {
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = store.add_parsable_certificates(found.certs);
            if added == 0 {
                let advice = "this system has none; name a file with the certificates to trust";
                return Err(ConnectError::Certificates(advice.to_owned()));
            }
        }
        Trust::Certificates(certificates) => {
            for certificate in certificates {
                let fault = |error: rustls::Error| ConnectError::Certificates(error.to_string());
                store.add(certificate.clone()).map_err(fault)?;
            }
        }
    }
    Ok(store)
}

/// The hash of the server's certificate is left to clients that need it: TLS 1.3 has the exporter.
pub(crate) fn end_point(_socket: &TlsStream<TcpStream>) -> Option<Vec<u8>> {
    None
}

/// The usual verification, which also notes why it failed.
#[derive(Debug)]
struct Noting {
    inner: Arc<WebPkiServerVerifier>,
    fault: Arc<Fault>,
}

impl Noting {
    fn note<T>(&self, result: Result<T, rustls::Error>) -> Result<T, rustls::Error> {
        if let Err(error) = &result {
            // The first fault is the one that counts.
            let _ = self.fault.set(error.clone());
        }
        result
    }
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let inner = &self.inner;
        let verified =
            inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        self.note(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.note(self.inner.verify_tls12_signature(message, cert, dss))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.note(self.inner.verify_tls13_signature(message, cert, dss))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
