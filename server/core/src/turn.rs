//! A turn: one home while one stanza or event is processed.
//!
//! Stages read the home and write into the turn; nothing happens before the turn is applied as a
//! whole: one batch to the journal, the new state in memory, what is delivered and routed. A
//! stage that panics leaves no trace.

use std::any::Any;
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use longwire_stanza::{BareJid, Condition, Kind, Stanza, StanzaError, StreamError};
use longwire_store::{Key, Lsn, Record, Table, TableInfo};
use rand::rngs::StdRng;
use smallvec::SmallVec;

use crate::event::Event;
use crate::feature::{Flow, Phase};
use crate::home::{Home, Value};
use crate::ids;
use crate::iq;
use crate::limits;
use crate::outbox::Class;
use crate::registry::{Registry, Stage};
use crate::route::Hosts;
use crate::session::{Session, SessionId};

/// The sessions of a home, oldest first.
pub type Sessions = SmallVec<[Arc<Session>; 4]>;

/// A home's state, and what is to be done to it and sent from it.
pub struct Turn<'a> {
    world: World<'a>,
    home: &'a Home,
    rng: &'a mut StdRng,
    path: Path,
    /// The stanza as it came: what an error answers.
    original: Option<Stanza>,
    stanza: Option<Stanza>,
    effects: Effects,
    /// The latest write among the tables that were read.
    seen: Cell<Lsn>,
    events: VecDeque<Box<dyn Any + Send>>,
    emitted: usize,
}

/// What surrounds every turn.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) hosts: &'a Hosts,
    pub(crate) started: Instant,
    pub(crate) now: Instant,
    pub(crate) wall: u64,
}

/// What the turn is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// A stanza that a session sent.
    Send(SessionId),
    /// A stanza that came to the account.
    Receive,
    /// An event, or a job of another part of the server.
    Inside,
}

/// Everything that a turn does, detached from the home.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) writes: Vec<TableWrites>,
    pub(crate) sessions: BTreeMap<SessionId, Arc<Session>>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) routed: Vec<Routed>,
    pub(crate) ended: Vec<(SessionId, StreamError)>,
    pub(crate) erase: bool,
    /// What the turn has read may leave when this is durable.
    pub(crate) seen: Lsn,
}

/// The changes of one table.
pub(crate) struct TableWrites {
    pub(crate) table: usize,
    pub(crate) info: TableInfo,
    /// `None` deletes the row.
    pub(crate) rows: BTreeMap<Vec<u8>, Option<Written>>,
}

/// A new value, decoded for the home and encoded for the journal.
pub(crate) struct Written {
    pub(crate) value: Value,
    pub(crate) bytes: Vec<u8>,
}

/// A stanza for a session of this home.
pub(crate) struct Delivery {
    pub(crate) session: SessionId,
    pub(crate) stanza: Stanza,
    pub(crate) class: Option<Class>,
}

/// A stanza for whoever it is addressed to.
pub(crate) struct Routed {
    pub(crate) stanza: Stanza,
    pub(crate) durable: bool,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(
        world: World<'a>,
        home: &'a Home,
        rng: &'a mut StdRng,
        path: Path,
        stanza: Option<Stanza>,
    ) -> Self {
        Self {
            world,
            home,
            rng,
            path,
            original: stanza.clone(),
            stanza,
            effects: Effects::default(),
            seen: Cell::new(Lsn::ZERO),
            events: VecDeque::new(),
            emitted: 0,
        }
    }

    /// The stanza, as earlier stages left it.
    ///
    /// # Panics
    /// There is none while an event is handled; the turn is then discarded and counted.
    #[track_caller]
    pub fn stanza(&self) -> &Stanza {
        match &self.stanza {
            Some(stanza) => stanza,
            None => panic!("a turn for an event has no stanza"),
        }
    }

    /// Replaces the stanza for the stages to come.
    pub fn set_stanza(&mut self, stanza: Stanza) {
        self.stanza = Some(stanza);
    }

