//! The bounded queue between a home and the connection of one of its sessions.
//!
//! One queue holds both what still waits for the journal and what the connection may take, so
//! that nothing overtakes anything. A lock, not a channel: a full queue replaces presence inside
//! the queue, which a channel cannot do; it is held for a few field accesses at a time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longwire_stanza::{IqType, Kind, MessageType, PresenceType, Stanza, StreamError};
use longwire_store::Lsn;
use tokio::sync::Notify;

use crate::limits::Limits;

/// What kind of traffic a stanza is, for the link's scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Of the server or of the own account: roster pushes, answers, copies.
    Own,
    /// One-to-one traffic.
    Chat,
    /// Traffic of rooms.
    Room,
    /// Presence.
    Presence,
    /// Large and patient: archive pages, room history.
    Bulk,
}

impl Class {
    /// The class of a stanza for a session of `account`, from its header.
    pub fn of(stanza: &Stanza, account: &str) -> Self {
        let own = stanza.from().is_none_or(|from| from.is_domain() || from.bare_str() == account);
        match stanza.kind() {
            Kind::Presence => Self::Presence,
            _ if own => Self::Own,
            Kind::Message if stanza.message_type() == MessageType::Groupchat => Self::Room,
            Kind::Message | Kind::Iq => Self::Chat,
        }
    }
}

/// A stanza for the client.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// The stanza.
    pub stanza: Stanza,
    /// Its class.
    pub class: Class,
}

/// The connection's end: takes what the home has released.
///
/// Dropping it makes the home treat the session as unreachable until it ends.
pub struct Outbox {
    shared: Arc<Shared>,
}

impl Outbox {
    /// The next stanza; `None` when the router has ended the session and everything before that
    /// was taken: [`reason`](Self::reason) then tells what to say to the client.
    ///
    /// # Cancel safety
    /// Cancelled, no stanza is lost.
    pub async fn recv(&mut self) -> Option<Outbound> {
        loop {
            {
                let mut queue = self.shared.lock();
                if let Some(outbound) = queue.pop() {
                    return Some(outbound);
                }
                if queue.end.is_some() && queue.items.is_empty() {
                    return None;
                }
            }
            self.shared.ready.notified().await;
        }
    }

    /// The next stanza, if one is there.
    pub fn try_recv(&mut self) -> Option<Outbound> {
        self.shared.lock().pop()
    }

    /// The stream error with which the router ended the session; `None` while it lives and when
    /// it ended on the client's wish.
    pub fn reason(&self) -> Option<StreamError> {
        self.shared.lock().end.clone().flatten()
    }
}

#[cfg(any(test, feature = "testkit"))]
impl Outbox {
    /// Puts stanzas back to the front, for a test that looked for another one.
    pub(crate) fn put_back(&self, stanzas: Vec<Stanza>, account: &str) {
        let mut queue = self.shared.lock();
        for stanza in stanzas.into_iter().rev() {
            let (bytes, class) = (stanza.wire_len(), Class::of(&stanza, account));
            queue.bytes += bytes;
            queue.open += 1;
            let outbound = Outbound { stanza, class };
            queue.items.push_front(Item { gate: Lsn::ZERO, bytes, outbound });
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.shared.lock().gone = true;
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("waiting", &self.shared.lock().items.len()).finish()
    }
}

/// What became of a stanza that was offered to an outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It waits for the connection.
    Open,
    /// It waits for the journal; `first` when nothing before it does.
    Held { first: bool },
    /// The outbox is full; it replaced older presence of the same sender.
    Coalesced,
    /// The outbox is full; nobody will miss it.
    Dropped,
    /// The outbox is full; its sender must be told.
    Full,
    /// The connection is gone.
    Gone,
}

/// The home's end.
#[derive(Clone)]
pub(crate) struct Sender {
    shared: Arc<Shared>,
}

/// A new queue.
pub(crate) fn channel(limits: &Limits) -> (Sender, Outbox) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        ready: Notify::new(),
        stanzas: limits.outbox_stanzas,
        bytes: limits.outbox_bytes,
        answers: limits.outbox_answers,
    });
    (Sender { shared: Arc::clone(&shared) }, Outbox { shared })
}

struct Shared {
    queue: Mutex<Queue>,
    ready: Notify,
    stanzas: usize,
    bytes: usize,
    answers: usize,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// How many items, from the front, the connection may take.
    open: usize,
    bytes: usize,
    /// Set when the router has ended the session, with what to tell the client.
    end: Option<Option<StreamError>>,
    /// The connection has dropped its end.
    gone: bool,
}

