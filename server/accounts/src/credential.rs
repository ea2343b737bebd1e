//! Keys that prove a password without storing it (RFC 5802 §3).
//!
//! Secrets here have neither `Debug` nor `PartialEq`, are wiped when dropped, and are compared in
//! constant time.

use crate::limits::{ITERATIONS_MAX, ITERATIONS_MIN, PASSWORD_BYTES, SALT_BYTES};
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use sha2::Digest;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The hash of a SCRAM mechanism; the `-PLUS` form uses the same credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mechanism {
    /// `SCRAM-SHA-1` (RFC 5802).
    ScramSha1,
    /// `SCRAM-SHA-256` (RFC 7677).
    ScramSha256,
    /// `SCRAM-SHA-512`.
    ScramSha512,
}

impl Mechanism {
    /// All mechanisms, weakest first.
    pub const ALL: [Self; 3] = [Self::ScramSha1, Self::ScramSha256, Self::ScramSha512];

    /// The registered name without `-PLUS`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    /// The mechanism of a registered name, with or without `-PLUS`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix("-PLUS").unwrap_or(name);
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// Length of the hash, and of every key, in bytes.
    #[must_use]
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::ScramSha1 => 20,
            Self::ScramSha256 => 32,
            Self::ScramSha512 => 64,
        }
    }
}

/// A password that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Empty, or with characters that OpaqueString refuses (RFC 8265 §4.2); choose another one.
    #[error("the password is empty or has characters that are not allowed")]
    NotAllowed,
    /// Longer than [`PASSWORD_BYTES`]; choose a shorter one.
    #[error("the password is over {PASSWORD_BYTES} bytes")]
    TooLong,
}

/// A password after OpaqueString preparation (RFC 8265 §4.2); wiped when dropped.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Prepares what somebody typed.
    ///
    /// # Errors
    /// Fails when the password is empty, too long or has forbidden characters; ask for another.
    pub fn new(typed: &str) -> Result<Self, PasswordError> {
        if typed.len() > PASSWORD_BYTES {
            return Err(PasswordError::TooLong);
        }
        let prepared = OpaqueString::enforce(typed).map_err(|_| PasswordError::NotAllowed)?;
        let prepared = Zeroizing::new(prepared.into_owned());
        if prepared.len() > PASSWORD_BYTES {
            return Err(PasswordError::TooLong);
        }
        Ok(Self(prepared))
    }
}

/// What the server keeps of a password for one mechanism.
#[derive(Clone)]
pub struct Credential {
    mechanism: Mechanism,
    salt: [u8; SALT_BYTES],
    iterations: u32,
    stored_key: Zeroizing<Vec<u8>>,
    server_key: Zeroizing<Vec<u8>>,
}

impl Credential {
    /// Derives the keys of a password; `iterations` is brought into the allowed range.
    ///
    /// Costs one PBKDF2 run: about 2 ms for 10,000 iterations of SHA-256.
    #[must_use]
    pub fn derive(
        mechanism: Mechanism,
        password: &Password,
        salt: [u8; SALT_BYTES],
        iterations: u32,
    ) -> Self {
        let iterations = iterations.clamp(ITERATIONS_MIN, ITERATIONS_MAX);
        let password = password.0.as_bytes();
        let (stored_key, server_key) = match mechanism {
            Mechanism::ScramSha1 => keys::<sha1::Sha1>(mechanism, password, &salt, iterations),
            Mechanism::ScramSha256 => keys::<sha2::Sha256>(mechanism, password, &salt, iterations),
            Mechanism::ScramSha512 => keys::<sha2::Sha512>(mechanism, password, &salt, iterations),
        };
        Self { mechanism, salt, iterations, stored_key, server_key }
    }

    /// Puts a stored credential together; `None` when a key has the wrong length.
    pub(crate) fn from_parts(
        mechanism: Mechanism,
        salt: [u8; SALT_BYTES],
        iterations: u32,
        stored_key: Vec<u8>,
        server_key: Vec<u8>,
    ) -> Option<Self> {
        let (stored_key, server_key) = (Zeroizing::new(stored_key), Zeroizing::new(server_key));
        let bytes = mechanism.key_bytes();
        (stored_key.len() == bytes && server_key.len() == bytes).then_some(Self {
            mechanism,
            salt,
            iterations,
            stored_key,
            server_key,
        })
    }

