//! Everything that happens on one XMPP connection, as a state machine.

pub mod negotiate;
pub mod sasl;
