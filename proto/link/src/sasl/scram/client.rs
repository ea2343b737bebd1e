//! The client's side of SCRAM.

use super::message::{self, ServerFirst};
use crate::sasl::binding::BindingType;
use crate::sasl::downgrade::Advertised;
use crate::sasl::encoding::encode_base64;
use crate::sasl::error::SaslError;
use crate::sasl::hash::{Hash, Key};
use crate::sasl::limits;
use crate::sasl::secret::{Secret, prepare_password};

/// What the client says about channel binding (RFC 5802 §6, XEP-0440 §3).
#[derive(Clone)]
pub enum ClientBinding {
    /// The client has no channel to bind to.
    Unsupported,
    /// The client could bind, but the server offers neither PLUS mechanisms nor types.
    NotOffered,
    /// Bound: use the PLUS mechanism.
    Bound {
        /// The type.
        kind: BindingType,
        /// Its data for this connection.
        data: Vec<u8>,
    },
}

/// One SCRAM exchange: [`first`](Self::first), [`respond`](Self::respond),
/// [`verify`](Self::verify).
pub struct ScramClient {
    hash: Hash,
    gs2: String,
    /// GS2 header plus channel-binding data.
    binding: Vec<u8>,
    bare: String,
    nonce: String,
    expected: Option<Key>,
}

impl ScramClient {
    /// Begins an exchange; `nonce` is fresh random text of at least 16 bytes.
    pub fn new(
        hash: Hash,
        binding: &ClientBinding,
        username: &str,
        authzid: Option<&str>,
        nonce: &str,
    ) -> Self {
        let (flag, data) = match binding {
            ClientBinding::Unsupported => ("n".to_owned(), &[][..]),
            ClientBinding::NotOffered => ("y".to_owned(), &[][..]),
            ClientBinding::Bound { kind, data } => (format!("p={}", kind.name()), data.as_slice()),
        };
        let authzid = authzid.map(|id| format!("a={}", message::escape(id))).unwrap_or_default();
        let gs2 = format!("{flag},{authzid},");
        let bare = format!("n={},r={nonce}", message::escape(username));
        let binding = [gs2.as_bytes(), data].concat();
        Self { hash, gs2, binding, bare, nonce: nonce.to_owned(), expected: None }
    }

    /// The client's first message.
    pub fn first(&self) -> Vec<u8> {
        format!("{}{}", self.gs2, self.bare).into_bytes()
    }

    /// Answers the server's first message; hashes the password, which is slow on purpose.
    ///
    /// `seen` is what the server offered as far as this client saw; when the server sends the
    /// hash of XEP-0474 it must fit.
    ///
    /// # Errors
    /// Stop the exchange: the server, or somebody on the way, does not play by the rules.
    pub fn respond(
        &mut self,
        challenge: &[u8],
        password: &Secret,
        seen: Option<&Advertised>,
    ) -> Result<Vec<u8>, SaslError> {
        let text = message::text(challenge)?;
        let first = ServerFirst::parse(text)?;
        let fresh = first.nonce.strip_prefix(self.nonce.as_str()).ok_or(SaslError::Nonce)?;
        if fresh.is_empty() {
            return Err(SaslError::Nonce);
        }
        if !(limits::ITERATIONS_MIN..=limits::ITERATIONS_MAX).contains(&first.iterations) {
            return Err(SaslError::Iterations);
        }
        if let (Some(hash), Some(seen)) = (first.advertised, seen)
            && seen.hash(self.hash) != hash
        {
            return Err(SaslError::AdvertisedHash);
        }
        let password = prepare_password(password.expose())?;
        let salted = self.hash.stretch(password.expose().as_bytes(), &first.salt, first.iterations);
        let client_key = self.hash.hmac(salted.expose(), b"Client Key");
        let server_key = self.hash.hmac(salted.expose(), b"Server Key");
        let stored_key = self.hash.digest(client_key.expose());
        let without_proof = format!("c={},r={}", encode_base64(&self.binding), first.nonce);
        let auth = format!("{},{text},{without_proof}", self.bare);
        let signature = self.hash.hmac(stored_key.expose(), auth.as_bytes());
        let proof = signature.xor(client_key.expose()).ok_or(SaslError::Proof)?;
        self.expected = Some(self.hash.hmac(server_key.expose(), auth.as_bytes()));
        Ok(format!("{without_proof},p={}", encode_base64(proof.expose())).into_bytes())
    }

    /// Checks the server's final message; without it the server has proven nothing.
    ///
    /// # Errors
    /// Close the connection: the other end does not know the account's credential.
    pub fn verify(&self, last: &[u8]) -> Result<(), SaslError> {
        let expected = self.expected.as_ref().ok_or(SaslError::OutOfOrder)?;
        let signature = message::server_signature(message::text(last)?)?;
        if expected.matches(&signature) { Ok(()) } else { Err(SaslError::ServerSignature) }
    }
}