    /// The mechanism that the keys belong to.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The salt that the client is told.
    #[must_use]
    pub const fn salt(&self) -> &[u8; SALT_BYTES] {
        &self.salt
    }

    /// The iteration count that the client is told.
    #[must_use]
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// `StoredKey`: checks the client's proof.
    #[must_use]
    pub fn stored_key(&self) -> &[u8] {
        &self.stored_key
    }

    /// `ServerKey`: signs the server's answer.
    #[must_use]
    pub fn server_key(&self) -> &[u8] {
        &self.server_key
    }

    /// Whether the password is the one these keys were derived from.
    ///
    /// Costs one PBKDF2 run; keep it off tasks that others wait for.
    #[must_use]
    pub fn matches(&self, password: &Password) -> bool {
        let other = Self::derive(self.mechanism, password, self.salt, self.iterations);
        self.stored_key.ct_eq(&other.stored_key).into()
    }
}

/// `StoredKey` and `ServerKey` of RFC 5802 §3.
fn keys<H>(
    mechanism: Mechanism,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
) -> (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>)
where
    H: EagerHash + Digest,
    Hmac<H>: KeyInit + Mac,
{
    let mut salted = Zeroizing::new(vec![0; mechanism.key_bytes()]);
    pbkdf2::pbkdf2_hmac::<H>(password, salt, iterations, &mut salted);
    let client_key = sign::<H>(&salted, b"Client Key");
    let stored_key = Zeroizing::new(H::digest(client_key.as_slice()).to_vec());
    (stored_key, sign::<H>(&salted, b"Server Key"))
}

