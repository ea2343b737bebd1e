//! Addresses: [`Jid`], [`BareJid`] and [`FullJid`] (RFC 7622).
//!
//! An address is one shared string and three offsets: 24 bytes, a clone is a reference count,
//! and the bare form of a full JID shares its string. Two addresses are equal when their
//! canonical texts are, so all three types hash, order and borrow like that text.

mod error;
mod prep;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

pub use error::JidError;

/// The canonical text and where its parts are.
///
/// `text` may be longer than the address: `end` is where this address stops.
#[derive(Clone)]
struct Address {
    text: Arc<str>,
    /// The position of the `@`; 0 when there is no localpart (a localpart is never empty).
    at: u16,
    /// Where the domainpart ends.
    domain_end: u16,
    /// Where the address ends; greater than `domain_end` when there is a resourcepart.
    end: u16,
}

impl Address {
    fn parse(text: &str) -> Result<Self, JidError> {
        let (rest, resource) = match text.split_once('/') {
            Some((rest, resource)) => (rest, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match rest.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, rest),
        };
        let local = local.map(prep::local).transpose()?;
        let domain = prep::domain(domain)?;
        let resource = resource.map(prep::resource).transpose()?;
        let length =
            |part: &Option<std::borrow::Cow<'_, str>>| part.as_ref().map_or(0, |p| p.len());
        let at = length(&local);
        let domain_end = domain.len() + if local.is_some() { at + 1 } else { 0 };
        let end = domain_end + if resource.is_some() { length(&resource) + 1 } else { 0 };
        let borrowed =
            |part: &std::borrow::Cow<'_, str>| matches!(part, std::borrow::Cow::Borrowed(_));
        let untouched = end == text.len()
            && borrowed(&domain)
            && local.as_ref().is_none_or(borrowed)
            && resource.as_ref().is_none_or(borrowed);
        let text = if untouched {
            Arc::from(text)
        } else {
            Arc::from(join(local.as_deref(), &domain, resource.as_deref()))
        };
        Self::at(text, at, domain_end, end)
    }

    fn at(text: Arc<str>, at: usize, domain_end: usize, end: usize) -> Result<Self, JidError> {
        // Each part is at most 1023 octets, so this never fails; it keeps the casts honest.
        let narrow = |n: usize| u16::try_from(n).map_err(|_| JidError::ResourceTooLong);
        Ok(Self { text, at: narrow(at)?, domain_end: narrow(domain_end)?, end: narrow(end)? })
    }

    fn as_str(&self) -> &str {
        self.text.get(..usize::from(self.end)).unwrap_or(&self.text)
    }

    fn bare_str(&self) -> &str {
        self.text.get(..usize::from(self.domain_end)).unwrap_or(&self.text)
    }

    fn local(&self) -> Option<&str> {
        if self.at == 0 { None } else { self.text.get(..usize::from(self.at)) }
    }

    fn domain(&self) -> &str {
        let start = if self.at == 0 { 0 } else { usize::from(self.at) + 1 };
        self.text.get(start..usize::from(self.domain_end)).unwrap_or_default()
    }

    fn resource(&self) -> Option<&str> {
        if self.has_resource() {
            self.as_str().get(usize::from(self.domain_end) + 1..)
        } else {
            None
        }
    }

    fn has_resource(&self) -> bool {
        self.end > self.domain_end
    }

    fn bare(&self) -> Self {
        Self { end: self.domain_end, ..self.clone() }
    }

    fn domain_only(&self) -> Self {
        if self.at == 0 {
            return self.bare();
        }
        let domain = self.domain();
        let end = self.domain_end - self.at - 1;
        Self { text: Arc::from(domain), at: 0, domain_end: end, end }
    }

    fn with_resource(&self, resource: &str) -> Result<Self, JidError> {
        let resource = prep::resource(resource)?;
        let text = join(self.local(), self.domain(), Some(&resource));
        let (at, domain_end) = (usize::from(self.at), usize::from(self.domain_end));
        let end = text.len();
        Self::at(Arc::from(text), at, domain_end, end)
    }
}

fn join(local: Option<&str>, domain: &str, resource: Option<&str>) -> String {
    let length = |part: Option<&str>| part.map_or(0, |p| p.len() + 1);
    let mut text = String::with_capacity(length(local) + domain.len() + length(resource));
    if let Some(local) = local {
        text.push_str(local);
        text.push('@');
    }
    text.push_str(domain);
    if let Some(resource) = resource {
        text.push('/');
        text.push_str(resource);
    }
    text
}

/// What the three address types have in common.
macro_rules! address {
    ($name:ident) => {
        impl $name {
            /// The canonical text of this address.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// The localpart, if there is one.
            pub fn local(&self) -> Option<&str> {
                self.0.local()
            }

            /// The domainpart.
            pub fn domain(&self) -> &str {
                self.0.domain()
            }

            /// The address of the domain alone.
            pub fn to_domain(&self) -> BareJid {
                BareJid(self.0.domain_only())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = JidError;

            fn from_str(text: &str) -> Result<Self, JidError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = JidError;

            fn try_from(text: &str) -> Result<Self, JidError> {
                Self::new(text)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }

        impl Eq for $name {}

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.as_str().cmp(other.as_str())
            }
        }

        /// Hash, equality and order are those of the text, so a map can be asked with a `&str`.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }
    };
}

/// Any address: a domain, an account, or one of its resources.
#[derive(Clone)]
pub struct Jid(Address);

/// An address without a resource: a domain or an account.
#[derive(Clone)]
pub struct BareJid(Address);

/// An address with a resource: a session, or a participant of a room.
#[derive(Clone)]
pub struct FullJid(Address);

