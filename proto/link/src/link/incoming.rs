//! The receiving half of a connection: from bytes on streams to stanzas of sessions.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use longwire_stanza::{ParseError, Stanza, StreamCondition, StreamError, ns};
use longwire_xml::{Context, Frame, Framer, Limits, Scanned, StreamHeader, XmlError, scan};

use super::{CloseReason, Event, Link, SessionId, session::Phase};
use crate::{
    dispatch::{Sniffed, sniff},
    limits,
    negotiate::Transport,
    stream::{Action, Class, Code, Direction, Mode, Role, StreamId},
};

/// A stream that the peer may write on.
pub(super) struct Incoming {
    pub(super) state: Receive,
    direction: Direction,
    is_ours: bool,
    since: Instant,
}

/// What is known of such a stream. Framers are boxed because the map that holds these makes room
/// for eleven at a time, and an idle connection has one.
pub(super) enum Receive {
    /// Its first bytes do not tell its kind yet.
    Sniffing(Vec<u8>),
    /// The Primary stream of a session.
    Primary { session: SessionId, framer: Box<Framer> },
    /// An Ancillary stream whose session is not bound yet, by the id of its Primary stream.
    /// Its bytes are copied: kept chunks would keep the packets that they came in.
    Early { primary: Owner, bytes: BytesMut, is_finished: bool },
    /// An Ancillary stream: stanzas only.
    Ancillary { session: SessionId, framer: Box<Framer> },
    /// Nobody listens any more.
    Ignored,
}

/// Which session a waiting stream belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The one whose Primary stream has this id.
    Primary(StreamId),
    /// The first of the connection (untyped streams do not say).
    First,
}

impl Incoming {
    fn new(state: Receive, direction: Direction, since: Instant) -> Self {
        Self { state, direction, is_ours: false, since }
    }

    pub(super) fn primary(session: SessionId, limits: Limits, now: Instant) -> Self {
        let framer = Box::new(Framer::stream(limits));
        Self::new(Receive::Primary { session, framer }, Direction::Bidi, now)
    }

    /// The free half of a stream that we opened; it is not to be written on by anybody else.
    pub(super) fn answered(session: SessionId, limits: Limits, now: Instant) -> Self {
        let framer = Box::new(Framer::elements(limits));
        let state = Receive::Ancillary { session, framer };
        Self { is_ours: true, ..Self::new(state, Direction::Uni, now) }
    }

    /// True for the other half of a stream that we opened.
    pub(super) fn is_answered(&self) -> bool {
        self.is_ours
    }

    pub(super) fn belongs_to(&self, id: SessionId) -> bool {
        match &self.state {
            Receive::Primary { session, .. } | Receive::Ancillary { session, .. } => *session == id,
            _ => false,
        }
    }

    /// When the stream has to be known, and its session bound.
    ///
    /// Once somebody has logged in, a stream may be silent for as long as it likes: on a bad link
    /// its first bytes can take long, and their number is bounded by the credit anyway.
    pub(super) fn deadline(&self, is_logged_in: bool) -> Option<Instant> {
        match self.state {
            Receive::Sniffing(_) if is_logged_in => None,
            Receive::Sniffing(_) => Some(self.since + limits::SNIFF_WAIT),
            Receive::Early { .. } => Some(self.since + limits::EARLY_WAIT),
            _ => None,
        }
    }
}

impl Link {
    /// The peer opened a stream.
    pub fn handle_stream(&mut self, stream: StreamId, direction: Direction, now: Instant) {
        let sniffing = Receive::Sniffing(Vec::new());
        self.incoming.insert(stream, Incoming::new(sniffing, direction, now));
    }

    /// The peer sent `chunk` on a stream.
    pub fn handle_bytes(&mut self, stream: StreamId, chunk: Bytes, now: Instant) {
        let Some(incoming) = self.incoming.get_mut(&stream) else { return };
        match &mut incoming.state {
            Receive::Sniffing(seen) => {
                seen.extend_from_slice(&chunk);
                let seen = Bytes::from(std::mem::take(seen));
                self.classify(stream, seen, now);
            }
            Receive::Primary { session, framer } => {
                framer.push(chunk);
                let session = *session;
                self.pump_primary(session, now);
            }
            Receive::Early { bytes, .. } => {
                bytes.extend_from_slice(&chunk);
                self.check_early(stream);
            }
            Receive::Ancillary { session, framer } => {
                framer.push(chunk);
                let session = *session;
                self.pump_ancillary(stream, session, now);
            }
            Receive::Ignored => {}
        }
    }

