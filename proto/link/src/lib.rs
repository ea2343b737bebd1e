//! Everything that happens on one XMPP connection, as a state machine.
//!
//! A [`Link`] takes what the transport delivers (streams, bytes, time) and says what to send, what
//! arrived, and what it needs to know. Inside, [`negotiate`] logs a session in, [`dispatch`] tells
//! what a stream is, lanes turn bytes into stanzas, and the scheduler chooses the stream of each
//! outgoing stanza. There is no I/O, clock or randomness of its own in here.

pub mod dispatch;
pub mod limits;
mod link;
pub mod negotiate;
pub mod sasl;
mod schedule;
mod stream;
pub mod varint;

pub use link::{CloseReason, Entropy, Event, Link, SessionId};
pub use stream::{Action, Class, Code, Direction, Mode, Refused, Role, StreamId, Ticket};
