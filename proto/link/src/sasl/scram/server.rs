//! The server's side of SCRAM.

use subtle::{Choice, ConstantTimeEq};

use super::message::{self, ClientFinal, ClientFirst, Flag};
use crate::sasl::binding::{BindingType, TlsInfo};
use crate::sasl::credential::StoredCredential;
use crate::sasl::downgrade::Advertised;
use crate::sasl::encoding::encode_base64;
use crate::sasl::error::SaslError;
use crate::sasl::hash::{Hash, Key};

/// What the server offered on this connection concerning channel binding.
#[derive(Debug, Clone, Copy)]
pub struct ServerBinding<'a> {
    /// Whether the mechanism in use is a PLUS one.
    pub plus: bool,
    /// Whether any PLUS mechanism was in the offer that the client saw.
    pub plus_offered: bool,
    /// The channel, when there is one.
    pub tls: Option<&'a TlsInfo>,
}

/// One SCRAM exchange: [`start`](Self::start), [`challenge`](Self::challenge),
/// [`finish`](Self::finish).
pub struct ScramServer {
    hash: Hash,
    username: String,
    authzid: Option<String>,
    client_nonce: String,
    client_first_bare: String,
    /// GS2 header plus channel-binding data: what `c=` must hold.
    binding: Vec<u8>,
    challenged: Option<Challenged>,
}

struct Challenged {
    nonce: String,
    server_first: String,
    stored_key: Key,
    server_key: Key,
    known: Choice,
}

impl ScramServer {
    /// Reads the client's first message and checks its channel-binding flag.
    ///
    /// # Errors
    /// The exchange is over: answer with [`SaslError::condition`].
    pub fn start(hash: Hash, offer: ServerBinding<'_>, first: &[u8]) -> Result<Self, SaslError> {
        let first = ClientFirst::parse(message::text(first)?)?;
        let mut binding = first.gs2.as_bytes().to_vec();
        match first.flag {
            // RFC 5802 §6: the client wanted to bind and did not see that it could.
            Flag::NotOffered if offer.plus_offered => return Err(SaslError::Downgrade),
            Flag::Unsupported | Flag::NotOffered if offer.plus => {
                return Err(SaslError::BindingFlag);
            }
            Flag::Unsupported | Flag::NotOffered => {}
            Flag::Bound(_) if !offer.plus => return Err(SaslError::BindingFlag),
            Flag::Bound(name) => {
                let data = BindingType::from_name(name)
                    .and_then(|kind| offer.tls.and_then(|tls| tls.data(kind)))
                    .ok_or(SaslError::BindingType)?;
                binding.extend_from_slice(data);
            }
        }
        Ok(Self {
            hash,
            username: first.username,
            authzid: first.authzid,
            client_nonce: first.nonce.to_owned(),
            client_first_bare: first.bare.to_owned(),
            binding,
            challenged: None,
        })
    }

    /// The hash function of the mechanism.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The user name: the local part of the account.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The authorization identity, when one was given; the caller compares it.
    pub fn authzid(&self) -> Option<&str> {
        self.authzid.as_deref()
    }

    /// Writes the server's first message.
    ///
    /// `known` is whether `credential` is real; with an invented one the exchange goes on and
    /// fails at its end. `nonce` is fresh random text ([`nonce_text`](crate::sasl::nonce_text) of
    /// at least 16 bytes). `advertised` adds the hash of XEP-0474.
    pub fn challenge(
        &mut self,
        credential: &StoredCredential,
        known: bool,
        nonce: &str,
        advertised: Option<&Advertised>,
    ) -> Vec<u8> {
        let nonce = format!("{}{nonce}", self.client_nonce);
        let salt = encode_base64(&credential.salt);
        let mut server_first = format!("r={nonce},s={salt},i={}", credential.iterations);
        if let Some(advertised) = advertised {
            server_first.push_str(",h=");
            server_first.push_str(&advertised.hash(self.hash));
        }
        let bytes = server_first.clone().into_bytes();
        self.challenged = Some(Challenged {
            nonce,
            server_first,
            stored_key: Key::new(credential.stored_key.clone()),
            server_key: Key::new(credential.server_key.clone()),
            known: Choice::from(u8::from(known && credential.fits(self.hash))),
        });
        bytes
    }

    /// Checks the client's proof and writes the server's final message.
    ///
    /// # Errors
    /// [`SaslError::Proof`] for a wrong password as for an unknown account.
    pub fn finish(self, message: &[u8]) -> Result<Vec<u8>, SaslError> {
        let Some(challenged) = &self.challenged else { return Err(SaslError::OutOfOrder) };
        let last = ClientFinal::parse(message::text(message)?)?;
        if !bool::from(last.nonce.as_bytes().ct_eq(challenged.nonce.as_bytes())) {
            return Err(SaslError::Nonce);
        }
        if !bool::from(last.binding.ct_eq(&self.binding)) {
            return Err(SaslError::BindingData);
        }
        let auth = format!(
            "{},{},{}",
            self.client_first_bare, challenged.server_first, last.without_proof
        );
        let signature = self.hash.hmac(challenged.stored_key.expose(), auth.as_bytes());
        let client_key = signature.xor(&last.proof).ok_or(SaslError::Proof)?;
        let stored_key = self.hash.digest(client_key.expose());
        let right = stored_key.eq_choice(challenged.stored_key.expose()) & challenged.known;
        if !bool::from(right) {
            return Err(SaslError::Proof);
        }
        let verifier = self.hash.hmac(challenged.server_key.expose(), auth.as_bytes());
        Ok(format!("v={}", encode_base64(verifier.expose())).into_bytes())
    }
}