    /// The peer finished a stream (FIN).
    ///
    /// On a Primary stream it ends the session; elsewhere it ends the lane only, and a partial
    /// stanza is dropped.
    pub fn handle_finished(&mut self, stream: StreamId, now: Instant) {
        if let Some(Incoming { state: Receive::Early { is_finished, .. }, .. }) =
            self.incoming.get_mut(&stream)
        {
            *is_finished = true;
            return;
        }
        self.end_stream(stream, now);
    }

    /// The peer abandoned a stream (RESET_STREAM).
    pub fn handle_reset(&mut self, stream: StreamId, now: Instant) {
        self.end_stream(stream, now);
    }

    fn end_stream(&mut self, stream: StreamId, _now: Instant) {
        let Some(incoming) = self.incoming.remove(&stream) else { return };
        match incoming.state {
            Receive::Primary { session, .. } => self.end_session(session, CloseReason::Lost),
            Receive::Ancillary { session, .. } if incoming.direction == Direction::Bidi => {
                let mut was_free = false;
                self.with_scheduler(session, |scheduler, _| {
                    was_free = scheduler.take_spare(stream)
                });
                if was_free {
                    self.out.actions.push_back(Action::Finish { stream });
                }
            }
            _ if incoming.direction == Direction::Bidi => {
                self.out.actions.push_back(Action::Finish { stream });
            }
            _ => {}
        }
    }

    fn classify(&mut self, stream: StreamId, mut seen: Bytes, now: Instant) {
        let sniffed = sniff(&seen, self.mode);
        let Some(direction) = self.incoming.get(&stream).map(|incoming| incoming.direction) else {
            return;
        };
        let is_server = self.role() == Role::Server && direction == Direction::Bidi;
        match sniffed {
            Sniffed::More => {
                if let Some(incoming) = self.incoming.get_mut(&stream) {
                    incoming.state = Receive::Sniffing(seen.into());
                }
            }
            Sniffed::Primary { skip } if is_server => {
                self.mode.get_or_insert(Mode::Multistream);
                seen.advance(skip);
                self.accept_primary(stream, Mode::Multistream, seen, now);
            }
            Sniffed::Ancillary { skip, session } => {
                self.mode.get_or_insert(Mode::Multistream);
                seen.advance(skip);
                self.accept_ancillary(stream, Owner::Primary(StreamId(session)), seen, now);
            }
            Sniffed::TextHeader if is_server => {
                let is_first = self.mode.is_none();
                self.mode.get_or_insert(Mode::Untyped);
                let mode = if is_first { Mode::Untyped } else { Mode::Single };
                self.accept_primary(stream, mode, seen, now);
            }
            Sniffed::TextStanza if self.mode.is_some() => {
                self.accept_ancillary(stream, Owner::First, seen, now);
            }
            Sniffed::TextStanza | Sniffed::TextHeader if is_server => {
                // Not a stream header: the parser finds the error and the session reports it.
                self.mode.get_or_insert(Mode::Untyped);
                self.accept_primary(stream, Mode::Untyped, seen, now);
            }
            _ => self.refuse_stream(stream, Code::UnknownType),
        }
    }

    fn accept_primary(&mut self, stream: StreamId, mode: Mode, rest: Bytes, now: Instant) {
        self.incoming.remove(&stream);
        let level = Class::Own.level();
        if self.start_session(stream, mode, now).is_none() {
            self.incoming.insert(stream, Incoming::new(Receive::Ignored, Direction::Bidi, now));
            return self.refuse_stream(stream, Code::Excessive);
        }
        self.out.actions.push_back(Action::Priority { stream, level });
        if !rest.is_empty() {
            self.handle_bytes(stream, rest, now);
        }
    }

    fn accept_ancillary(&mut self, stream: StreamId, owner: Owner, rest: Bytes, now: Instant) {
        let waiting =
            self.incoming.values().filter(|other| matches!(other.state, Receive::Early { .. }));
        let is_bound = self.owner(owner).is_some_and(|id| self.is_bound(id));
        if !is_bound && waiting.count() >= limits::EARLY_STREAMS {
            return self.refuse_stream(stream, Code::Excessive);
        }
        let Some(incoming) = self.incoming.get_mut(&stream) else { return };
        incoming.since = now;
        let bytes = BytesMut::from(&rest[..]);
        incoming.state = Receive::Early { primary: owner, bytes, is_finished: false };
        if is_bound {
            self.release(stream, now);
        } else {
            self.check_early(stream);
        }
    }