    /// The account whose turn it is.
    pub fn home(&self) -> &'a BareJid {
        &self.home.jid
    }

    /// The session that sent the stanza; `None` when the stanza came to the account, and in
    /// events.
    pub fn sender(&self) -> Option<SessionId> {
        match self.path {
            Path::Send(session) => Some(session),
            Path::Receive | Path::Inside => None,
        }
    }

    /// True when the stanza is from the account itself.
    pub fn is_owner(&self) -> bool {
        match self.path {
            Path::Send(_) | Path::Inside => true,
            Path::Receive => self
                .stanza
                .as_ref()
                .and_then(Stanza::from)
                .is_some_and(|from| from.bare_str() == self.home.jid.as_str()),
        }
    }

    /// The domains that are served here.
    pub fn hosts(&self) -> &'a Hosts {
        self.world.hosts
    }

    /// The finished features, for what describes the server.
    pub fn registry(&self) -> &'a Registry {
        self.world.registry
    }

    /// The bound sessions, oldest first.
    pub fn sessions(&self) -> Sessions {
        self.home.sessions.keys().filter_map(|id| self.session(*id)).collect()
    }

    /// The session with this name, as the turn has left it.
    pub fn session(&self, id: SessionId) -> Option<Arc<Session>> {
        let current = self.home.sessions.get(&id)?;
        Some(Arc::clone(self.effects.sessions.get(&id).unwrap_or(current)))
    }

    /// The session with this resource.
    pub fn session_of(&self, resource: &str) -> Option<Arc<Session>> {
        self.session(self.home.session_of(resource)?.id())
    }

    /// Changes a session; nothing happens when it has ended.
    pub fn update_session(&mut self, id: SessionId, change: impl FnOnce(&mut Session)) {
        if let Some(mut session) = self.session(id) {
            change(Arc::make_mut(&mut session));
            self.effects.sessions.insert(id, session);
        }
    }

    /// Ends a session with a stream error, after what was delivered to it.
    pub fn end_session(&mut self, id: SessionId, error: StreamError) {
        self.effects.ended.push((id, error));
    }

    /// The value of a row, the turn's own writes included.
    ///
    /// # Panics
    /// The table was not declared with [`Registrar::table`](crate::Registrar::table); the turn
    /// is then discarded and counted.
    pub fn get<K, V>(&self, table: &Table<K, V>, key: &K) -> Option<Arc<V>>
    where
        K: Key,
        V: Record + Send + Sync + 'static,
    {
        let at = self.table(table.info());
        let key = key.to_bytes();
        let written = self.effects.writes.iter().find(|writes| writes.table == at);
        if let Some(row) = written.and_then(|writes| writes.rows.get(&key)) {
            return row.as_ref().and_then(|written| decoded(&written.value));
        }
        self.home.tables.get(at)?.rows.get(&key).and_then(decoded)
    }

    /// All rows of the account in a table, sorted by key, the turn's own writes included.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub fn rows<K, V>(&self, table: &Table<K, V>) -> Vec<(K, Arc<V>)>
    where
        K: Key,
        V: Record + Send + Sync + 'static,
    {
        let at = self.table(table.info());
        let Some(kept) = self.home.tables.get(at) else {
            return Vec::new();
        };
        let row = |key: &Vec<u8>, value: &Value| Some((K::from_bytes(key).ok()?, decoded(value)?));
        let Some(writes) = self.effects.writes.iter().find(|writes| writes.table == at) else {
            return kept.rows.iter().filter_map(|(key, value)| row(key, value)).collect();
        };
        let mut merged: BTreeMap<&Vec<u8>, &Value> = kept.rows.iter().collect();
        for (key, written) in &writes.rows {
            match written {
                Some(written) => merged.insert(key, &written.value),
                None => merged.remove(key),
            };
        }
        merged.into_iter().filter_map(|(key, value)| row(key, value)).collect()
    }

    /// Writes a row of the account.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub fn put<K, V>(&mut self, table: &Table<K, V>, key: &K, value: V)
    where
        K: Key,
        V: Record + Send + Sync + 'static,
    {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        let written = Written { value: Arc::new(value), bytes };
        self.writes(table.info()).rows.insert(key.to_bytes(), Some(written));
    }

    /// Deletes a row of the account if it is there.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub fn delete<K: Key, V>(&mut self, table: &Table<K, V>, key: &K) {
        let key = key.to_bytes();
        let at = self.table(table.info());
        let there = self.home.tables.get(at).is_some_and(|kept| kept.rows.contains_key(&key));
        let writes = self.writes(table.info());
        if there {
            writes.rows.insert(key, None);
        } else {
            writes.rows.remove(&key);
        }
    }

    /// Erases all rows of the account in all tables of accounts, and ends its sessions. What the
    /// turn writes besides is erased as well.
    pub fn erase_account(&mut self) {
        self.emit(crate::event::AccountRemoved);
        self.effects.erase = true;
    }

    /// Sends a stanza to a session of this account, when the turn is applied and durable.
    pub fn deliver(&mut self, session: SessionId, stanza: Stanza) {
        self.effects.deliveries.push(Delivery { session, stanza, class: None });
    }

    /// As [`deliver`](Self::deliver), with a class that the stanza's header does not show.
    pub fn deliver_as(&mut self, session: SessionId, stanza: Stanza, class: Class) {
        self.effects.deliveries.push(Delivery { session, stanza, class: Some(class) });
    }

    /// How many stanzas the turn delivers so far, for stages that serve those not reached.
    pub fn deliveries(&self) -> usize {
        self.effects.deliveries.len()
    }

    /// Sends a stanza to where its `to` says; its `from` must be of this account or of the
    /// server. Whoever cannot be reached answers with an error to its `from`.
    pub fn route(&mut self, stanza: Stanza) {
        self.effects.routed.push(Routed { stanza, durable: false });
    }

    /// As [`route`](Self::route), for a stanza whose arrival writes durably: it survives a crash
    /// between this turn and its arrival, and may then arrive twice.
    pub fn route_durable(&mut self, stanza: Stanza) {
        self.effects.routed.push(Routed { stanza, durable: true });
    }

    /// Answers the stanza that came with an error, unless it is an error or an answer itself.
    /// Stages that follow still run: a screening stage returns [`Flow::Stop`] as well.
    pub fn refuse(&mut self, error: StanzaError) {
        if let Some(answer) = self.original.as_ref().and_then(|stanza| stanza.error(&error)) {
            self.reply(answer);
        }
    }

    /// Sends an answer back to whoever sent the stanza.
    pub(crate) fn reply(&mut self, answer: Stanza) {
        self.reply_before(self.deliveries(), answer);
    }

    /// As [`reply`](Self::reply), ahead of what was delivered since there were `at` deliveries.
    pub(crate) fn reply_before(&mut self, at: usize, answer: Stanza) {
        match self.path {
            Path::Send(session) => {
                let class = Some(Class::Own);
                let at = at.min(self.deliveries());
                self.effects.deliveries.insert(at, Delivery { session, stanza: answer, class });
            }
            Path::Receive | Path::Inside => self.route(answer),
        }
    }

    /// Tells the listeners of an event, after the stages of this turn and within it.
    pub fn emit<E: Event>(&mut self, event: E) {
        self.emitted += 1;
        if self.emitted > limits::EVENTS {
            tracing::error!(home = %self.home.jid, "too many events in one turn");
            return;
        }
        self.events.push_back(Box::new(event));
    }

    /// An unguessable id for a stanza or a resource (100 bits).
    pub fn fresh_id(&mut self) -> String {
        ids::fresh(self.rng)
    }

    /// The monotonic time at which the turn began.
    pub fn now(&self) -> Instant {
        self.world.now
    }

    /// How long the router has been running.
    pub fn uptime(&self) -> Duration {
        self.world.now.saturating_duration_since(self.world.started)
    }

    /// The wall clock at which the turn began, in microseconds since 1970.
    pub fn wall_clock(&self) -> u64 {
        self.world.wall
    }

    /// Runs the stages of a stanza that a session sent.
    pub(crate) fn run_send(&mut self) {
        let registry = self.world.registry;
        self.run(&registry.send, |turn| match registry.deliver(turn.stanza().kind()) {
            Some(owner) => (owner.send)(turn),
            None if turn.stanza().kind() == Kind::Iq => iq::send(turn),
            None => {
                let stanza = turn.stanza().clone();
                turn.route(stanza);
            }
        });
    }

    /// Runs the stages of a stanza that came to the account.
    pub(crate) fn run_receive(&mut self) {
        let registry = self.world.registry;
        self.run(&registry.receive, |turn| match registry.deliver(turn.stanza().kind()) {
            Some(owner) => (owner.receive)(turn),
            None if turn.stanza().kind() == Kind::Iq => iq::receive(turn),
            None => turn.receive_plainly(),
        });
    }

    /// Without a feature that delivers messages or presence, only full addresses are reached.
    fn receive_plainly(&mut self) {
        let stanza = self.stanza().clone();
        let session = stanza.to().and_then(|to| self.session_of(to.resource()?));
        match session {
            Some(session) => self.deliver(session.id(), stanza),
            None if stanza.kind() == Kind::Presence => {}
            None => self.refuse(Condition::ServiceUnavailable.into()),
        }
    }

    /// The one order: the stages up to delivery, delivery, the stages after it.
    fn run(&mut self, stages: &[Stage], deliver: impl FnOnce(&mut Self)) {
        let split = stages.partition_point(|stage| stage.phase < Phase::Deliver);
        let (before, after) = stages.split_at(split);
        if before.iter().any(|stage| (stage.run)(self) == Flow::Stop) {
            return;
        }
        deliver(self);
        for stage in after {
            (stage.run)(self);
        }
    }

    /// Tells the listeners what the turn emitted, in order, and what they emit in turn.
    pub(crate) fn run_events(&mut self) {
        while let Some(event) = self.events.pop_front() {
            let kind = event.as_ref().type_id();
            let registry = self.world.registry;
            for (_, _, _, listener) in registry.events.iter().filter(|(of, ..)| *of == kind) {
                listener(self, event.as_ref());
            }
        }
    }

    /// What the turn does.
    pub(crate) fn finish(mut self) -> Effects {
        self.effects.seen = self.seen.get();
        self.effects
    }

    /// The place of a declared table; the turn waits for what was written to it.
    #[track_caller]
    fn table(&self, info: TableInfo) -> usize {
        let Some(at) = self.world.registry.table(info.name) else {
            panic!("table {} was not declared", info.name);
        };
        if let Some(rows) = self.home.tables.get(at) {
            self.seen.set(self.seen.get().max(rows.written));
        }
        at
    }

    #[track_caller]
    fn writes(&mut self, info: TableInfo) -> &mut TableWrites {
        let table = self.table(info);
        let writes = &mut self.effects.writes;
        let place = writes.iter().position(|writes| writes.table == table).unwrap_or(writes.len());
        if place == writes.len() {
            writes.push(TableWrites { table, info, rows: BTreeMap::new() });
        }
        &mut writes[place]
    }
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("home", &self.home.jid).field("path", &self.path).finish()
    }
}

fn decoded<V: Send + Sync + 'static>(value: &Value) -> Option<Arc<V>> {
    Arc::clone(value).downcast().ok()
}
