//! Which stanza goes on which stream.
//!
//! Stanzas of one Bare JID Pair leave on one stream at a time, so that their order survives; each
//! active conversation gets a stream of its own, so that a lost packet of one never delays
//! another. A pair changes its stream only after the peer has acknowledged all of the old one.
//!
//! A stanza never waits for stream credit: a unidirectional stream is tried, then a bidirectional
//! one, then the free half of a stream that the peer opened, then a stream shared by hash, then
//! the Primary stream.

mod lane;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use longwire_stanza::BareJid;

use crate::{
    dispatch, limits,
    stream::{Action, Class, Code, Direction, Mode, Refused, StreamId, Ticket},
    varint,
};
use lane::{Lane, LaneId, Queued, State, Use};

/// Where decisions go: the transport's actions, and the numbering of requests.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    pub(crate) actions: VecDeque<Action>,
    /// Requests for streams that nobody has taken note of yet.
    pub(crate) asked: Vec<(Ticket, Direction)>,
    next_ticket: u64,
}

impl Outputs {
    /// Asks for a new stream.
    pub(crate) fn open(&mut self, direction: Direction) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.actions.push_back(Action::Open { ticket, direction });
        self.asked.push((ticket, direction));
        ticket
    }

    pub(crate) fn write(&mut self, stream: StreamId, bytes: Bytes) {
        if !bytes.is_empty() {
            self.actions.push_back(Action::Write { stream, bytes });
        }
    }
}

/// The sending half of one session.
#[derive(Debug)]
pub(crate) struct Scheduler {
    mode: Mode,
    own: BareJid,
    session_header: Bytes,
    lanes: BTreeMap<LaneId, Lane>,
    pairs: BTreeMap<BareJid, LaneId>,
    overflowed: bool,
    streams: BTreeMap<StreamId, LaneId>,
    tickets: BTreeMap<Ticket, LaneId>,
    spare: BTreeSet<StreamId>,
    next_lane: u32,
    backlog: Backlog,
    /// Lanes that the peer has stopped. From [`limits::STOPPED_LANES`] on no more are opened;
    /// those that it reads keep their pairs, whose stanzas would overtake themselves otherwise.
    stopped: u32,
}

/// Stanzas that wait for a lane to be opened or drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Backlog {
    stanzas: usize,
    bytes: usize,
}

impl Scheduler {
    /// A scheduler for the session of account `own` whose Primary stream is `primary`.
    ///
    /// `session` is the Session ID that streams which we open name.
    pub(crate) fn new(
        mode: Mode,
        own: BareJid,
        primary: StreamId,
        session: u64,
        now: Instant,
    ) -> Self {
        let mut header = Vec::new();
        if mode == Mode::Multistream {
            varint::encode(dispatch::ANCILLARY, &mut header);
            varint::encode(session, &mut header);
        }
        Self {
            mode,
            own,
            session_header: header.into(),
            lanes: BTreeMap::from([(LaneId::PRIMARY, Lane::primary(primary, now))]),
            pairs: BTreeMap::new(),
            overflowed: false,
            streams: BTreeMap::from([(primary, LaneId::PRIMARY)]),
            tickets: BTreeMap::new(),
            spare: BTreeSet::new(),
            next_lane: 1,
            backlog: Backlog::default(),
            stopped: 0,
        }
    }

    /// Sends a rendered stanza of the conversation with `peer`.
    pub(crate) fn send(
        &mut self,
        peer: Option<&BareJid>,
        class: Class,
        bytes: Bytes,
        now: Instant,
        out: &mut Outputs,
    ) {
        let stanza = |peer| Queued { peer, class, bytes: bytes.clone() };
        match peer {
            _ if self.mode == Mode::Single => self.put(LaneId::PRIMARY, stanza(None), now, out),
            _ if class == Class::Bulk => {
                let lane = self.shared(Use::Bulk, now, out);
                self.put(lane, stanza(None), now, out);
            }
            Some(peer) if !self.is_own(peer) => {
                let lane = self.lane_of(peer, class, now, out);
                self.put(lane, stanza(Some(peer.clone())), now, out);
            }
            _ => self.put(LaneId::PRIMARY, stanza(None), now, out),
        }
    }

