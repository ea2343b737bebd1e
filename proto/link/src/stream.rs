//! Names for the streams of a transport, and what the link asks of the transport.

use bytes::Bytes;

/// A stream of the transport: QUIC's stream id, 0 on TCP and WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// Which halves a stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both sides may write.
    Bidi,
    /// Only the opener writes.
    Uni,
}

/// Names a request to open a stream until the transport has answered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The peer grants no stream at the moment, or the connection is closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Which end of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We connected.
    Client,
    /// We accepted.
    Server,
}

/// How the peer maps XMPP on streams; sticks to the connection (multistream profile).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Typed streams: Primary (0) and Ancillary (1), as in Multistream XMPP.
    Multistream,
    /// Untyped streams, as the multi-stream change to XEP-0467 has them.
    Untyped,
    /// One stream for everything: TCP, WebSocket, and XEP-0467's independent sessions.
    Single,
}

/// Error codes for streams and connections that end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// Nothing is wrong.
    None = 0,
    /// The stream's type is not known.
    UnknownType = 1,
    /// More streams or bytes than are accepted at this point.
    Excessive = 2,
    /// The session that the stream belongs to does not exist, or is over.
    NoSession = 3,
    /// The peer broke the protocol; a stream error says how.
    Protocol = 4,
    /// Something took too long.
    Timeout = 5,
    /// The server is going down.
    Shutdown = 6,
}

/// What the transport has to do next, in this order.
#[derive(Debug)]
pub enum Action {
    /// Send these bytes on that stream.
    Write {
        /// The stream.
        stream: StreamId,
        /// What to send.
        bytes: Bytes,
    },
    /// Open a stream without waiting for credit; answer with `Link::handle_opened`.
    Open {
        /// To be repeated in the answer.
        ticket: Ticket,
        /// Uni- or bidirectional.
        direction: Direction,
    },
    /// Send this stream's data before that of streams with a lower level.
    Priority {
        /// The stream.
        stream: StreamId,
        /// Higher goes first.
        level: i32,
    },
    /// Send FIN; `Link::handle_drained` when the peer acknowledged all of the stream.
    Finish {
        /// The stream.
        stream: StreamId,
    },
    /// Abandon our sending half.
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: Code,
    },
    /// Ask the peer to stop sending, and forget what arrives.
    StopSending {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: Code,
    },
    /// Start the TLS handshake as a server or client, then call `Link::handle_tls`.
    StartTls,
    /// A session is bound: raise windows and stream limits to those of known users.
    Raise,
    /// Close the connection once all written data has been delivered, or soon.
    Close {
        /// Why.
        code: Code,
    },
}

/// What a stanza is, for the choice of its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Server and own-account traffic, roster pushes: the Primary stream.
    Own,
    /// A one-to-one conversation.
    Chat,
    /// A room.
    Room,
    /// Presence of a contact.
    Presence,
    /// Archive pages, room history, large payloads: never on the Primary stream.
    Bulk,
}

impl Class {
    /// The sending order among streams: higher goes first.
    #[must_use]
    pub fn level(self) -> i32 {
        match self {
            Self::Own => 3,
            Self::Chat => 2,
            Self::Room => 1,
            Self::Presence => 0,
            Self::Bulk => -1,
        }
    }
}
