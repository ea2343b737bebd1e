//! TLS as a client: whom to trust, and what to say first.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::{ConnectError, Trust};

/// A TLS configuration; with `alpn` it says that XMPP is wanted (XEP-0368, QUIC).
pub(crate) fn config(trust: &Trust, alpn: bool) -> Result<ClientConfig, ConnectError> {
    let fault = |error: rustls::Error| ConnectError::Certificates(error.to_string());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .with_root_certificates(roots(trust)?)
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
