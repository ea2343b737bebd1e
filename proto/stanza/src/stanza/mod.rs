//! [`Stanza`]: a message, presence or IQ, read no further than routing needs.

mod build;
mod hop;
mod kind;
mod parse;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use longwire_xml::{Child, Element, Scanned};

use crate::{Jid, StanzaError, ns};

pub use build::Builder;
use kind::Sort;
pub use kind::{IqType, Kind, MessageType, PresenceType};
pub use parse::ParseError;

/// A message, presence or IQ.
///
/// The header is read, the children are indexed by name, and the bytes stay as they came: what a
/// stanza carries is forwarded untouched. A clone is one reference count. Another `from`, `to` or
/// `id` makes a new header over the same body.
#[derive(Clone)]
pub struct Stanza {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    sort: Sort,
    from: Option<Jid>,
    to: Option<Jid>,
    id: Option<Arc<str>>,
    body: Scanned,
    /// What [`Stanza::with_child`] appended: the content of a wrapper element.
    added: Option<Scanned>,
}

impl Stanza {
    /// Whether this is a message, a presence or an IQ.
    pub fn kind(&self) -> Kind {
        self.inner.sort.kind()
    }

    /// The sender.
    pub fn from(&self) -> Option<&Jid> {
        self.inner.from.as_ref()
    }

    /// The addressee.
    pub fn to(&self) -> Option<&Jid> {
        self.inner.to.as_ref()
    }

    /// The id that the sender gave.
    pub fn id(&self) -> Option<&str> {
        self.inner.id.as_deref()
    }

    /// The type of a message; an error or `normal` for what is not a message.
    pub fn message_type(&self) -> MessageType {
        match self.inner.sort {
            Sort::Message(kind) => kind,
            _ if self.is_error() => MessageType::Error,
            _ => MessageType::Normal,
        }
    }

    /// The type of a presence; an error or `available` for what is not a presence.
    pub fn presence_type(&self) -> PresenceType {
        match self.inner.sort {
            Sort::Presence(kind) => kind,
            _ if self.is_error() => PresenceType::Error,
            _ => PresenceType::Available,
        }
    }

    /// The type of an IQ; an error or `set` for what is not an IQ.
    pub fn iq_type(&self) -> IqType {
        match self.inner.sort {
            Sort::Iq(kind) => kind,
            _ if self.is_error() => IqType::Error,
            _ => IqType::Set,
        }
    }

    /// Whether this is an IQ that waits for an answer.
    pub fn is_request(&self) -> bool {
        matches!(self.inner.sort, Sort::Iq(IqType::Get | IqType::Set))
    }

    /// Whether this is an error of any kind.
    pub fn is_error(&self) -> bool {
        matches!(
            self.inner.sort,
            Sort::Message(MessageType::Error)
                | Sort::Presence(PresenceType::Error)
                | Sort::Iq(IqType::Error)
        )
    }

    /// The language of its texts: its own or its stream's.
    pub fn lang(&self) -> Option<Cow<'_, str>> {
        self.inner.body.lang()
    }

    /// An attribute of the stanza beside those of its header, by its name as written.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        self.inner.body.attribute(name)
    }

    /// The elements that it carries, in order.
    pub fn children(&self) -> impl Iterator<Item = Child<'_>> {
        self.inner.body.children().chain(self.inner.added.iter().flat_map(Scanned::children))
    }

    /// The first child with this name.
    pub fn child(&self, namespace: &str, name: &str) -> Option<Child<'_>> {
        self.children().find(|child| child.name() == name && child.namespace() == namespace)
    }

    /// The first child: the payload of an IQ.
    pub fn payload(&self) -> Option<Child<'_>> {
        self.children().next()
    }

    /// The text of a `<body/>` or of another child in the namespace of the stanza itself.
    pub fn child_text(&self, name: &str) -> Option<Cow<'_, str>> {
        let child = self.child(ns::CLIENT, name)?;
        Some(Cow::Owned(child.text().into_owned()))
    }

    /// The error that it carries, when it is an error.
    pub fn stanza_error(&self) -> Option<StanzaError> {
        if !self.is_error() {
            return None;
        }
        let error = self.child(ns::CLIENT, "error");
        Some(match error {
            Some(child) => StanzaError::parse(&child),
            None => StanzaError::new(crate::Condition::UndefinedCondition),
        })
    }

    /// About how many bytes it will have on the wire: an upper bound in all but odd cases.
    pub fn wire_len(&self) -> usize {
        let text = |jid: &Option<Jid>| jid.as_ref().map_or(0, |jid| jid.as_str().len() + 8);
        let added = self.inner.added.as_ref().map_or(0, |added| added.raw().len());
        let header = text(&self.inner.from) + text(&self.inner.to) + 32;
        self.inner.body.raw().len() + added + header
    }

    /// The same stanza from somebody else.
    #[must_use]
    pub fn with_from(&self, from: impl Into<Jid>) -> Self {
        self.changed(|inner| inner.from = Some(from.into()))
    }

    /// The same stanza from nobody.
    #[must_use]
    pub fn without_from(&self) -> Self {
        self.changed(|inner| inner.from = None)
    }

    /// The same stanza to somebody else.
    #[must_use]
    pub fn with_to(&self, to: impl Into<Jid>) -> Self {
        self.changed(|inner| inner.to = Some(to.into()))
    }

    /// The same stanza to nobody in particular.
    #[must_use]
    pub fn without_to(&self) -> Self {
        self.changed(|inner| inner.to = None)
    }

    /// The same stanza with another id.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Self {
        self.changed(|inner| inner.id = Some(Arc::from(id)))
    }

    /// The same stanza with one more child behind the others.
    #[must_use]
    pub fn with_child(&self, child: Element) -> Self {
        let added = write::appended(self.inner.added.as_ref(), &child);
        self.changed(|inner| inner.added = Some(added))
    }

    /// The same stanza without the children that `unwanted` names; the same when there are none.
    #[must_use]
    pub fn without_children(&self, unwanted: impl Fn(&Child<'_>) -> bool) -> Self {
        if !self.children().any(|child| unwanted(&child)) {
            return self.clone();
        }
        let body = write::stripped(&self.inner.body, &unwanted);
        let added = self.inner.added.as_ref().map(|added| write::stripped(added, &unwanted));
        self.changed(|inner| {
            inner.body = body;
            inner.added = added;
        })
    }

    fn changed(&self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner::clone(&self.inner);
        change(&mut inner);
        Self { inner: Arc::new(inner) }
    }
}

impl fmt::Debug for Stanza {
    /// The header only: what a stanza says is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stanza")
            .field("sort", &self.inner.sort)
            .field("from", &self.inner.from)
            .field("to", &self.inner.to)
            .field("id", &self.inner.id)
            .field("bytes", &self.inner.body.raw().len())
            .finish_non_exhaustive()
    }
}
