//! From received bytes to a [`Stanza`].

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use longwire_xml::{Context, Limits, Scanned, scan};

use super::kind::{IqType, Kind, MessageType, PresenceType, Sort};
use super::{Builder, Inner, Stanza, hop, write};
use crate::{Condition, Jid, JidError, StanzaError, StreamCondition, StreamError, ns};

/// Why bytes are not a stanza.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ParseError {
    /// The stream cannot go on: send the error and close it.
    #[error("stream error: {0}")]
    Stream(#[from] StreamError),
    /// This stanza is refused and the stream lives.
    #[error("stanza error: {error}")]
    Stanza {
        /// What is wrong with it.
        error: StanzaError,
        /// The answer to send back on the same stream, unless nobody expects one.
        reply: Option<Stanza>,
    },
}

impl Stanza {
    /// Validates one element and reads its header.
    ///
    /// # Errors
    ///
    /// A stream error ends the stream; a stanza error comes with its answer.
    pub fn parse(raw: Bytes, context: &Context, limits: &Limits) -> Result<Self, ParseError> {
        let scanned = if context.default_namespace() == ns::SERVER {
            scan(raw, &as_client(context), limits)
        } else {
            scan(raw, context, limits)
        };
        Self::from_scanned(scanned.map_err(StreamError::from)?)
    }

    /// Reads the header of a validated element.
    ///
    /// Attributes of the hop ([`ns::MULTI_STREAM`]) are taken away: read them before.
    ///
    /// # Errors
    ///
    /// As [`Stanza::parse`].
    pub fn from_scanned(scanned: Scanned) -> Result<Self, ParseError> {
        let kind = Kind::from_name(scanned.name());
        let body = match (kind, scanned.namespace()) {
            (None, _) => return Err(StreamError::new(StreamCondition::UnsupportedStanzaType))?,
            (Some(_), ns::CLIENT) => hop::cleaned(scanned),
            (Some(_), ns::SERVER) => hop::cleaned(write::as_client(&scanned)),
            (Some(_), _) => return Err(StreamError::new(StreamCondition::InvalidNamespace))?,
        };
        if body.namespace() != ns::CLIENT {
            return Err(StreamError::new(StreamCondition::InvalidNamespace))?;
        }
        Header::read(&body, kind.unwrap_or(Kind::Message))
            .map(|header| header.stanza(body.clone()))
            .map_err(|fault| fault.answer(&body))
    }
}

/// The same context in which unprefixed names are those of a client stream.
///
/// Stanzas look the same on both kinds of stream but for this namespace (RFC 6120 §4.8.3).
fn as_client(context: &Context) -> Context {
    let prefixes: Vec<_> = context.prefixes().collect();
    Context::new(ns::CLIENT, &prefixes, context.lang())
}

struct Header {
    sort: Sort,
    from: Option<Jid>,
    to: Option<Jid>,
    id: Option<Arc<str>>,
}

impl Header {
    fn read(body: &Scanned, kind: Kind) -> Result<Self, Fault> {
        let from = address(body.attribute("from"));
        // A sender who cannot be named cannot be answered, nor be the authenticated one.
        let from = from.map_err(|_| Fault::Stream(StreamCondition::InvalidFrom))?;
        let id = body.attribute("id").map(|id| Arc::from(&*id));
        let sort = match kind {
            Kind::Message => Ok(Sort::Message(message_type(body))),
            Kind::Presence => presence_type(body).map(Sort::Presence),
            Kind::Iq => iq_type(body).map(Sort::Iq),
        };
        // For the answer, a type that is unknown is a request's.
        let fallback = match kind {
            Kind::Message => Sort::Message(MessageType::Normal),
            Kind::Presence => Sort::Presence(PresenceType::Available),
            Kind::Iq => Sort::Iq(IqType::Get),
        };
        let mut header = Self { sort: *sort.as_ref().unwrap_or(&fallback), from, to: None, id };
        let to = address(body.attribute("to"));
        match (sort, to) {
            (Err(text), _) => Err(header.fault(StanzaError::bad_request(text))),
            (Ok(_), Err(error)) => {
                let error = StanzaError::new(Condition::JidMalformed).with_text(error.to_string());
                Err(header.fault(error))
            }
            (Ok(sort), Ok(to)) => {
                header.to = to;
                match header.check(sort, body) {
                    Ok(()) => Ok(header),
                    Err(text) => Err(header.fault(StanzaError::bad_request(text))),
                }
            }
        }
    }

    /// The rules for IQs.
    ///
    /// `//= RFC 6120 §8.2.3`
    fn check(&self, sort: Sort, body: &Scanned) -> Result<(), &'static str> {
        let Sort::Iq(kind) = sort else { return Ok(()) };
        if self.id.is_none() {
            return Err("an iq needs an id");
        }
        let children = body.children().take(2).count();
        match kind {
            IqType::Get | IqType::Set if children != 1 => Err("a request needs exactly one child"),
            IqType::Result if children > 1 => Err("a result has at most one child"),
            _ => Ok(()),
        }
    }

    fn fault(self, error: StanzaError) -> Fault {
        Fault::Stanza { error, header: Box::new(self) }
    }

    fn stanza(self, body: Scanned) -> Stanza {
        let Self { sort, from, to, id } = self;
        Stanza { inner: Arc::new(Inner { sort, from, to, id, body, added: None }) }
    }
}

enum Fault {
    Stream(StreamCondition),
    Stanza { error: StanzaError, header: Box<Header> },
}

impl Fault {
    fn answer(self, body: &Scanned) -> ParseError {
        let (error, header) = match self {
            Self::Stream(condition) => return ParseError::Stream(condition.into()),
            Self::Stanza { error, header } => (error, header),
        };
        let reply = header.sort.as_error().map(|sort| {
            let mut reply = Builder::new(sort);
            if let Some(from) = header.from {
                reply = reply.to(from);
            }
            // A malformed address is left out: the answer then comes from the server.
            if let Some(to) = header.to {
                reply = reply.from(to);
            }
            if let Some(id) = body.attribute("id") {
                reply = reply.id(&id);
            }
            reply.child(error.to_element()).build()
        });
        ParseError::Stanza { error, reply }
    }
}

fn address(text: Option<Cow<'_, str>>) -> Result<Option<Jid>, JidError> {
    text.map(|text| Jid::new(&text)).transpose()
}

/// `//= RFC 6121 §5.2.2` an unknown type is `normal`.
fn message_type(body: &Scanned) -> MessageType {
    body.attribute("type")
        .and_then(|name| MessageType::from_name(&name))
        .unwrap_or(MessageType::Normal)
}

fn presence_type(body: &Scanned) -> Result<PresenceType, &'static str> {
    match body.attribute("type") {
        None => Ok(PresenceType::Available),
        Some(name) => PresenceType::from_name(&name).ok_or("unknown type of presence"),
    }
}

fn iq_type(body: &Scanned) -> Result<IqType, &'static str> {
    body.attribute("type").and_then(|name| IqType::from_name(&name)).ok_or("unknown type of iq")
}
