//! The task of one session: the transport below, the application above, the link between.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use longwire_link::{
    Class, CloseReason, Event as LinkEvent, Link, Mode, SessionId, negotiate::ClientConfig,
};
use longwire_stanza::{BareJid, Condition, FullJid, IqType, Jid, Kind, Stanza, StanzaError, ns};
use longwire_transport::{Carrier, Input, feed};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Config, ConnectError, Environment, Event, Streams, Transport, connect::Connection, limits,
};

/// What the application wants.
#[derive(Debug)]
pub(crate) enum Command {
    Send(Stanza),
    Request(Stanza, oneshot::Sender<Stanza>),
    Close,
}

type Bound = oneshot::Sender<Result<FullJid, ConnectError>>;

struct Session {
    link: Link,
    carrier: Carrier,
    bound: Option<Bound>,
    id: Option<SessionId>,
    account: BareJid,
    answers_requests: bool,
    /// What the application has no room for yet.
    pending: VecDeque<Event>,
    requests: BTreeMap<String, Request>,
    is_over: bool,
}

struct Request {
    to: Option<Jid>,
    answer: oneshot::Sender<Stanza>,
}

pub(crate) async fn run(
    connection: Connection,
    config: Config,
    environment: Environment,
    mut commands: mpsc::Receiver<Command>,
    inbox: mpsc::Sender<Event>,
    bound: Bound,
) {
    let mut session = Session::new(connection, config, environment, bound);
    loop {
        if let Some(code) = session.carrier.apply_all(&mut session.link, now()) {
            session.take_events();
            return session.finish(code, inbox).await;
        }
        session.take_events();
        if session.is_over {
            return session.finish(longwire_link::Code::None, inbox).await;
        }
        session.carrier.set_paused(!session.pending.is_empty());
        let timeout = session.link.poll_timeout();
        let can_send = session.can_send();
        tokio::select! {
            input = session.carrier.next() => session.take_input(input),
            command = commands.recv(), if can_send => session.take_command(command),
            permit = inbox.reserve(), if !session.pending.is_empty() => {
                if let (Ok(permit), Some(event)) = (permit, session.pending.pop_front()) {
                    permit.send(event);
                } else {
                    // The application is gone.
                    session.pending.clear();
                    session.close();
                }
            }
            () = sleep_until(timeout), if timeout.is_some() => session.link.handle_timeout(now()),
        }
    }
}

async fn sleep_until(time: Option<Instant>) {
    if let Some(time) = time {
        tokio::time::sleep_until(time.into()).await;
    }
}

