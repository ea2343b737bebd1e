//! The server's side of the negotiation.

mod auth;
mod bind;
mod features;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use longwire_stanza::{BareJid, FullJid, StreamCondition, StreamError, ns};
use longwire_xml::{Element, Scanned, StreamHeader};

use self::auth::Exchange;
use self::bind::Origin;
use self::features::Offer;
use super::ask::{Ask, Reply, UserAgent};
use super::config::{RandomSource, Security, ServerConfig, Transport};
use super::header::{Header, Opening};
use super::{limits, wire};
use crate::sasl::{FakeCredentials, SaslCondition, ScramServer, TlsInfo, nonce_text};

/// What the driver shall do next, in order.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes: one header or one complete element, a message of its own on WebSocket.
    Write(Bytes),
    /// The next thing on this stream is a new stream header (RFC 6120 §6.4.6).
    Restart,
    /// Start TLS now, then call [`Server::handle_tls`]; bytes that came before it are forbidden:
    /// close the connection when the framer still holds any.
    StartTls,
    /// Find the answer and pass it to [`Server::handle_reply`].
    Ask(Ask),
    /// An attempt failed; count it for throttling.
    Refused {
        /// The account that was tried, when its name is one that could exist.
        account: Option<BareJid>,
        /// What the client was told.
        condition: SaslCondition,
    },
    /// The account is authenticated: raise the limits.
    Authenticated(BareJid),
    /// The negotiation is over; take [`Server::take_pending`].
    Bound(FullJid),
    /// Send this stream error and close; a header has gone out before it.
    Fail(StreamError),
}

/// Where the negotiation is.
enum State {
    /// A stream header must come.
    Header,
    /// The offer is out; authentication or STARTTLS must come.
    Offered,
    /// TLS is being started.
    Tls,
    /// A mechanism waits for its first message.
    Begun(Box<Exchange>),
    /// The driver looks up a credential or verifies a password.
    Verifying(Box<Exchange>),
    /// SCRAM waits for the client's proof.
    Challenged(Box<Exchange>, Box<ScramServer>),
    /// Authenticated; a resource must be asked for.
    Unbound,
    /// The driver binds a resource.
    Binding(Origin),
    /// Taken apart by the step that is going on; every step leaves another state behind.
    Stepping,
    /// Over, well.
    Bound,
    /// Over, badly.
    Failed,
}

enum Input {
    Opening(Opening),
    Element(Scanned),
}

/// The negotiation of one session, server side.
///
/// Feed frames with `handle_*` and then drain [`poll`](Self::poll). While
/// [`is_waiting`](Self::is_waiting), stop framing: a restart changes how bytes are read. Elements
/// that are handed over nevertheless wait, within bounds.
pub struct Server {
    config: Arc<ServerConfig>,
    security: Security,
    random: RandomSource,
    fake: FakeCredentials,
    state: State,
    outputs: VecDeque<Output>,
    queue: VecDeque<Input>,
    queued_bytes: usize,
    offer: Offer,
    /// Whether our header of the current stream is out.
    opened: bool,
    host: Option<BareJid>,
    claimed: Option<BareJid>,
    account: Option<BareJid>,
    user_agent: Option<UserAgent>,
    attempts: u32,
    stale_attempts: u32,
    bind_attempts: u32,
}

impl Server {
    /// A negotiation that waits for the client's stream header.
    pub fn new(config: Arc<ServerConfig>, security: Security, random: RandomSource) -> Self {
        let fake = FakeCredentials::new(&config.secret, config.iterations);
        Self {
            config,
            security,
            random,
            fake,
            state: State::Header,
            outputs: VecDeque::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            offer: Offer::default(),
            opened: false,
            host: None,
            claimed: None,
            account: None,
            user_agent: None,
            attempts: 0,
            stale_attempts: 0,
            bind_attempts: 0,
        }
    }

    /// A stream header has come.
    pub fn handle_header(&mut self, header: &StreamHeader) {
        self.accept(Input::Opening(Opening::of_stream(header)));
    }

    /// A complete top-level element has come.
    pub fn handle_element(&mut self, element: Scanned) {
        self.accept(Input::Element(element));
    }

