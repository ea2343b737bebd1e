//! `longwire serve --dev`: a server on this machine, without a file and without questions.

mod accounts;
mod certificate;
mod endpoints;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

pub(crate) use accounts::{ensure, password};
pub use certificate::{DevCertificateError, self_signed};
pub(crate) use endpoints::{Endpoints, endpoints, write_endpoints};

use crate::config::{Config, Host, Limits, Listener, TransportKind};
use crate::environment::SystemClock;
use crate::keys::data_folder;

/// Where the development server keeps its data unless another folder is named.
pub(crate) const FOLDER: &str = "longwire-dev";

/// The one host of the development server.
pub(crate) const HOST: &str = "localhost";

/// The ports of the development server; 0 takes a free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) tcp: u16,
    pub(crate) tls: u16,
    pub(crate) quic: u16,
}

impl Ports {
    /// Three ports in a row: STARTTLS, TLS, QUIC. From 0: three free ones.
    pub(crate) const fn from_base(base: u16) -> Self {
        match base {
            0 => Self { tcp: 0, tls: 0, quic: 0 },
            _ => Self { tcp: base, tls: base.saturating_add(1), quic: base.saturating_add(2) },
        }
    }
}

/// What the development server runs on.
pub(crate) struct Dev {
    pub(crate) config: Config,
    /// The certificate by which clients trust it.
    pub(crate) certificate: PathBuf,
}

/// Why the development server cannot be prepared.
#[derive(Debug, Error)]
pub(crate) enum DevError {
    /// The data folder cannot be used.
    #[error("cannot use the folder {}: {reason}", path.display())]
    Folder { path: PathBuf, reason: io::Error },
    /// There is no certificate.
    #[error(transparent)]
    Certificate(#[from] DevCertificateError),
}

/// Makes the folder and the certificate, and puts the configuration together.
pub(crate) fn prepare(data: PathBuf, ports: Ports) -> Result<Dev, DevError> {
    data_folder(&data).map_err(|reason| DevError::Folder { path: data.clone(), reason })?;
    let made = certificate::load_or_make(&data, SystemClock::time())?;
    let host = Host { name: HOST.to_owned(), identity: Some(Arc::new(made.identity)) };
    let mut config = Config::new(vec![host], listeners(ports, has_ipv6()), data);
    // Test tools open hundreds of connections from one address.
    config.limits = Limits::unmetered();
    Ok(Dev { config, certificate: made.file })
}

/// The configuration of the development server for tools that need no certificate.
pub(crate) fn for_tools(data: PathBuf) -> Config {
    let host = Host { name: HOST.to_owned(), identity: None };
    Config::new(vec![host], Vec::new(), data)
}

/// Every transport on 127.0.0.1, and on ::1 when the machine has it and the ports are known.
fn listeners(ports: Ports, ipv6: bool) -> Vec<Listener> {
    let kinds = [
        (TransportKind::Quic, ports.quic),
        (TransportKind::StartTls, ports.tcp),
        (TransportKind::Tls, ports.tls),
    ];
    let mut listeners = Vec::new();
    for (kind, port) in kinds {
        let at = |ip: IpAddr| Listener::new(kind, SocketAddr::new(ip, port));
        listeners.push(at(Ipv4Addr::LOCALHOST.into()));
        if ipv6 && port != 0 {
            listeners.push(at(Ipv6Addr::LOCALHOST.into()));
        }
    }
    listeners
}

fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// What to type to talk through the development server.
pub(crate) fn chat_command(account: &str, quic: SocketAddr, certificate: &Path) -> String {
    format!("longwire chat {account} --server {quic} --ca {}", certificate.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_in_a_row_or_are_all_free() {
        assert_eq!(Ports::from_base(5222), Ports { tcp: 5222, tls: 5223, quic: 5224 });
        assert_eq!(Ports::from_base(0), Ports { tcp: 0, tls: 0, quic: 0 });
    }

    #[test]
    fn the_development_server_is_on_this_machine_only() {
        let all = listeners(Ports::from_base(5222), true);
        assert_eq!(all.len(), 6);
        assert!(all.iter().all(|listener| listener.address.ip().is_loopback()));
        assert!(all.iter().all(|listener| !listener.plaintext));
        assert_eq!(listeners(Ports::from_base(0), true).len(), 3);
    }
}
