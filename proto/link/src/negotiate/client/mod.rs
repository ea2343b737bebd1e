//! The client's side of the negotiation.

mod auth;
mod offer;

use std::collections::VecDeque;

use bytes::Bytes;
use longwire_stanza::{BareJid, FullJid, Jid, StanzaError, StreamError, ns};
use longwire_xml::{Element, Scanned, StreamHeader};
use thiserror::Error;

pub use self::offer::{CachedOffer, Features};

use self::auth::Exchange;
use super::ask::UserAgent;
use super::config::{RandomSource, Security, Transport};
use super::header::{Header, Opening};
use super::wire;
use crate::sasl::{Mechanism, SaslCondition, SaslError, Secret, TlsInfo, nonce_text};

/// Who logs in, and how.
#[derive(Clone)]
pub struct ClientConfig {
    /// The account.
    pub account: BareJid,
    /// The resource to ask for with classic binding; `None` lets the server choose.
    pub resource: Option<String>,
    /// The software tag of Bind 2.
    pub tag: Option<String>,
    /// The password.
    pub password: Secret,
    /// The allowed mechanisms, best first; without PLAIN unless asked for.
    pub mechanisms: Vec<Mechanism>,
    /// Whether SASL2 is used when both profiles are offered.
    pub prefer_sasl2: bool,
    /// Whether to give up rather than authenticate without TLS.
    pub require_tls: bool,
    /// What the server may know about this installation.
    pub user_agent: Option<UserAgent>,
    /// Features that Bind 2 shall enable.
    pub bind_requests: Vec<Element>,
    /// An offer from an earlier session: authenticate before the server has spoken.
    pub cached: Option<CachedOffer>,
}

impl ClientConfig {
    /// A careful client: SCRAM only, SASL2 preferred, TLS required.
    pub fn new(account: BareJid, password: Secret) -> Self {
        Self {
            account,
            resource: None,
            tag: None,
            password,
            mechanisms: Mechanism::SCRAM.to_vec(),
            prefer_sasl2: true,
            require_tls: true,
            user_agent: None,
            bind_requests: Vec::new(),
            cached: None,
        }
    }
}

/// Why a client gave up.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ClientError {
    /// TLS is required and the server does not offer it: check the server's configuration.
    #[error("the server offers no TLS; nothing secret was sent")]
    TlsUnavailable,
    /// No allowed mechanism is offered: allow another one, or mend the server.
    #[error("the server offers none of the allowed authentication mechanisms")]
    NoMechanism,
    /// The offer was changed on the way: do not retry on this network.
    #[error("somebody changed the server's offer on the way")]
    Downgrade,
    /// The server refused the login.
    #[error("the server refused the login: {}{}", .condition.name(), detail(.text))]
    Refused {
        /// Why; wrong passwords are [`SaslCondition::NotAuthorized`].
        condition: SaslCondition,
        /// The server's words.
        text: Option<String>,
    },
    /// The exchange broke the rules of the mechanism.
    #[error("the login failed: {0}")]
    Sasl(#[from] SaslError),
    /// The server refused the resource.
    #[error("the server refused the resource: {0:?}")]
    Bind(StanzaError),
    /// The server closed the stream with an error.
    #[error("the server closed the stream: {0}")]
    Stream(StreamError),
    /// The server sent something that has no place here.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
}

fn detail(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
}

/// What the driver shall do next, in order.
#[derive(Debug)]
pub enum ClientOutput {
    /// Send these bytes.
    Write(Bytes),
    /// The next thing from the server is a new stream header.
    Restart,
    /// Start TLS now, then call [`Client::handle_tls`].
    StartTls,
    /// The server's features; the last ones hold before a resource is bound.
    Features(Features),
    /// The negotiation is over.
    Bound(FullJid),
    /// The negotiation failed: close the connection.
    Failed(ClientError),
}

enum State {
    /// The server's header must come.
    Header,
    /// The features before authentication must come.
    Features,
    /// The answer to STARTTLS must come.
    Proceed,
    /// TLS is being started.
    Tls,
    /// A mechanism runs.
    Authenticating(Box<Exchange>),
    /// Authenticated; features must come. `Some` when a resource is bound already.
    Authenticated(Option<FullJid>),
    /// The answer to classic binding must come.
    Binding { id: String },
    /// Over, well.
    Bound,
    /// Over, badly.
    Failed,
}

/// The negotiation of one session, client side.
pub struct Client {
    config: ClientConfig,
    security: Security,
    random: RandomSource,
    state: State,
    outputs: VecDeque<ClientOutput>,
    /// The offer before authentication, once seen.
    offer: Option<Features>,
    /// Whether a mechanism succeeded, so that the next features are those of a bound-to-be session.
    authenticated: bool,
}

impl Client {
    /// A negotiation that begins at once with a stream header.
    pub fn new(config: ClientConfig, security: Security, random: RandomSource) -> Self {
        let mut client = Self {
            config,
            security,
            random,
            state: State::Header,
            outputs: VecDeque::new(),
            offer: None,
            authenticated: false,
        };
        client.open();
        client.pipeline();
        client
    }

    /// The server's stream header has come.
    pub fn handle_header(&mut self, header: &StreamHeader) {
        self.handle_opening(&Opening::of_stream(header));
    }

