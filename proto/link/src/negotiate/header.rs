//! Stream headers in both directions, and `<open/>` of RFC 7395.

use bytes::{Bytes, BytesMut};
use longwire_stanza::{BareJid, Jid, StreamCondition, ns};
use longwire_xml::{Element, Scanned, StreamHeader, Writer};

use super::config::Transport;

/// The namespace of WebSocket framing (RFC 7395 §3.3).
pub(super) const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";

/// What a stream header says, whatever form it came in.
#[derive(Clone)]
pub(super) struct Opening {
    /// A violation of the rules for namespaces, when there is one.
    fault: Option<StreamCondition>,
    pub(super) to: Option<String>,
    pub(super) from: Option<String>,
    version: Option<String>,
}

impl Opening {
    pub(super) fn of_stream(header: &StreamHeader) -> Self {
        let owned = |name| header.attribute(name).map(|value| value.to_string());
        Self {
            fault: stream_fault(header),
            to: owned("to"),
            from: owned("from"),
            version: owned("version"),
        }
    }

    /// Reads `<open/>`; `None` when the element is something else.
    pub(super) fn of_websocket(element: &Scanned) -> Option<Self> {
        if element.namespace() != FRAMING || element.name() != "open" {
            return None;
        }
        let owned = |name| element.attribute(name).map(|value| value.into_owned());
        Some(Self { fault: None, to: owned("to"), from: owned("from"), version: owned("version") })
    }

    /// Checks namespaces and version (RFC 6120 §4.7.5, §4.8).
    pub(super) fn check(&self) -> Result<(), StreamCondition> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let version = self.version.as_deref().ok_or(StreamCondition::UnsupportedVersion)?;
        match version.split_once('.') {
            // A later version talks the lower one when we answer with it.
            Some((major, minor))
                if number(major).is_some_and(|major| major >= 1) && number(minor).is_some() =>
            {
                Ok(())
            }
            _ => Err(StreamCondition::UnsupportedVersion),
        }
    }

    /// The domain that the header is addressed to, when it is one of `hosts`.
    pub(super) fn host(&self, hosts: &[BareJid]) -> Option<BareJid> {
        let to = Jid::new(self.to.as_deref()?).ok()?;
        let domain = to.is_domain().then(|| to.bare())?;
        hosts.contains(&domain).then_some(domain)
    }

    /// The account that the header claims to speak for.
    ///
    /// # Errors
    /// `invalid-from` when it is no address, or one of another domain.
    pub(super) fn claimed(&self, host: &BareJid) -> Result<Option<BareJid>, StreamCondition> {
        let Some(from) = &self.from else { return Ok(None) };
        let from = Jid::new(from).map_err(|_| StreamCondition::InvalidFrom)?;
        if from.domain() != host.domain() {
            return Err(StreamCondition::InvalidFrom);
        }
        Ok(from.local().is_some().then(|| from.bare()))
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

//= RFC 6120 §4.8
fn stream_fault(header: &StreamHeader) -> Option<StreamCondition> {
    if header.namespace() != ns::STREAMS || header.name() != "stream" {
        return Some(StreamCondition::InvalidNamespace);
    }
    if header.prefix() != "stream" {
        return Some(StreamCondition::BadNamespacePrefix);
    }
    if header.context().default_namespace() != ns::CLIENT {
        return Some(StreamCondition::InvalidNamespace);
    }
    None
}

/// The attributes of a header that we send.
pub(super) struct Header<'a> {
    pub(super) from: Option<&'a str>,
    pub(super) to: Option<&'a str>,
    pub(super) id: Option<&'a str>,
}

impl Header<'_> {
    /// Writes the header so that the other end reads its elements in `Context::client()`.
    pub(super) fn write(&self, transport: Transport) -> Bytes {
        let mut out = BytesMut::with_capacity(256);
        if transport == Transport::WebSocket {
            Element::new(FRAMING, "open")
                .attr_opt("from", self.from)
                .attr_opt("to", self.to)
                .attr_opt("id", self.id)
                .attr("version", "1.0")
                .write(&mut out, "");
            return out.freeze();
        }
        let mut writer = Writer::new(&mut out);
        // RFC 6120 §11.5 wants the declaration on TCP; elsewhere its bytes buy nothing.
        if transport == Transport::Tcp {
            writer.declaration();
        }
        writer
            .start("stream:stream")
            .attribute("xmlns", ns::CLIENT)
            .attribute("xmlns:stream", ns::STREAMS)
            .attribute_opt("from", self.from)
            .attribute_opt("to", self.to)
            .attribute_opt("id", self.id)
            .attribute("version", "1.0")
            .attribute("xml:lang", "en")
            .open();
        out.freeze()
    }
}