address!(Jid);
address!(BareJid);
address!(FullJid);

impl Jid {
    /// Reads an address and brings it into its canonical form.
    ///
    /// # Errors
    ///
    /// When a part is empty, too long, or has forbidden characters: answer `jid-malformed`.
    pub fn new(text: &str) -> Result<Self, JidError> {
        Address::parse(text).map(Self)
    }

    /// The same address without its resource. Allocates nothing.
    pub fn bare(&self) -> BareJid {
        BareJid(self.0.bare())
    }

    /// The text of the bare address.
    pub fn bare_str(&self) -> &str {
        self.0.bare_str()
    }

    /// The resourcepart, if there is one.
    pub fn resource(&self) -> Option<&str> {
        self.0.resource()
    }

    /// Whether there is no resource.
    pub fn is_bare(&self) -> bool {
        !self.0.has_resource()
    }

    /// Whether this is a domain alone: no localpart and no resource.
    pub fn is_domain(&self) -> bool {
        self.is_bare() && self.local().is_none()
    }

    /// This address as a full JID, if it has a resource.
    pub fn to_full(&self) -> Option<FullJid> {
        self.0.has_resource().then(|| FullJid(self.0.clone()))
    }
}

impl BareJid {
    /// Reads a bare address and brings it into its canonical form.
    ///
    /// # Errors
    ///
    /// As [`Jid::new`]; and when there is a resource.
    pub fn new(text: &str) -> Result<Self, JidError> {
        let address = Address::parse(text)?;
        if address.has_resource() {
            return Err(JidError::ResourceUnexpected);
        }
        Ok(Self(address))
    }

    /// Joins a localpart and a domainpart.
    ///
    /// # Errors
    ///
    /// As [`Jid::new`], each part being judged by itself.
    pub fn from_parts(local: Option<&str>, domain: &str) -> Result<Self, JidError> {
        let local = local.map(prep::local).transpose()?;
        let domain = prep::domain(domain)?;
        let text = join(local.as_deref(), &domain, None);
        let (at, end) = (local.as_ref().map_or(0, |l| l.len()), text.len());
        Address::at(Arc::from(text), at, end, end).map(Self)
    }

    /// This address with a resource.
    ///
    /// # Errors
    ///
    /// When the resource is empty, too long, or has forbidden characters.
    pub fn with_resource(&self, resource: &str) -> Result<FullJid, JidError> {
        self.0.with_resource(resource).map(FullJid)
    }

    /// Whether this is a domain alone.
    pub fn is_domain(&self) -> bool {
        self.local().is_none()
    }
}

impl FullJid {
    /// Reads a full address and brings it into its canonical form.
    ///
    /// # Errors
    ///
    /// As [`Jid::new`]; and when there is no resource.
    pub fn new(text: &str) -> Result<Self, JidError> {
        let address = Address::parse(text)?;
        if !address.has_resource() {
            return Err(JidError::ResourceMissing);
        }
        Ok(Self(address))
    }

    /// Joins three parts.
    ///
    /// # Errors
    ///
    /// As [`Jid::new`], each part being judged by itself.
    pub fn from_parts(local: Option<&str>, domain: &str, resource: &str) -> Result<Self, JidError> {
        BareJid::from_parts(local, domain)?.with_resource(resource)
    }

    /// The same address without its resource. Allocates nothing.
    pub fn bare(&self) -> BareJid {
        BareJid(self.0.bare())
    }

    /// The text of the bare address.
    pub fn bare_str(&self) -> &str {
        self.0.bare_str()
    }

    /// The resourcepart.
    pub fn resource(&self) -> &str {
        self.0.resource().unwrap_or_default()
    }

    /// The same account with another resource.
    ///
    /// # Errors
    ///
    /// When the resource is empty, too long, or has forbidden characters.
    pub fn with_resource(&self, resource: &str) -> Result<Self, JidError> {
        self.0.with_resource(resource).map(Self)
    }
}

impl From<BareJid> for Jid {
    fn from(jid: BareJid) -> Self {
        Self(jid.0)
    }
}

impl From<FullJid> for Jid {
    fn from(jid: FullJid) -> Self {
        Self(jid.0)
    }
}

impl From<&Self> for Jid {
    fn from(jid: &Self) -> Self {
        jid.clone()
    }
}

impl From<&BareJid> for Jid {
    fn from(jid: &BareJid) -> Self {
        Self(jid.0.clone())
    }
}

impl From<&FullJid> for Jid {
    fn from(jid: &FullJid) -> Self {
        Self(jid.0.clone())
    }
}

impl From<FullJid> for BareJid {
    fn from(jid: FullJid) -> Self {
        jid.bare()
    }
}

impl From<&FullJid> for BareJid {
    fn from(jid: &FullJid) -> Self {
        jid.bare()
    }
}

impl TryFrom<Jid> for FullJid {
    type Error = JidError;

    fn try_from(jid: Jid) -> Result<Self, JidError> {
        if jid.is_bare() { Err(JidError::ResourceMissing) } else { Ok(Self(jid.0)) }
    }
}

impl TryFrom<Jid> for BareJid {
    type Error = JidError;

    fn try_from(jid: Jid) -> Result<Self, JidError> {
        if jid.is_bare() { Ok(Self(jid.0)) } else { Err(JidError::ResourceUnexpected) }
    }
}

impl PartialEq<BareJid> for Jid {
    fn eq(&self, other: &BareJid) -> bool {
        self.as_str() == other.as_str()
    }
}

impl PartialEq<FullJid> for Jid {
    fn eq(&self, other: &FullJid) -> bool {
        self.as_str() == other.as_str()
    }
}