/// HMAC of a text under a key.
pub(crate) fn sign<H>(key: &[u8], text: &[u8]) -> Zeroizing<Vec<u8>>
where
    H: EagerHash,
    Hmac<H>: KeyInit + Mac,
{
    let mut mac = <Hmac<H> as KeyInit>::new_from_slice(key)
        .expect("invariant: HMAC takes keys of every length");
    mac.update(text);
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

/// Credentials for accounts that do not exist.
///
/// The server answers a login at an unknown account like one at a known account, with a salt that
/// stays the same, so that nobody learns which accounts exist (RFC 5802 §5.1).
pub struct Decoys {
    key: Zeroizing<[u8; 32]>,
    iterations: u32,
}

impl Decoys {
    /// Decoys under a secret key, with the iteration count that real credentials have.
    #[must_use]
    pub fn new(key: [u8; 32], iterations: u32) -> Self {
        let iterations = iterations.clamp(ITERATIONS_MIN, ITERATIONS_MAX);
        Self { key: Zeroizing::new(key), iterations }
    }

    /// The credential that an unknown account pretends to have; no password fits it.
    #[must_use]
    pub fn credential(&self, account: &str, mechanism: Mechanism) -> Credential {
        let text = |part: &str| format!("{part}\0{}\0{account}", mechanism.name());
        let long = |part: &str| {
            let mut bytes = sign::<sha2::Sha512>(&*self.key, text(part).as_bytes());
            bytes.truncate(mechanism.key_bytes());
            bytes
        };
        let mut salt = [0; SALT_BYTES];
        for (to, from) in salt.iter_mut().zip(long("salt").iter()) {
            *to = *from;
        }
        Credential {
            mechanism,
            salt,
            iterations: self.iterations,
            stored_key: long("stored"),
            server_key: long("server"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn password(typed: &str) -> Password {
        Password::new(typed).map_err(|error| error.to_string()).unwrap()
    }

    /// Client and server exchange of RFC 7677 §3, which gives proof and signature.
    #[test]
    fn scram_sha_256_agrees_with_its_published_exchange() {
        let salt = *b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";
        let key =
            Credential::derive(Mechanism::ScramSha256, &password("pencil"), salt, ITERATIONS_MIN);
        let auth = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,\
            i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        // Base64 6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
        let signature = sign::<sha2::Sha256>(key.server_key(), auth.as_bytes());
        assert_eq!(
            hex(&signature),
            "eabae24d1062db75a9451ff0b6ea7e98c8546549ff741e672d3251b2397de46e"
        );
        // Base64 dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=
        let proof = "747cdb65aa56224e2352137e52d7bdcad6a0f738df30782caa69a2cfb0277554";
        let mask = sign::<sha2::Sha256>(key.stored_key(), auth.as_bytes());
        let client_key: Vec<u8> = (0..32)
            .map(|at| u8::from_str_radix(&proof[2 * at..2 * at + 2], 16).unwrap() ^ mask[at])
            .collect();
        assert_eq!(sha2::Sha256::digest(&client_key).as_slice(), key.stored_key());
    }

    #[test]
    fn every_mechanism_accepts_its_password_and_no_other() {
        for mechanism in Mechanism::ALL {
            let key = Credential::derive(mechanism, &password("wonderland"), [7; 16], 0);
            assert_eq!(key.stored_key().len(), mechanism.key_bytes());
            assert_ne!(key.stored_key(), key.server_key());
            assert_eq!(key.iterations(), ITERATIONS_MIN, "never below the minimum");
            assert!(key.matches(&password("wonderland")));
            assert!(!key.matches(&password("Wonderland")));
        }
    }

    #[test]
    fn names_lead_back_to_their_mechanism() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
            let plus = format!("{}-PLUS", mechanism.name());
            assert_eq!(Mechanism::from_name(&plus), Some(mechanism));
        }
        assert_eq!(Mechanism::from_name("SCRAM-MD5"), None);
    }

    #[test]
    fn a_password_is_as_long_as_allowed_and_not_longer() {
        for (length, fits) in [
            (0, false),
            (1, true),
            (PASSWORD_BYTES - 1, true),
            (PASSWORD_BYTES, true),
            (PASSWORD_BYTES + 1, false),
        ] {
            assert_eq!(Password::new(&"x".repeat(length)).is_ok(), fits, "{length} bytes");
        }
    }

    //= test RFC 8265 §4.2
    #[test]
    fn passwords_are_prepared_before_they_are_compared() {
        let composed = Credential::derive(Mechanism::ScramSha1, &password("caf\u{e9}"), [1; 16], 0);
        assert!(composed.matches(&password("cafe\u{301}")));
        let spaced = Credential::derive(Mechanism::ScramSha1, &password("a b"), [1; 16], 0);
        assert!(spaced.matches(&password("a\u{a0}b")));
        assert_eq!(Password::new("a\u{7}b").err(), Some(PasswordError::NotAllowed));
    }

    #[test]
    fn iterations_stay_in_their_range() {
        let of = |wanted| Decoys::new([0; 32], wanted).iterations;
        assert_eq!(of(ITERATIONS_MIN - 1), ITERATIONS_MIN);
        assert_eq!(of(ITERATIONS_MIN), ITERATIONS_MIN);
        assert_eq!(of(ITERATIONS_MIN + 1), ITERATIONS_MIN + 1);
        assert_eq!(of(ITERATIONS_MAX), ITERATIONS_MAX);
        assert_eq!(of(ITERATIONS_MAX + 1), ITERATIONS_MAX);
    }

    #[test]
    fn an_unknown_account_keeps_its_salt_and_fits_no_password() {
        let decoys = Decoys::new([9; 32], ITERATIONS_MIN);
        let first = decoys.credential("nobody@a.example", Mechanism::ScramSha256);
        let second = decoys.credential("nobody@a.example", Mechanism::ScramSha256);
        assert_eq!(first.salt(), second.salt());
        let other = decoys.credential("noone@a.example", Mechanism::ScramSha256);
        assert_ne!(first.salt(), other.salt());
        assert_eq!(first.stored_key().len(), 32);
        assert!(!first.matches(&password("wonderland")));
    }
}
