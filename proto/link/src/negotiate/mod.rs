//! From the stream header to a bound resource, for one session on its Primary stream.
//!
//! [`Server`] and [`Client`] are state machines: stream headers and elements go in, bytes and
//! questions come out. They know STARTTLS, SASL (RFC 6120 §6), SASL2 (XEP-0388), Bind 2
//! (XEP-0386), classic binding, channel-binding types (XEP-0440), downgrade protection
//! (XEP-0474), stream limits (XEP-0478) and pipelined authentication (XEP-0509). They know no
//! accounts: what only the host knows is asked for with [`Ask`] and answered with [`Reply`].

mod ask;
mod client;
mod config;
mod header;
pub mod limits;
mod server;
#[cfg(test)]
mod tests;
mod wire;

pub use ask::{Ask, Reply, UserAgent};
pub use client::{CachedOffer, Client, ClientConfig, ClientError, ClientOutput, Features};
pub use config::{RandomSource, Security, ServerConfig, StreamLimits, Transport};
pub use server::{Output, Server};
