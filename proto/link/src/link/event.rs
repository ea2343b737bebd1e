//! What a link tells its driver.

use longwire_stanza::{BareJid, FullJid, Stanza, StreamError};

use super::SessionId;
use crate::{
    negotiate::{Ask, ClientError},
    sasl::SaslCondition,
    stream::StreamId,
};

/// What happened on the connection.
#[derive(Debug)]
pub enum Event {
    /// The negotiation needs an answer: [`Link::handle_reply`].
    Ask {
        /// The session that waits.
        session: SessionId,
        /// The question.
        ask: Ask,
    },
    /// An attempt to log in failed; count it.
    Denied {
        /// The session.
        session: SessionId,
        /// The account that was tried, when such a name could exist.
        account: Option<BareJid>,
        /// What the client was told.
        condition: SaslCondition,
    },
    /// The peer has proven to be this account.
    Authenticated {
        /// The session.
        session: SessionId,
        /// Whose it is.
        account: BareJid,
    },
    /// The session has its address; stanzas flow.
    Bound {
        /// The session.
        session: SessionId,
        /// Its address.
        jid: FullJid,
    },
    /// A stanza arrived.
    Stanza {
        /// The session that sent it.
        session: SessionId,
        /// The stanza.
        stanza: Stanza,
        /// The stream on which it came.
        stream: StreamId,
    },
    /// The session is over; nothing more comes from it.
    Closed {
        /// The session.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
}

/// Why a session ended.
#[derive(Debug)]
pub enum CloseReason {
    /// The peer closed its stream in good order.
    PeerClosed,
    /// The peer reported a stream error.
    PeerError(StreamError),
    /// We reported this stream error.
    Error(StreamError),
    /// We closed in good order.
    Closed,
    /// Logging in failed (client only).
    Refused(ClientError),
    /// The transport went away.
    Lost,
}

impl std::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PeerClosed => f.write_str("the other side closed the stream"),
            Self::PeerError(error) => write!(f, "the other side reported {error}"),
            Self::Error(error) => write!(f, "closed because of {error}"),
            Self::Closed => f.write_str("closed"),
            Self::Refused(error) => write!(f, "{error}"),
            Self::Lost => f.write_str("the connection was lost"),
        }
    }
}