    /// Session that a waiting stream belongs to, if there is one already.
    fn owner(&self, owner: Owner) -> Option<SessionId> {
        match owner {
            Owner::Primary(stream) => {
                self.session_of_primary(stream).or_else(|| self.hidden_primary(stream))
            }
            Owner::First => {
                let mut sessions = self.sessions.iter();
                sessions.find(|(_, state)| state.mode == Mode::Untyped).map(|(id, _)| *id)
            }
        }
    }

    /// On WebTransport stream ids are not visible: the Session ID is always 0.
    fn hidden_primary(&self, stream: StreamId) -> Option<SessionId> {
        let is_hidden = stream == StreamId(0) && self.security.transport == Transport::WebTransport;
        is_hidden.then(|| self.sessions.keys().next().copied()).flatten()
    }

    fn is_bound(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(super::Session::is_bound)
    }

    /// Bytes that may wait for a session that is not bound yet are few.
    fn check_early(&mut self, stream: StreamId) {
        let waiting = |incoming: &Incoming| match &incoming.state {
            Receive::Early { bytes, .. } => bytes.len(),
            _ => 0,
        };
        let own = self.incoming.get(&stream).map_or(0, waiting);
        let all: usize = self.incoming.values().map(waiting).sum();
        if own > limits::EARLY_STREAM_BYTES || all > limits::EARLY_CONNECTION_BYTES {
            self.refuse_stream(stream, Code::Excessive);
        }
    }

    /// Lets the streams in that waited for this session, in the order of their ids.
    pub(super) fn release_early(&mut self, id: SessionId, now: Instant) {
        let waits = |owner: Owner| self.owner(owner) == Some(id);
        let early = self.incoming.iter().filter(|(_, incoming)| match &incoming.state {
            Receive::Early { primary, .. } => waits(*primary),
            _ => false,
        });
        for stream in early.map(|(stream, _)| *stream).collect::<Vec<_>>() {
            self.release(stream, now);
        }
    }

    fn release(&mut self, stream: StreamId, now: Instant) {
        let Some(incoming) = self.incoming.get_mut(&stream) else { return };
        let Receive::Early { primary, bytes, is_finished } = &mut incoming.state else { return };
        let (owner, bytes, is_finished) = (*primary, std::mem::take(bytes), *is_finished);
        let direction = incoming.direction;
        let Some(session) = self.owner(owner) else { return };
        let Some(limits) = self.sessions.get(&session).map(|state| state.limits) else { return };
        let framer = Box::new(Framer::elements(limits));
        if let Some(incoming) = self.incoming.get_mut(&stream) {
            incoming.state = Receive::Ancillary { session, framer };
        }
        if direction == Direction::Bidi {
            self.with_scheduler(session, |scheduler, _| scheduler.add_spare(stream));
        }
        if !bytes.is_empty() {
            self.handle_bytes(stream, bytes.freeze(), now);
        }
        if is_finished {
            self.end_stream(stream, now);
        }
    }

    pub(super) fn pump_primary(&mut self, id: SessionId, now: Instant) {
        loop {
            let Some(session) = self.sessions.get(&id) else { return };
            if session.is_waiting {
                return self.check_waiting(id);
            }
            let Some(framer) = self.framer(id) else { return };
            let next = framer.next();
            if framer.take_skipped() && self.forbids_space(id) {
                let error = StreamError::new(StreamCondition::NotAuthorized);
                let text = "no white space while you authenticate";
                return self.close(id, Some(error.with_text(text)));
            }
            match next {
                Ok(Some(frame)) => self.take_frame(id, frame, now),
                Ok(None) => return,
                Err(error) => return self.close(id, Some(error.into())),
            }
        }
    }

    fn forbids_space(&self, id: SessionId) -> bool {
        match self.sessions.get(&id).map(|session| &session.phase) {
            Some(Phase::Negotiating(negotiation)) => negotiation.forbids_space(),
            Some(Phase::Bound(_)) | None => false,
        }
    }

    /// Input that waits for an answer to the negotiation is bounded too.
    fn check_waiting(&mut self, id: SessionId) {
        let waiting = self.framer(id).map_or(0, |framer| framer.buffered());
        if waiting > limits::EARLY_CONNECTION_BYTES {
            self.close(id, Some(StreamError::new(StreamCondition::PolicyViolation)));
        }
    }