    /// True while the caller should send nothing more: too much waits for lanes.
    pub(crate) fn is_congested(&self) -> bool {
        self.backlog.stanzas >= limits::BACKLOG_STANZAS
            || self.backlog.bytes >= limits::BACKLOG_BYTES
    }

    /// The transport's answer to [`Action::Open`]. False: the ticket is not of this session.
    pub(crate) fn handle_opened(
        &mut self,
        ticket: Ticket,
        answer: Result<StreamId, Refused>,
        now: Instant,
        out: &mut Outputs,
    ) -> bool {
        let Some(id) = self.tickets.remove(&ticket) else { return false };
        let Some(lane) = self.lanes.get_mut(&id) else { return true };
        let State::Opening { direction, queue } = &mut lane.state else { return true };
        match answer {
            Ok(stream) => {
                let queue = std::mem::take(queue);
                let header = self.session_header.clone();
                self.open(id, stream, &header, queue, out);
            }
            Err(Refused) if *direction == Direction::Uni => {
                *direction = Direction::Bidi;
                self.tickets.insert(out.open(Direction::Bidi), id);
            }
            Err(Refused) => {
                let queue = std::mem::take(queue);
                self.fall_back(id, queue, now, out);
            }
        }
        true
    }

    /// All of a finished stream has been acknowledged: its pairs may move.
    pub(crate) fn handle_drained(&mut self, stream: StreamId, now: Instant, out: &mut Outputs) {
        let Some(id) = self.streams.get(&stream).copied() else { return };
        if !matches!(self.lanes.get(&id).map(|lane| &lane.state), Some(State::Draining { .. })) {
            return;
        }
        let Some(lane) = self.forget(id) else { return };
        let State::Draining { held, .. } = lane.state else { return };
        for stanza in held {
            self.backlog.leave(&stanza);
            self.send(stanza.peer.as_ref(), stanza.class, stanza.bytes, now, out);
        }
    }

    /// The peer does not want a stream of ours any more.
    pub(crate) fn handle_stopped(&mut self, stream: StreamId, now: Instant, out: &mut Outputs) {
        self.spare.remove(&stream);
        let Some(id) = self.streams.get(&stream).copied() else { return };
        if id == LaneId::PRIMARY {
            return;
        }
        out.actions.push_back(Action::Reset { stream, code: Code::None });
        let Some(lane) = self.forget(id) else { return };
        self.stopped = self.stopped.saturating_add(1);
        if let State::Draining { held, .. } = lane.state {
            for stanza in held {
                self.backlog.leave(&stanza);
                self.send(stanza.peer.as_ref(), stanza.class, stanza.bytes, now, out);
            }
        }
    }

    /// The peer opened a bidirectional stream whose other half is free for us.
    pub(crate) fn add_spare(&mut self, stream: StreamId) {
        self.spare.insert(stream);
    }

    /// The peer is done with a stream that it opened; true when its other half was still free.
    pub(crate) fn take_spare(&mut self, stream: StreamId) -> bool {
        self.spare.remove(&stream)
    }

    /// Streams of ours that are still open, the Primary among them.
    pub(crate) fn streams(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.streams.keys().copied()
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let quiet = self.lanes.values().filter(|lane| lane.is_open());
        let presence = quiet.filter(|lane| matches!(lane.purpose, Use::Presence(_)));
        presence.map(|lane| lane.used + limits::LANE_QUIET).min()
    }

