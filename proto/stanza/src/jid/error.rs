//! What can be wrong with an address.

/// Why a text is not a JID.
///
/// Whoever sent it gets `jid-malformed` (RFC 6120 §8.3.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum JidError {
    /// There is an `@` with nothing before it.
    #[error("the localpart is empty")]
    LocalEmpty,
    /// The localpart has more than 1023 octets.
    #[error("the localpart is longer than 1023 octets")]
    LocalTooLong,
    /// The localpart has a character that RFC 7622 §3.3 forbids.
    #[error("the localpart has a forbidden character")]
    LocalInvalid,
    /// There is no domainpart, or one of its labels is empty.
    #[error("the domainpart or one of its labels is empty")]
    DomainEmpty,
    /// The domainpart has more than 1023 octets, or a label more than 63.
    #[error("the domainpart or one of its labels is too long")]
    DomainTooLong,
    /// The domainpart is neither a domain name nor an address literal.
    #[error("the domainpart is not a domain name or an IP address")]
    DomainInvalid,
    /// There is a `/` with nothing behind it.
    #[error("the resourcepart is empty")]
    ResourceEmpty,
    /// The resourcepart has more than 1023 octets.
    #[error("the resourcepart is longer than 1023 octets")]
    ResourceTooLong,
    /// The resourcepart has a character that RFC 7622 §3.4 forbids.
    #[error("the resourcepart has a forbidden character")]
    ResourceInvalid,
    /// A bare JID was expected, and this one has a resource.
    #[error("a resourcepart where none is allowed")]
    ResourceUnexpected,
    /// A full JID was expected, and this one has no resource.
    #[error("no resourcepart where one is needed")]
    ResourceMissing,
}
