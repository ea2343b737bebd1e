//! One outgoing lane: a stream, or the wish for one.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use longwire_stanza::BareJid;

use crate::stream::{Class, Direction, StreamId};

/// Names a lane for as long as the session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId(pub(super) u32);

impl LaneId {
    /// The Primary stream.
    pub(super) const PRIMARY: Self = Self(0);
}

/// What a lane is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Stream-level elements, server and own-account traffic.
    Primary,
    /// One conversation; others may join it when streams are short.
    Dedicated,
    /// Presence of contacts without a conversation, by hash.
    Presence(u64),
    /// Archive pages and other large things.
    Bulk,
}

/// How far a lane is.
#[derive(Debug)]
pub(super) enum State {
    /// The transport has been asked for a stream.
    Opening { direction: Direction, queue: VecDeque<Queued> },
    /// Stanzas flow.
    Open { stream: StreamId },
    /// Finished; the peer has not acknowledged all of it yet, so its pairs may not move.
    Draining { stream: StreamId, held: VecDeque<Queued> },
}

/// A rendered stanza that waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) peer: Option<BareJid>,
    pub(super) class: Class,
    pub(super) bytes: Bytes,
}

/// A lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) state: State,
    pub(super) purpose: Use,
    pub(super) level: i32,
    pub(super) used: Instant,
}

impl Lane {
    pub(super) fn primary(stream: StreamId, now: Instant) -> Self {
        let level = Class::Own.level();
        Self { state: State::Open { stream }, purpose: Use::Primary, level, used: now }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self.state, State::Draining { .. })
    }
}
