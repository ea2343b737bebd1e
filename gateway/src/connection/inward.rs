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
