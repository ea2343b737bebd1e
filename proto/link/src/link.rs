//! One connection: its streams, its sessions, and what to do next.
//!
//! Input comes in by `handle_*`, commands by [`Link::send`], [`Link::close`] and
//! [`Link::shutdown`]; after each of them take all of [`Link::poll_event`] and
//! [`Link::poll_action`], and set a timer for [`Link::poll_timeout`]. Nothing here waits, reads a
//! clock or opens a socket.

mod event;
mod incoming;
mod session;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use longwire_stanza::{Stanza, StreamCondition, StreamError};
use longwire_xml::Limits;

use crate::{
    limits,
    negotiate::{self, Reply, Security, Transport},
    sasl::TlsInfo,
    schedule::Outputs,
    stream::{Action, Class, Code, Direction, Mode, Refused, Role, StreamId, Ticket},
};
pub use event::{CloseReason, Event};
use incoming::{Incoming, Receive};
use session::{Negotiation, Phase, Session};

/// Names a session of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

/// Fills its argument with unpredictable bytes.
pub type Entropy = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// Which end we are, with what it needs for the negotiation.
enum End {
    Server(Arc<negotiate::ServerConfig>),
    Client(Option<Box<negotiate::ClientConfig>>),
}

impl End {
    fn bounds(&self) -> Bounds {
        match self {
            Self::Server(config) => Bounds {
                before: config.elements_before,
                after: config.elements_after,
                login: config.login_wait,
            },
            Self::Client(_) => Bounds {
                before: Limits::UNAUTHENTICATED,
                after: Limits::CLIENT,
                login: limits::AUTHENTICATE_WAIT,
            },
        }
    }
}

/// One connection.
pub struct Link {
    end: End,
    security: Security,
    entropy: Entropy,
    mode: Option<Mode>,
    sessions: BTreeMap<SessionId, Session>,
    incoming: BTreeMap<StreamId, Incoming>,
    opening: BTreeMap<Ticket, Opening>,
    out: Outputs,
    events: VecDeque<Event>,
    scratch: BytesMut,
    next_session: u32,
    started: Instant,
    raised: bool,
    closing: bool,
    bounds: Bounds,
}

/// What is read from the peer, and how long it may take to log in.
#[derive(Clone, Copy)]
struct Bounds {
    before: Limits,
    after: Limits,
    login: Duration,
}

/// What a stream that we asked for is meant for.
#[derive(Clone, Copy)]
enum Opening {
    Primary(Mode),
    Lane(SessionId, Direction),
}

impl Link {
    /// The accepting end of a connection.
    #[must_use]
    pub fn server(
        config: Arc<negotiate::ServerConfig>,
        security: Security,
        entropy: Entropy,
        now: Instant,
    ) -> Self {
        let mut link = Self::new(End::Server(config), security, entropy, now);
        if !is_multistream(&link.security) {
            link.start_session(StreamId(0), Mode::Single, now);
        }
        link
    }

    /// The connecting end of a connection that is to carry one session.
    ///
    /// `mode` says how a multi-stream transport is used: [`Mode::Single`] sends everything on a
    /// typed Primary stream. It has no meaning on other transports.
    #[must_use]
    pub fn client(
        config: negotiate::ClientConfig,
        security: Security,
        mode: Mode,
        entropy: Entropy,
        now: Instant,
    ) -> Self {
        let mut link = Self::new(End::Client(Some(Box::new(config))), security, entropy, now);
        if is_multistream(&link.security) {
            link.mode = Some(if mode == Mode::Untyped { mode } else { Mode::Multistream });
            let ticket = link.out.open(Direction::Bidi);
            link.out.asked.clear();
            link.opening.insert(ticket, Opening::Primary(mode));
        } else {
            link.start_session(StreamId(0), Mode::Single, now);
        }
        link
    }

    fn new(end: End, security: Security, entropy: Entropy, now: Instant) -> Self {
        let bounds = end.bounds();
        Self {
            end,
            security,
            entropy,
            mode: None,
            sessions: BTreeMap::new(),
            incoming: BTreeMap::new(),
            opening: BTreeMap::new(),
            out: Outputs::default(),
            events: VecDeque::new(),
            scratch: BytesMut::new(),
            next_session: 0,
            started: now,
            raised: false,
            closing: false,
            bounds,
        }
    }

