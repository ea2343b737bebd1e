//! Why an authentication failed: for us in detail, for the peer as one of RFC 6120's conditions.

use thiserror::Error;

/// What went wrong inside a mechanism; tell the peer only [`SaslError::condition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SaslError {
    /// The data is not canonical base64 (RFC 4648 §4).
    #[error("the peer's data is not canonical base64")]
    Encoding,
    /// The message does not follow the mechanism's grammar.
    #[error("the peer's message does not follow the grammar of the mechanism")]
    Malformed,
    /// The message or one of its parts exceeds a bound of [`limits`](super::limits).
    #[error("the peer's message is too long")]
    TooLong,
    /// A mandatory extension (`m=`) that nobody has defined yet.
    #[error("the peer requires a SCRAM extension that is not known")]
    Extension,
    /// The client would have bound to the channel but did not see that the server offers it.
    #[error("somebody removed the channel-binding mechanisms from the server's offer")]
    Downgrade,
    /// Mechanism name and channel-binding flag contradict each other (RFC 5802 §6).
    #[error("the channel-binding flag does not fit the mechanism")]
    BindingFlag,
    /// A channel-binding type that was not offered on this connection.
    #[error("the channel-binding type was not offered")]
    BindingType,
    /// Both ends see different channels: somebody sits between them.
    #[error("the channel-binding data differs: somebody may sit between client and server")]
    BindingData,
    /// The client asks to act as somebody else.
    #[error("the authorization identity is not the authenticated account")]
    Authzid,
    /// The nonce is not the one of this exchange.
    #[error("the nonce does not belong to this exchange")]
    Nonce,
    /// Unknown account or wrong password; the two cannot be told apart.
    #[error("the account or the password is wrong")]
    Proof,
    /// The password holds characters that RFC 8265 §4 does not allow, or none at all.
    #[error("the password holds characters that are not allowed in passwords")]
    Password,
    /// The server asks for too little or too much password hashing.
    #[error("the server's iteration count is outside of the accepted range")]
    Iterations,
    /// The server could not prove that it knows the account's credential.
    #[error("the server did not prove that it knows this account: do not trust it")]
    ServerSignature,
    /// The server's list of mechanisms was changed on the way (XEP-0474 §4.2).
    #[error("somebody changed the list of mechanisms on the way")]
    AdvertisedHash,
    /// A step was called out of order.
    #[error("the exchange is not at this step")]
    OutOfOrder,
}

impl SaslError {
    /// The wire condition of this error; detail that helps guessing is left out.
    pub fn condition(self) -> SaslCondition {
        match self {
            Self::Encoding => SaslCondition::IncorrectEncoding,
            Self::Malformed | Self::TooLong | Self::Extension | Self::BindingFlag => {
                SaslCondition::MalformedRequest
            }
            Self::Authzid => SaslCondition::InvalidAuthzid,
            Self::Iterations | Self::ServerSignature | Self::AdvertisedHash => {
                SaslCondition::Aborted
            }
            Self::Downgrade
            | Self::BindingType
            | Self::BindingData
            | Self::Nonce
            | Self::Proof
            | Self::Password
            | Self::OutOfOrder => SaslCondition::NotAuthorized,
        }
    }
}

/// A SASL failure condition of RFC 6120 §6.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SaslCondition {
    /// RFC 6120 §6.5.1: the client asked to stop, or one side gave up.
    Aborted,
    /// RFC 6120 §6.5.2: the account is temporarily disabled.
    AccountDisabled,
    /// RFC 6120 §6.5.3: the credentials are too old.
    CredentialsExpired,
    /// RFC 6120 §6.5.4: this mechanism needs an encrypted stream.
    EncryptionRequired,
    /// RFC 6120 §6.5.5: the data is not base64.
    IncorrectEncoding,
    /// RFC 6120 §6.5.6: the authorization identity is not acceptable.
    InvalidAuthzid,
    /// RFC 6120 §6.5.7: the mechanism was not offered.
    InvalidMechanism,
    /// RFC 6120 §6.5.8: the data does not follow the mechanism.
    MalformedRequest,
    /// RFC 6120 §6.5.9: policy wants a stronger mechanism.
    MechanismTooWeak,
    /// RFC 6120 §6.5.10: the credentials do not fit.
    NotAuthorized,
    /// RFC 6120 §6.5.11: try again later.
    TemporaryAuthFailure,
}

impl SaslCondition {
    /// Every condition, in the order of RFC 6120 §6.5.
    pub const ALL: [Self; 11] = [
        Self::Aborted,
        Self::AccountDisabled,
        Self::CredentialsExpired,
        Self::EncryptionRequired,
        Self::IncorrectEncoding,
        Self::InvalidAuthzid,
        Self::InvalidMechanism,
        Self::MalformedRequest,
        Self::MechanismTooWeak,
        Self::NotAuthorized,
        Self::TemporaryAuthFailure,
    ];

    /// The element name of the condition.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::AccountDisabled => "account-disabled",
            Self::CredentialsExpired => "credentials-expired",
            Self::EncryptionRequired => "encryption-required",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::MechanismTooWeak => "mechanism-too-weak",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }

    /// The condition with this element name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_is_found_by_its_name() {
        for condition in SaslCondition::ALL {
            assert_eq!(SaslCondition::from_name(condition.name()), Some(condition));
        }
        assert_eq!(SaslCondition::from_name("no-such-condition"), None);
    }

    #[test]
    fn a_wrong_password_and_a_bad_nonce_look_the_same_on_the_wire() {
        assert_eq!(SaslError::Proof.condition(), SaslError::Nonce.condition());
        assert_eq!(SaslError::Proof.condition(), SaslError::BindingData.condition());
    }
}
