//! Drives a [`longwire_link::Link`] over QUIC streams, TCP and TLS.
//!
//! A [`Carrier`] turns what arrives into [`Input`], and carries out the link's actions. It knows
//! nothing of XML; the link knows nothing of sockets. Types of the QUIC library end here.

mod carrier;
mod limits;
mod quic;
mod stream;

pub use carrier::{Carrier, Input, feed};
pub use quic::{Quic, Windows};
pub use stream::{ByteStream, EndPoint, Upgrade};

/// The label and length of the channel binding type tls-exporter (RFC 9266 §2).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";
