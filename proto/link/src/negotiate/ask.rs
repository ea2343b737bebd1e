//! What the negotiation asks its driver, and the answers.

use std::fmt;

use longwire_stanza::{BareJid, FullJid, StanzaError};
use longwire_xml::Element;

use crate::sasl::{Hash, SaslCondition, Secret, StoredCredential};

/// A client installation as it describes itself (XEP-0388 §2.3); never shown to other entities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserAgent {
    /// Its stable UUID, in lower case.
    pub id: Option<String>,
    /// The name of the software.
    pub software: Option<String>,
    /// The name of the device.
    pub device: Option<String>,
}

/// A question to the driver; exactly one is open at a time.
pub enum Ask {
    /// The stored credential of an account: answer [`Reply::Credential`].
    ///
    /// Throttling is decided here too: answer [`Reply::Throttled`].
    Credential {
        /// The account that wants to log in.
        account: BareJid,
        /// The hash function of the mechanism.
        hash: Hash,
    },
    /// Whether the password is right: answer [`Reply::Verified`].
    ///
    /// Slow on purpose ([`StoredCredential::verify`]): do it where blocking is allowed, and as
    /// slowly for accounts that do not exist.
    Verify {
        /// The account that wants to log in.
        account: BareJid,
        /// Its prepared password.
        password: Secret,
    },
    /// A resource for the authenticated account: answer [`Reply::Bound`].
    Bind {
        /// The authenticated account.
        account: BareJid,
        /// The resource that classic binding asked for.
        resource: Option<String>,
        /// The software tag of Bind 2, to become the beginning of the resource.
        tag: Option<String>,
        /// The client installation, when SASL2 named it.
        user_agent: Option<UserAgent>,
        /// The installation whose earlier sessions end with this bind (XEP-0386 §3.2).
        replaces: Option<String>,
        /// The features that Bind 2 shall enable for the new session.
        requests: Vec<Element>,
    },
}

/// Shows who asks for what, without secrets.
impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential { account, hash } => f
                .debug_struct("Credential")
                .field("account", &account.as_str())
                .field("hash", hash)
                .finish(),
            Self::Verify { account, .. } => {
                f.debug_struct("Verify").field("account", &account.as_str()).finish_non_exhaustive()
            }
            Self::Bind { account, resource, tag, .. } => f
                .debug_struct("Bind")
                .field("account", &account.as_str())
                .field("resource", resource)
                .field("tag", tag)
                .finish_non_exhaustive(),
        }
    }
}

/// The answer to an [`Ask`].
pub enum Reply {
    /// To [`Ask::Credential`]: `None` for accounts that do not exist or have no credential for
    /// this hash; the client will not notice before the end of the exchange.
    Credential(Option<StoredCredential>),
    /// To [`Ask::Verify`].
    Verified(bool),
    /// To [`Ask::Bind`].
    Bound(Result<FullJid, StanzaError>),
    /// To [`Ask::Bind`] with requests: the results to be shown in Bind 2's answer.
    BoundWith {
        /// The address of the new session.
        jid: FullJid,
        /// What the enabled features answered.
        results: Vec<Element>,
    },
    /// To [`Ask::Credential`] or [`Ask::Verify`]: too many failures lately.
    Throttled,
    /// To [`Ask::Verify`]: refused for a reason that the account's owner may know.
    Refused(SaslCondition),
    /// To any question: the answer cannot be had now.
    TemporaryFailure,
}
