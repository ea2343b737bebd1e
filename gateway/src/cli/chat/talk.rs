//! The conversation: what is typed, what arrives, and the connection between.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::tz::TimeZone;
use longwire_client::{Client, CloseReason, Config, ConnectError, Environment, Event, StreamId};
use longwire_core::Clock;
use longwire_stanza::xep::roster::{Request, Roster};
use longwire_stanza::{
    BareJid, IqType, Jid, Kind, MessageType, Payload, Stanza, StreamCondition, ns, xep,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Args;
use super::backoff::Backoff;
use super::interrupts::Interrupts;
use super::line::Show;
use super::roll::Roll;
use super::sent::{Question, Sent};
use super::show;
use crate::cli::input::{self, Input};
use crate::cli::output::say;
use crate::cli::printable::printable;
use crate::cli::session::{Exit, connected, details};
use crate::environment::SystemClock;

/// Stanzas that wait for the connection. Above it nothing more is read, or kept without one.
pub(super) const WAITING: usize = 100;

/// Requests that may wait for an answer at once.
pub(super) const ASKED: usize = 16;

/// How often a QUIC connection is kept warm: below the 30 s after which usual routers forget UDP.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// Silence after which the server is asked whether it is there.
const QUIET: Duration = Duration::from_secs(60);

/// After a message so much time passes until the server is asked whether it arrived: one question
/// for all that is said meanwhile.
const PAUSE: Duration = Duration::from_secs(2);

/// A session that lasted this long was a good one: the next wait is short again.
const GOOD: Duration = Duration::from_secs(30);

/// Time for the last words.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Everything about the conversation.
pub(super) struct Talk {
    args: Args,
    config: Config,
    environment: Environment,
    session: Session,
    /// Counts the sessions: an answer of an earlier one says nothing about this one.
    pub(super) session_number: u64,
    backoff: Backoff,
    /// When something was heard of the server, and whether it was asked since.
    heard: Instant,
    is_asked: bool,
    pub(super) peer: Option<Jid>,
    pub(super) roll: Roll,
    pub(super) presence: (Show, Option<String>),
    pub(super) outgoing: VecDeque<Stanza>,
    sent: Sent,
    /// When to ask whether the latest messages arrived.
    confirm_at: Option<Instant>,
    ids: Ids,
    answers: mpsc::Sender<Answer>,
    pub(super) asked: usize,
    is_ending: bool,
}

enum Session {
    Online { client: Client, since: Instant },
    Offline(Attempt),
}

type Attempt = Pin<Box<dyn Future<Output = Result<Client, ConnectError>> + Send>>;

/// Names for messages: unique among all sessions of this account.
struct Ids {
    run: u64,
    next: u64,
}

impl Ids {
    fn fresh(&mut self) -> String {
        self.next += 1;
        format!("{:x}-{}", self.run, self.next)
    }
}

/// What was asked.
#[derive(Debug)]
pub(super) enum Asked {
    Ping(Jid),
    Add(Jid),
    Arrived(Question),
    Alive,
}

/// What came of it.
pub(super) struct Answer {
    pub(super) asked: Asked,
    pub(super) session_number: u64,
    pub(super) took: Duration,
    /// Nothing when none came in time.
    pub(super) answer: Option<Stanza>,
}

/// What happened next.
enum Happened {
    Typed(Option<Input>),
    Arrived(Option<Event>),
    Connected(Result<Client, ConnectError>),
    Answered(Answer),
    Sent,
    Paused,
    Quiet,
    Interrupted,
}

/// Talks until it is over.
pub(super) async fn talk(args: Args, mut config: Config) -> Exit {
    config.keep_alive = Some(KEEP_ALIVE);
    let environment = Environment::default();
    let client = match Client::connect(config.clone(), environment.clone()).await {
        Ok(client) => client,
        Err(error) => return args.login.no_session(&config, error).complain(),
    };
    let mut interrupts = match Interrupts::new() {
        Ok(interrupts) => interrupts,
        Err(error) => {
            say(format_args!("! cannot handle signals: {error}"));
            return Exit::NoSession;
        }
    };
    let (answers, mut answered) = mpsc::channel(ASKED);
    let mut talk = Talk::new(args, config, environment, answers);
    talk.online(client).await;
    if talk.peer.is_none() {
        say("* nobody to talk to yet: /to JID; /help lists the commands");
    }
    let mut typed = input::lines();
    loop {
        let happened = talk.next(&mut typed, &mut answered, &mut interrupts).await;
        if let Some(exit) = talk.handle(happened).await {
            return exit;
        }
        if talk.is_over() {
            return talk.finish().await;
        }
    }
}

impl Talk {
    fn new(
        args: Args,
        config: Config,
        environment: Environment,
        answers: mpsc::Sender<Answer>,
    ) -> Self {
        let mut run = [0; 8];
        (environment.entropy)(&mut run);
        Self {
            peer: args.peer.clone(),
            args,
            config,
            environment,
            session: Session::Offline(Box::pin(std::future::pending())),
            session_number: 0,
            backoff: Backoff::new(),
            heard: Instant::now(),
            is_asked: false,
            roll: Roll::default(),
            presence: (Show::Online, None),
            outgoing: VecDeque::new(),
            sent: Sent::default(),
            confirm_at: None,
            ids: Ids { run: u64::from_le_bytes(run), next: 0 },
            answers,
            asked: 0,
            is_ending: false,
        }
    }

    async fn next(
        &mut self,
        typed: &mut mpsc::Receiver<Input>,
        answered: &mut mpsc::Receiver<Answer>,
        interrupts: &mut Interrupts,
    ) -> Happened {
        let is_online = matches!(self.session, Session::Online { .. });
        // Without a connection lines are read all the same: they may be commands.
        let reads = !self.is_ending && (!is_online || self.outgoing.len() < WAITING);
        let quiet = self.heard + QUIET;
        let watches = is_online && !self.is_asked;
        let (confirms, confirm_at) = (self.confirm_at.is_some(), self.confirm_at.unwrap_or(quiet));
        let (sender, first) = match &self.session {
            Session::Online { client, .. } => (Some(client.sender()), self.outgoing.front()),
            Session::Offline(_) => (None, None),
        };
        let (sends, first) = (first.is_some(), first.cloned());
        let send = async move {
            match (sender, first) {
                // The session's end is told by its events.
                (Some(sender), Some(stanza)) => sender.send(stanza).await.is_ok(),
                _ => false,
            }
        };
        let session = async {
            match &mut self.session {
                Session::Online { client, .. } => Happened::Arrived(client.next().await),
                Session::Offline(attempt) => Happened::Connected(attempt.await),
            }
        };
        tokio::select! {
            biased;
            () = interrupts.next() => Happened::Interrupted,
            happened = session => happened,
            true = send, if sends => Happened::Sent,
            Some(answer) = answered.recv() => Happened::Answered(answer),
            line = typed.recv(), if reads => Happened::Typed(line),
            () = tokio::time::sleep_until(confirm_at), if confirms => Happened::Paused,
            () = tokio::time::sleep_until(quiet), if watches => Happened::Quiet,
        }
    }

    async fn handle(&mut self, happened: Happened) -> Option<Exit> {
        match happened {
            Happened::Typed(Some(Input::Line(line))) => self.obey(&line),
            Happened::Typed(Some(Input::Unreadable(why))) => say(format_args!("! {why}")),
            Happened::Typed(None) | Happened::Interrupted => self.is_ending = true,
            Happened::Arrived(Some(Event::Stanza { stanza, stream })) => {
                self.heard();
                self.arrived(&stanza, stream);
            }
            Happened::Arrived(Some(Event::Closed(reason))) => return self.lost(&reason),
            Happened::Arrived(None) => return self.lost(&CloseReason::Lost),
            Happened::Connected(Ok(client)) => self.online(client).await,
            Happened::Connected(Err(error)) => return self.failed(error),
            Happened::Answered(answer) => return self.answered(answer),
            Happened::Sent => {
                let sent = self.outgoing.pop_front();
                if sent.is_some_and(|stanza| self.sent.note(&stanza)) {
                    self.confirm_at.get_or_insert_with(|| Instant::now() + PAUSE);
                }
            }
            Happened::Paused => {
                self.confirm_at = None;
                if let Some(question) = self.sent.question() {
                    let ping = ping(question.peer.clone());
                    self.ask(Asked::Arrived(question), ping);
                }
            }
            Happened::Quiet => self.ask_server(),
        }
        None
    }

    fn ask_server(&mut self) {
        if !self.is_asked {
            self.is_asked = true;
            self.ask(Asked::Alive, ping(self.config.account.to_domain()));
        }
    }

    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
        self.is_asked = false;
    }

    /// A session is there: tells so, fetches the roster and shows oneself.
    async fn online(&mut self, client: Client) {
        self.session_number += 1;
        self.heard();
        say(format_args!("* {}", connected(&self.config, &client)));
        if self.args.login.verbose {
            say(format_args!("* {}", details(&self.config, &client)));
        }
        self.roll.forget_presence();
        let roster = Stanza::iq(IqType::Get).child(Request::default().element()).build();
        let answer = tokio::time::timeout(self.args.login.wait(), client.request(roster)).await;
        let answer = answer.ok().and_then(Result::ok);
        let query = answer.as_ref().and_then(|answer| answer.child(ns::ROSTER, "query"));
        match query.map(|query| Roster::parse(&query)) {
            Some(Ok(roster)) => self.roll.set_roster(roster),
            Some(Err(error)) => say(format_args!("! no contacts: {}", show::error(&error))),
            None => say("! the server did not give the contacts"),
        }
        self.session = Session::Online { client, since: Instant::now() };
        let presence = self.own_presence();
        self.outgoing.push_front(presence);
    }

    /// The session is over.
    fn lost(&mut self, reason: &CloseReason) -> Option<Exit> {
        let lasted = match &self.session {
            Session::Online { since, .. } => since.elapsed(),
            Session::Offline(_) => Duration::ZERO,
        };
        if lasted >= GOOD {
            self.backoff = Backoff::new();
        }
        let reason_shown = printable(&reason.to_string()).into_owned();
        // Whoever came instead would be thrown out in turn.
        let is_replaced = matches!(reason, CloseReason::PeerError(error)
            if error.condition == StreamCondition::Conflict);
        let ends = self.args.no_reconnect || is_replaced || self.is_ending;
        if ends {
            say(format_args!("! {reason_shown}"));
        } else {
            let wait = self.attempt_later().as_secs_f32();
            say(format_args!("! {reason_shown}; connecting again in {wait:.1} s"));
        }
        self.confirm_at = None;
        for (peer, excerpt) in self.sent.take_unconfirmed() {
            say(format_args!("! {} may not have got \"{excerpt}\"", printable(peer.as_str())));
        }
        if ends {
            self.tell_unsent();
        }
        ends.then_some(Exit::NoSession)
    }

    /// An attempt to connect again failed.
    fn failed(&mut self, error: ConnectError) -> Option<Exit> {
        if matches!(error, ConnectError::Refused(_) | ConnectError::Certificates(_)) {
            self.tell_unsent();
            return Some(self.args.login.no_session(&self.config, error).complain());
        }
        let error = printable(&error.to_string()).into_owned();
        let wait = self.attempt_later().as_secs_f32();
        say(format_args!("! {error}; trying again in {wait:.1} s"));
        None
    }

    fn attempt_later(&mut self) -> Duration {
        let mut random = [0; 4];
        (self.environment.entropy)(&mut random);
        let wait = self.backoff.wait(u32::from_le_bytes(random));
        let (config, environment) = (self.config.clone(), self.environment.clone());
        self.session = Session::Offline(Box::pin(async move {
            tokio::time::sleep(wait).await;
            Client::connect(config, environment).await
        }));
        wait
    }

    fn answered(&mut self, answer: Answer) -> Option<Exit> {
        self.asked = self.asked.saturating_sub(1);
        let is_current = answer.session_number == self.session_number;
        match (&answer.answer, &answer.asked) {
            (Some(_), Asked::Arrived(question)) => {
                self.sent.confirm(question);
                if self.sent.question().is_some() {
                    self.confirm_at.get_or_insert_with(|| Instant::now() + PAUSE);
                }
                self.heard();
            }
            // Somebody else's server may be at fault: ask one's own.
            (None, Asked::Arrived(_)) if is_current && self.is_online() => self.ask_server(),
            (Some(_), _) if is_current => self.heard(),
            (None, Asked::Alive) if is_current && self.is_online() => {
                say("! the server does not answer");
                return self.lost(&CloseReason::Lost);
            }
            _ => {}
        }
        self.tell(&answer);
        None
    }

    fn arrived(&mut self, stanza: &Stanza, stream: StreamId) {
        match stanza.kind() {
            Kind::Message if stanza.message_type() == MessageType::Error => self.bounced(stanza),
            Kind::Message => {
                let view = show::View {
                    now: SystemClock.wall(),
                    zone: TimeZone::system(),
                    verbose: self.args.login.verbose,
                };
                for line in show::message(stanza, stream, &view) {
                    say(line);
                }
            }
            Kind::Presence => {
                let Session::Online { client, .. } = &self.session else { return };
                let line = self.roll.presence(stanza, client.jid());
                self.note(line, stream);
            }
            Kind::Iq => {
                let query = stanza.child(ns::ROSTER, "query");
                let push = query.and_then(|query| Roster::parse(&query).ok());
                let line = push.and_then(|push| self.roll.push(push));
                self.note(line, stream);
            }
        }
    }

    fn note(&self, line: Option<String>, stream: StreamId) {
        match line {
            Some(line) if self.args.login.verbose => {
                say(format_args!("* (stream {}) {line}", stream.0));
            }
            Some(line) => say(format_args!("* {line}")),
            None => {}
        }
    }

    fn bounced(&mut self, error: &Stanza) {
        let id = error.id().unwrap_or_default();
        let what = self.sent.refused(id).unwrap_or("a message");
        let who = error.from().map_or("somebody", Jid::as_str);
        let why = error.stanza_error().map(|error| show::error(&error)).unwrap_or_default();
        say(format_args!("! {} did not get \"{what}\": {why}", printable(who)));
    }

    pub(super) fn account(&self) -> &BareJid {
        &self.config.account
    }

    pub(super) fn is_online(&self) -> bool {
        matches!(self.session, Session::Online { .. })
    }

    /// Queues a message; false when there is no room.
    pub(super) fn write(&mut self, peer: &Jid, text: &str) -> bool {
        if self.outgoing.len() >= WAITING {
            return false;
        }
        let id = self.ids.fresh();
        let message = Stanza::message(MessageType::Chat).to(peer).id(&id).body(text).build();
        self.outgoing.push_back(message);
        true
    }

    /// Sends a request; its answer comes back as [`Happened::Answered`].
    pub(super) fn ask(&mut self, asked: Asked, request: Stanza) {
        let Session::Online { client, .. } = &self.session else { return };
        self.asked += 1;
        let (sender, answers) = (client.sender(), self.answers.clone());
        let (session_number, wait) = (self.session_number, self.args.login.wait());
        tokio::spawn(async move {
            let began = Instant::now();
            let answer = tokio::time::timeout(wait, sender.request(request)).await;
            let answer = answer.ok().and_then(Result::ok);
            let took = began.elapsed();
            // When the conversation is over nobody wants to know.
            let _ = answers.send(Answer { asked, session_number, took, answer }).await;
        });
    }

    pub(super) fn end(&mut self) {
        self.is_ending = true;
    }

    /// Everything was sent that could be.
    fn is_over(&self) -> bool {
        self.is_ending && (self.outgoing.is_empty() || !self.is_online())
    }

    fn tell_unsent(&self) {
        let is_message = |stanza: &&Stanza| stanza.kind() == Kind::Message;
        let unsent = self.outgoing.iter().filter(is_message).count();
        if unsent > 0 {
            say(format_args!("! {unsent} messages were not sent"));
        }
    }

    async fn finish(self) -> Exit {
        self.tell_unsent();
        let Session::Online { client, .. } = self.session else { return Exit::NoSession };
        // Whatever the server does, the user gets the prompt back.
        let _ = tokio::time::timeout(LAST_WORDS, client.close()).await;
        Exit::Done
    }
}

/// A ping (XEP-0199).
pub(super) fn ping(to: impl Into<Jid>) -> Stanza {
    Stanza::iq(IqType::Get).to(to).child(xep::ping::Ping.element()).build()
}