/// The runtime's clock, which a simulation drives.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Session {
    fn new(connection: Connection, config: Config, environment: Environment, bound: Bound) -> Self {
        let mode = match config.streams {
            Streams::Many => Mode::Multistream,
            Streams::Untyped => Mode::Untyped,
            Streams::One => Mode::Single,
        };
        let mut login = ClientConfig::new(config.account.clone(), config.password);
        login.tag.clone_from(&config.resource);
        login.resource = config.resource;
        login.mechanisms = config.mechanisms;
        login.prefer_sasl2 = config.prefer_sasl2;
        login.require_tls = config.transport != Transport::Plaintext;
        let link = Link::client(login, connection.security, mode, environment.entropy, now());
        Self {
            link,
            carrier: connection.carrier,
            bound: Some(bound),
            id: None,
            account: config.account,
            answers_requests: config.answers_requests,
            pending: VecDeque::new(),
            requests: BTreeMap::new(),
            is_over: false,
        }
    }

    fn can_send(&self) -> bool {
        let Some(id) = self.id else { return false };
        !self.carrier.is_congested() && !self.link.is_congested(id)
    }

    fn take_input(&mut self, input: Input) {
        let is_lost = matches!(input, Input::Lost(_));
        feed(&mut self.link, input, now());
        self.is_over |= is_lost;
    }

    fn take_command(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Send(stanza)) => self.send(&stanza),
            Some(Command::Request(stanza, answer)) => self.request(&stanza, answer),
            Some(Command::Close) | None => self.close(),
        }
    }

    fn send(&mut self, stanza: &Stanza) {
        let Some(id) = self.id else { return };
        let class = match stanza.kind() {
            Kind::Presence => Class::Presence,
            Kind::Message | Kind::Iq => Class::Chat,
        };
        self.link.send(id, stanza, class, now());
    }

    fn request(&mut self, stanza: &Stanza, answer: oneshot::Sender<Stanza>) {
        let Some(id) = stanza.id().map(str::to_owned) else { return };
        // Dropping the answer's channel tells the caller that there will be none.
        if self.requests.len() < limits::REQUESTS && !self.requests.contains_key(&id) {
            self.requests.insert(id, Request { to: stanza.to().cloned(), answer });
            self.send(stanza);
        }
    }

    fn close(&mut self) {
        match self.id {
            Some(id) => self.link.close(id, None),
            None => self.is_over = true,
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Bound { session, jid } => {
                    self.id = Some(session);
                    if let Some(bound) = self.bound.take() {
                        // Whoever asked may have given up.
                        let _ = bound.send(Ok(jid));
                    }
                }
                LinkEvent::Stanza { stanza, stream, .. } => {
                    if let Some(stanza) = self.consume(stanza) {
                        self.pending.push_back(Event::Stanza { stanza, stream });
                    }
                }
                LinkEvent::Closed { reason, .. } => self.end(reason),
                LinkEvent::Ask { .. }
                | LinkEvent::Authenticated { .. }
                | LinkEvent::Denied { .. } => {}
            }
        }
    }

    fn end(&mut self, reason: CloseReason) {
        self.id = None;
        match self.bound.take() {
            Some(bound) => {
                let error = match reason {
                    CloseReason::Refused(error) => ConnectError::Refused(error),
                    reason => ConnectError::Closed(reason),
                };
                let _ = bound.send(Err(error));
            }
            None => self.pending.push_back(Event::Closed(reason)),
        }
    }

    /// Takes answers to requests, and requests that nobody else will answer.
    fn consume(&mut self, stanza: Stanza) -> Option<Stanza> {
        if stanza.kind() != Kind::Iq {
            return Some(stanza);
        }
        match stanza.iq_type() {
            IqType::Result | IqType::Error => {
                let id = stanza.id().unwrap_or_default();
                let asked = self.requests.get(id)?;
                if !self.is_from(&stanza, asked.to.as_ref()) {
                    return None;
                }
                let request = self.requests.remove(id)?;
                let _ = request.answer.send(stanza);
                None
            }
            IqType::Get | IqType::Set if self.answers_requests => {
                let is_push = stanza.child(ns::ROSTER, "query").is_some();
                let answer = if is_push && !self.is_from(&stanza, None) {
                    stanza.error(&StanzaError::new(Condition::ServiceUnavailable))
                } else if is_push || stanza.child(ns::PING, "ping").is_some() {
                    Some(stanza.result(None))
                } else {
                    stanza.error(&StanzaError::new(Condition::ServiceUnavailable))
                };
                if let Some(answer) = answer {
                    self.send(&answer);
                }
                // The application may want to know of roster pushes.
                (is_push && self.is_from(&stanza, None)).then_some(stanza)
            }
            IqType::Get | IqType::Set => Some(stanza),
        }
    }

    /// True when `stanza` comes from `expected`; no address stands for the own account.
    fn is_from(&self, stanza: &Stanza, expected: Option<&Jid>) -> bool {
        let is_own = |jid: &Jid| jid.resource().is_none() && jid.bare() == self.account;
        match (stanza.from(), expected) {
            (Some(from), Some(expected)) => from == expected,
            (None, Some(expected)) => is_own(expected),
            (from, None) => from.is_none_or(is_own),
        }
    }

    async fn finish(mut self, code: longwire_link::Code, inbox: mpsc::Sender<Event>) {
        self.take_events();
        let Self { carrier, pending, bound, .. } = self;
        if let Some(bound) = bound {
            let _ = bound.send(Err(ConnectError::Closed(CloseReason::Lost)));
        }
        carrier.close(code).await;
        for event in pending {
            if inbox.send(event).await.is_err() {
                return;
            }
        }
    }
}
