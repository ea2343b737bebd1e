//! From the client to the router: stanzas to the home, and which streams may be read.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use longwire_core::event::Down;
use longwire_core::{SendError, SessionRef};
use longwire_link::{SessionId, StreamId};
use longwire_stanza::{Stanza, StreamError};

/// The sessions' inner ends.
#[derive(Default)]
pub(super) struct Inward {
    sessions: BTreeMap<SessionId, Session>,
    /// Whose stanzas came on a stream. One entry per stream that the peer has open.
    lanes: BTreeMap<StreamId, SessionId>,
    /// Streams whose bytes were dealt with and that are not being read. One entry per stream.
    resting: Vec<StreamId>,
    paused_until: Option<Instant>,
}

struct Session {
    reference: Arc<SessionRef>,
    /// Runs while a stanza waits for room in the shard's channel: the session is stuck.
    handover: Option<Handover>,
    /// Stanzas behind that one. They were parsed from bytes that had been read already: at most
    /// one chunk per stream, all within the connection's flow-control window.
    pending: VecDeque<Stanza>,
    /// Chunks of this session's streams that came in while it was stuck, one per stream.
    held: Vec<(StreamId, Bytes)>,
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
        let (pending, held) = (VecDeque::new(), Vec::new());
        self.sessions.insert(session, Session { reference, handover: None, pending, held });
    }

    /// Ends a session after what it has sent; the future does it.
    pub(super) fn remove(
        &mut self,
        session: SessionId,
        down: Down,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let Session { reference, handover, pending, .. } = self.sessions.remove(&session)?;
        self.lanes.retain(|_, owner| *owner != session);
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
    pub(super) fn hand_over(
        &mut self,
        id: SessionId,
        stream: StreamId,
        stanza: Stanza,
    ) -> Result<(), StreamError> {
        self.lanes.insert(stream, id);
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

    /// Goes on behind a stanza that had to wait. The chunks that were held back meanwhile are
    /// returned once nothing waits any more.
    ///
    /// # Errors
    /// The session to be ended, and the stream error for it.
    pub(super) fn finish_handover(
        &mut self,
        taken: Taken,
    ) -> Result<Vec<(StreamId, Bytes)>, (SessionId, StreamError)> {
        let id = taken.session;
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(Vec::new()) };
        taken.result.and_then(|()| session.go_on()).map_err(|e| (id, e.stream_error()))?;
        Ok(if session.is_stuck() { Vec::new() } else { std::mem::take(&mut session.held) })
    }

    /// Passes a chunk on, or keeps it while the session of its stream is stuck.
    pub(super) fn admit(&mut self, stream: StreamId, bytes: Bytes) -> Option<Bytes> {
        let owner = self.lanes.get(&stream).and_then(|id| self.sessions.get_mut(id));
        match owner {
            Some(session) if session.is_stuck() => {
                session.held.push((stream, bytes));
                None
            }
            _ => Some(bytes),
        }
    }

    /// A stream whose latest bytes were dealt with.
    pub(super) fn rest(&mut self, stream: StreamId) {
        self.resting.push(stream);
    }

    /// No stream is to be read before this time.
    pub(super) fn pause(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    pub(super) const fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// The resting streams that may be read again; they rest no more.
    pub(super) fn readable(&mut self, now: Instant) -> Vec<StreamId> {
        if self.paused_until.is_some_and(|until| now < until) {
            return Vec::new();
        }
        self.paused_until = None;
        let Self { sessions, lanes, resting, .. } = self;
        let stuck = |stream: &StreamId| {
            lanes.get(stream).and_then(|id| sessions.get(id)).is_some_and(Session::is_stuck)
        };
        resting.extract_if(.., |stream| !stuck(stream)).collect()
    }

    pub(super) fn forget_stream(&mut self, stream: StreamId) {
        self.lanes.remove(&stream);
        self.resting.retain(|resting| *resting != stream);
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