    fn take_frame(&mut self, id: SessionId, frame: Frame, now: Instant) {
        let is_server = self.role() == Role::Server;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let primary = session.primary;
        match frame {
            Frame::Header(raw) => match StreamHeader::parse(&raw, &session.limits) {
                Ok(header) => {
                    session.context = Some(header.context().clone());
                    if let Phase::Negotiating(negotiation) = &mut session.phase {
                        negotiation.handle_header(&header);
                    }
                    self.advance(id, now);
                }
                Err(error) => self.close(id, Some(error.into())),
            },
            Frame::Element(raw) => match &mut session.phase {
                Phase::Bound(_) => self.take_element(id, primary, raw),
                Phase::Negotiating(negotiation) => {
                    let context = session.context.clone().unwrap_or_else(Context::client);
                    match scan(raw, &context, &session.limits) {
                        Ok(element) if is_server && is_stream_error(&element) => {
                            self.end_by_error(id, &element);
                        }
                        Ok(element) => {
                            negotiation.handle_element(element);
                            self.advance(id, now);
                        }
                        Err(error) => self.close(id, Some(error.into())),
                    }
                }
            },
            Frame::Footer => {
                self.out.write(primary, Bytes::from_static(b"</stream:stream>"));
                self.end_session(id, CloseReason::PeerClosed);
            }
        }
    }

    fn pump_ancillary(&mut self, stream: StreamId, id: SessionId, _now: Instant) {
        loop {
            let Some(incoming) = self.incoming.get_mut(&stream) else { return };
            let Receive::Ancillary { framer, .. } = &mut incoming.state else { return };
            match framer.next() {
                Ok(Some(Frame::Element(raw))) => self.take_element(id, stream, raw),
                Ok(Some(Frame::Header(_) | Frame::Footer)) => {
                    let error = StreamError::new(StreamCondition::UnsupportedStanzaType);
                    return self.close(id, Some(error));
                }
                Ok(None) => return,
                Err(error) => return self.close(id, Some(error.into())),
            }
        }
    }

    /// An element of a bound session: a stanza, or the peer's last words.
    fn take_element(&mut self, id: SessionId, stream: StreamId, raw: Bytes) {
        let Some(session) = self.sessions.get(&id) else { return };
        let Some(context) = &session.context else { return };
        let is_primary = session.primary == stream;
        let element = match scan(raw, context, &session.limits) {
            Ok(element) => element,
            Err(error) => return self.close(id, Some(XmlError::into(error))),
        };
        if is_primary && is_stream_error(&element) {
            return self.end_by_error(id, &element);
        }
        if element.namespace() == ns::SERVER {
            let error = StreamError::new(StreamCondition::InvalidNamespace);
            return self.close(id, Some(error));
        }
        match Stanza::from_scanned(element) {
            Ok(stanza) => self.events.push_back(Event::Stanza { session: id, stanza, stream }),
            Err(ParseError::Stanza { reply, .. }) => self.answer(id, reply),
            Err(ParseError::Stream(error)) => self.close(id, Some(error)),
        }
    }

    /// The peer reported an error: nothing is left to be said but goodbye (RFC 6120 §4.9.1.1).
    fn end_by_error(&mut self, id: SessionId, element: &Scanned) {
        let Some(primary) = self.sessions.get(&id).map(|session| session.primary) else { return };
        self.out.write(primary, Bytes::from_static(b"</stream:stream>"));
        let error = StreamError::from_element(&element.element());
        self.end_session(id, CloseReason::PeerError(error));
    }

    /// Answers a stanza that could not even be read, on the Primary stream.
    fn answer(&mut self, id: SessionId, reply: Option<Stanza>) {
        let (Some(session), Some(reply)) = (self.sessions.get(&id), reply) else { return };
        // A client is not obliged to say who it is.
        let reply = match &session.jid {
            Some(jid) if reply.to().is_none() && self.role() == Role::Server => reply.with_to(jid),
            _ => reply,
        };
        self.out.write(session.primary, reply.to_bytes());
    }

    /// Resets one stream and leaves the connection alone.
    fn refuse_stream(&mut self, stream: StreamId, code: Code) {
        let Some(incoming) = self.incoming.get_mut(&stream) else { return };
        incoming.state = Receive::Ignored;
        self.out.actions.push_back(Action::StopSending { stream, code });
        if incoming.direction == Direction::Bidi {
            self.out.actions.push_back(Action::Reset { stream, code });
        }
    }

    /// Gives up streams that have waited too long to be of use.
    pub(super) fn expire_streams(&mut self, now: Instant) {
        let is_logged_in = self.raised;
        let late =
            |incoming: &Incoming| incoming.deadline(is_logged_in).is_some_and(|until| until <= now);
        let late = self.incoming.iter().filter(|(_, incoming)| late(incoming));
        for stream in late.map(|(stream, _)| *stream).collect::<Vec<_>>() {
            self.refuse_stream(stream, Code::Timeout);
        }
    }
}

fn is_stream_error(element: &Scanned) -> bool {
    element.namespace() == ns::STREAMS && element.name() == "error"
}