    /// The driver answers the open question.
    pub fn handle_reply(&mut self, reply: Reply) {
        match std::mem::replace(&mut self.state, State::Stepping) {
            State::Verifying(exchange) => self.verified(exchange, reply),
            State::Binding(origin) => self.bound(origin, reply),
            // Late, after a failure: nobody waits for it any more.
            other => self.state = other,
        }
        self.drain();
    }

    /// TLS stands: everything that was said before is forgotten (RFC 6120 §5.4.3.3).
    pub fn handle_tls(&mut self, tls: TlsInfo) {
        if !matches!(self.state, State::Tls) {
            return;
        }
        self.security.secured(tls);
        self.queue.clear();
        self.queued_bytes = 0;
        self.opened = false;
        self.host = None;
        self.claimed = None;
        self.offer = Offer::default();
        self.state = State::Header;
    }

    /// Ends the negotiation with a stream error that the driver found, such as broken XML.
    pub fn fail(&mut self, error: StreamError) {
        if matches!(self.state, State::Failed) {
            return;
        }
        if !self.opened {
            self.open(None);
        }
        self.state = State::Failed;
        self.queue.clear();
        self.outputs.push_back(Output::Fail(error));
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether nothing can go on before [`handle_reply`](Self::handle_reply) or
    /// [`handle_tls`](Self::handle_tls).
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Verifying(_) | State::Binding(_) | State::Tls)
    }

    /// Whether white space between elements is forbidden now, as a SASL2 exchange is going on
    /// (XEP-0388 §2.4).
    pub fn forbids_space(&self) -> bool {
        match &self.state {
            State::Begun(exchange) | State::Challenged(exchange, _) => exchange.is_sasl2(),
            _ => false,
        }
    }

    /// Elements that the client sent right behind its request to bind, once bound.
    pub fn take_pending(&mut self) -> Vec<Scanned> {
        if !matches!(self.state, State::Bound) {
            return Vec::new();
        }
        self.queued_bytes = 0;
        let elements = self.queue.drain(..).filter_map(|input| match input {
            Input::Element(element) => Some(element),
            Input::Opening(_) => None,
        });
        elements.collect()
    }

    /// The domain that the client addressed.
    pub fn host(&self) -> Option<&BareJid> {
        self.host.as_ref()
    }

    /// The client installation, when SASL2 named it and succeeded.
    pub fn user_agent(&self) -> Option<&UserAgent> {
        self.user_agent.as_ref()
    }

    fn accept(&mut self, input: Input) {
        match self.state {
            State::Failed => {}
            State::Verifying(_) | State::Binding(_) | State::Bound => self.enqueue(input),
            _ => self.step(input),
        }
    }

    fn enqueue(&mut self, input: Input) {
        self.queued_bytes += match &input {
            Input::Element(element) => element.raw().len(),
            Input::Opening(_) => 0,
        };
        if self.queue.len() >= limits::QUEUED_ELEMENTS || self.queued_bytes > limits::QUEUED_BYTES {
            self.fail_with(StreamCondition::PolicyViolation, "too much sent ahead");
            return;
        }
        self.queue.push_back(input);
    }

    fn drain(&mut self) {
        while !self.is_waiting() && !matches!(self.state, State::Bound | State::Failed) {
            let Some(input) = self.queue.pop_front() else { break };
            if let Input::Element(element) = &input {
                self.queued_bytes -= element.raw().len();
            }
            self.step(input);
        }
    }

    fn step(&mut self, input: Input) {
        match (&self.state, input) {
            (State::Header, Input::Opening(opening)) => self.handle_opening(&opening),
            (State::Header, Input::Element(element)) => match Opening::of_websocket(&element) {
                Some(opening) if self.security.transport == Transport::WebSocket => {
                    self.handle_opening(&opening);
                }
                _ => self.fail_with(StreamCondition::BadFormat, "a stream header must come first"),
            },
            // CVE-2011-0411 and its children: what came before TLS could be anybody's.
            (State::Tls, _) => {
                self.fail_with(StreamCondition::PolicyViolation, "wait for the TLS handshake");
            }
            (_, Input::Opening(_)) => {
                self.fail_with(StreamCondition::BadFormat, "the stream is open already");
            }
            (State::Offered, Input::Element(element)) => self.handle_offered(&element),
            (State::Begun(_) | State::Challenged(..), Input::Element(element)) => {
                self.handle_exchange(&element);
            }
            (State::Unbound, Input::Element(element)) => self.handle_bind(&element),
            (
                State::Verifying(_)
                | State::Binding(_)
                | State::Stepping
                | State::Bound
                | State::Failed,
                _,
            ) => {}
        }
    }

    fn handle_opening(&mut self, opening: &Opening) {
        let host = opening.host(&self.config.hosts);
        self.host.clone_from(&host);
        let checked = opening.check().and_then(|()| {
            let host = host.ok_or(StreamCondition::HostUnknown)?;
            let claimed = opening.claimed(&host)?;
            self.fits_account(&host, claimed.as_ref())?;
            Ok(claimed)
        });
        let claimed = match checked {
            Ok(claimed) => claimed,
            Err(condition) => {
                self.open(None);
                return self.fail(StreamError::new(condition));
            }
        };
        self.claimed = claimed;
        self.open(opening.from.as_deref());
        if self.account.is_some() {
            let features = features::after(&self.config, false);
            self.write_features(&features);
            self.state = State::Unbound;
        } else {
            self.offer = features::before(&self.config, &self.security);
            let offer = std::mem::take(&mut self.offer);
            self.write_features(&offer.elements);
            self.offer = offer;
            self.state = State::Offered;
        }
    }

    /// After authentication, the header must not name anybody else.
    fn fits_account(
        &self,
        host: &BareJid,
        claimed: Option<&BareJid>,
    ) -> Result<(), StreamCondition> {
        let Some(account) = &self.account else { return Ok(()) };
        if account.domain() != host.domain() {
            return Err(StreamCondition::HostUnknown);
        }
        if claimed.is_some_and(|claimed| claimed != account) {
            return Err(StreamCondition::InvalidFrom);
        }
        Ok(())
    }

    fn handle_offered(&mut self, element: &Scanned) {
        let can_start_tls = !self.security.encrypted && self.security.starttls_possible;
        match (element.namespace(), element.name()) {
            (ns::TLS, "starttls") if can_start_tls => {
                self.write(&Element::new(ns::TLS, "proceed"));
                self.outputs.push_back(Output::StartTls);
                self.state = State::Tls;
            }
            //= RFC 6120 §5.4.2.2
            (ns::TLS, "starttls") => {
                self.write(&Element::new(ns::TLS, "failure"));
                self.fail_with(StreamCondition::PolicyViolation, "STARTTLS was not offered");
            }
            (ns::SASL, "auth") if self.config.sasl1 => {
                self.begin(wire::Profile::Sasl1, element);
            }
            (ns::SASL2, "authenticate") if self.config.sasl2 => {
                self.begin(wire::Profile::Sasl2, element);
            }
            // An abort that crossed the end of its exchange.
            (ns::SASL, "abort") => self.abort(wire::Profile::Sasl1),
            (ns::SASL2, "abort") => self.abort(wire::Profile::Sasl2),
            _ => self.fail(StreamError::new(StreamCondition::NotAuthorized)),
        }
    }

    fn open(&mut self, to: Option<&str>) {
        let id = self.fresh_text();
        let from =
            self.host.as_ref().or_else(|| self.config.hosts.first()).map(|host| host.as_str());
        let header = Header { from, to, id: Some(&id) }.write(self.security.transport);
        self.outputs.push_back(Output::Write(header));
        self.opened = true;
    }

    fn fail_with(&mut self, condition: StreamCondition, text: &str) {
        self.fail(StreamError::new(condition).with_text(text));
    }

    fn write(&mut self, element: &Element) {
        let bytes = wire::top_level(element, &self.security);
        self.outputs.push_back(Output::Write(bytes));
    }

    fn write_features(&mut self, elements: &[Element]) {
        let bytes = wire::stream_features(elements, &self.security);
        self.outputs.push_back(Output::Write(bytes));
    }

    /// 144 random bits as text.
    fn fresh_text(&mut self) -> String {
        let mut bytes = [0; 18];
        (self.random)(&mut bytes);
        nonce_text(&bytes)
    }
}
