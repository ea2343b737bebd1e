//! The moments that are not stanzas.
//!
//! A feature listens with [`Registrar::on`](crate::Registrar::on) and may emit events of its own
//! with [`Turn::emit`](crate::Turn::emit). Listeners cannot stop one another.

use std::any::Any;

use longwire_stanza::Stanza;

use crate::session::{Session, SessionId};

/// A moment that features may listen to.
pub trait Event: Any + Send {}

/// A session was bound. It has no presence yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionUp {
    /// The new session.
    pub session: SessionId,
}

/// A session has ended and is no longer among the turn's sessions.
#[derive(Debug)]
pub struct SessionDown {
    /// The session as it was, with its presence and its slots.
    pub session: Session,
    /// Why it ended.
    pub reason: Down,
    /// What was routed to the session and never taken by its connection, in order. Requests of
    /// others have been answered already.
    pub unsent: Vec<Stanza>,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// The client closed its stream.
    Closed,
    /// The connection broke.
    Lost,
    /// Another session of the account took the resource (RFC 6120 §7.7.2.2).
    Replaced,
    /// A feature closed it.
    Ended,
}

/// The account is about to be erased with all rows of its tables; its sessions end afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountRemoved;

impl Event for SessionUp {}
impl Event for SessionDown {}
impl Event for AccountRemoved {}
