//! The transports: bytes and streams in and out, no XML.
//!
//! A transport belongs to one connection task. What happens on it comes out of
//! [`Transport::next`]; what the link wants goes into [`Transport::apply`]. A stream of which
//! bytes were handed out is read again only after [`Transport::read_again`]: that is the whole of
//! back-pressure, since an unread stream uses up its flow-control window.

pub(crate) mod quic;
pub(crate) mod tcp;

use bytes::Bytes;
use longwire_link::sasl::TlsInfo;
use longwire_link::{Action, Code, Direction, Refused, StreamId, Ticket};

/// What happened on a transport.
#[derive(Debug)]
pub(crate) enum Input {
    /// The peer opened a stream; it is being read.
    Opened(StreamId, Direction),
    /// Bytes of a stream, in order.
    Bytes(StreamId, Bytes),
    /// The peer sends no more on the stream.
    Finished(StreamId),
    /// The peer abandoned the stream.
    Reset(StreamId),
    /// The peer does not read our half of the stream any more.
    Stopped(StreamId),
    /// The peer acknowledged all of a stream that we finished.
    Drained(StreamId),
    /// The TLS handshake that followed [`Action::StartTls`] is done.
    Secured(Box<TlsInfo>),
    /// Something was written; there may be room for more.
    Written,
    /// The connection is over.
    Lost(String),
}

/// The connection is to be closed; nothing more is to be applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing(pub(crate) Code);

/// What applying an action led to.
#[derive(Debug)]
pub(crate) enum Applied {
    /// Nothing to report.
    Done,
    /// The answer to [`Action::Open`].
    Opened(Ticket, Result<StreamId, Refused>),
    /// The connection is to be closed with [`Transport::finish`].
    Close(Closing),
}

/// One connection's transport.
pub(crate) enum Transport {
    Quic(Box<quic::QuicTransport>),
    Tcp(Box<tcp::TcpTransport>),
}

impl Transport {
    /// Does what the link asked for. Nothing waits: writes are queued.
    pub(crate) fn apply(&mut self, action: Action) -> Applied {
        match self {
            Self::Quic(quic) => quic.apply(action),
            Self::Tcp(tcp) => tcp.apply(action),
        }
    }

    /// The next thing that happens.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Input {
        match self {
            Self::Quic(quic) => quic.next().await,
            Self::Tcp(tcp) => tcp.next().await,
        }
    }

    /// Allows the next read on a stream whose bytes were taken care of.
    pub(crate) fn read_again(&mut self, stream: StreamId) {
        match self {
            Self::Quic(quic) => quic.read_again(stream),
            Self::Tcp(tcp) => tcp.read_again(),
        }
    }

    /// Bytes that wait to be written.
    pub(crate) fn backlog(&self) -> usize {
        match self {
            Self::Quic(quic) => quic.backlog(),
            Self::Tcp(tcp) => tcp.backlog(),
        }
    }

    /// Delivers what was written, as far as that is possible soon, and closes.
    pub(crate) async fn finish(self, closing: Closing) {
        match self {
            Self::Quic(quic) => quic.finish(closing).await,
            Self::Tcp(tcp) => tcp.finish().await,
        }
    }
}
