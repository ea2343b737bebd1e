//! From the router to the client: the outboxes that are being drained, and those that rest.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};
use longwire_core::{Class, Outbound, Outbox};
use longwire_link::SessionId;

/// The sessions' outboxes.
#[derive(Default)]
pub(super) struct Outward {
    live: BTreeSet<SessionId>,
    waiting: FuturesUnordered<Waiting>,
    /// Outboxes that are not drained because enough waits to be written. One per session.
    resting: Vec<(SessionId, Outbox)>,
}

type Waiting = Pin<Box<dyn Future<Output = Ready> + Send>>;

/// An outbox that has something, or that has come to its end.
pub(super) struct Ready {
    pub(super) session: SessionId,
    pub(super) outbox: Outbox,
    pub(super) outbound: Option<Outbound>,
}

impl Outward {
    pub(super) fn add(&mut self, session: SessionId, outbox: Outbox) {
        self.live.insert(session);
        self.wait(session, outbox);
    }

    pub(super) fn remove(&mut self, session: SessionId) {
        self.live.remove(&session);
        self.resting.retain(|(resting, _)| *resting != session);
    }

    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Ready> {
        while let Poll::Ready(Some(ready)) = self.waiting.poll_next_unpin(context) {
            if self.live.contains(&ready.session) {
                return Poll::Ready(ready);
            }
        }
        Poll::Pending
    }

    /// Puts an outbox aside until [`Self::resume`].
    pub(super) fn rest(&mut self, session: SessionId, outbox: Outbox) {
        if self.live.contains(&session) {
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

    fn wait(&self, session: SessionId, mut outbox: Outbox) {
        self.waiting.push(Box::pin(async move {
            let outbound = outbox.recv().await;
            Ready { session, outbox, outbound }
        }));
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
