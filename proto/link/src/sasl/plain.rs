//! PLAIN (RFC 4616): the password itself, so only where the channel hides it.

use zeroize::Zeroizing;

use super::error::SaslError;
use super::limits;
use super::secret::{Secret, prepare_password};

/// The parsed message of a PLAIN exchange.
pub struct PlainMessage {
    /// The authorization identity, when one was given.
    pub authzid: Option<String>,
    /// The user name: the local part of the account.
    pub username: String,
    /// The password, prepared.
    pub password: Secret,
}

impl PlainMessage {
    /// Reads `[authzid] NUL authcid NUL passwd`.
    ///
    /// # Errors
    /// [`SaslError::Malformed`] for other shapes and text that is not UTF-8,
    /// [`SaslError::Password`] for a password that nobody can have.
    pub fn parse(message: &[u8]) -> Result<Self, SaslError> {
        if message.len() > limits::MESSAGE_BYTES {
            return Err(SaslError::TooLong);
        }
        let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
        let mut parts = text.split('\0');
        let (Some(authzid), Some(username), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SaslError::Malformed);
        };
        if username.is_empty() || password.is_empty() {
            return Err(SaslError::Malformed);
        }
        Ok(Self {
            authzid: (!authzid.is_empty()).then(|| authzid.to_owned()),
            username: username.to_owned(),
            password: prepare_password(password)?,
        })
    }
}

/// Writes a client's PLAIN message.
///
/// # Errors
/// As [`prepare_password`].
pub fn plain_message(username: &str, password: &Secret) -> Result<Zeroizing<Vec<u8>>, SaslError> {
    let password = prepare_password(password.expose())?;
    let mut message = Zeroizing::new(Vec::with_capacity(2 + limits::PASSWORD_BYTES));
    message.push(0);
    message.extend_from_slice(username.as_bytes());
    message.push(0);
    message.extend_from_slice(password.expose().as_bytes());
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_writes_the_server_reads() {
        let message = plain_message("alice", &Secret::new("p\u{e4}ss word")).unwrap();
        let parsed = PlainMessage::parse(&message).unwrap();
        assert_eq!(parsed.authzid, None);
        assert_eq!(parsed.username, "alice");
        assert_eq!(parsed.password.expose(), "p\u{e4}ss word");
    }

    #[test]
    fn the_authorization_identity_is_kept() {
        let parsed = PlainMessage::parse(b"alice@x.example\0alice\0secret").unwrap();
        assert_eq!(parsed.authzid.as_deref(), Some("alice@x.example"));
    }

    #[test]
    fn other_shapes_are_malformed() {
        for bad in
            [&b""[..], b"alice", b"alice\0x", b"\0\0x", b"\0alice\0", b"\0a\0b\0c", b"\0\xff\0x"]
        {
            assert_eq!(PlainMessage::parse(bad).err(), Some(SaslError::Malformed), "{bad:?}");
        }
        let long = [b"\0a\0".as_slice(), &[b'x'; limits::MESSAGE_BYTES]].concat();
        assert_eq!(PlainMessage::parse(&long).err(), Some(SaslError::TooLong));
    }
}
