//! One connection, one task: the transport, the link and the sessions of the router.
//!
//! The task never waits for a shard. When a shard's channel is full, the stanza that did not fit
//! is handed over in the background, and until it is taken the connection is not read: flow
//! control then stops the sender. All its streams stop together, because a conversation may move
//! from one to another and must not overtake itself. In the other direction an outbox is drained
//! only while little waits to be written.

mod inward;
mod outward;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt};
use longwire_core::event::Down;
use longwire_link::negotiate::Security;
use longwire_link::sasl::SaslCondition;
use longwire_link::{CloseReason, Code, Event, Link, SessionId};
use longwire_stanza::{StreamCondition, StreamError};
use longwire_transport::{Carrier, Input, feed};
use tokio::sync::watch;
use tokio::time::Sleep;

use crate::admission::Permit;
use crate::answer::{self, Answer, Bound};
use crate::limits::{LANES_WAIT, NO_TIMER};
use crate::shared::{Shared, Stage};
use crate::throttle::Throttle;
use inward::{Inward, Taken};
use outward::{Outward, Ready};

type Answering = Pin<Box<dyn Future<Output = (SessionId, Answer)> + Send>>;
type Leaving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection and all that belongs to it.
struct Connection {
    shared: Arc<Shared>,
    peer: SocketAddr,
    permit: Permit,
    carrier: Carrier,
    link: Link,
    /// From the client to the router.
    inward: Inward,
    /// From the router to the client.
    outward: Outward,
    answers: FuturesUnordered<Answering>,
    /// Sessions that were bound but whose client does not know it yet.
    binding: BTreeMap<SessionId, Bound>,
    leaving: FuturesUnordered<Leaving>,
    /// Sessions that the server ends, while their streams are still being read by the client.
    ending: BTreeMap<SessionId, Ending>,
    throttle: Option<Throttle>,
    stage: watch::Receiver<Stage>,
    draining: bool,
    /// When the server stops, sessions end one by one until then.
    drained_until: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    input_first: bool,
    closing: Option<Code>,
}

/// The end of a session: what the client is told, and when at the latest.
struct Ending {
    reason: Option<StreamError>,
    until: Instant,
}

/// What woke the task.
enum Step {
    Drain,
    Answered(SessionId, Answer),
    Taken(Taken),
    Outbound(Ready),
    Input(Input),
    Left,
    Time,
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    carrier: Carrier,
    security: Security,
    peer: SocketAddr,
    permit: Permit,
) {
    let now = now();
    let link =
        Link::server(Arc::clone(&shared.negotiation), security, Arc::clone(&shared.entropy), now);
    let connection = Connection {
        stage: shared.stage.subscribe(),
        shared,
        peer,
        permit,
        carrier,
        link,
        inward: Inward::default(),
        outward: Outward::default(),
        answers: FuturesUnordered::new(),
        binding: BTreeMap::new(),
        leaving: FuturesUnordered::new(),
        ending: BTreeMap::new(),
        throttle: None,
        draining: false,
        drained_until: None,
        timer: Box::pin(tokio::time::sleep_until(now.into())),
        input_first: true,
        closing: None,
    };
    connection.run().await;
}

impl Connection {
    async fn run(mut self) {
        self.settle();
        let closing = loop {
            if let Some(closing) = self.closing {
                break closing;
            }
            match self.step().await {
                Step::Drain => self.start_drain(),
                Step::Answered(session, answer) => self.take_answer(session, answer),
                Step::Taken(taken) => self.take_handover(taken),
                Step::Outbound(ready) => self.take_outbound(ready),
                Step::Input(input) => self.take_input(input),
                Step::Left => {}
                Step::Time => self.link.handle_timeout(now()),
            }
            self.settle();
            self.go_on_ending();
            self.resume();
        };
        // Nothing is taken from the outboxes any more; what is in them goes back to the homes.
        self.outward = Outward::default();
        self.binding.clear();
        let left = async { while self.leaving.next().await.is_some() {} };
        tokio::join!(self.carrier.close(closing), left);
    }