    /// Retires presence lanes that have fallen quiet, so that their pairs may get streams of
    /// their own.
    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut Outputs) {
        let quiet = |lane: &Lane| lane.is_open() && lane.used + limits::LANE_QUIET <= now;
        let presence = |lane: &Lane| matches!(lane.purpose, Use::Presence(_));
        let due = self.lanes.iter().filter(|(_, lane)| presence(lane) && quiet(lane));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.retire(id, out);
        }
    }

    /// Finishes every stream but the Primary; what still waits for one of them gets a new one.
    pub(crate) fn finish_lanes(&mut self, out: &mut Outputs) {
        let open = self.lanes.iter().filter(|(id, lane)| **id != LaneId::PRIMARY && lane.is_open());
        for id in open.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.retire(id, out);
        }
    }

    /// True when the peer has acknowledged everything that was sent on streams but the Primary.
    pub(crate) fn is_drained(&self) -> bool {
        self.lanes.len() <= 1
    }

    /// True for a peer that wants no streams of ours.
    fn is_unwelcome(&self) -> bool {
        self.stopped >= limits::STOPPED_LANES
    }

    fn is_own(&self, peer: &BareJid) -> bool {
        *peer == self.own || (peer.local().is_none() && peer.domain() == self.own.domain())
    }

    fn lane_of(&mut self, peer: &BareJid, class: Class, now: Instant, out: &mut Outputs) -> LaneId {
        if let Some(lane) = self.pairs.get(peer) {
            return *lane;
        }
        // Who has not been seen before the table was full stays on the Primary, so that no pair
        // ever changes its stream unnoticed.
        self.overflowed |= self.pairs.len() >= limits::PAIRS;
        if self.overflowed || self.is_unwelcome() {
            return LaneId::PRIMARY;
        }
        let lane = if class == Class::Presence {
            self.shared(Use::Presence(hash(peer) % limits::PRESENCE_LANES), now, out)
        } else {
            self.dedicated(peer, class, now, out)
        };
        self.pairs.insert(peer.clone(), lane);
        lane
    }

    fn shared(&mut self, purpose: Use, now: Instant, out: &mut Outputs) -> LaneId {
        let usable = |lane: &Lane| lane.purpose == purpose && !lane.is_draining();
        if let Some((id, _)) = self.lanes.iter().find(|(_, lane)| usable(lane)) {
            return *id;
        }
        if self.is_unwelcome() {
            return LaneId::PRIMARY;
        }
        let class = if purpose == Use::Bulk { Class::Bulk } else { Class::Presence };
        self.new_lane(purpose, class, now, out)
    }

    fn dedicated(
        &mut self,
        peer: &BareJid,
        class: Class,
        now: Instant,
        out: &mut Outputs,
    ) -> LaneId {
        let count = self.lanes.values().filter(|lane| lane.purpose == Use::Dedicated).count();
        if count * 4 >= limits::DEDICATED_LANES * 3 {
            self.retire_least_recently_used(now, out);
        }
        if count >= limits::DEDICATED_LANES {
            return self.by_hash(Some(peer));
        }
        self.new_lane(Use::Dedicated, class, now, out)
    }

    fn new_lane(&mut self, purpose: Use, class: Class, now: Instant, out: &mut Outputs) -> LaneId {
        let id = LaneId(self.next_lane);
        self.next_lane += 1;
        let direction = match self.mode {
            Mode::Multistream => Direction::Uni,
            Mode::Untyped | Mode::Single => Direction::Bidi,
        };
        let state = State::Opening { direction, queue: VecDeque::new() };
        self.lanes.insert(id, Lane { state, purpose, level: class.level(), used: now });
        self.tickets.insert(out.open(direction), id);
        id
    }

    /// An open lane that a conversation without one shares; the Primary when there is none.
    fn by_hash(&self, peer: Option<&BareJid>) -> LaneId {
        let shareable = |lane: &Lane| lane.is_open() && lane.purpose == Use::Dedicated;
        let open = self.lanes.iter().filter(|(_, lane)| shareable(lane)).map(|(id, _)| *id);
        let open: Vec<_> = open.collect();
        let index = peer.map_or(0, |peer| hash(peer) % open.len().max(1) as u64);
        open.get(usize::try_from(index).unwrap_or(0)).copied().unwrap_or(LaneId::PRIMARY)
    }

    fn put(&mut self, id: LaneId, stanza: Queued, now: Instant, out: &mut Outputs) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.used = now;
        match &mut lane.state {
            State::Open { stream } => out.write(*stream, stanza.bytes),
            State::Opening { queue, .. } => {
                self.backlog.enter(&stanza);
                queue.push_back(stanza);
            }
            State::Draining { held, .. } => {
                self.backlog.enter(&stanza);
                held.push_back(stanza);
            }
        }
    }

    fn open(
        &mut self,
        id: LaneId,
        stream: StreamId,
        header: &[u8],
        queue: VecDeque<Queued>,
        out: &mut Outputs,
    ) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.state = State::Open { stream };
        self.streams.insert(stream, id);
        out.actions.push_back(Action::Priority { stream, level: lane.level });
        let mut bytes = BytesMut::from(header);
        for stanza in queue {
            self.backlog.leave(&stanza);
            bytes.extend_from_slice(&stanza.bytes);
        }
        out.write(stream, bytes.freeze());
    }

    /// No stream could be opened: moves this lane's queue, in order, and nothing else.
    fn fall_back(&mut self, id: LaneId, queue: VecDeque<Queued>, now: Instant, out: &mut Outputs) {
        self.retire_least_recently_used(now, out);
        if let Some(stream) = self.spare.pop_first() {
            // The opener wrote the header; the other half starts with content.
            self.open(id, stream, &[], queue, out);
            return;
        }
        self.lanes.remove(&id);
        let pairs = self.pairs.iter_mut().filter(|(_, lane)| **lane == id);
        let peers: Vec<_> = pairs.map(|(peer, _)| peer.clone()).collect();
        for peer in peers {
            let lane = self.by_hash(Some(&peer));
            self.pairs.insert(peer, lane);
        }
        for stanza in queue {
            self.backlog.leave(&stanza);
            let lane = match &stanza.peer {
                Some(peer) => self.pairs.get(peer).copied().unwrap_or(LaneId::PRIMARY),
                None => self.by_hash(None),
            };
            self.put(lane, stanza, now, out);
        }
    }

    fn retire_least_recently_used(&mut self, now: Instant, out: &mut Outputs) {
        let quiet = |lane: &Lane| lane.is_open() && lane.used + limits::LANE_QUIET <= now;
        let dedicated = self.lanes.iter().filter(|(_, lane)| lane.purpose == Use::Dedicated);
        let oldest = dedicated.filter(|(_, lane)| quiet(lane)).min_by_key(|(_, lane)| lane.used);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.retire(id, out);
        }
    }

    fn retire(&mut self, id: LaneId, out: &mut Outputs) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let State::Open { stream } = lane.state else { return };
        lane.state = State::Draining { stream, held: VecDeque::new() };
        out.actions.push_back(Action::Finish { stream });
    }

    fn forget(&mut self, id: LaneId) -> Option<Lane> {
        let lane = self.lanes.remove(&id)?;
        if let State::Open { stream } | State::Draining { stream, .. } = lane.state {
            self.streams.remove(&stream);
        }
        self.pairs.retain(|_, lane| *lane != id);
        Some(lane)
    }
}

impl Backlog {
    fn enter(&mut self, stanza: &Queued) {
        self.stanzas += 1;
        self.bytes += stanza.bytes.len();
    }

    fn leave(&mut self, stanza: &Queued) {
        self.stanzas = self.stanzas.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(stanza.bytes.len());
    }
}

/// FNV-1a: spreads conversations over lanes, the same way on every machine.
fn hash(peer: &BareJid) -> u64 {
    peer.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
