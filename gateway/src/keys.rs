//! Keys that must survive a restart.
//!
//! Without the stateless reset key, the connection id key and the token key of QUIC, clients would
//! believe in a dead connection for its whole idle time.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::{hkdf, hmac};
use longwire_link::Entropy;
use quinn_proto::crypto::{HandshakeTokenKey, HmacKey};
use thiserror::Error;

/// Why the keys could not be read or made.
#[derive(Debug, Error)]
#[error("cannot use the key file {}: {reason}", path.display())]
pub struct KeyError {
    path: PathBuf,
    reason: io::Error,
}

/// The secrets that a server keeps across restarts.
#[derive(Clone)]
pub(crate) struct Keys {
    reset: [u8; 32],
    token: [u8; 32],
    connection_id: [u8; 32],
    negotiation: [u8; 32],
}

impl Keys {
    /// Reads the keys from `folder`, and makes those that are not there (mode 0600).
    pub(crate) fn load(folder: &Path) -> Result<Self, KeyError> {
        Ok(Self {
            reset: secret(&folder.join("quic-reset.key"))?,
            token: secret(&folder.join("quic-token.key"))?,
            connection_id: secret(&folder.join("quic-connection-id.key"))?,
            negotiation: secret(&folder.join("negotiation.key"))?,
        })
    }

    /// Keys that follow from a seed: for simulations, where nothing may touch the disk.
    pub(crate) fn seeded(seed: u64) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &seed.to_be_bytes());
        let derive = |label: &[u8]| {
            let mut out = [0; 32];
            out.copy_from_slice(hmac::sign(&key, label).as_ref());
            out
        };
        Self {
            reset: derive(b"reset"),
            token: derive(b"token"),
            connection_id: derive(b"connection id"),
            negotiation: derive(b"negotiation"),
        }
    }

    /// Keys of a server that keeps nothing.
    pub(crate) fn random(entropy: &Entropy) -> Self {
        let draw = || {
            let mut key = [0; 32];
            entropy(&mut key);
            key
        };
        Self { reset: draw(), token: draw(), connection_id: draw(), negotiation: draw() }
    }

    /// Invented salts of unknown accounts and resources of known installations depend on it.
    pub(crate) const fn negotiation(&self) -> [u8; 32] {
        self.negotiation
    }

    pub(crate) fn reset_key(&self) -> Arc<dyn HmacKey> {
        Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &self.reset))
    }

    pub(crate) fn token_key(&self) -> Arc<dyn HandshakeTokenKey> {
        Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&self.token))
    }

    pub(crate) fn connection_id_key(&self) -> u64 {
        let mut first = [0; 8];
        for (to, from) in first.iter_mut().zip(self.connection_id) {
            *to = from;
        }
        u64::from_be_bytes(first)
    }
}

fn secret(path: &Path) -> Result<[u8; 32], KeyError> {
    let failed = |reason| KeyError { path: path.to_owned(), reason };
    match fs::read(path) {
        Ok(bytes) => bytes.try_into().map_err(|_| {
            failed(io::Error::other("it is damaged (not 32 bytes); remove it to make a new one"))
        }),
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => {
            let mut key = [0; 32];
            aws_lc_rs::rand::fill(&mut key)
                .map_err(|_| failed(io::Error::other("the system gives no randomness")))?;
            write_private(path, &key).map_err(failed)?;
            Ok(key)
        }
        Err(reason) => Err(failed(reason)),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

/// Makes the data folder, readable by its owner only, unless it exists.
pub(crate) fn data_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::scratch::Folder;

    #[test]
    fn keys_survive_a_restart_and_are_private() {
        let folder = Folder::new("keys");
        let first = Keys::load(folder.path()).unwrap();
        let second = Keys::load(folder.path()).unwrap();
        assert_eq!(first.reset, second.reset);
        assert_eq!(first.connection_id_key(), second.connection_id_key());
        assert_ne!(first.reset, first.token);
        let mode = fs::metadata(folder.path().join("quic-reset.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_reported_and_not_replaced() {
        let folder = Folder::new("keys-damaged");
        let path = folder.path().join("quic-reset.key");
        fs::write(&path, b"short").unwrap();
        let error = Keys::load(folder.path()).err().unwrap().to_string();
        assert!(error.contains("quic-reset.key") && error.contains("damaged"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }
}
