//! Peers that do not behave: raw connections, and a table of what they send.
//!
//! [`table::XML`] and [`table::HEADERS`] say, as data, which bytes meet which stream error;
//! [`table::ACCEPTED`] is the control group that must pass. [`RawClient`] says them over TCP,
//! TLS or a QUIC stream without a parser in between, and [`Target`] is the server at the other end.

mod inputs;
mod raw;
pub mod table;
mod target;

pub use self::inputs::{
    attribute_value, attributes, children, depth, name, namespaces, stanza_bytes,
};
pub use self::raw::{RawClient, RawError, RawQuic, quic_primary, tcp, tls};
pub use self::target::{Door, Target};
