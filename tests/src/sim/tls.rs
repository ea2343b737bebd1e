//! A certificate and the TLS configurations made from it.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A self-signed Ed25519 certificate.
///
/// Ed25519, because its signatures always have 64 bytes: DER-encoded ECDSA signatures vary by a
/// byte or two and would change the sizes of handshake packets from run to run.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// A certificate for these DNS names.
    ///
    /// # Panics
    /// When a name is no DNS name.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key pair");
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut parameters = rcgen::CertificateParams::new(names).expect("DNS names");
        // The default is made from the key and is sometimes a byte shorter.
        parameters.serial_number = Some(rcgen::SerialNumber::from(1u64));
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Self { certificate: certificate.der().clone(), key }
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// A TLS server that shows the certificate.
    ///
    /// # Panics
    /// Never: key and certificate belong together.
    #[must_use]
    pub fn tls_server(&self, alpn: &[&str]) -> rustls::ServerConfig {
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate()], self.key())
            .expect("the key fits the certificate");
        tls.alpn_protocols = protocols(alpn);
        tls
    }

    /// A TLS client that trusts the certificate alone.
    ///
    /// # Panics
    /// Never: the certificate is well formed.
    #[must_use]
    pub fn tls_client(&self, alpn: &[&str]) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate()).expect("a certificate");
        let mut tls = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = protocols(alpn);
        tls
    }

    /// [`Self::tls_server`] for quinn.
    ///
    /// # Panics
    /// Never: the provider has QUIC's initial cipher suite.
    #[must_use]
    pub fn quic_server(&self, alpn: &[&str]) -> quinn::ServerConfig {
        let quic = QuicServerConfig::try_from(self.tls_server(alpn)).expect("initial suite");
        quinn::ServerConfig::with_crypto(Arc::new(quic))
    }

    /// [`Self::tls_client`] for quinn.
    ///
    /// # Panics
    /// Never: the provider has QUIC's initial cipher suite.
    #[must_use]
    pub fn quic_client(&self, alpn: &[&str]) -> quinn::ClientConfig {
        let quic = QuicClientConfig::try_from(self.tls_client(alpn)).expect("initial suite");
        quinn::ClientConfig::new(Arc::new(quic))
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn protocols(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}
