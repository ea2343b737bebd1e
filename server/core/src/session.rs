//! Sessions: bound resources of accounts, as the home sees them and as a connection holds them.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use longwire_stanza::{FullJid, PresenceType, Stanza, StreamCondition, StreamError};
use smallvec::SmallVec;
use tokio::sync::mpsc;

use crate::event::Down;
use crate::shard::Command;

/// Names a session of this process; never reused while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A bound resource as the home sees it; changed with
/// [`Turn::update_session`](crate::Turn::update_session).
#[derive(Clone, Debug)]
pub struct Session {
    id: SessionId,
    jid: FullJid,
    presence: Option<Stanza>,
    priority: i8,
    slots: SmallVec<[(TypeId, Slot); 4]>,
}

/// A value that a feature keeps with a session.
#[derive(Clone)]
struct Slot(Arc<dyn Any + Send + Sync>);

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl Session {
    pub(crate) fn new(id: SessionId, jid: FullJid) -> Self {
        Self { id, jid, presence: None, priority: 0, slots: SmallVec::new() }
    }

    /// The session's name in this process.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The bound address.
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// The latest available presence that was broadcast; `None` when the session is not available.
    pub fn presence(&self) -> Option<&Stanza> {
        self.presence.as_ref()
    }

    /// True when the session has sent available presence.
    pub fn is_available(&self) -> bool {
        self.presence.is_some()
    }

    /// The priority of the latest presence (RFC 6121 §4.7.2.3); `None` without presence.
    pub fn priority(&self) -> Option<i8> {
        self.presence.as_ref().map(|_| self.priority)
    }

    /// Keeps the latest presence and its priority; anything but available presence clears it.
    pub fn set_presence(&mut self, presence: Option<Stanza>) {
        self.presence = presence.filter(|stanza| stanza.presence_type() == PresenceType::Available);
        self.priority = self.presence.as_ref().map_or(0, priority);
    }

    /// The value of this type that a feature keeps with the session.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        let wanted = TypeId::of::<T>();
        let (_, slot) = self.slots.iter().find(|(kind, _)| *kind == wanted)?;
        slot.0.downcast_ref()
    }

    /// Keeps a value with the session, in place of an earlier one of the same type.
    pub fn set<T: Any + Send + Sync>(&mut self, value: T) {
        self.remove::<T>();
        self.slots.push((TypeId::of::<T>(), Slot(Arc::new(value))));
    }

    /// Forgets the value of this type.
    pub fn remove<T: Any + Send + Sync>(&mut self) {
        self.slots.retain(|(kind, _)| *kind != TypeId::of::<T>());
    }
}

/// The priority that a presence stanza states; 0 when it states none, or nonsense.
fn priority(presence: &Stanza) -> i8 {
    presence
        .child(longwire_stanza::ns::CLIENT, "priority")
        .and_then(|child| child.text().trim().parse().ok())
        .unwrap_or(0)
}

/// Why a stanza was not taken from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The stanza claims to come from somebody else (RFC 6120 §8.1.2.1): end the stream with
    /// [`stream_error`](Self::stream_error).
    #[error("the stanza's from is not the session's address")]
    InvalidFrom,
    /// The router has stopped: end the stream.
    #[error("the router has stopped")]
    Stopped,
}

impl SendError {
    /// The stream error with which the connection ends the stream.
    pub fn stream_error(self) -> StreamError {
        StreamError::new(match self {
            Self::InvalidFrom => StreamCondition::InvalidFrom,
            Self::Stopped => StreamCondition::SystemShutdown,
        })
    }
}

/// A connection's end of a session: stanzas go in here, and come out of the
/// [`Outbox`](crate::Outbox). Dropping it ends the session as [`Down::Lost`].
#[derive(Debug)]
pub struct SessionRef {
    id: SessionId,
    jid: FullJid,
    commands: mpsc::Sender<Command>,
    open: bool,
}

impl SessionRef {
    pub(crate) fn new(id: SessionId, jid: FullJid, commands: mpsc::Sender<Command>) -> Self {
        Self { id, jid, commands, open: true }
    }

    /// The session's name in this process.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The bound address.
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// Hands a stanza of the client to its home, stamped with the bound address; waits while the
    /// home's shard is full, so that the connection stops reading.
    ///
    /// # Errors
    /// [`SendError`] says how to end the stream.
    ///
    /// # Cancel safety
    /// Cancelled before it is ready, the stanza was not taken.
    pub async fn send(&self, stanza: Stanza) -> Result<(), SendError> {
        let stanza = self.stamp(stanza)?;
        let command = Command::Stanza { session: self.id, stanza };
        self.commands.send(command).await.map_err(|_| SendError::Stopped)
    }

    /// Ends the session after everything that was sent before.
    ///
    /// # Cancel safety
    /// Cancelled, the session ends as [`Down::Lost`].
    pub async fn close(mut self, reason: Down) {
        let command = Command::Close { session: self.id, reason };
        if self.commands.send(command).await.is_ok() {
            self.open = false;
        }
    }

    /// The stanza with the session's address (RFC 6120 §8.1.2.1: the client may write its full or
    /// its bare address, or nothing).
    fn stamp(&self, stanza: Stanza) -> Result<Stanza, SendError> {
        match stanza.from() {
            Some(from) if *from == self.jid => Ok(stanza),
            Some(from) if from.as_str() != self.jid.bare_str() => Err(SendError::InvalidFrom),
            _ => Ok(stanza.with_from(&self.jid)),
        }
    }
}

impl Drop for SessionRef {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let command = Command::Close { session: self.id, reason: Down::Lost };
        let Err(mpsc::error::TrySendError::Full(command)) = self.commands.try_send(command) else {
            return;
        };
        // The end must arrive after the stanzas before it, so it waits its turn; there is at most
        // one such task per session.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let commands = self.commands.clone();
            runtime.spawn(async move { commands.send(command).await });
        }
    }
}
