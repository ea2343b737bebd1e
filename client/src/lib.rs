//! XMPP client library over multi-stream QUIC and TCP.
//!
//! [`Client::connect`] logs in and gives a [`Client`]: [`Client::send`] puts stanzas on the stream
//! of their conversation, [`Client::next`] tells what arrived and on which stream. The protocol is
//! `longwire_link`'s state machine, the same that the server runs.

mod client;
mod config;
mod connect;
mod error;
pub mod limits;
mod task;
mod tls;

pub use client::{Client, Event, Sender};
pub use config::{Config, Environment, Server, Streams, Transport, Trust};
pub use error::{ConnectError, Disconnected};
pub use longwire_link::{
    CloseReason, StreamId,
    negotiate::ClientError,
    sasl::{Mechanism, Secret},
};
