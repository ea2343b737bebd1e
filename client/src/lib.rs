//! XMPP client library over multi-stream QUIC and TCP.
//!
//! [`Client::connect`] logs in and gives a [`Client`]: [`Client::send`] puts stanzas on the stream
//! of their conversation, [`Client::next`] tells what arrived and on which stream. The protocol is
//! `longwire_link`'s state machine, the same that the server runs.
//!
//! ```no_run
//! use longwire_client::{Client, Config, Environment, Event, Secret};
//! use longwire_client::stanza::{BareJid, Jid, MessageType, PresenceType, Stanza};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let alice = BareJid::new("alice@example.org")?;
//! let config = Config::new(alice, Secret::new("correct horse battery staple"));
//! let mut client = Client::connect(config, Environment::default()).await?;
//!
//! client.send(Stanza::presence(PresenceType::Available).build()).await?;
//! let hello = Stanza::message(MessageType::Chat).to(Jid::new("bob@example.org")?).body("Hello");
//! client.send(hello.build()).await?;
//!
//! while let Some(event) = client.next().await {
//!     match event {
//!         Event::Stanza { stanza, stream } => {
//!             if let (Some(from), Some(body)) = (stanza.from(), stanza.child_text("body")) {
//!                 println!("{from}: {body} (stream {})", stream.0);
//!                 break;
//!             }
//!         }
//!         Event::Closed(reason) => return Err(reason.to_string().into()),
//!     }
//! }
//! client.close().await;
//! # Ok(())
//! # }
//! ```

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
pub use longwire_stanza as stanza;
pub use longwire_xml::Element;

pub use longwire_link::{
    CloseReason, StreamId,
    negotiate::ClientError,
    sasl::{Mechanism, Secret},
};
