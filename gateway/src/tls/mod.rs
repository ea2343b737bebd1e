//! TLS: identities from PEM files, the choice by SNI, and channel binding values.

mod binding;
mod identity;
mod resolver;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::ServerSessionMemoryCache;
use rustls::version::{TLS12, TLS13};

pub(crate) use binding::end_point;
pub use identity::{IdentityError, identity_from_der, load_identity};
pub(crate) use resolver::{CertificateTable, Missing, Resolver};

use crate::limits::TLS_SESSIONS;

/// The ALPN identifier of client connections (XEP-0368 §2, and the multi-stream drafts for QUIC).
pub(crate) const ALPN_CLIENT: &[u8] = b"xmpp-client";

/// The one crypto provider of the process.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The TLS settings of TCP listeners: TLS 1.3 and 1.2.
///
/// TLS 1.2 needs the extended master secret, without which its exporter must not be used for
/// channel binding (RFC 9266 §4.2).
pub(crate) fn tcp_config(resolver: Resolver) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.require_ems = true;
    Ok(finished(config))
}

/// The TLS settings of QUIC listeners: TLS 1.3 (RFC 9001 §4.2).
pub(crate) fn quic_config(resolver: Resolver) -> Result<Arc<ServerConfig>, rustls::Error> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    Ok(finished(config))
}

fn finished(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(TLS_SESSIONS);
    Arc::new(config)
}