    /// Which end we are.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.end {
            End::Server(_) => Role::Server,
            End::Client(_) => Role::Client,
        }
    }

    /// The answer to [`Action::Open`].
    pub fn handle_opened(
        &mut self,
        ticket: Ticket,
        answer: Result<StreamId, Refused>,
        now: Instant,
    ) {
        match (self.opening.remove(&ticket), answer) {
            (Some(Opening::Primary(mode)), Ok(stream)) => self.start_primary(stream, mode, now),
            (Some(Opening::Primary(_)), Err(Refused)) => self.close_connection(Code::Excessive),
            (Some(Opening::Lane(id, _)), Ok(stream)) if !self.sessions.contains_key(&id) => {
                self.out.actions.push_back(Action::Reset { stream, code: Code::NoSession });
            }
            (Some(Opening::Lane(id, direction)), answer) => {
                let answer = match (answer, direction) {
                    (Ok(stream), Direction::Bidi) => self.add_answered(id, stream, now),
                    (answer, _) => answer,
                };
                self.with_scheduler(id, |scheduler, out| {
                    scheduler.handle_opened(ticket, answer, now, out);
                });
            }
            (None, _) => {}
        }
    }

    /// The peer may write on the other half of a stream of ours; its content starts at once.
    fn add_answered(
        &mut self,
        id: SessionId,
        stream: StreamId,
        now: Instant,
    ) -> Result<StreamId, Refused> {
        let answered = self.incoming.values().filter(|incoming| incoming.is_answered());
        if answered.count() >= limits::ANSWERED_STREAMS {
            self.out.actions.push_back(Action::Reset { stream, code: Code::Excessive });
            self.out.actions.push_back(Action::StopSending { stream, code: Code::Excessive });
            return Err(Refused);
        }
        self.incoming.insert(stream, Incoming::answered(id, self.bounds.after, now));
        Ok(stream)
    }

    /// The peer acknowledged all of a stream that was finished.
    pub fn handle_drained(&mut self, stream: StreamId, now: Instant) {
        for id in self.session_ids() {
            self.with_scheduler(id, |scheduler, out| scheduler.handle_drained(stream, now, out));
        }
    }

    /// The peer does not read a stream of ours any more.
    pub fn handle_stopped(&mut self, stream: StreamId, now: Instant) {
        if let Some(id) = self.session_of_primary(stream) {
            return self.end_session(id, CloseReason::Lost);
        }
        for id in self.session_ids() {
            self.with_scheduler(id, |scheduler, out| scheduler.handle_stopped(stream, now, out));
        }
    }

    /// TLS is established after [`Action::StartTls`].
    pub fn handle_tls(&mut self, tls: TlsInfo, now: Instant) {
        self.security.encrypted = true;
        self.security.tls = Some(tls.clone());
        for id in self.session_ids() {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            if let Phase::Negotiating(negotiation) = &mut session.phase {
                negotiation.handle_tls(tls.clone());
            }
            self.advance(id, now);
        }
    }

    /// The answer to [`Event::Ask`].
    pub fn handle_reply(&mut self, session: SessionId, reply: Reply, now: Instant) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Phase::Negotiating(negotiation) = &mut state.phase else { return };
        negotiation.handle_reply(reply);
        state.is_waiting = false;
        self.advance(session, now);
        self.pump_primary(session, now);
    }

    /// Time has passed; call it at [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        for id in self.session_ids() {
            self.with_scheduler(id, |scheduler, out| scheduler.handle_timeout(now, out));
        }
        self.expire_streams(now);
        let late = self.sessions.iter().filter(|(_, session)| session.is_late(now));
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close(id, Some(StreamError::new(StreamCondition::ConnectionTimeout)));
        }
        if !self.raised && !self.closing && now >= self.started + self.bounds.login {
            self.close_connection(Code::Timeout);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let login = (!self.raised && !self.closing).then_some(self.started + self.bounds.login);
        let lanes = self.sessions.values().filter_map(Session::poll_timeout).min();
        let streams =
            self.incoming.values().filter_map(|stream| stream.deadline(self.raised)).min();
        [login, lanes, streams].into_iter().flatten().min()
    }

    /// The transport is gone: every session ends.
    pub fn handle_lost(&mut self) {
        self.closing = true;
        for id in self.session_ids() {
            self.end_session(id, CloseReason::Lost);
        }
    }

    /// Sends a stanza on the stream of its conversation.
    ///
    /// On the server the conversation is with the stanza's sender, on the client with its
    /// addressee. Stanzas for sessions that are not bound, or over, are dropped.
    pub fn send(&mut self, session: SessionId, stanza: &Stanza, class: Class, now: Instant) {
        let peer = match self.end {
            End::Server(_) => stanza.from(),
            End::Client(_) => stanza.to(),
        };
        let peer = peer.map(longwire_stanza::Jid::bare);
        self.scratch.reserve(stanza.wire_len());
        stanza.write(&mut self.scratch, &[]);
        let bytes = self.scratch.split().freeze();
        self.with_scheduler(session, |scheduler, out| {
            scheduler.send(peer.as_ref(), class, bytes, now, out);
        });
    }

    /// True while nothing more should be sent: too much waits for streams.
    #[must_use]
    pub fn is_congested(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(Session::is_congested)
    }

    /// Finishes the streams of one session but the Primary.
    ///
    /// The end of the Primary stream overtakes what is still on its way on the others. Who wants
    /// to close without losing anything calls this, goes on until [`Self::is_drained`], repeating
    /// the call after every input, and then calls [`Self::close`].
    pub fn finish_lanes(&mut self, session: SessionId) {
        self.with_scheduler(session, |scheduler, out| scheduler.finish_lanes(out));
    }

    /// True when the peer has acknowledged all of a session's streams but the Primary.
    #[must_use]
    pub fn is_drained(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_none_or(Session::is_drained)
    }

    /// Ends one session: an error if given, then the closing tag, then FIN.
    ///
    /// The connection closes with its last session.
    pub fn close(&mut self, session: SessionId, error: Option<StreamError>) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if let (Phase::Negotiating(negotiation), Some(error)) = (&mut state.phase, &error) {
            // The response header must precede the error (RFC 6120 §4.9.1.1).
            for bytes in negotiation.last_words(error) {
                self.out.write(state.primary, bytes);
            }
        }
        let mut last = BytesMut::new();
        if let Some(error) = &error {
            error.to_element().write_in(&mut last, &longwire_xml::Context::client());
        }
        last.extend_from_slice(b"</stream:stream>");
        self.out.write(state.primary, last.freeze());
        let reason = error.map_or(CloseReason::Closed, CloseReason::Error);
        self.end_session(session, reason);
    }

    /// Ends every session with `error` and then the connection.
    pub fn shutdown(&mut self, error: &StreamError) {
        for id in self.session_ids() {
            self.close(id, Some(error.clone()));
        }
        self.close_connection(Code::Shutdown);
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What the transport has to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.out.actions.pop_front()
    }

    /// True when the connection is being closed.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// How the peer uses streams, once it is known.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        self.mode
    }

    fn start_primary(&mut self, stream: StreamId, mode: Mode, now: Instant) {
        let level = Class::Own.level();
        self.out.actions.push_back(Action::Priority { stream, level });
        if self.mode == Some(Mode::Multistream) {
            self.out.write(stream, Bytes::from_static(&[0]));
        }
        self.start_session(stream, mode, now);
    }

    /// Begins a session on a Primary stream, whoever opened it.
    fn start_session(&mut self, stream: StreamId, mode: Mode, now: Instant) -> Option<SessionId> {
        if self.sessions.len() >= limits::SESSIONS {
            return None;
        }
        let entropy = Arc::clone(&self.entropy);
        let source = Box::new(move |bytes: &mut [u8]| entropy(bytes));
        let negotiation = match &mut self.end {
            End::Server(config) => Negotiation::server(config, &self.security, source),
            End::Client(config) => Negotiation::client(*config.take()?, &self.security, source),
        };
        let id = SessionId(self.next_session);
        self.next_session += 1;
        let limits = self.bounds.before;
        // The first session shares the connection's time.
        let since = if self.next_session == 1 { self.started } else { now };
        let login_by = since + self.bounds.login;
        self.sessions.insert(id, Session::new(stream, mode, negotiation, limits, login_by));
        self.incoming.insert(stream, Incoming::primary(id, limits, now));
        self.advance(id, now);
        Some(id)
    }

    /// Carries out what the negotiation of a session decided.
    fn advance(&mut self, id: SessionId, now: Instant) {
        while let Some(step) = self.sessions.get_mut(&id).and_then(Session::poll_step) {
            self.take_step(id, step, now);
        }
    }

    fn take_step(&mut self, id: SessionId, step: session::Step, now: Instant) {
        use session::Step;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match step {
            Step::Write(bytes) => self.out.write(session.primary, bytes),
            Step::Restart => {
                if let Some(framer) = self.framer(id) {
                    framer.restart();
                }
            }
            Step::StartTls => self.start_tls(id),
            Step::Ask(ask) => {
                session.is_waiting = true;
                self.events.push_back(Event::Ask { session: id, ask });
            }
            Step::Denied(account, condition) => {
                self.events.push_back(Event::Denied { session: id, account, condition });
            }
            Step::Authenticated(account) => {
                let limits = self.bounds.after;
                session.limits = limits;
                if let Some(framer) = self.framer(id) {
                    framer.set_limits(limits);
                }
                self.events.push_back(Event::Authenticated { session: id, account });
            }
            Step::Bound(jid) => {
                session.bind(&jid, now);
                if !self.raised {
                    self.raised = true;
                    self.out.actions.push_back(Action::Raise);
                }
                self.events.push_back(Event::Bound { session: id, jid });
                self.release_early(id, now);
            }
            Step::Fail(error) => self.close(id, Some(error)),
            Step::Refused(error) => {
                let end = Bytes::from_static(b"</stream:stream>");
                self.out.write(session.primary, end);
                self.end_session(id, CloseReason::Refused(error));
            }
        }
    }

    /// Hands over to TLS, unless something was sent in the clear behind the request.
    fn start_tls(&mut self, id: SessionId) {
        let rest = self.framer(id).map(|framer| {
            let rest = framer.take_rest();
            framer.restart();
            rest
        });
        if rest.is_some_and(|rest| !rest.is_empty()) {
            return self.close(id, Some(StreamError::new(StreamCondition::PolicyViolation)));
        }
        self.out.actions.push_back(Action::StartTls);
    }

    fn framer(&mut self, id: SessionId) -> Option<&mut longwire_xml::Framer> {
        let stream = self.sessions.get(&id)?.primary;
        match &mut self.incoming.get_mut(&stream)?.state {
            Receive::Primary { framer, .. } => Some(framer),
            _ => None,
        }
    }

    fn with_scheduler(
        &mut self,
        id: SessionId,
        run: impl FnOnce(&mut crate::schedule::Scheduler, &mut Outputs),
    ) {
        if let Some(scheduler) = self.sessions.get_mut(&id).and_then(Session::scheduler) {
            run(scheduler, &mut self.out);
        }
        for (ticket, direction) in self.out.asked.drain(..) {
            self.opening.insert(ticket, Opening::Lane(id, direction));
        }
    }

    fn session_ids(&self) -> Vec<SessionId> {
        self.sessions.keys().copied().collect()
    }

    fn session_of_primary(&self, stream: StreamId) -> Option<SessionId> {
        self.sessions.iter().find(|(_, state)| state.primary == stream).map(|(id, _)| *id)
    }

    /// Takes a session off the connection; the last one takes the connection with it.
    fn end_session(&mut self, id: SessionId, reason: CloseReason) {
        let Some(mut session) = self.sessions.remove(&id) else { return };
        match session.scheduler() {
            Some(scheduler) => self.out.actions.extend(scheduler.streams().map(finish)),
            None => self.out.actions.push_back(finish(session.primary)),
        }
        for (stream, incoming) in &mut self.incoming {
            if incoming.belongs_to(id) && !matches!(incoming.state, Receive::Ignored) {
                incoming.state = Receive::Ignored;
                let (stream, code) = (*stream, Code::NoSession);
                if stream != session.primary {
                    self.out.actions.push_back(Action::StopSending { stream, code });
                }
            }
        }
        let code = match &reason {
            CloseReason::Error(error) if error.condition == StreamCondition::SystemShutdown => {
                Code::Shutdown
            }
            CloseReason::Error(_) => Code::Protocol,
            _ => Code::None,
        };
        self.events.push_back(Event::Closed { session: id, reason });
        if self.sessions.is_empty() {
            self.close_connection(code);
        }
    }

    fn close_connection(&mut self, code: Code) {
        if !self.closing {
            self.closing = true;
            self.out.actions.push_back(Action::Close { code });
        }
    }
}

fn is_multistream(security: &Security) -> bool {
    matches!(security.transport, Transport::Quic | Transport::WebTransport)
}

fn finish(stream: StreamId) -> Action {
    Action::Finish { stream }
}

#[cfg(test)]
mod tests;
