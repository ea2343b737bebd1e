//! XMPP addresses, stanzas, wire errors and vocabularies.

pub mod jid;
pub mod limits;

pub use jid::{BareJid, FullJid, Jid, JidError};