struct Item {
    gate: Lsn,
    bytes: usize,
    outbound: Outbound,
}

impl Sender {
    /// Appends a stanza that may leave when the journal is durable up to `gate`.
    pub(crate) fn offer(&self, outbound: Outbound, gate: Lsn, durable: Lsn) -> Offer {
        let mut queue = self.shared.lock();
        if queue.gone || queue.end.is_some() {
            return Offer::Gone;
        }
        let bytes = outbound.stanza.wire_len();
        let full = queue.items.len() >= self.shared.stanzas
            || queue.bytes.saturating_add(bytes) > self.shared.bytes;
        if full {
            match importance(&outbound.stanza) {
                Importance::Answer if self.shared.answer_fits(&queue) => {}
                Importance::Answer | Importance::Disposable => return Offer::Dropped,
                Importance::Presence => {
                    return queue.coalesce(outbound, gate, durable, self.shared.bytes);
                }
                Importance::Full => return Offer::Full,
            }
        }
        queue.bytes += bytes;
        queue.items.push_back(Item { gate, bytes, outbound });
        let first = queue.open + 1 == queue.items.len();
        if !first || gate > durable {
            return Offer::Held { first };
        }
        queue.open += 1;
        drop(queue);
        self.shared.ready.notify_one();
        Offer::Open
    }

    /// Lets the connection take what waited for the journal up to `durable`; returns the next
    /// gate that something waits for.
    pub(crate) fn release(&self, durable: Lsn) -> Option<Lsn> {
        let mut queue = self.shared.lock();
        let before = queue.open;
        while queue.items.get(queue.open).is_some_and(|item| item.gate <= durable) {
            queue.open += 1;
        }
        let next = queue.items.get(queue.open).map(|item| item.gate);
        let moved = queue.open > before;
        drop(queue);
        if moved {
            self.shared.ready.notify_one();
        }
        next
    }

    /// Ends the session: the connection takes what is waiting and then learns the reason.
    pub(crate) fn end(&self, reason: Option<StreamError>) {
        let mut queue = self.shared.lock();
        if queue.end.is_none() {
            queue.end = Some(reason);
        }
        drop(queue);
        self.shared.ready.notify_one();
    }

    /// Ends the session and gives up what still waits for the journal: it has failed, or nobody
    /// will be here when it is durable.
    pub(crate) fn abort(&self, reason: StreamError) {
        let mut queue = self.shared.lock();
        let open = queue.open;
        queue.items.truncate(open);
        queue.bytes = queue.items.iter().map(|item| item.bytes).sum();
        queue.end.get_or_insert(Some(reason));
        drop(queue);
        self.shared.ready.notify_one();
    }

    /// Takes what the connection will never get, when the session has ended: everything when the
    /// connection is gone, and what still waits for the journal when it is not. The number is what
    /// must be durable before anything of it leaves in another way.
    pub(crate) fn unsent(&self) -> (Vec<Stanza>, Lsn) {
        let mut queue = self.shared.lock();
        let kept = if queue.gone { 0 } else { queue.open };
        let rest = queue.items.split_off(kept);
        queue.open = kept;
        queue.bytes -= rest.iter().map(|item| item.bytes).sum::<usize>();
        drop(queue);
        self.shared.ready.notify_one();
        let gate = rest.iter().map(|item| item.gate).max().unwrap_or(Lsn::ZERO);
        (rest.into_iter().map(|item| item.outbound.stanza).collect(), gate)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while the lock is held, and a queue is consistent between statements.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer_fits(&self, queue: &Queue) -> bool {
        queue.items.len() < self.stanzas + self.answers
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Outbound> {
        if self.open == 0 {
            return None;
        }
        let item = self.items.pop_front()?;
        self.open -= 1;
        self.bytes -= item.bytes;
        Some(item.outbound)
    }

    /// Replaces the latest waiting presence of the same sender, so that the client still learns
    /// the newest state.
    fn coalesce(&mut self, outbound: Outbound, gate: Lsn, durable: Lsn, limit: usize) -> Offer {
        if !is_state(&outbound.stanza) {
            return Offer::Dropped;
        }
        let same = |item: &Item| {
            is_state(&item.outbound.stanza) && item.outbound.stanza.from() == outbound.stanza.from()
        };
        let Some(place) = self.items.iter().rposition(same) else {
            return Offer::Dropped;
        };
        let Some(item) = self.items.get_mut(place) else {
            return Offer::Dropped;
        };
        let bytes = outbound.stanza.wire_len();
        let grown = self.bytes - item.bytes + bytes;
        let too_early = place < self.open && gate > durable;
        if too_early || (bytes > item.bytes && grown > limit) {
            return Offer::Dropped;
        }
        self.bytes = grown;
        *item = Item { gate: gate.max(item.gate), bytes, outbound };
        Offer::Coalesced
    }
}

/// True for presence that says whether somebody is there, not for subscriptions and probes.
fn is_state(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Presence
        && matches!(stanza.presence_type(), PresenceType::Available | PresenceType::Unavailable)
}

/// How a full outbox treats a stanza.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Importance {
    Presence,
    /// A chat state without anything else (XEP-0085 §5.1).
    Disposable,
    /// The answer to something that the client asked for.
    Answer,
    Full,
}

fn importance(stanza: &Stanza) -> Importance {
    match stanza.kind() {
        Kind::Presence => Importance::Presence,
        Kind::Iq if matches!(stanza.iq_type(), IqType::Result | IqType::Error) => {
            Importance::Answer
        }
        Kind::Message if stanza.message_type() == MessageType::Error => Importance::Answer,
        Kind::Message if is_chat_state(stanza) => Importance::Disposable,
        Kind::Message | Kind::Iq => Importance::Full,
    }
}

fn is_chat_state(stanza: &Stanza) -> bool {
    let mut states = 0;
    for child in stanza.children() {
        match child.namespace() {
            CHAT_STATES => states += 1,
            HINTS => {}
            longwire_stanza::ns::CLIENT if child.name() == "thread" => {}
            _ => return false,
        }
    }
    states > 0
}

/// Chat state notifications (XEP-0085).
const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// Message processing hints (XEP-0334).
const HINTS: &str = "urn:xmpp:hints";

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use longwire_stanza::{FullJid, StreamCondition};

