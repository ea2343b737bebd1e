//! A server spoken to by hand, its outputs as text.

use bytes::Bytes;
use longwire_xml::{Context, Limits, StreamHeader, scan};

use super::*;

pub(super) struct Raw {
    pub(super) server: Server,
    context: Context,
}

impl Raw {
    pub(super) fn new(config: ServerConfig, security: Security) -> Self {
        let server = Server::new(Arc::new(config), security, counting(9));
        Self { server, context: Context::client() }
    }

    /// A server on QUIC whose offer is already out.
    pub(super) fn opened() -> Self {
        let mut raw = Self::new(server_config(), quic());
        raw.open("to='a.example' version='1.0'");
        raw
    }

    /// A server on which alice is authenticated with SASL2 and no resource is bound.
    pub(super) fn authenticated() -> Self {
        let mut raw = Self::opened();
        raw.send(&authenticate("\0alice\0pencil", ""));
        raw.reply(Reply::Verified(true));
        raw
    }

    /// Sends the usual header with these attributes.
    pub(super) fn open(&mut self, attributes: &str) -> Vec<String> {
        self.header(&format!(
            "<stream:stream xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams' {attributes}>"
        ))
    }

    pub(super) fn header(&mut self, header: &str) -> Vec<String> {
        let bytes = Bytes::copy_from_slice(header.as_bytes());
        let header = StreamHeader::parse(&bytes, &Limits::UNAUTHENTICATED).unwrap();
        self.context = header.context().clone();
        self.server.handle_header(&header);
        self.said()
    }

    pub(super) fn send(&mut self, xml: &str) -> Vec<String> {
        let bytes = Bytes::copy_from_slice(xml.as_bytes());
        let element = scan(bytes, &self.context, &Limits::UNAUTHENTICATED).unwrap();
        self.server.handle_element(element);
        self.said()
    }

    pub(super) fn reply(&mut self, reply: Reply) -> Vec<String> {
        self.server.handle_reply(reply);
        self.said()
    }

    /// Everything the server wants done, as text.
    pub(super) fn said(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.server.poll()).map(|output| shown(&output)).collect()
    }
}

pub(super) fn shown(output: &Output) -> String {
    match output {
        Output::Write(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Output::Restart => "[restart]".to_owned(),
        Output::StartTls => "[starttls]".to_owned(),
        Output::Ask(Ask::Credential { account, hash }) => {
            format!("[credential {account} {}]", hash.name())
        }
        Output::Ask(Ask::Verify { account, .. }) => format!("[verify {account}]"),
        Output::Ask(Ask::Bind { account, resource, tag, .. }) => {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            format!("[bind {account} {} {}]", text(resource), text(tag))
        }
        Output::Refused { account, condition } => match account {
            Some(account) => format!("[refused {account} {}]", condition.name()),
            None => format!("[refused {}]", condition.name()),
        },
        Output::Authenticated(account) => format!("[authenticated {account}]"),
        Output::Bound(jid) => format!("[bound {jid}]"),
        Output::Fail(error) => format!("[fail {}]", error.condition),
    }
}

/// A SASL2 PLAIN attempt with this message and these further children.
pub(super) fn authenticate(message: &str, children: &str) -> String {
    let data = crate::sasl::encode_base64(message.as_bytes());
    format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
         <initial-response>{data}</initial-response>{children}</authenticate>"
    )
}

/// A SASL1 attempt.
pub(super) fn auth(mechanism: &str, message: &str) -> String {
    let data = crate::sasl::encode_base64(message.as_bytes());
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{data}</auth>")
}

pub(super) fn sasl1(name: &str) -> String {
    format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
}

pub(super) const BIND: &str = "<iq type='set' id='b1'>\
     <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind></iq>";

pub(super) fn last(said: &[String]) -> &str {
    said.last().map_or("", String::as_str)
}
