//! The self-signed certificate of `serve --dev`: short-lived, pinned by clients through its file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::keys::write_private;
use crate::tls::{IdentityError, identity_from_der, load_identity};

/// How long a development certificate is valid. Browsers pin certificates by hash only when they
/// live no longer than 14 days (WebTransport, `serverCertificateHashes`).
const LIFETIME: Duration = Duration::from_secs(13 * 24 * 3_600);

/// A certificate with less than this left is replaced at the start.
const MARGIN: Duration = Duration::from_secs(3 * 24 * 3_600);

/// Clocks differ: the certificate is valid a little before it was made.
const CLOCK_SKEW: Duration = Duration::from_secs(3_600);

/// Why there is no development certificate.
#[derive(Debug, Error)]
pub enum DevCertificateError {
    /// It could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// It could not be kept.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// It could not be used.
    #[error(transparent)]
    Use(#[from] IdentityError),
}

/// A development identity and the file by which clients trust it.
pub(super) struct DevIdentity {
    pub(super) identity: CertifiedKey,
    pub(super) file: PathBuf,
}

/// The certificate kept in `folder`, or a new one when there is none that lasts long enough.
pub(super) fn load_or_make(
    folder: &Path,
    now: SystemTime,
) -> Result<DevIdentity, DevCertificateError> {
    let file = folder.join("localhost.crt");
    let key_file = folder.join("localhost.key");
    if let Ok(identity) = load_identity(&file, &key_file)
        && identity.cert.first().is_some_and(|leaf| lasts(leaf, now + MARGIN))
    {
        return Ok(DevIdentity { identity, file });
    }
    let (pem, key) = make(&["localhost", "127.0.0.1", "::1"], now)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |reason| DevCertificateError::Write { path, reason }
    };
    write_private(&key_file, key.serialize_pem().as_bytes()).map_err(failed(&key_file))?;
    fs::write(&file, pem).map_err(failed(&file))?;
    Ok(DevIdentity { identity: load_identity(&file, &key_file)?, file })
}

/// A self-signed identity in memory, with its certificate in PEM: for tests and benches.
///
/// It is valid from 1975 to 4096, so that simulated clocks may show anything in between.
///
/// # Errors
/// When a name is neither a domain nor an IP address.
pub fn self_signed(names: &[&str]) -> Result<(CertifiedKey, String), DevCertificateError> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = CertificateParams::new(names)?.self_signed(&key)?;
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let identity = identity_from_der(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    Ok((identity, certificate.pem()))
}

fn make(names: &[&str], now: SystemTime) -> Result<(String, KeyPair), rcgen::Error> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "longwire development");
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now - CLOCK_SKEW + LIFETIME).into();
    Ok((params.self_signed(&key)?.pem(), key))
}

fn lasts(certificate: &CertificateDer<'_>, until: SystemTime) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    let until = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(until).is_ok_and(|until| parsed.validity().not_after.timestamp() > until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Folder;

    #[test]
    fn the_certificate_is_kept_until_it_is_nearly_over() {
        let folder = Folder::new("dev-certificate");
        let start = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let day = Duration::from_secs(24 * 3_600);
        let made = |now| load_or_make(folder.path(), now).unwrap().identity.cert;
        let first = made(start);
        assert_eq!(made(start + 9 * day), first);
        assert_ne!(made(start + 11 * day), first);
    }

    #[test]
    fn it_lives_at_most_14_days() {
        let (pem, _) = make(&["localhost"], UNIX_EPOCH + LIFETIME).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let validity = pem.parse_x509().unwrap().validity().clone();
        assert!(validity.not_after.timestamp() - validity.not_before.timestamp() <= 14 * 86_400);
    }
}
