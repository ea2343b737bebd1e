//! The `[limits]` table: every bound an operator may move.

use serde::Deserialize;

use super::units::{ByteSize, Rate, Span};

/// Bounds on what peers may use. Every field has a default; `[limits]` changes single ones.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest stanza, and largest stream-level element, before authentication. Default 16 KiB.
    pub stanza_unauthenticated: ByteSize,
    /// Largest stanza of an authenticated client. Default 256 KiB.
    pub stanza: ByteSize,
    /// Time from the first packet to the end of the TLS or QUIC handshake. Default 15 s.
    pub handshake_time: Span,
    /// Time from the end of the handshake to a bound session. Default 30 s.
    pub authentication_time: Span,
    /// Connections of all kinds at once. Default 65,536.
    pub connections: usize,
    /// Connections per IPv4 address or IPv6 /64. Default 200.
    pub connections_per_address: usize,
    /// Unauthenticated connections per IPv4 address or IPv6 /64. Default 16.
    pub unauthenticated_per_address: usize,
    /// Unauthenticated connections at once. Default 2,048.
    pub unauthenticated: usize,
    /// Bytes that the sessions of one account may send per second, in the long run. Default
    /// 64 kB/s. Above it the server reads more slowly; nothing is dropped.
    pub account_rate: Rate,
    /// Bytes that one account may send at once above its rate. Default 512 KiB.
    pub account_burst: ByteSize,
    /// Whether the account rate applies at all. Default true.
    pub account_rate_enforced: bool,
    /// Idle time after which a QUIC connection is closed. After it the system asks a TCP peer
    /// whether it is there (keep-alive), and gives it up after as long again. Default 600 s.
    pub idle_time: Span,
    /// QUIC handshakes in progress. Default 1,024.
    pub quic_handshakes: u16,
    /// Handshakes from unvalidated addresses above which newcomers get a Retry. Default 256.
    pub quic_unvalidated: u16,
    /// QUIC streams of each kind that a client may open before it is bound. Default 4.
    pub quic_streams_unauthenticated: u16,
    /// QUIC streams of each kind that a bound client may have open. Default 64.
    pub quic_streams: u16,
    /// QUIC receive window per connection before binding. Default 64 KiB.
    pub quic_window_unauthenticated: ByteSize,
    /// QUIC receive window per stream. Default 256 KiB.
    pub quic_stream_window: ByteSize,
    /// QUIC receive window per connection after binding. Default 2 MiB.
    pub quic_window: ByteSize,
    /// Bytes in flight or waiting in QUIC toward one client. Default 1 MiB.
    pub quic_send_window: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stanza_unauthenticated: ByteSize::kib(16),
            stanza: ByteSize::kib(256),
            handshake_time: Span::seconds(15),
            authentication_time: Span::seconds(30),
            connections: 65_536,
            connections_per_address: 200,
            unauthenticated_per_address: 16,
            unauthenticated: 2_048,
            account_rate: Rate::bytes_per_second(64_000),
            account_burst: ByteSize::kib(512),
            account_rate_enforced: true,
            idle_time: Span::seconds(600),
            quic_handshakes: 1_024,
            quic_unvalidated: 256,
            quic_streams_unauthenticated: 4,
            quic_streams: 64,
            quic_window_unauthenticated: ByteSize::kib(64),
            quic_stream_window: ByteSize::kib(256),
            quic_window: ByteSize::kib(2_048),
            quic_send_window: ByteSize::kib(1_024),
        }
    }
}

impl Limits {
    /// Limits for test benches on one machine: no rates, and room for every connection to come
    /// from one address.
    #[must_use]
    pub fn unmetered() -> Self {
        let defaults = Self::default();
        Self {
            connections_per_address: defaults.connections,
            unauthenticated_per_address: defaults.unauthenticated,
            account_rate_enforced: false,
            ..defaults
        }
    }
}