    /// A complete top-level element has come.
    pub fn handle_element(&mut self, element: &Scanned) {
        if let Some(opening) = Opening::of_websocket(element)
            && self.security.transport == Transport::WebSocket
        {
            return self.handle_opening(&opening);
        }
        let element = element.element();
        if matches!(self.state, State::Bound | State::Failed) {
            return;
        }
        if element.is(ns::STREAMS, "error") {
            return self.fail(ClientError::Stream(StreamError::from_element(&element)));
        }
        if element.is(ns::STREAMS, "features") {
            return self.handle_features(element);
        }
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Proceed if element.is(ns::TLS, "proceed") => {
                self.outputs.push_back(ClientOutput::StartTls);
                self.state = State::Tls;
            }
            State::Proceed if element.is(ns::TLS, "failure") => {
                self.fail(ClientError::TlsUnavailable);
            }
            State::Authenticating(exchange) => self.handle_exchange(exchange, &element),
            State::Binding { id } => self.handle_bind_answer(id, &element),
            _ => self.fail(ClientError::Protocol("an element at the wrong time")),
        }
    }

    /// TLS stands; the negotiation begins anew.
    pub fn handle_tls(&mut self, tls: TlsInfo) {
        if !matches!(self.state, State::Tls) {
            return;
        }
        self.security.secured(tls);
        self.offer = None;
        self.state = State::Header;
        self.open();
        self.pipeline();
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<ClientOutput> {
        self.outputs.pop_front()
    }

    fn handle_opening(&mut self, opening: &Opening) {
        if let Err(condition) = opening.check() {
            return self.fail(ClientError::Stream(StreamError::new(condition)));
        }
        match self.state {
            State::Header if self.authenticated => self.state = State::Authenticated(None),
            State::Header => self.state = State::Features,
            // The exchange was pipelined: its answer follows the features.
            State::Authenticating(_) if self.offer.is_none() => {}
            State::Bound | State::Failed => {}
            _ => self.fail(ClientError::Protocol("a stream header at the wrong time")),
        }
    }

    fn handle_features(&mut self, element: Element) {
        let features = Features::read(element);
        self.outputs.push_back(ClientOutput::Features(features.clone()));
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Features => self.handle_offer(features),
            State::Authenticating(exchange) if self.offer.is_none() => {
                self.offer = Some(features);
                self.state = State::Authenticating(exchange);
            }
            State::Authenticated(Some(jid)) => self.finish(jid),
            State::Authenticated(None) if features.bind => self.ask_for_resource(),
            State::Authenticated(None) => {
                self.fail(ClientError::Protocol("no way to bind a resource"));
            }
            _ => self.fail(ClientError::Protocol("features at the wrong time")),
        }
    }

    fn handle_offer(&mut self, features: Features) {
        if !self.security.encrypted {
            if features.starttls && self.security.starttls_possible {
                self.write(&Element::new(ns::TLS, "starttls"));
                self.state = State::Proceed;
                return;
            }
            if self.config.require_tls || !self.security.loopback_plaintext {
                return self.fail(ClientError::TlsUnavailable);
            }
        }
        self.offer = Some(features.clone());
        self.authenticate(&features);
    }

    fn ask_for_resource(&mut self) {
        let id = self.fresh_text();
        let mut bind = Element::new(ns::BIND, "bind");
        if let Some(resource) = &self.config.resource {
            bind = bind.child(Element::new(ns::BIND, "resource").text(resource.as_str()));
        }
        let iq = Element::new(ns::CLIENT, "iq").attr("type", "set").attr("id", id.as_str());
        self.write(&iq.child(bind));
        self.state = State::Binding { id };
    }

    fn handle_bind_answer(&mut self, id: String, element: &Element) {
        if !element.is(ns::CLIENT, "iq") || element.attribute("id") != Some(id.as_str()) {
            // The session does not exist yet, so this can only be noise; wait for the answer.
            self.state = State::Binding { id };
            return;
        }
        let jid = element
            .find(ns::BIND, "bind")
            .and_then(|bind| bind.find(ns::BIND, "jid"))
            .and_then(|jid| FullJid::new(jid.text_content().trim()).ok());
        match (element.attribute("type"), jid) {
            (Some("result"), Some(jid)) if jid.bare() == self.config.account => self.finish(jid),
            (Some("error"), _) => {
                let error = element.find(ns::CLIENT, "error").map(StanzaError::from_element);
                let error =
                    error.map_or(ClientError::Protocol("an empty error"), ClientError::Bind);
                self.fail(error);
            }
            _ => {
                self.fail(ClientError::Protocol("binding did not give an address of this account"))
            }
        }
    }

    fn finish(&mut self, jid: FullJid) {
        self.outputs.push_back(ClientOutput::Bound(jid));
        self.state = State::Bound;
    }

    /// Reads the identity that a server confirms; it must be the account.
    fn confirmed(&self, identity: &str) -> Result<Jid, ClientError> {
        let jid = Jid::new(identity.trim())
            .map_err(|_| ClientError::Protocol("the confirmed identity is no address"))?;
        if jid.bare() == self.config.account {
            Ok(jid)
        } else {
            Err(ClientError::Protocol("the server confirmed somebody else"))
        }
    }

    fn open(&mut self) {
        // The address is sent only where nobody else can read it (RFC 6120 §4.7.1).
        let from = self.security.encrypted.then(|| self.config.account.as_str());
        let header = Header { from, to: Some(self.config.account.domain()), id: None };
        let bytes = header.write(self.security.transport);
        self.outputs.push_back(ClientOutput::Write(bytes));
    }

    fn write(&mut self, element: &Element) {
        let bytes = wire::top_level(element, &self.security);
        self.outputs.push_back(ClientOutput::Write(bytes));
    }

    fn fail(&mut self, error: ClientError) {
        self.state = State::Failed;
        self.outputs.push_back(ClientOutput::Failed(error));
    }

    fn fresh_text(&mut self) -> String {
        let mut bytes = [0; 18];
        (self.random)(&mut bytes);
        nonce_text(&bytes)
    }
}
