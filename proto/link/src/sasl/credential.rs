//! What a server keeps instead of a password.

use zeroize::Zeroize;

use super::error::SaslError;
use super::hash::{Hash, Key};
use super::secret::{Secret, prepare_password};

/// The credential of one account for one hash function (RFC 5802 §3).
///
/// Knowing it does not allow to log in, but allows to impersonate the server and to guess
/// passwords: no `Debug`, no `PartialEq`, wiped when dropped.
#[derive(Clone)]
pub struct StoredCredential {
    /// Random per account and hash; 16 bytes are usual.
    pub salt: Vec<u8>,
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// H(ClientKey).
    pub stored_key: Vec<u8>,
    /// ServerKey.
    pub server_key: Vec<u8>,
}

impl StoredCredential {
    /// Derives the credential of a new password; slow on purpose.
    ///
    /// # Errors
    /// As [`prepare_password`]: the user must choose another password.
    pub fn derive(
        hash: Hash,
        password: &Secret,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, SaslError> {
        let (stored_key, server_key) = derive(hash, password, salt, iterations)?;
        Ok(Self {
            salt: salt.to_vec(),
            iterations,
            stored_key: stored_key.expose().to_vec(),
            server_key: server_key.expose().to_vec(),
        })
    }

    /// Whether this is the credential of `password`; slow on purpose.
    ///
    /// For PLAIN: run it where blocking is allowed. For unknown accounts run it on a
    /// [`FakeCredentials::credential`] and discard the result, so that the time tells nothing.
    pub fn verify(&self, hash: Hash, password: &Secret) -> bool {
        let Ok((stored_key, _)) = derive(hash, password, &self.salt, self.iterations) else {
            return false;
        };
        stored_key.matches(&self.stored_key)
    }

    pub(super) fn fits(&self, hash: Hash) -> bool {
        let bytes = hash.output_bytes();
        self.stored_key.len() == bytes
            && self.server_key.len() == bytes
            && !self.salt.is_empty()
            && self.iterations > 0
    }
}

impl Drop for StoredCredential {
    fn drop(&mut self) {
        self.stored_key.zeroize();
        self.server_key.zeroize();
    }
}

/// StoredKey and ServerKey of a password (RFC 5802 §3); slow on purpose.
///
/// # Errors
/// As [`prepare_password`].
pub fn derive(
    hash: Hash,
    password: &Secret,
    salt: &[u8],
    iterations: u32,
) -> Result<(Key, Key), SaslError> {
    let prepared = prepare_password(password.expose())?;
    let salted = hash.stretch(prepared.expose().as_bytes(), salt, iterations);
    let client_key = hash.hmac(salted.expose(), b"Client Key");
    let server_key = hash.hmac(salted.expose(), b"Server Key");
    Ok((hash.digest(client_key.expose()), server_key))
}

/// Invents stable credentials for accounts that do not exist.
///
/// The same name always gets the same salt, so that asking twice does not tell an unknown
/// account from a known one (RFC 5802 §9).
#[derive(Clone)]
pub struct FakeCredentials {
    secret: Key,
    iterations: u32,
}

impl FakeCredentials {
    /// `secret` must stay the same across restarts; `iterations` is what new accounts get.
    pub fn new(secret: &[u8], iterations: u32) -> Self {
        Self { secret: Key::new(secret.to_vec()), iterations }
    }

    /// The invented credential of `account`; nobody knows a password for it.
    pub fn credential(&self, hash: Hash, account: &str) -> StoredCredential {
        let part = |label: &str| {
            let text = format!("{label}\0{}\0{account}", hash.name());
            hash.hmac(self.secret.expose(), text.as_bytes()).expose().to_vec()
        };
        let mut salt = part("salt");
        salt.truncate(16);
        StoredCredential {
            salt,
            iterations: self.iterations,
            stored_key: part("stored key"),
            server_key: part("server key"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_verifies_and_another_does_not() {
        for hash in Hash::ALL {
            let pencil = Secret::new("pencil");
            let stored = StoredCredential::derive(hash, &pencil, b"0123456789abcdef", 64).unwrap();
            assert!(stored.fits(hash));
            assert!(stored.verify(hash, &pencil));
            assert!(!stored.verify(hash, &Secret::new("pencil ")));
            assert!(!stored.verify(hash, &Secret::new("")));
        }
    }

    #[test]
    fn invented_credentials_are_stable_and_differ_per_account_hash_and_secret() {
        let fake = FakeCredentials::new(b"secret", 4096);
        let salt = |hash, name: &str| fake.credential(hash, name).salt.clone();
        let base = salt(Hash::Sha256, "a@x.example");
        assert_eq!(base, salt(Hash::Sha256, "a@x.example"));
        assert_eq!(base.len(), 16);
        assert_ne!(base, salt(Hash::Sha256, "b@x.example"));
        assert_ne!(base, salt(Hash::Sha512, "a@x.example"));
        let other = FakeCredentials::new(b"another", 4096);
        assert_ne!(base, other.credential(Hash::Sha256, "a@x.example").salt);
    }

    #[test]
    fn a_credential_of_another_hash_does_not_fit() {
        let fake = FakeCredentials::new(b"secret", 4096).credential(Hash::Sha256, "a@x.example");
        assert!(fake.fits(Hash::Sha256));
        assert!(!fake.fits(Hash::Sha512));
    }
}