    /// Waits for whatever happens first. Input and output take turns when both are ready.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    async fn step(&mut self) -> Step {
        self.set_timer();
        let Self { carrier, answers, inward, outward, leaving, stage, timer, .. } = self;
        let mut input = pin!(carrier.next());
        let mut drained = pin!(stage.wait_for(|stage| *stage == Stage::Leaving));
        let (draining, input_first) = (self.draining, self.input_first);
        let step = poll_fn(|context| {
            if !draining && drained.as_mut().poll(context).is_ready() {
                return Poll::Ready(Step::Drain);
            }
            if let Poll::Ready(Some((session, answer))) = answers.poll_next_unpin(context) {
                return Poll::Ready(Step::Answered(session, answer));
            }
            if let Poll::Ready(taken) = inward.poll_taken(context) {
                return Poll::Ready(Step::Taken(taken));
            }
            for input_turn in [input_first, !input_first] {
                if input_turn {
                    if let Poll::Ready(input) = input.as_mut().poll(context) {
                        return Poll::Ready(Step::Input(input));
                    }
                } else if let Poll::Ready(ready) = outward.poll_ready(context) {
                    return Poll::Ready(Step::Outbound(ready));
                }
            }
            if let Poll::Ready(Some(())) = leaving.poll_next_unpin(context) {
                return Poll::Ready(Step::Left);
            }
            timer.as_mut().poll(context).map(|()| Step::Time)
        })
        .await;
        self.input_first = !matches!(step, Step::Input(_));
        step
    }

    fn set_timer(&mut self) {
        let ending = self.ending.values().map(|ending| ending.until).min();
        let wanted =
            [self.link.poll_timeout(), self.inward.paused_until(), ending, self.drained_until];
        if let Some(wanted) = wanted.into_iter().flatten().min() {
            let wanted = wanted.into();
            if self.timer.deadline() != wanted {
                self.timer.as_mut().reset(wanted);
            }
        } else if self.timer.is_elapsed() {
            // Nothing to wait for: far enough not to matter.
            self.timer.as_mut().reset((now() + NO_TIMER).into());
        }
    }

    /// Says goodbye to every session because the server stops: the router has ended those that
    /// are bound, each after the last stanza for it.
    fn start_drain(&mut self) {
        self.draining = true;
        self.drained_until = Some(now() + LANES_WAIT);
    }

    /// Ends a session as soon as its client has everything: the closing tag on the Primary stream
    /// would overtake what is on its way on the others.
    fn finish(&mut self, session: SessionId, reason: Option<StreamError>) {
        self.outward.remove(session);
        let until = now() + LANES_WAIT;
        self.ending.entry(session).or_insert(Ending { reason, until });
    }

    fn go_on_ending(&mut self) {
        let sessions: Vec<_> = self.ending.keys().copied().collect();
        for session in sessions {
            self.link.finish_lanes(session);
            let is_late = |ending: &Ending| ending.until <= now();
            if self.link.is_drained(session) || self.ending.get(&session).is_some_and(is_late) {
                let reason = self.ending.remove(&session).and_then(|ending| ending.reason);
                self.link.close(session, reason);
            }
        }
        let is_quiet = self.outward.is_empty() && self.ending.is_empty();
        let is_late = self.drained_until.is_some_and(|until| until <= now());
        if self.draining && (is_quiet || is_late) {
            self.drained_until = None;
            self.link.shutdown(&StreamError::new(StreamCondition::SystemShutdown));
        }
        self.settle();
    }

    /// Carries out what the link decided, until it has nothing more to say.
    fn settle(&mut self) {
        loop {
            let closing = self.carrier.apply_all(&mut self.link, now());
            self.closing = self.closing.or(closing);
            let Some(event) = self.link.poll_event() else { return };
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Ask { session, ask } => {
                let answer = answer::answer(Arc::clone(&self.shared), self.peer, ask);
                self.answers.push(Box::pin(async move { (session, answer.await) }));
            }
            Event::Denied { account, condition, .. } => {
                tracing::info!(peer = %self.peer, ?condition, "login failed");
                if let Some(account) = account
                    && condition == SaslCondition::NotAuthorized
                {
                    self.shared.login_failed(self.peer.ip(), &account);
                }
            }
            Event::Authenticated { account, .. } => {
                self.shared.login_succeeded(self.peer.ip(), &account);
                tracing::debug!(peer = %self.peer, %account, "authenticated");
                self.permit.authenticated();
                self.throttle = self.throttle.take().or_else(|| self.shared.throttle(&account));
            }
            Event::Bound { session, jid } => {
                let Some(bound) = self.binding.remove(&session) else { return };
                tracing::debug!(peer = %self.peer, %jid, "session bound");
                self.inward.add(session, bound.session);
                self.outward.add(session, bound.outbox);
            }
            Event::Stanza { session, stanza, .. } => {
                if let Err(error) = self.inward.hand_over(session, stanza) {
                    self.reject(session, error);
                }
            }
            Event::Closed { session, reason } => self.end(session, &reason),
        }
    }

    fn end(&mut self, session: SessionId, reason: &CloseReason) {
        tracing::debug!(peer = %self.peer, ?reason, "session closed");
        self.binding.remove(&session);
        self.ending.remove(&session);
        self.outward.remove(session);
        let down = match reason {
            CloseReason::PeerClosed | CloseReason::Closed => Down::Closed,
            CloseReason::PeerError(_)
            | CloseReason::Error(_)
            | CloseReason::Refused(_)
            | CloseReason::Lost => Down::Lost,
        };
        if let Some(leaving) = self.inward.remove(session, down) {
            self.leaving.push(leaving);
        }
    }

    fn take_answer(&mut self, session: SessionId, answer: Answer) {
        if let Some(bound) = answer.bound {
            self.binding.insert(session, bound);
        }
        self.link.handle_reply(session, answer.reply, now());
        self.settle();
        // The session may have ended while its address was being found.
        self.binding.remove(&session);
    }

    fn take_handover(&mut self, taken: Taken) {
        if let Err((session, error)) = self.inward.finish_handover(taken) {
            self.reject(session, error);
        }
    }

    /// The home does not take a stanza. A client that breaks the rules is cut off at once.
    fn reject(&mut self, session: SessionId, error: StreamError) {
        if error.condition == StreamCondition::SystemShutdown {
            self.finish(session, Some(error));
        } else {
            self.link.close(session, Some(error));
        }
    }

    fn take_input(&mut self, input: Input) {
        let now = now();
        match &input {
            Input::Bytes(_, bytes) => {
                let wait = self.throttle.as_ref().and_then(|t| t.spend(bytes.len(), now));
                if let Some(wait) = wait {
                    self.inward.pause(now + wait);
                }
            }
            Input::Lost(orderly) => {
                tracing::debug!(peer = %self.peer, orderly, "connection lost");
                self.closing = Some(Code::None);
            }
            _ => {}
        }
        feed(&mut self.link, input, now);
    }

    /// Sends what an outbox has, as long as little waits to be written.
    fn take_outbound(&mut self, ready: Ready) {
        let session = ready.session;
        let Some(mut next) = ready.outbound else {
            let reason = ready.outbox.reason();
            return self.finish(session, reason);
        };
        let mut outbox = ready.outbox;
        loop {
            let class = outward::class(next.class);
            self.link.send(session, &next.stanza, class, now());
            self.settle();
            if !self.has_room(session) {
                break;
            }
            let Some(more) = outbox.try_recv() else { break };
            next = more;
        }
        self.outward.rest(session, outbox);
    }

    fn has_room(&self, session: SessionId) -> bool {
        !self.carrier.is_congested() && !self.link.is_congested(session)
    }

    /// Takes up reading and draining again where nothing stands against it.
    fn resume(&mut self) {
        let is_paused = self.inward.is_paused(now()) || self.carrier.is_overfull();
        self.carrier.set_paused(is_paused);
        if !self.carrier.is_congested() {
            let link = &self.link;
            self.outward.resume(|session| !link.is_congested(session));
        }
    }
}

/// The runtime's time: virtual in simulations.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
