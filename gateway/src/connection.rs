//! One connection, one task: the transport, the link and the sessions of the router.
//!
//! The task never waits for a shard. When a shard's channel is full, the stanza that did not fit
//! is handed over in the background, and until it is taken the streams of that session are not
//! read: flow control then stops the sender. In the other direction an outbox is drained only
//! while little waits to be written.

mod inward;
mod outward;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use longwire_core::event::Down;
use longwire_link::negotiate::Security;
use longwire_link::sasl::SaslCondition;
use longwire_link::{CloseReason, Code, Event, Link, SessionId, StreamId};
use longwire_stanza::{StreamCondition, StreamError};
use tokio::sync::watch;
use tokio::time::Sleep;

use crate::admission::Permit;
use crate::answer::{self, Answer, Bound};
use crate::limits::{NO_TIMER, WRITE_BACKLOG};
use crate::shared::{Shared, Stage};
use crate::throttle::Throttle;
use crate::transport::{Applied, Closing, Input, Transport};
use inward::{Inward, Taken};
use outward::{Outward, Ready};

type Answering = Pin<Box<dyn Future<Output = (SessionId, Answer)> + Send>>;
type Leaving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection and all that belongs to it.
struct Connection {
    shared: Arc<Shared>,
    peer: SocketAddr,
    permit: Permit,
    transport: Transport,
    link: Link,
    /// From the client to the router.
    inward: Inward,
    /// From the router to the client.
    outward: Outward,
    answers: FuturesUnordered<Answering>,
    /// Sessions that were bound but whose client does not know it yet.
    binding: BTreeMap<SessionId, Bound>,
    leaving: FuturesUnordered<Leaving>,
    throttle: Option<Throttle>,
    stage: watch::Receiver<Stage>,
    draining: bool,
    timer: Pin<Box<Sleep>>,
    input_first: bool,
    closing: Option<Closing>,
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
    transport: Transport,
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
        transport,
        link,
        inward: Inward::default(),
        outward: Outward::default(),
        answers: FuturesUnordered::new(),
        binding: BTreeMap::new(),
        leaving: FuturesUnordered::new(),
        throttle: None,
        draining: false,
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
            self.resume();
        };
        // Nothing is taken from the outboxes any more; what is in them goes back to the homes.
        self.outward = Outward::default();
        self.binding.clear();
        let left = async { while self.leaving.next().await.is_some() {} };
        tokio::join!(self.transport.finish(closing), left);
    }

    /// Waits for whatever happens first. Input and output take turns when both are ready.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    async fn step(&mut self) -> Step {
        self.set_timer();
        let Self { transport, answers, inward, outward, leaving, stage, timer, .. } = self;
        let mut input = pin!(transport.next());
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
        let wanted = [self.link.poll_timeout(), self.inward.paused_until()];
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

    /// Says goodbye to every session because the server stops.
    fn start_drain(&mut self) {
        self.draining = true;
        self.link.shutdown(&StreamError::new(StreamCondition::SystemShutdown));
    }

    /// Carries out what the link decided, until it has nothing more to say.
    fn settle(&mut self) {
        loop {
            while let Some(action) = self.link.poll_action() {
                match self.transport.apply(action) {
                    Applied::Done => {}
                    Applied::Opened(ticket, answer) => {
                        self.link.handle_opened(ticket, answer, now());
                    }
                    Applied::Close(closing) => self.closing = self.closing.or(Some(closing)),
                }
            }
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
            Event::Stanza { session, stanza, stream } => {
                if let Err(error) = self.inward.hand_over(session, stream, stanza) {
                    self.link.close(session, Some(error));
                }
            }
            Event::Closed { session, reason } => self.end(session, &reason),
        }
    }

    fn end(&mut self, session: SessionId, reason: &CloseReason) {
        tracing::debug!(peer = %self.peer, ?reason, "session closed");
        self.binding.remove(&session);
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
        match self.inward.finish_handover(taken) {
            Ok(held) => {
                for (stream, bytes) in held {
                    self.take_chunk(stream, bytes);
                }
            }
            Err((session, error)) => self.link.close(session, Some(error)),
        }
    }

    fn take_input(&mut self, input: Input) {
        let now = now();
        match input {
            Input::Opened(stream, direction) => self.link.handle_stream(stream, direction, now),
            Input::Bytes(stream, bytes) => {
                let wait = self.throttle.as_ref().and_then(|t| t.spend(bytes.len(), now));
                if let Some(wait) = wait {
                    self.inward.pause(now + wait);
                }
                self.take_chunk(stream, bytes);
            }
            Input::Finished(stream) => {
                self.inward.forget_stream(stream);
                self.link.handle_finished(stream, now);
            }
            Input::Reset(stream) => {
                self.inward.forget_stream(stream);
                self.link.handle_reset(stream, now);
            }
            Input::Stopped(stream) => self.link.handle_stopped(stream, now),
            Input::Drained(stream) => self.link.handle_drained(stream, now),
            Input::Secured(info) => self.link.handle_tls(*info, now),
            Input::Written => {}
            Input::Lost(why) => {
                tracing::debug!(peer = %self.peer, why, "connection lost");
                self.link.handle_lost();
                self.closing = Some(Closing(Code::None));
            }
        }
    }

    /// Gives bytes to the link, unless their session is stuck, and lets their stream rest.
    fn take_chunk(&mut self, stream: StreamId, bytes: Bytes) {
        let Some(bytes) = self.inward.admit(stream, bytes) else { return };
        self.link.handle_bytes(stream, bytes, now());
        self.settle();
        self.inward.rest(stream);
    }

    /// Sends what an outbox has, as long as little waits to be written.
    fn take_outbound(&mut self, ready: Ready) {
        let session = ready.session;
        let Some(mut next) = ready.outbound else {
            let reason = ready.outbox.reason();
            self.outward.remove(session);
            self.link.close(session, reason);
            return;
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
        self.transport.backlog() < WRITE_BACKLOG && !self.link.is_congested(session)
    }

    /// Takes up reading and draining again where nothing stands against it.
    fn resume(&mut self) {
        for stream in self.inward.readable(now()) {
            self.transport.read_again(stream);
        }
        if self.transport.backlog() < WRITE_BACKLOG {
            let link = &self.link;
            self.outward.resume(|session| !link.is_congested(session));
        }
    }
}

/// The runtime's time: virtual in simulations.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
