//! XMPP addresses, stanzas, wire errors and vocabularies.
//!
//! [`Jid`], [`BareJid`] and [`FullJid`] are addresses in their canonical form. [`Stanza`] is a
//! message, presence or IQ that is read no further than routing needs. [`StanzaError`] answers
//! one stanza, [`StreamError`] ends a stream. [`xep`] has one file per specification that says
//! how its elements look; [`Payload`] is what a feature asks of such an element.
//!
//! The crate knows no clock, no sockets and no randomness.

pub mod error;
pub mod jid;
pub mod limits;
pub mod ns;
pub mod stanza;
pub mod xep;

pub use error::{Condition, ErrorKind, StanzaError, StreamCondition, StreamError};
pub use jid::{BareJid, FullJid, Jid, JidError};
pub use stanza::{Builder, IqType, Kind, MessageType, ParseError, PresenceType, Stanza};
pub use xep::Payload;
