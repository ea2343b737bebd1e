//! What a negotiation must know about its server and its connection.

use std::time::Duration;

use longwire_stanza::BareJid;
use longwire_xml::{Element, Limits};

use crate::limits::AUTHENTICATE_WAIT;
use crate::sasl::{Mechanism, TlsInfo};

/// Fills a buffer with unguessable bytes.
pub type RandomSource = Box<dyn FnMut(&mut [u8]) + Send>;

/// What carries the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP, with STARTTLS or TLS from the start.
    Tcp,
    /// QUIC with the multi-stream binding.
    Quic,
    /// WebTransport.
    WebTransport,
    /// WebSocket: framing of RFC 7395, every element complete in itself.
    WebSocket,
}

/// How well the connection is protected.
#[derive(Debug, Clone)]
pub struct Security {
    /// What carries the stream.
    pub transport: Transport,
    /// Whether eavesdroppers are kept out.
    pub encrypted: bool,
    /// Whether TLS can still be started on this connection.
    pub starttls_possible: bool,
    /// The TLS connection, for channel binding; `None` behind a proxy that ends TLS.
    pub tls: Option<TlsInfo>,
    /// Whether authentication is allowed without encryption because the peer is on this machine.
    pub loopback_plaintext: bool,
}

impl Security {
    /// QUIC or WebTransport: always TLS 1.3.
    pub fn encrypted(transport: Transport, tls: TlsInfo) -> Self {
        Self {
            transport,
            encrypted: true,
            starttls_possible: false,
            tls: Some(tls),
            loopback_plaintext: false,
        }
    }

    /// TCP before STARTTLS.
    pub fn plaintext() -> Self {
        Self {
            transport: Transport::Tcp,
            encrypted: false,
            starttls_possible: true,
            tls: None,
            loopback_plaintext: false,
        }
    }

    pub(super) fn may_authenticate(&self) -> bool {
        self.encrypted || self.loopback_plaintext
    }

    pub(super) fn secured(&mut self, tls: TlsInfo) {
        self.encrypted = true;
        self.starttls_possible = false;
        self.tls = Some(tls);
    }

    /// The default namespace in which top-level elements are written.
    pub(super) fn default_namespace(&self) -> &'static str {
        match self.transport {
            Transport::WebSocket => "",
            Transport::Tcp | Transport::Quic | Transport::WebTransport => {
                longwire_stanza::ns::CLIENT
            }
        }
    }
}

/// Limits that the server tells its clients (XEP-0478).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Largest accepted element in bytes.
    pub max_bytes: u32,
    /// Seconds of silence after which the stream may be checked or closed.
    pub idle_seconds: Option<u32>,
}

/// The server's side of what is negotiated; shared by all connections.
pub struct ServerConfig {
    /// The domains served here; the first one speaks when no other is known.
    pub hosts: Vec<BareJid>,
    /// The mechanisms that may be offered, in the order of the offer.
    pub mechanisms: Vec<Mechanism>,
    /// Whether the SASL profile of RFC 6120 is offered.
    pub sasl1: bool,
    /// Whether SASL2 with Bind 2 is offered.
    pub sasl2: bool,
    /// Iterations that unknown accounts seem to have: those of new accounts.
    pub iterations: u32,
    /// Limits before authentication.
    pub limits_before: Option<StreamLimits>,
    /// Limits after authentication.
    pub limits_after: Option<StreamLimits>,
    /// Bounds of what is read before authentication.
    pub elements_before: Limits,
    /// Bounds of what is read after authentication.
    pub elements_after: Limits,
    /// Time from the start of a connection until its first session must be bound.
    pub login_wait: Duration,
    /// Features of Bind 2 that can be enabled inline, by their names.
    pub bind_inline: Vec<String>,
    /// Elements that SASL2 offers inline besides Bind 2.
    pub sasl_inline: Vec<Element>,
    /// Features offered after authentication: roster versioning, pre-approval, capabilities.
    pub extra_features: Vec<Element>,
    pub(super) secret: [u8; 32],
}

impl ServerConfig {
    /// A server for these domains with everything on and the limits of the design.
    ///
    /// `secret` is random and kept across restarts: invented salts and feature versions depend on
    /// it.
    pub fn new(hosts: Vec<BareJid>, secret: [u8; 32]) -> Self {
        Self {
            hosts,
            mechanisms: Mechanism::ALL.to_vec(),
            sasl1: true,
            sasl2: true,
            iterations: 100_000,
            limits_before: Some(StreamLimits { max_bytes: 16 * 1024, idle_seconds: None }),
            limits_after: Some(StreamLimits { max_bytes: 256 * 1024, idle_seconds: Some(600) }),
            elements_before: Limits::UNAUTHENTICATED,
            elements_after: Limits::CLIENT,
            login_wait: AUTHENTICATE_WAIT,
            bind_inline: Vec::new(),
            sasl_inline: Vec::new(),
            extra_features: Vec::new(),
            secret,
        }
    }
}
