//! The configuration: a TOML file read into types that cannot be wrong.

mod error;
mod file;
mod limits;
mod template;
mod units;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use serde::Deserialize;

pub(crate) use error::Source;
pub use error::{ConfigError, Invalid, Problem};
pub use limits::Limits;
pub use template::{InitError, write_template};
pub use units::{ByteSize, Rate, Span};

/// Everything that a server needs to know before it starts.
///
/// Read from a file with [`Config::load`]; tests and benches build it in code.
#[derive(Clone, Debug)]
pub struct Config {
    /// The virtual hosts; never empty. The first one answers TCP clients whose SNI names none.
    pub hosts: Vec<Host>,
    /// Where to listen; never empty.
    pub listeners: Vec<Listener>,
    /// Bounds on what peers may use.
    pub limits: Limits,
    /// The data folder: database and keys.
    pub data: PathBuf,
    /// The `[feature.NAME]` tables, as they were written.
    pub features: toml::Table,
    /// What to log, in the syntax of `RUST_LOG`; `RUST_LOG` itself goes first.
    pub log: String,
    /// Where the configuration came from, so that later errors can point at it.
    pub(crate) source: Option<Arc<Source>>,
}

/// One virtual host.
#[derive(Clone, Debug)]
pub struct Host {
    /// The domain as it appears in JIDs, normalised.
    pub name: String,
    /// Its certificate and key. Hosts that are only served in plain text on loopback have none.
    pub identity: Option<Arc<CertifiedKey>>,
}

/// One socket to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What is spoken on it.
    pub transport: TransportKind,
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// How QUIC is tuned for the links behind it.
    pub profile: LinkProfile,
    /// Whether clients may go on without TLS. Only true on loopback addresses.
    pub plaintext: bool,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportKind {
    /// XMPP over QUIC with many streams.
    Quic,
    /// TCP that turns into TLS after negotiation (RFC 6120 §5).
    StartTls,
    /// TCP with TLS from the first byte (XEP-0368).
    Tls,
}

/// A named set of QUIC settings for a class of links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkProfile {
    /// Fibre, cable, mobile: path MTU discovery, CUBIC.
    #[default]
    Broadband,
    /// Long delay and loss: a larger first RTT, BBR.
    Satellite,
    /// Thin links, where every byte counts: no path MTU discovery, few acknowledgements.
    Narrowband,
}

impl Config {
    /// Reads and checks a configuration file, with the certificates that it names.
    ///
    /// Relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place; print it and stop.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|reason| ConfigError::Read { path: path.to_owned(), reason })?;
        Self::parse(path, &text)
    }

    /// Checks a configuration text that was read from (or would be written to) `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        file::parse(path, text)
    }

    /// A configuration made in code, with default limits and no feature settings.
    #[must_use]
    pub fn new(hosts: Vec<Host>, listeners: Vec<Listener>, data: PathBuf) -> Self {
        Self {
            hosts,
            listeners,
            limits: Limits::default(),
            data,
            features: toml::Table::new(),
            log: DEFAULT_LOG.to_owned(),
            source: None,
        }
    }
}

impl Listener {
    /// A listener with the broadband profile and TLS required.
    #[must_use]
    pub const fn new(transport: TransportKind, address: SocketAddr) -> Self {
        Self { transport, address, profile: LinkProfile::Broadband, plaintext: false }
    }

    /// The same listener without the need for TLS. Only for loopback addresses.
    #[must_use]
    pub const fn plaintext(self) -> Self {
        Self { plaintext: true, ..self }
    }
}

/// What is logged when nothing is said.
pub(crate) const DEFAULT_LOG: &str = "info";

#[cfg(test)]
mod tests;
