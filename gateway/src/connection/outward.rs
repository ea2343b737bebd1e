//! From the router to the client: the outboxes that are being drained, and those that rest.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{AbortHandle, Aborted, abortable};
use futures_util::stream::{FuturesUnordered, StreamExt};
use longwire_core::{Class, Outbound, Outbox};
use longwire_link::SessionId;

/// The sessions' outboxes.
#[derive(Default)]
pub(super) struct Outward {
    /// What ends the wait of each session's outbox.
    live: BTreeMap<SessionId, AbortHandle>,
    waiting: FuturesUnordered<Waiting>,
    /// Outboxes that are not drained because enough waits to be written. One per session.
    resting: Vec<(SessionId, Outbox)>,
}

type Waiting = Pin<Box<dyn Future<Output = Result<Ready, Aborted>> + Send>>;

/// An outbox that has something, or that has come to its end.
pub(super) struct Ready {
    pub(super) session: SessionId,
    pub(super) outbox: Outbox,
    pub(super) outbound: Option<Outbound>,
}

impl Outward {
    pub(super) fn add(&mut self, session: SessionId, outbox: Outbox) {
        self.wait(session, outbox);
    }

    /// Takes nothing more for a session: what its outbox holds goes back to its home.
    pub(super) fn remove(&mut self, session: SessionId) {
        if let Some(waiting) = self.live.remove(&session) {
            waiting.abort();
        }
        self.resting.retain(|(resting, _)| *resting != session);
    }

    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Ready> {
        while let Poll::Ready(Some(ready)) = self.waiting.poll_next_unpin(context) {
            // An outbox whose session has ended is dropped here, before anything is taken from it.
            if let Ok(ready) = ready {
                return Poll::Ready(ready);
            }
        }
        Poll::Pending
    }

    /// True when no session has an outbox here.
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Puts an outbox aside until [`Self::resume`].
    pub(super) fn rest(&mut self, session: SessionId, outbox: Outbox) {
        if self.live.contains_key(&session) {
            self.resting.push((session, outbox));
        }
    }

    /// Goes on with the outboxes of sessions for which there is room.
    pub(super) fn resume(&mut self, has_room: impl Fn(SessionId) -> bool) {
        for (session, outbox) in std::mem::take(&mut self.resting) {
            if has_room(session) {
                self.wait(session, outbox);
            } else {
                self.resting.push((session, outbox));
            }
        }
    }

    fn wait(&mut self, session: SessionId, mut outbox: Outbox) {
        let (waiting, handle) = abortable(async move {
            let outbound = outbox.recv().await;
            Ready { session, outbox, outbound }
        });
        self.waiting.push(Box::pin(waiting));
        self.live.insert(session, handle);
    }
}

/// The link's word for a class.
pub(super) const fn class(class: Class) -> longwire_link::Class {
    match class {
        Class::Own => longwire_link::Class::Own,
        Class::Chat => longwire_link::Class::Chat,
        Class::Room => longwire_link::Class::Room,
        Class::Presence => longwire_link::Class::Presence,
        Class::Bulk => longwire_link::Class::Bulk,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use super::super::inward::tests::{SESSION, ping, session};
    use super::*;

    /// Polls once, without waiting.
    fn poll(outward: &mut Outward) -> Poll<Ready> {
        outward.poll_ready(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn nothing_is_taken_for_a_session_that_has_ended() {
        let (mut inward, outbox, router) = session().await;
        let mut outward = Outward::default();
        outward.add(SESSION, outbox);
        assert!(poll(&mut outward).is_pending());
        inward.hand_over(SESSION, ping(0)).unwrap();
        let first = poll_fn(|context| outward.poll_ready(context)).await;
        assert!(first.outbound.is_some());
        // The answer to the next one waits when the session ends, and must stay in the outbox.
        outward.rest(SESSION, first.outbox);
        outward.resume(|_| true);
        assert!(poll(&mut outward).is_pending());
        outward.remove(SESSION);
        assert!(outward.is_empty());
        inward.hand_over(SESSION, ping(1)).unwrap();
        assert!(poll(&mut outward).is_pending());
        // A job in the same shard comes after the request.
        router.in_home(&"alice@a.example".parse().unwrap(), |_| ()).await.unwrap();
        assert_eq!(router.counters().outbox_refused, 1, "the home knows that nobody took it");
    }
}
