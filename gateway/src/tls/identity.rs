//! A host's certificate chain and private key, read from PEM files and checked against each other.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;

/// Why a certificate and its key cannot be used.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The certificate file cannot be read, or is not PEM.
    #[error("cannot read the certificate {}: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: pem::Error,
    },
    /// The certificate file holds no certificate.
    #[error("{} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// The key file cannot be read, or holds no private key in PEM.
    #[error("cannot read the key {}: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: pem::Error,
    },
    /// The two do not belong together, or their algorithm is not supported.
    #[error("certificate and key cannot be used together: {0}")]
    Pair(#[from] rustls::Error),
}

impl IdentityError {
    /// Whether the key file is at fault, rather than the certificate.
    pub(crate) const fn about_key(&self) -> bool {
        matches!(self, Self::Key { .. } | Self::Pair(_))
    }

    /// What the operator can do.
    pub(crate) const fn advice(&self) -> &'static str {
        match self {
            Self::Certificate { .. } | Self::Key { .. } => {
                "check the path and that the server's user may read the PEM file"
            }
            Self::NoCertificate(_) => {
                "write the PEM chain into it, the host's own certificate first"
            }
            Self::Pair(_) => "use the key for which the first certificate of the file was issued",
        }
    }
}

/// Reads a PEM chain and a PEM key (PKCS #8, PKCS #1 or SEC 1).
///
/// # Errors
/// When a file cannot be read or the two do not belong together; the text names the file.
pub fn load_identity(certificate: &Path, key: &Path) -> Result<CertifiedKey, IdentityError> {
    let unreadable = |reason| IdentityError::Certificate { path: certificate.to_owned(), reason };
    let chain = CertificateDer::pem_file_iter(certificate)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    if chain.is_empty() {
        return Err(IdentityError::NoCertificate(certificate.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|reason| IdentityError::Key { path: key.to_owned(), reason })?;
    identity_from_der(chain, key)
}

/// Joins a chain and a key that are already in memory.
///
/// # Errors
/// When they do not belong together or the key's algorithm is not supported.
pub fn identity_from_der(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, IdentityError> {
    Ok(CertifiedKey::from_der(chain, key, &super::provider())?)
}
