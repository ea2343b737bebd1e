//! The elements of both SASL profiles, read and written.

use bytes::{Bytes, BytesMut};
use longwire_stanza::ns;
use longwire_xml::{Element, Scanned};
use zeroize::Zeroizing;

use super::ask::UserAgent;
use super::config::{Security, Transport};
use super::limits;
use crate::sasl::{SaslCondition, SaslError, decode_base64, encode_base64};

/// The SASL profile of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// RFC 6120 §6.
    Sasl1,
    /// XEP-0388.
    Sasl2,
}

impl Profile {
    pub(super) fn ns(self) -> &'static str {
        match self {
            Self::Sasl1 => ns::SASL,
            Self::Sasl2 => ns::SASL2,
        }
    }

    /// Reads SASL data from the text of an element.
    ///
    /// `None` is "no data at all", which only an opening element can say.
    pub(super) fn decode(self, text: &str) -> Result<Option<Zeroizing<Vec<u8>>>, SaslError> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        match (self, text) {
            (Self::Sasl1, "") => Ok(None),
            // RFC 6120 §6.4.2: the empty response of a mechanism.
            (Self::Sasl1, "=") => Ok(Some(Zeroizing::new(Vec::new()))),
            _ => decode_base64(text).map(|data| Some(Zeroizing::new(data))),
        }
    }

    /// Writes SASL data as the text of an element.
    pub(super) fn encode(self, data: &[u8]) -> String {
        match (self, data) {
            (Self::Sasl1, []) => "=".to_owned(),
            _ => encode_base64(data),
        }
    }

    /// An element of this profile that holds SASL data.
    pub(super) fn element(self, name: &str, data: &[u8]) -> Element {
        Element::new(self.ns(), name).text(self.encode(data))
    }
}

/// The requests that came with a SASL2 `<authenticate/>`.
#[derive(Default)]
pub(super) struct Request {
    pub(super) user_agent: Option<UserAgent>,
    pub(super) bind: Option<BindRequest>,
    /// The feature list that the client relied on (XEP-0509).
    pub(super) version: Option<String>,
}

/// Bind 2's `<bind/>`.
#[derive(Default)]
pub(super) struct BindRequest {
    pub(super) tag: Option<String>,
    pub(super) requests: Vec<Element>,
}

/// The start of an exchange.
pub(super) struct Start {
    pub(super) mechanism: String,
    pub(super) initial: Option<Zeroizing<Vec<u8>>>,
    pub(super) request: Request,
}

impl Start {
    /// Reads `<auth/>` or `<authenticate/>`.
    pub(super) fn read(profile: Profile, element: &Scanned) -> Result<Self, SaslCondition> {
        let mechanism = element
            .attribute("mechanism")
            .map(|name| name.into_owned())
            .ok_or(SaslCondition::InvalidMechanism)?;
        let (initial, request) = match profile {
            Profile::Sasl1 => (profile.decode(&element.text()), Request::default()),
            Profile::Sasl2 => {
                let text = element.child(ns::SASL2, "initial-response");
                let initial = text.map_or(Ok(None), |child| profile.decode(&child.text()));
                (initial, Request::read(element)?)
            }
        };
        let initial = initial.map_err(SaslError::condition)?;
        Ok(Self { mechanism, initial, request })
    }
}

impl Request {
    fn read(element: &Scanned) -> Result<Self, SaslCondition> {
        let user_agent = element.child(ns::SASL2, "user-agent").map(|child| {
            let text = |name| child.child(ns::SASL2, name).and_then(|c| bounded(&c.text()));
            UserAgent {
                id: child.attribute("id").and_then(|id| uuid(&id)),
                software: text("software"),
                device: text("device"),
            }
        });
        let bind = match element.child(ns::BIND2, "bind") {
            None => None,
            Some(bind) => {
                let mut read = BindRequest::default();
                for child in bind.children() {
                    if child.namespace() == ns::BIND2 {
                        if child.name() == "tag" {
                            read.tag = bounded(&child.text());
                        }
                    } else if read.requests.len() < limits::BIND_REQUESTS {
                        read.requests.push(child.element());
                    } else {
                        return Err(SaslCondition::MalformedRequest);
                    }
                }
                Some(read)
            }
        };
        let version = element
            .child(ns::PIPELINING, "config-version")
            .map(|child| child.attribute("value").unwrap_or_default().into_owned());
        Ok(Self { user_agent, bind, version })
    }
}

/// Text that is neither empty nor too long.
fn bounded(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= limits::TEXT_BYTES).then(|| text.to_owned())
}

/// A UUID in its usual form, in lower case; what is none is ignored.
pub(super) fn uuid(text: &str) -> Option<String> {
    let fits = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    fits.then(|| text.to_ascii_lowercase())
}

/// Writes `<failure/>` of either profile.
pub(super) fn failure(
    profile: Profile,
    condition: SaslCondition,
    application: Option<Element>,
    text: Option<&str>,
) -> Element {
    let mut element =
        Element::new(profile.ns(), "failure").child(Element::new(ns::SASL, condition.name()));
    if let Some(application) = application {
        element = element.child(application);
    }
    if let Some(text) = text {
        element = element.child(Element::new(profile.ns(), "text").text(text));
    }
    element
}

/// Writes one top-level element for this transport.
pub(super) fn top_level(element: &Element, security: &Security) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    element.write(&mut out, security.default_namespace());
    out.freeze()
}

/// Writes `<stream:features/>` around `children`.
pub(super) fn stream_features(children: &[Element], security: &Security) -> Bytes {
    let mut out = BytesMut::with_capacity(1024);
    let mut writer = longwire_xml::Writer::new(&mut out);
    writer.start("stream:features");
    if security.transport == Transport::WebSocket {
        writer.attribute("xmlns:stream", ns::STREAMS);
    }
    if children.is_empty() {
        writer.empty();
        return out.freeze();
    }
    writer.open();
    for child in children {
        child.write(&mut out, security.default_namespace());
    }
    longwire_xml::Writer::new(&mut out).end("stream:features");
    out.freeze()
}
