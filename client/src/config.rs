//! Who connects, where to, and how.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use longwire_link::{
    Entropy,
    sasl::{Mechanism, Secret},
};
use longwire_stanza::BareJid;
use rustls::pki_types::CertificateDer;

use crate::limits;

/// What carries the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// QUIC, with ALPN `xmpp-client`.
    Quic,
    /// TCP with TLS from the start (XEP-0368).
    Tls,
    /// TCP with STARTTLS (RFC 6120 §5).
    StartTls,
    /// TCP without TLS: for servers on this machine only.
    Plaintext,
}

impl Transport {
    /// The port that servers of this kind usually listen on.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Quic => 443,
            Self::Tls => 5223,
            Self::StartTls | Self::Plaintext => 5222,
        }
    }
}

/// How QUIC streams are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// A typed stream for every conversation (Multistream XMPP).
    Many,
    /// An untyped stream for every conversation, as in the change to XEP-0467.
    Untyped,
    /// One stream for everything: for comparison.
    One,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// At this address.
    Address(SocketAddr),
    /// At this host, or the account's domain, on this port.
    Host(String, u16),
}

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The authorities that the system trusts.
    System,
    /// These certificates: authorities, or the server's own.
    Certificates(Vec<CertificateDer<'static>>),
}

/// What a client needs to know.
#[derive(Clone)]
pub struct Config {
    /// The account.
    pub account: BareJid,
    /// Its password.
    pub password: Secret,
    /// The resource to ask for; the server makes one up otherwise.
    pub resource: Option<String>,
    /// What carries the session.
    pub transport: Transport,
    /// How QUIC streams are used.
    pub streams: Streams,
    /// Where the server is.
    pub server: Server,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Mechanisms that may be used, best first; SCRAM only unless PLAIN is added.
    pub mechanisms: Vec<Mechanism>,
    /// Whether the one-round-trip login (SASL2 with Bind 2) is used where it is offered.
    pub prefer_sasl2: bool,
    /// Time for everything until the session is there.
    pub connect_wait: Duration,
    /// Whether requests that the application does not handle are answered: ping with a result,
    /// others with `service-unavailable` (RFC 6120 §8.4).
    pub answers_requests: bool,
    /// Streams of either kind that the server may open; 64 by default.
    pub streams_granted: u32,
    /// Expected round-trip time, for the first retransmissions; `None`: QUIC's default, 333 ms.
    pub initial_rtt: Option<Duration>,
    /// Whether the link loses packets at random, as radio and satellite links do: QUIC then holds
    /// its rate through loss (BBR) and does not take every lost packet for a full queue (CUBIC).
    pub is_lossy: bool,
    /// How often something is sent over an idle QUIC connection, so that what is on the way does
    /// not forget it; `None`: never.
    pub keep_alive: Option<Duration>,
}

impl Config {
    /// A careful client of the account's server over QUIC.
    #[must_use]
    pub fn new(account: BareJid, password: Secret) -> Self {
        let server = Server::Host(account.domain().to_owned(), Transport::Quic.default_port());
        Self {
            account,
            password,
            resource: None,
            transport: Transport::Quic,
            streams: Streams::Many,
            server,
            trust: Trust::System,
            mechanisms: Mechanism::SCRAM.to_vec(),
            prefer_sasl2: true,
            connect_wait: limits::CONNECT_WAIT,
            answers_requests: true,
            streams_granted: limits::STREAMS,
            initial_rtt: None,
            is_lossy: false,
            keep_alive: None,
        }
    }
}

/// What a client takes from its surroundings; a simulation brings its own.
#[derive(Clone)]
pub struct Environment {
    /// Fills its argument with unpredictable bytes.
    pub entropy: Entropy,
    /// The QUIC endpoint to connect from; one of its own otherwise.
    pub endpoint: Option<quinn::Endpoint>,
}

impl Default for Environment {
    fn default() -> Self {
        let entropy = Arc::new(|bytes: &mut [u8]| rand::Rng::fill_bytes(&mut rand::rng(), bytes));
        Self { entropy, endpoint: None }
    }
}
