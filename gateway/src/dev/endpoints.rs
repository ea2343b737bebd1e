//! `client.toml`: how clients that run in the same folder find the development server.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use longwire_client::Transport;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::keys::write_private;

const FILE: &str = "client.toml";

/// Where the development server is, and by which certificate clients trust it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoints {
    /// The domain that it serves.
    pub(crate) domain: String,
    /// QUIC.
    pub(crate) quic: Option<SocketAddr>,
    /// TCP with STARTTLS.
    pub(crate) starttls: Option<SocketAddr>,
    /// TCP with TLS from the first byte.
    pub(crate) tls: Option<SocketAddr>,
    /// The certificate in PEM: its path, relative to this file's folder.
    pub(crate) ca: PathBuf,
}

/// Why the file is of no use.
#[derive(Debug, Error)]
pub(crate) enum EndpointsError {
    #[error("cannot use {}: {reason}", path.display())]
    File { path: PathBuf, reason: io::Error },
    #[error("{} is damaged: start `longwire serve --dev` again: {reason}", path.display())]
    Damaged { path: PathBuf, reason: toml::de::Error },
    #[error("cannot write {}: {reason}", path.display())]
    Write { path: PathBuf, reason: toml::ser::Error },
}

impl Endpoints {
    /// The address for a transport.
    pub(crate) fn of(&self, transport: Transport) -> Option<SocketAddr> {
        match transport {
            Transport::Quic => self.quic,
            Transport::Tls => self.tls,
            Transport::StartTls => self.starttls,
            Transport::Plaintext => None,
        }
    }
}

/// Reads the file of `folder`; `None` when no development server has run there.
pub(crate) fn endpoints(folder: &Path) -> Result<Option<Endpoints>, EndpointsError> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => match toml::from_str(&text) {
            Ok(endpoints) => Ok(Some(endpoints)),
            Err(reason) => Err(EndpointsError::Damaged { path, reason }),
        },
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(reason) => Err(EndpointsError::File { path, reason }),
    }
}

/// Writes the file of `folder`.
pub(crate) fn write_endpoints(folder: &Path, endpoints: &Endpoints) -> Result<(), EndpointsError> {
    let path = folder.join(FILE);
    let text = match toml::to_string(endpoints) {
        Ok(text) => text,
        Err(reason) => return Err(EndpointsError::Write { path, reason }),
    };
    write_private(&path, text.as_bytes()).map_err(|reason| EndpointsError::File { path, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Folder;

    #[test]
    fn what_was_written_is_read_and_absence_is_no_error() {
        let folder = Folder::new("dev-endpoints");
        assert_eq!(endpoints(folder.path()).unwrap(), None);
        let written = Endpoints {
            domain: "localhost".to_owned(),
            quic: Some("127.0.0.1:5224".parse().unwrap()),
            starttls: None,
            tls: Some("[::1]:5223".parse().unwrap()),
            ca: PathBuf::from("localhost.crt"),
        };
        write_endpoints(folder.path(), &written).unwrap();
        let read = endpoints(folder.path()).unwrap().unwrap();
        assert_eq!(read, written);
        assert_eq!(read.of(Transport::Quic), written.quic);
        assert_eq!(read.of(Transport::Plaintext), None);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = Folder::new("dev-endpoints-damaged");
        fs::write(folder.path().join(FILE), "domain = 1\n").unwrap();
        let error = endpoints(folder.path()).err().unwrap().to_string();
        assert!(error.contains("client.toml is damaged"), "{error}");
    }
}
