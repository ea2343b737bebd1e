//! From the client to the router: stanzas to the home, and whether more may be read.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use longwire_core::event::Down;
use longwire_core::{SendError, SessionRef};
use longwire_link::SessionId;
use longwire_stanza::{Stanza, StreamError};

/// The sessions' inner ends.
#[derive(Default)]
pub(super) struct Inward {
    sessions: BTreeMap<SessionId, Session>,
    paused_until: Option<Instant>,
}

struct Session {
    reference: Arc<SessionRef>,
    /// Runs while a stanza waits for room in the shard's channel: the session is stuck.
    handover: Option<Handover>,
    /// Stanzas behind that one. They were parsed from the one chunk that had been read already,
    /// or had waited in the link for the end of the negotiation: both are bounded there.
    pending: VecDeque<Stanza>,
}

/// A stanza of this session was taken after a wait, or not.
pub(super) struct Taken {
    session: SessionId,
    result: Result<(), SendError>,
}

type Handover = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send>>;

impl Inward {
    pub(super) fn add(&mut self, session: SessionId, reference: SessionRef) {
        let reference = Arc::new(reference);
        let pending = VecDeque::new();
        self.sessions.insert(session, Session { reference, handover: None, pending });
    }

    /// Ends a session after what it has sent; the future does it.
    pub(super) fn remove(
        &mut self,
        session: SessionId,
        down: Down,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let Session { reference, handover, pending, .. } = self.sessions.remove(&session)?;
        Some(Box::pin(async move {
            if let Some(handover) = handover
                && handover.await.is_err()
            {
                return;
            }
            for stanza in pending {
                if reference.send(stanza).await.is_err() {
                    return;
                }
            }
            if let Some(reference) = Arc::into_inner(reference) {
                reference.close(down).await;
            }
        }))
    }

    /// Gives a stanza to its home, now or as soon as there is room.
    ///
    /// # Errors
    /// The stream error that ends the session.
    pub(super) fn hand_over(&mut self, id: SessionId, stanza: Stanza) -> Result<(), StreamError> {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        session.pending.push_back(stanza);
        session.go_on().map_err(SendError::stream_error)
    }

    pub(super) fn poll_taken(&mut self, context: &mut Context<'_>) -> Poll<Taken> {
        for (id, session) in &mut self.sessions {
            let Some(handover) = &mut session.handover else { continue };
            if let Poll::Ready(result) = handover.as_mut().poll(context) {
                session.handover = None;
                return Poll::Ready(Taken { session: *id, result });
            }
        }
        Poll::Pending
    }

    /// Goes on behind a stanza that had to wait.
    ///
    /// # Errors
    /// The session to be ended, and the stream error for it.
    pub(super) fn finish_handover(&mut self, taken: Taken) -> Result<(), (SessionId, StreamError)> {
        let id = taken.session;
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        taken.result.and_then(|()| session.go_on()).map_err(|error| (id, error.stream_error()))
    }

    /// Nothing is to be read before this time.
    pub(super) fn pause(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    pub(super) const fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Whether reading has to wait: for time to pass, or for a shard to have room.
    pub(super) fn is_paused(&mut self, now: Instant) -> bool {
        self.paused_until = self.paused_until.filter(|until| now < *until);
        self.paused_until.is_some() || self.sessions.values().any(Session::is_stuck)
    }
}

impl Session {
    const fn is_stuck(&self) -> bool {
        self.handover.is_some()
    }

    /// Hands over what is pending, until the shard has no room.
    fn go_on(&mut self) -> Result<(), SendError> {
        while self.handover.is_none()
            && let Some(stanza) = self.pending.pop_front()
        {
            // A send that is not done at once has not taken the stanza.
            let mut context = Context::from_waker(Waker::noop());
            match pin!(self.reference.send(stanza.clone())).poll(&mut context) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    let reference = Arc::clone(&self.reference);
                    self.handover = Some(Box::pin(async move { reference.send(stanza).await }));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use longwire_accounts::{ENTROPY_BYTES, NewPassword, Password};
    use longwire_core::{Hosts, Limits, Outbox, Router, RouterConfig, TokioClock};
    use longwire_stanza::{BareJid, IqType};
    use longwire_store::{MemoryOptions, Store};
    use longwire_xml::Element;

    use super::*;

    pub(in crate::connection) const SESSION: SessionId = SessionId(0);

    /// A session whose shard has room for one input.
    pub(in crate::connection) async fn session() -> (Inward, Outbox, Router) {
        let registry = crate::features::default_registry().unwrap();
        let store = Store::memory(&registry.tables(), MemoryOptions::default()).unwrap();
        let alice = BareJid::new("alice@a.example").unwrap();
        let password = Password::new("x").unwrap();
        let entropy = [1; ENTROPY_BYTES];
        let new = NewPassword { password: &password, iterations: 0, entropy: &entropy };
        longwire_accounts::create(&store, &alice, new, 0).await.unwrap();
        let config = RouterConfig {
            hosts: Hosts::new([BareJid::new("a.example").unwrap()]),
            shards: 1,
            limits: Limits { shard_input: 1, ..Limits::default() },
        };
        let clock = Arc::new(TokioClock::new(0));
        let router = Router::start(config, registry, store, clock, [0; 32]).await.unwrap();
        let (reference, outbox) = router.bind(&alice, None).await.unwrap();
        let mut inward = Inward::default();
        inward.add(SESSION, reference);
        (inward, outbox, router)
    }

    pub(in crate::connection) fn ping(id: usize) -> Stanza {
        let payload = Element::new("urn:xmpp:ping", "ping");
        Stanza::iq(IqType::Get).id(&id.to_string()).child(payload).build()
    }

    // The shard cannot run before this task waits: everything in between is one moment.
    #[tokio::test]
    async fn a_full_shard_stops_the_reading_and_nothing_is_lost_or_reordered() {
        let (mut inward, mut outbox, _router) = session().await;
        let now = crate::connection::now();
        inward.hand_over(SESSION, ping(0)).unwrap();
        assert!(!inward.is_paused(now));
        for id in 1..10 {
            inward.hand_over(SESSION, ping(id)).unwrap();
            assert!(inward.is_paused(now), "after {id}");
        }
        while inward.is_paused(now) {
            let taken = poll_fn(|context| inward.poll_taken(context)).await;
            inward.finish_handover(taken).map_err(|(_, error)| error).unwrap();
        }
        for id in 0..10 {
            let answer = outbox.recv().await.unwrap().stanza;
            assert_eq!(answer.id(), Some(id.to_string().as_str()));
        }
    }

    #[tokio::test]
    async fn a_session_that_leaves_in_good_order_leaves_what_it_said() {
        let (mut inward, mut outbox, _router) = session().await;
        for id in 0..10 {
            inward.hand_over(SESSION, ping(id)).unwrap();
        }
        inward.remove(SESSION, Down::Closed).unwrap().await;
        let mut answers = 0;
        while outbox.recv().await.is_some() {
            answers += 1;
        }
        assert_eq!(answers, 10);
    }

    #[tokio::test]
    async fn a_pause_ends_by_itself() {
        let mut inward = Inward::default();
        let now = crate::connection::now();
        let until = now + Duration::from_millis(10);
        inward.pause(until);
        inward.pause(now);
        assert!(inward.is_paused(now));
        assert_eq!(inward.paused_until(), Some(until));
        assert!(!inward.is_paused(until));
        assert_eq!(inward.paused_until(), None);
    }
}
