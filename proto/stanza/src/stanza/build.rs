//! Stanzas that we make ourselves, and the answers to those of others.

use std::sync::Arc;

use bytes::BytesMut;
use longwire_xml::{Child, Element, Writer};

use super::kind::{IqType, Kind, MessageType, PresenceType, Sort};
use super::{Inner, Stanza, write};
use crate::{Condition, Jid, StanzaError, limits, ns};

/// Makes a [`Stanza`].
#[derive(Clone, Debug)]
pub struct Builder {
    sort: Sort,
    from: Option<Jid>,
    to: Option<Jid>,
    id: Option<Arc<str>>,
    lang: Option<String>,
    content: BytesMut,
}

impl Builder {
    pub(super) fn new(sort: Sort) -> Self {
        Self { sort, from: None, to: None, id: None, lang: None, content: BytesMut::new() }
    }

    /// The sender.
    #[must_use]
    pub fn from(mut self, from: impl Into<Jid>) -> Self {
        self.from = Some(from.into());
        self
    }

    /// The addressee.
    #[must_use]
    pub fn to(mut self, to: impl Into<Jid>) -> Self {
        self.to = Some(to.into());
        self
    }

    /// The id.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(Arc::from(id));
        self
    }

    /// The language of its texts.
    #[must_use]
    pub fn lang(mut self, lang: &str) -> Self {
        self.lang = Some(lang.to_owned());
        self
    }

    /// One more child.
    #[must_use]
    pub fn child(mut self, child: Element) -> Self {
        child.write(&mut self.content, ns::CLIENT);
        self
    }

    /// One more child, if there is one.
    #[must_use]
    pub fn child_opt(self, child: Option<Element>) -> Self {
        match child {
            Some(child) => self.child(child),
            None => self,
        }
    }

    /// Children that are written directly, for what holds another stanza: see
    /// [`Stanza::write_under`]. The default namespace at that place is `jabber:client`.
    #[must_use]
    pub fn content(mut self, write: impl FnOnce(&mut BytesMut)) -> Self {
        write(&mut self.content);
        self
    }

    /// A message's `<body/>`.
    #[must_use]
    pub fn body(self, text: &str) -> Self {
        self.child(Element::new(ns::CLIENT, "body").text(text))
    }

    /// The stanza.
    ///
    /// Content that is not well-formed is left out; only [`Builder::content`] can cause that.
    pub fn build(self) -> Stanza {
        let Self { sort, from, to, id, lang, content } = self;
        let name = sort.kind().as_str();
        let mut raw = BytesMut::with_capacity(content.len() + 256);
        let mut writer = Writer::new(&mut raw);
        writer
            .start(name)
            .attribute_opt("from", from.as_ref().map(Jid::as_str))
            .attribute_opt("to", to.as_ref().map(Jid::as_str))
            .attribute_opt("id", id.as_deref())
            .attribute_opt("type", sort.type_attribute())
            .attribute_opt("xml:lang", lang.as_deref());
        let tag = raw.len();
        if content.is_empty() {
            Writer::new(&mut raw).empty();
        } else {
            Writer::new(&mut raw).open();
            raw.extend_from_slice(&content);
            Writer::new(&mut raw).end(name);
        }
        let body = write::own(raw.freeze(), tag, name);
        Stanza { inner: Arc::new(Inner { sort, from, to, id, body, added: None }) }
    }
}

impl Stanza {
    /// Begins a message.
    pub fn message(kind: MessageType) -> Builder {
        Builder::new(Sort::Message(kind))
    }

    /// Begins a presence.
    pub fn presence(kind: PresenceType) -> Builder {
        Builder::new(Sort::Presence(kind))
    }

    /// Begins an IQ. A request or an answer without an id is not valid: give it one.
    pub fn iq(kind: IqType) -> Builder {
        Builder::new(Sort::Iq(kind))
    }

    /// The error that answers this stanza: addresses swapped, the same id. A short message comes
    /// back with its content, so that people see which one has failed even where their client
    /// does not remember ids; nothing else does. `None` when this is an error or a result, which
    /// nobody may answer.
    ///
    /// `//= RFC 6120 §8.3.1`
    pub fn error(&self, error: &StanzaError) -> Option<Self> {
        let sort = self.inner.sort.as_error()?;
        // What we failed on could make the next one fail as well.
        let is_harmless = error.condition != Condition::InternalServerError
            && self.wire_len() <= limits::ECHO_BYTES;
        let mut answer = self.answer(sort);
        if is_harmless && self.kind() == Kind::Message {
            let is_error =
                |child: &Child<'_>| child.name() == "error" && child.namespace() == ns::CLIENT;
            for child in self.children().filter(|child| !is_error(child)) {
                answer = answer.child(child.element());
            }
        }
        Some(answer.child(error.to_element()).build())
    }

    /// The result that answers this IQ.
    ///
    /// `//= RFC 6120 §8.2.3`
    pub fn result(&self, payload: Option<Element>) -> Self {
        self.answer(Sort::Iq(IqType::Result)).child_opt(payload).build()
    }

    fn answer(&self, sort: Sort) -> Builder {
        let mut answer = Builder::new(sort);
        answer.from = self.inner.to.clone();
        answer.to = self.inner.from.clone();
        answer.id = self.inner.id.clone();
        answer
    }
}
