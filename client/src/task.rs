//! The task of one session: the transport below, the application above, the link between.

mod requests;
mod waiting;

use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use longwire_link::{
    Class, CloseReason, Code, Event as LinkEvent, Link, Mode, SessionId, negotiate::ClientConfig,
};
use longwire_stanza::{FullJid, Kind, Stanza};
use longwire_transport::{Carrier, Input, feed};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Config, ConnectError, Environment, Event, Streams, Transport, connect::Connection, limits,
    tls::Fault,
};
use requests::{Consumed, Requests};
use waiting::Waiting;

/// What the application wants.
#[derive(Debug)]
pub(crate) enum Command {
    Send(Stanza),
    Request(Stanza, oneshot::Sender<Stanza>),
}

type Bound = oneshot::Sender<Result<FullJid, ConnectError>>;

struct Session {
    link: Link,
    carrier: Carrier,
    fault: Arc<Fault>,
    bound: Option<Bound>,
    id: Option<SessionId>,
    answers_requests: bool,
    requests: Requests,
    /// What the application has no room for yet.
    waiting: Waiting,
    /// The session is to be closed, at the latest at this time.
    closing: Option<Instant>,
    is_over: bool,
}

/// What happened next.
enum Step {
    Input(Input),
    Command(Option<Command>),
    /// The application takes another event.
    Room,
    /// The application is gone.
    Abandoned,
    Time,
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
    let code = session.drive(&mut commands, &inbox).await;
    // Whoever sends from now on is told, and whoever waits for an answer.
    drop(commands);
    session.finish(code, inbox).await;
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => pending().await,
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
            fault: connection.fault,
            bound: Some(bound),
            id: None,
            answers_requests: config.answers_requests,
            requests: Requests::new(config.account),
            waiting: Waiting::default(),
            closing: None,
            is_over: false,
        }
    }

    /// Runs until the transport is to be closed.
    async fn drive(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        inbox: &mpsc::Sender<Event>,
    ) -> Code {
        let mut input_first = true;
        loop {
            self.go_on_closing();
            let code = self.carrier.apply_all(&mut self.link, now());
            self.take_events();
            if let Some(code) = code {
                return code;
            }
            if self.is_over {
                return Code::None;
            }
            self.waiting.deliver(inbox);
            match self.step(commands, inbox, input_first).await {
                Step::Input(input) => {
                    self.take_input(input);
                    input_first = false;
                }
                Step::Command(command) => {
                    self.take_command(command);
                    input_first = true;
                }
                Step::Room => {}
                Step::Abandoned => {
                    // What was sent already still goes out.
                    commands.close();
                    self.set_deadline();
                }
                Step::Time => self.link.handle_timeout(now()),
            }
        }
    }

    /// Waits for whatever happens first; input and commands take turns when both are ready.
    ///
    /// By hand, because the order must not be random: a simulation repeats itself.
    async fn step(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        inbox: &mpsc::Sender<Event>,
        input_first: bool,
    ) -> Step {
        let (is_full, is_closing) = (!self.waiting.is_empty(), self.closing.is_some());
        self.carrier.set_paused(is_full || self.carrier.is_overfull());
        let timeout = [self.link.poll_timeout(), self.closing].into_iter().flatten().min();
        let takes_commands = self.takes_commands();
        let mut time = pin!(sleep_until(timeout));
        let mut room = pin!(inbox.reserve());
        let mut gone = pin!(inbox.closed());
        let mut input = pin!(self.carrier.next());
        poll_fn(|cx| {
            if !is_closing && gone.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::Abandoned);
            }
            if is_full && room.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::Room);
            }
            for is_input in [input_first, !input_first] {
                if is_input {
                    if let Poll::Ready(input) = input.as_mut().poll(cx) {
                        return Poll::Ready(Step::Input(input));
                    }
                } else if takes_commands && let Poll::Ready(command) = commands.poll_recv(cx) {
                    return Poll::Ready(Step::Command(command));
                }
            }
            time.as_mut().poll(cx).map(|()| Step::Time)
        })
        .await
    }

    fn takes_commands(&self) -> bool {
        let Some(id) = self.id else { return false };
        !self.requests.is_closed() && !self.carrier.is_congested() && !self.link.is_congested(id)
    }

    fn take_input(&mut self, input: Input) {
        let is_lost = matches!(input, Input::Lost(_));
        feed(&mut self.link, input, now());
        self.is_over |= is_lost;
    }

    fn take_command(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Send(stanza)) => self.send(&stanza),
            Some(Command::Request(stanza, asker)) => {
                // Dropping the channel tells the caller that there will be no answer.
                if let Some(stanza) = self.requests.ask(stanza, asker) {
                    self.send(&stanza);
                }
            }
            None => {
                self.requests.close();
                self.set_deadline();
            }
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

    fn set_deadline(&mut self) {
        self.closing.get_or_insert_with(|| now() + limits::CLOSE_WAIT);
    }

    /// The closing tag goes on the Primary stream, which is ahead of all others: what is on its
    /// way on those has to arrive first.
    fn go_on_closing(&mut self) {
        let Some(until) = self.closing else { return };
        let Some(id) = self.id else {
            self.is_over = true;
            return;
        };
        if self.requests.is_closed() {
            self.link.finish_lanes(id);
        }
        let is_done = self.requests.is_closed() && self.link.is_drained(id);
        if is_done || until <= now() {
            self.link.close(id, None);
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Bound { session, jid } => {
                    self.id = Some(session);
                    self.requests.set_session(jid.clone());
                    if let Some(bound) = self.bound.take() {
                        // Whoever asked may have given up; then the inbox is closed as well.
                        let _ = bound.send(Ok(jid));
                    }
                }
                LinkEvent::Stanza { stanza, stream, .. } => {
                    match self.requests.consume(&stanza, self.answers_requests) {
                        Consumed::No => self.waiting.event(Event::Stanza { stanza, stream }),
                        Consumed::Answer(asker) => {
                            self.waiting.answer(stanza, asker);
                        }
                        Consumed::Request { answer, is_news } => {
                            if let Some(answer) = answer {
                                self.send(&answer);
                            }
                            if is_news {
                                self.waiting.event(Event::Stanza { stanza, stream });
                            }
                        }
                        Consumed::Nothing => {}
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
                let error = match (reason, self.fault.get()) {
                    (CloseReason::Refused(error), _) => ConnectError::Refused(error),
                    (CloseReason::Lost, Some(fault)) => {
                        ConnectError::Certificate(fault.to_string())
                    }
                    (reason, _) => ConnectError::Closed(reason),
                };
                let _ = bound.send(Err(error));
            }
            None => self.waiting.event(Event::Closed(reason)),
        }
    }

    async fn finish(mut self, code: Code, inbox: mpsc::Sender<Event>) {
        if self.bound.is_some() {
            self.end(CloseReason::Lost);
        }
        // Nobody will answer these; and who waits for one may be the one who takes the events.
        drop(self.requests);
        tokio::join!(self.carrier.close(code), self.waiting.deliver_all(inbox));
    }
}
