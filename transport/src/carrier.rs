//! What all transports have in common.

use std::time::Instant;

use bytes::Bytes;
use longwire_link::{Action, Code, Direction, Link, Refused, StreamId, Ticket, sasl::TlsInfo};

use crate::{ByteStream, Quic, limits};

/// What happened on the transport.
#[derive(Debug)]
pub enum Input {
    /// The peer opened a stream.
    Opened(StreamId, Direction),
    /// Bytes arrived.
    Bytes(StreamId, Bytes),
    /// The peer finished its half of a stream.
    Finished(StreamId),
    /// The peer abandoned its half of a stream.
    Reset(StreamId),
    /// The peer does not read a stream of ours any more.
    Stopped(StreamId),
    /// All of a stream that was finished has been acknowledged.
    Drained(StreamId),
    /// TLS is established.
    Tls(TlsInfo),
    /// The carrier is not congested any more.
    Room,
    /// The transport is gone; `bool`: it was closed in good order.
    Lost(bool),
}

/// Hands `input` to the link.
pub fn feed(link: &mut Link, input: Input, now: Instant) {
    match input {
        Input::Opened(stream, direction) => link.handle_stream(stream, direction, now),
        Input::Bytes(stream, chunk) => link.handle_bytes(stream, chunk, now),
        Input::Finished(stream) => link.handle_finished(stream, now),
        Input::Reset(stream) => link.handle_reset(stream, now),
        Input::Stopped(stream) => link.handle_stopped(stream, now),
        Input::Drained(stream) => link.handle_drained(stream, now),
        Input::Tls(tls) => link.handle_tls(tls, now),
        Input::Room => {}
        Input::Lost(_) => link.handle_lost(),
    }
}

/// A transport of any kind.
pub enum Carrier {
    /// Streams of a QUIC connection.
    Quic(Box<Quic>),
    /// One stream of bytes, with or without TLS.
    Stream(Box<ByteStream>),
}

impl Carrier {
    /// Waits for the next thing to happen, and moves waiting bytes meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Input {
        match self {
            Self::Quic(quic) => quic.next().await,
            Self::Stream(stream) => stream.next().await,
        }
    }

    /// Carries out all that the link decided; true when the connection is to be closed, with the
    /// code to close it with.
    pub fn apply_all(&mut self, link: &mut Link, now: Instant) -> Option<Code> {
        let mut closing = None;
        while let Some(action) = link.poll_action() {
            if let Action::Close { code } = action {
                closing = Some(code);
                continue;
            }
            if let Some((ticket, answer)) = self.apply(action) {
                link.handle_opened(ticket, answer, now);
            }
        }
        closing
    }

    fn apply(&mut self, action: Action) -> Option<(Ticket, Result<StreamId, Refused>)> {
        match self {
            Self::Quic(quic) => quic.apply(action),
            Self::Stream(stream) => stream.apply(action),
        }
    }

    /// Stops or goes on reading: while nothing is read, flow control stops the sender.
    pub fn set_paused(&mut self, is_paused: bool) {
        match self {
            Self::Quic(quic) => quic.set_paused(is_paused),
            Self::Stream(stream) => stream.set_paused(is_paused),
        }
    }

    /// True while nothing more should be written: too much waits for the peer.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        match self {
            Self::Quic(quic) => quic.is_congested(),
            Self::Stream(stream) => stream.is_congested(),
        }
    }

    /// True while nothing should be read, because the peer does not take the answers.
    #[must_use]
    pub fn is_overfull(&self) -> bool {
        let waiting = match self {
            Self::Quic(quic) => quic.backlog(),
            Self::Stream(stream) => stream.backlog(),
        };
        waiting >= limits::OVERFULL_BYTES
    }

    /// Closes the connection after what has been written was delivered, or after two seconds.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes at once.
    pub async fn close(self, code: Code) {
        match self {
            Self::Quic(quic) => quic.close(code).await,
            Self::Stream(stream) => stream.close().await,
        }
    }
}