    use super::*;

    const NOW: Lsn = Lsn::new(5);
    const LATER: Lsn = Lsn::new(6);

    fn presence(show: &str) -> Outbound {
        let from = FullJid::new("alice@a.example/x").unwrap();
        let show = longwire_xml::Element::new(longwire_stanza::ns::CLIENT, "show").text(show);
        let stanza = Stanza::presence(PresenceType::Available).from(&from).child(show).build();
        Outbound { stanza, class: Class::Presence }
    }

    fn show(outbound: Option<Outbound>) -> Option<String> {
        outbound?.stanza.child_text("show").map(|text| text.into_owned())
    }

    fn one() -> (Sender, Outbox) {
        channel(&Limits { outbox_stanzas: 1, ..Limits::default() })
    }

    #[test]
    fn presence_that_is_not_durable_does_not_replace_what_may_leave() {
        let (sender, mut outbox) = one();
        assert_eq!(sender.offer(presence("away"), NOW, NOW), Offer::Open);
        assert_eq!(sender.offer(presence("dnd"), LATER, NOW), Offer::Dropped);
        assert_eq!(show(outbox.try_recv()).as_deref(), Some("away"));
        // What waits itself is replaced, and waits for the later of the two.
        assert_eq!(sender.offer(presence("away"), LATER, NOW), Offer::Held { first: true });
        assert_eq!(sender.offer(presence("dnd"), NOW, NOW), Offer::Coalesced);
        assert_eq!(sender.release(NOW), Some(LATER));
        assert!(outbox.try_recv().is_none());
        assert_eq!(sender.release(LATER), None);
        assert_eq!(show(outbox.try_recv()).as_deref(), Some("dnd"));
    }

    #[test]
    fn an_ended_session_does_not_wait_for_the_journal() {
        let (sender, mut outbox) = channel(&Limits::default());
        let held = Offer::Held { first: true };
        assert_eq!(sender.offer(presence("away"), NOW, NOW), Offer::Open);
        assert_eq!(sender.offer(presence("dnd"), LATER, NOW), held);
        sender.end(Some(StreamError::new(StreamCondition::Conflict)));
        let (unsent, gate) = sender.unsent();
        assert_eq!((unsent.len(), gate), (1, LATER));
        assert_eq!(sender.offer(presence("xa"), NOW, NOW), Offer::Gone);
        let mut next = || {
            let mut receiving = pin!(outbox.recv());
            receiving.as_mut().poll(&mut Context::from_waker(Waker::noop())).map(show)
        };
        assert_eq!(next(), Poll::Ready(Some("away".to_owned())));
        assert_eq!(next(), Poll::Ready(None));
        let reason = outbox.reason().map(|error| error.condition);
        assert_eq!(reason, Some(StreamCondition::Conflict));
    }
}
