//! One session of a connection: its negotiation, then its sending half.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use longwire_stanza::{BareJid, FullJid, StreamError};
use longwire_xml::{Context, Limits, Scanned, StreamHeader};

use crate::{
    negotiate::{self, Ask, ClientError, ClientOutput, Output, Reply, Security},
    sasl::{SaslCondition, TlsInfo},
    schedule::Scheduler,
    stream::{Mode, StreamId},
};

/// A logical XML stream.
pub(super) struct Session {
    pub(super) primary: StreamId,
    pub(super) mode: Mode,
    pub(super) phase: Phase,
    /// Namespaces of the peer's latest stream header: stanzas on every stream inherit them.
    pub(super) context: Option<Context>,
    pub(super) limits: Limits,
    /// When the session must be bound.
    login_by: Instant,
    /// The negotiation asked something and has no answer yet: its input waits.
    pub(super) is_waiting: bool,
    /// The address, when it is bound.
    pub(super) jid: Option<FullJid>,
}

/// How far a session is.
pub(super) enum Phase {
    Negotiating(Negotiation),
    Bound(Box<Scheduler>),
}

/// The negotiation of either end.
pub(super) enum Negotiation {
    Server(Box<negotiate::Server>),
    Client(Box<negotiate::Client>),
}

/// What a negotiation decided.
pub(super) enum Step {
    Write(Bytes),
    Restart,
    StartTls,
    Ask(Ask),
    Authenticated(BareJid),
    Bound(FullJid),
    Fail(StreamError),
    Denied(Option<BareJid>, SaslCondition),
    Refused(ClientError),
}

impl Session {
    pub(super) fn new(
        primary: StreamId,
        mode: Mode,
        negotiation: Negotiation,
        limits: Limits,
        login_by: Instant,
    ) -> Self {
        let phase = Phase::Negotiating(negotiation);
        Self { primary, mode, phase, context: None, limits, login_by, is_waiting: false, jid: None }
    }

    /// The session has its address: from now on stanzas flow.
    pub(super) fn bind(&mut self, jid: &FullJid, now: Instant) {
        let scheduler = Scheduler::new(self.mode, jid.bare(), self.primary, self.primary.0, now);
        self.phase = Phase::Bound(Box::new(scheduler));
        self.jid = Some(jid.clone());
    }

    pub(super) fn scheduler(&mut self) -> Option<&mut Scheduler> {
        match &mut self.phase {
            Phase::Bound(scheduler) => Some(scheduler),
            Phase::Negotiating(_) => None,
        }
    }

    pub(super) fn is_bound(&self) -> bool {
        matches!(self.phase, Phase::Bound(_))
    }

    pub(super) fn is_congested(&self) -> bool {
        matches!(&self.phase, Phase::Bound(scheduler) if scheduler.is_congested())
    }

    pub(super) fn is_drained(&self) -> bool {
        match &self.phase {
            Phase::Bound(scheduler) => scheduler.is_drained(),
            Phase::Negotiating(_) => true,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Bound(scheduler) => scheduler.poll_timeout(),
            Phase::Negotiating(_) => Some(self.login_by),
        }
    }

    /// True when the session should be bound by now and is not.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Negotiating(_)) && self.login_by <= now
    }

    pub(super) fn poll_step(&mut self) -> Option<Step> {
        match &mut self.phase {
            Phase::Negotiating(Negotiation::Server(server)) => server.poll().map(from_server),
            Phase::Negotiating(Negotiation::Client(client)) => {
                // Some outputs are for information only.
                std::iter::from_fn(|| client.poll()).find_map(from_client)
            }
            Phase::Bound(_) => None,
        }
    }
}

fn from_server(output: Output) -> Step {
    match output {
        Output::Write(bytes) => Step::Write(bytes),
        Output::Restart => Step::Restart,
        Output::StartTls => Step::StartTls,
        Output::Ask(ask) => Step::Ask(ask),
        Output::Refused { account, condition } => Step::Denied(account, condition),
        Output::Authenticated(account) => Step::Authenticated(account),
        Output::Bound(jid) => Step::Bound(jid),
        Output::Fail(error) => Step::Fail(error),
    }
}

fn from_client(output: ClientOutput) -> Option<Step> {
    Some(match output {
        ClientOutput::Write(bytes) => Step::Write(bytes),
        ClientOutput::Restart => Step::Restart,
        ClientOutput::StartTls => Step::StartTls,
        ClientOutput::Bound(jid) => Step::Bound(jid),
        ClientOutput::Failed(error) => Step::Refused(error),
        ClientOutput::Features(_) => return None,
    })
}

impl Negotiation {
    pub(super) fn server(
        config: &Arc<negotiate::ServerConfig>,
        security: &Security,
        source: negotiate::RandomSource,
    ) -> Self {
        let server = negotiate::Server::new(Arc::clone(config), security.clone(), source);
        Self::Server(Box::new(server))
    }

    pub(super) fn client(
        config: negotiate::ClientConfig,
        security: &Security,
        source: negotiate::RandomSource,
    ) -> Self {
        Self::Client(Box::new(negotiate::Client::new(config, security.clone(), source)))
    }

    pub(super) fn handle_header(&mut self, header: &StreamHeader) {
        match self {
            Self::Server(server) => server.handle_header(header),
            Self::Client(client) => client.handle_header(header),
        }
    }

    pub(super) fn handle_element(&mut self, element: Scanned) {
        match self {
            Self::Server(server) => server.handle_element(element),
            Self::Client(client) => client.handle_element(&element),
        }
    }

    pub(super) fn handle_reply(&mut self, reply: Reply) {
        match self {
            Self::Server(server) => server.handle_reply(reply),
            Self::Client(_) => {}
        }
    }

    pub(super) fn handle_tls(&mut self, tls: TlsInfo) {
        match self {
            Self::Server(server) => server.handle_tls(tls),
            Self::Client(client) => client.handle_tls(tls),
        }
    }

    /// Whether white space between elements may not come now.
    pub(super) fn forbids_space(&self) -> bool {
        match self {
            Self::Server(server) => server.forbids_space(),
            Self::Client(_) => false,
        }
    }

    /// What still has to be sent before `error` and the closing tag may be.
    pub(super) fn last_words(&mut self, error: &StreamError) -> Vec<Bytes> {
        let Self::Server(server) = self else { return Vec::new() };
        server.fail(error.clone());
        let outputs = std::iter::from_fn(|| server.poll());
        outputs
            .filter_map(|output| match output {
                Output::Write(bytes) => Some(bytes),
                _ => None,
            })
            .collect()
    }
}
