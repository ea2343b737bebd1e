//! The three stanzas and their types (RFC 6120 §8.2, RFC 6121 §4.7.1 and §5.2.2).

use crate::error::names;

names! {
    /// The three kinds of stanza (RFC 6120 §8).
    Kind {
        /// One entity pushes something to another.
        Message = "message",
        /// One entity publishes something to those who subscribed.
        Presence = "presence",
        /// A request that has exactly one answer.
        Iq = "iq",
    }
}

names! {
    /// The types of a message (RFC 6121 §5.2.2).
    MessageType {
        /// A single message outside a conversation; also every unknown type.
        Normal = "normal",
        /// Part of a one-to-one conversation.
        Chat = "chat",
        /// Part of a conversation in a room.
        Groupchat = "groupchat",
        /// An alert or a notice that needs no answer.
        Headline = "headline",
        /// An earlier message could not be delivered.
        Error = "error",
    }
}

names! {
    /// The types of an IQ (RFC 6120 §8.2.3).
    IqType {
        /// A question.
        Get = "get",
        /// An order.
        Set = "set",
        /// The answer.
        Result = "result",
        /// The answer that there will be none.
        Error = "error",
    }
}

/// The types of a presence (RFC 6121 §4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PresenceType {
    /// The entity is available: no type on the wire.
    Available,
    /// The entity is no longer available.
    Unavailable,
    /// The sender asks for a subscription.
    Subscribe,
    /// The sender grants a subscription.
    Subscribed,
    /// The sender gives its subscription up.
    Unsubscribe,
    /// The sender refuses or cancels the recipient's subscription.
    Unsubscribed,
    /// A server asks for somebody's current presence.
    Probe,
    /// An earlier presence could not be processed.
    Error,
}

impl PresenceType {
    /// The value of the `type` attribute; [`PresenceType::Available`] has none.
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Available => None,
            Self::Unavailable => Some("unavailable"),
            Self::Subscribe => Some("subscribe"),
            Self::Subscribed => Some("subscribed"),
            Self::Unsubscribe => Some("unsubscribe"),
            Self::Unsubscribed => Some("unsubscribed"),
            Self::Probe => Some("probe"),
            Self::Error => Some("error"),
        }
    }

    /// The type with this name; `None` for a name that is not one.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "unavailable" => Self::Unavailable,
            "subscribe" => Self::Subscribe,
            "subscribed" => Self::Subscribed,
            "unsubscribe" => Self::Unsubscribe,
            "unsubscribed" => Self::Unsubscribed,
            "probe" => Self::Probe,
            "error" => Self::Error,
            _ => return None,
        })
    }

    /// Whether this is one of the four that manage subscriptions (RFC 6121 §3).
    pub const fn is_subscription(self) -> bool {
        matches!(self, Self::Subscribe | Self::Subscribed | Self::Unsubscribe | Self::Unsubscribed)
    }
}

/// Kind and type in one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Message(MessageType),
    Presence(PresenceType),
    Iq(IqType),
}

impl Sort {
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Message(_) => Kind::Message,
            Self::Presence(_) => Kind::Presence,
            Self::Iq(_) => Kind::Iq,
        }
    }

    /// The value of the `type` attribute; `None` where the type is the default.
    pub(super) const fn type_attribute(self) -> Option<&'static str> {
        match self {
            Self::Message(MessageType::Normal) => None,
            Self::Message(kind) => Some(kind.as_str()),
            Self::Presence(kind) => kind.as_str(),
            Self::Iq(kind) => Some(kind.as_str()),
        }
    }

    /// The same kind as an error; `None` when nobody may answer this with an error.
    ///
    /// `//= RFC 6120 §8.3.1` An error is not answered with an error; a result is no question.
    pub(super) const fn as_error(self) -> Option<Self> {
        match self {
            Self::Message(MessageType::Error)
            | Self::Presence(PresenceType::Error)
            | Self::Iq(IqType::Error | IqType::Result) => None,
            Self::Message(_) => Some(Self::Message(MessageType::Error)),
            Self::Presence(_) => Some(Self::Presence(PresenceType::Error)),
            Self::Iq(_) => Some(Self::Iq(IqType::Error)),
        }
    }
}
