//! The three hash functions of SCRAM and the two constructions on top of them.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// The hash function of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// SHA-1, for old clients only (RFC 5802).
    Sha1,
    /// SHA-256 (RFC 7677).
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Every hash, strongest first.
    pub const ALL: [Self; 3] = [Self::Sha512, Self::Sha256, Self::Sha1];

    /// Length of the output in bytes.
    pub fn output_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The name in IANA's registry of hash function names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
        }
    }

    /// H(data).
    pub fn digest(self, data: &[u8]) -> Key {
        Key::new(match self {
            Self::Sha1 => Sha1::digest(data).to_vec(),
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        })
    }

    /// HMAC(key, data) (RFC 2104).
    pub fn hmac(self, key: &[u8], data: &[u8]) -> Key {
        match self {
            Self::Sha1 => finish(Hmac::<Sha1>::new_from_slice(key), data),
            Self::Sha256 => finish(Hmac::<Sha256>::new_from_slice(key), data),
            Self::Sha512 => finish(Hmac::<Sha512>::new_from_slice(key), data),
        }
    }

    /// Hi(password, salt, iterations) of RFC 5802 §2.2, which is PBKDF2 with one block.
    ///
    /// Costs about 0.3 microseconds per iteration: never call it on a connection's task.
    pub fn stretch(self, password: &[u8], salt: &[u8], iterations: u32) -> Key {
        let mut out = Zeroizing::new(vec![0; self.output_bytes()]);
        let done = match self {
            Self::Sha1 => pbkdf2::pbkdf2::<Hmac<Sha1>>(password, salt, iterations, &mut out),
            Self::Sha256 => pbkdf2::pbkdf2::<Hmac<Sha256>>(password, salt, iterations, &mut out),
            Self::Sha512 => pbkdf2::pbkdf2::<Hmac<Sha512>>(password, salt, iterations, &mut out),
        };
        done.expect("HMAC takes keys of any length");
        Key(out)
    }
}

fn finish<M: Mac, E: std::fmt::Debug>(mac: Result<M, E>, data: &[u8]) -> Key {
    let mut mac = mac.expect("HMAC takes keys of any length");
    mac.update(data);
    Key::new(mac.finalize().into_bytes().to_vec())
}

/// Key material: no `Debug`, no `PartialEq`, wiped when dropped.
#[derive(Clone)]
pub struct Key(Zeroizing<Vec<u8>>);

impl Key {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Compares in constant time; different lengths are simply unequal.
    pub fn matches(&self, other: &[u8]) -> bool {
        self.eq_choice(other).into()
    }

    pub(super) fn eq_choice(&self, other: &[u8]) -> Choice {
        self.0.as_slice().ct_eq(other)
    }

    /// Bytewise exclusive or; `None` when the lengths differ.
    pub(super) fn xor(&self, other: &[u8]) -> Option<Self> {
        if self.0.len() != other.len() {
            return None;
        }
        Some(Self::new(self.0.iter().zip(other).map(|(a, b)| a ^ b).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn stretching_agrees_with_published_vectors() {
        // RFC 6070 §2, the case with 4,096 iterations.
        let key = Hash::Sha1.stretch(b"password", b"salt", 4096);
        assert_eq!(hex(key.expose()), "4b007901b765489abead49d926f721d065a429c1");
        // RFC 7914 §11 gives 64 bytes for one iteration; the first block is ours.
        let key = Hash::Sha256.stretch(b"passwd", b"salt", 1);
        assert!(hex(key.expose()).starts_with("55ac046e56e3089fec1691c22544b605f9418521"));
    }

    #[test]
    fn output_lengths_are_as_declared() {
        for hash in Hash::ALL {
            assert_eq!(hash.digest(b"x").expose().len(), hash.output_bytes());
            assert_eq!(hash.hmac(b"k", b"x").expose().len(), hash.output_bytes());
            assert_eq!(hash.stretch(b"p", b"s", 1).expose().len(), hash.output_bytes());
        }
    }

    #[test]
    fn comparison_is_by_content_and_length() {
        let key = Hash::Sha1.digest(b"x");
        assert!(key.matches(Hash::Sha1.digest(b"x").expose()));
        assert!(!key.matches(Hash::Sha1.digest(b"y").expose()));
        assert!(!key.matches(&key.expose()[..19]));
    }
}
