//! A shard: one task that owns a share of the homes and runs their turns, one after the other.
//!
//! It never waits for I/O in a turn: a home is read before its first turn, in a task of its own,
//! while what is for it waits in a bounded queue. Shards cannot block one another: a handoff that
//! another shard has no room for waits here, and as long as one does, connections are not read.

mod apply;
mod homes;
mod inputs;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use longwire_stanza::{
    BareJid, Condition, FullJid, Kind, Stanza, StanzaError, StreamCondition, StreamError,
};
use longwire_store::{Batch, Lsn, Store, TableInfo, Watermark};
use rand::rngs::StdRng;
use smallvec::SmallVec;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};

use crate::clock::Clock;
use crate::event::Down;
use crate::handoff::Handoff;
use crate::home::Home;
use crate::limits::{self, Limits};
use crate::outbox::{self, Class, Outbound, Outbox};
use crate::registry::Registry;
use crate::route::Hosts;
use crate::router::{Counts, JobError};
use crate::session::{SessionId, SessionRef};
use crate::turn::{Effects, Turn};
use homes::Load;

/// What all shards share.
pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) hosts: Hosts,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) counts: Counts,
    /// The tables that are loaded with a home.
    pub(crate) tables: Vec<TableInfo>,
    pub(crate) peers: Vec<mpsc::Sender<Handoff>>,
    /// When the router was started.
    pub(crate) started: Instant,
    pub(crate) next_row: AtomicU64,
    pub(crate) next_session: AtomicU64,
    pub(crate) stopping: AtomicBool,
}

impl Shared {
    /// The shard that owns a home: FNV-1a, the same in every process.
    pub(crate) fn shard_of(&self, home: &BareJid) -> usize {
        let hash = home.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        usize::try_from(hash % self.peers.len() as u64).unwrap_or_default()
    }
}

/// What a shard is asked to do.
pub(crate) enum Command {
    Bind(Bind),
    Stanza {
        session: SessionId,
        stanza: Stanza,
    },
    Close {
        session: SessionId,
        reason: Down,
    },
    Job(Job),
    /// The store was changed behind our back: forget the homes without sessions, and name the
    /// others.
    Forget(oneshot::Sender<Vec<BareJid>>),
    /// Tell when nothing is under way.
    Settle(oneshot::Sender<Idle>),
    /// Take nothing more from connections, and tell when nothing is under way.
    Drain(oneshot::Sender<Idle>),
    /// End all sessions and the shard.
    Stop(oneshot::Sender<()>),
}

/// A resource is to be bound.
pub(crate) struct Bind {
    pub(crate) account: BareJid,
    pub(crate) resource: Option<FullJid>,
    /// The store was asked for this request whether the account exists.
    pub(crate) looked: bool,
    pub(crate) reply: oneshot::Sender<Result<(SessionRef, Outbox), StanzaError>>,
}

/// Another part of the server wants a turn.
pub(crate) struct Job {
    pub(crate) account: BareJid,
    pub(crate) run: Box<dyn FnOnce(&mut Turn<'_>) + Send>,
    pub(crate) done: oneshot::Sender<Result<Lsn, JobError>>,
}

/// A shard has nothing under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Idle {
    /// Handoffs given to other shards so far.
    pub(crate) sent: u64,
    /// Handoffs taken from other shards so far.
    pub(crate) received: u64,
    /// The latest write.
    pub(crate) written: Lsn,
}

/// Something for one home.
pub(crate) enum Input {
    Handoff(Handoff),
    Bind(Bind),
    Job(Job),
    Down { session: SessionId, reason: Down },
}

/// Where a home is.
enum Place {
    Loading { waiting: VecDeque<Input>, durable: usize },
    Loaded(Box<Home>),
}

/// A session's way out.
struct Line {
    account: BareJid,
    outbox: outbox::Sender,
}

/// A turn that is over, on its way to being applied.
struct Pending {
    account: BareJid,
    cause: Cause,
    effects: Effects,
    handoffs: Vec<Handoff>,
}

/// What a turn was caused by.
#[derive(Default)]
struct Cause {
    /// What must be durable before anything of the turn leaves.
    gate: Lsn,
    /// The row of the handoff that the turn handles.
    row: Option<u64>,
    /// The stanza that came to the account.
    arrived: Option<Stanza>,
    /// Who waits for the turn.
    done: Option<oneshot::Sender<Result<Lsn, JobError>>>,
}

pub(crate) struct Shard {
    index: usize,
    shared: Arc<Shared>,
    rng: StdRng,
    commands: mpsc::Receiver<Command>,
    /// For the sessions that are bound here.
    sender: mpsc::WeakSender<Command>,
    handoffs: mpsc::Receiver<Handoff>,
    watermark: Watermark,
    durable: Lsn,
    written: Lsn,
    /// Looked up and never iterated, except sorted.
    homes: HashMap<BareJid, Place>,
    lines: BTreeMap<SessionId, Line>,
    /// The homes without sessions, least recently used first.
    idle: BTreeMap<u64, BareJid>,
    idle_next: u64,
    loads: JoinSet<Load>,
    load_ids: HashMap<Id, BareJid>,
    load_queue: VecDeque<BareJid>,
    /// Sessions that wait for the journal, by what they wait for next.
    gates: BTreeMap<Lsn, SmallVec<[SessionId; 2]>>,
    /// What is to be done next, in order.
    ready: VecDeque<(BareJid, Input)>,
    /// Handoffs that other shards have no room for, by shard.
    backlog: Vec<VecDeque<Handoff>>,
    /// A turn that the journal has no room for: nothing else is done before it.
    stalled: Option<(Batch, Pending)>,
    drains: Vec<oneshot::Sender<Idle>>,
    draining: bool,
    sent: u64,
    received: u64,
    stopped: bool,
}

/// Why the shard's task goes on.
enum Wake {
    Watermark(bool),
    Capacity(bool),
    Loaded(Result<(Id, Load), tokio::task::JoinError>),
    /// Another shard has a place for a handoff, or has stopped.
    Room(usize, Option<mpsc::OwnedPermit<Handoff>>),
    Handoff(Handoff),
    Command(Option<Command>),
}

impl Shard {
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        rng: StdRng,
        (sender, commands): (&mpsc::Sender<Command>, mpsc::Receiver<Command>),
        handoffs: mpsc::Receiver<Handoff>,
    ) -> Self {
        let mut watermark = shared.store.watermark();
        let durable = *watermark.borrow_and_update();
        let backlog = shared.peers.iter().map(|_| VecDeque::new()).collect();
        Self {
            index,
            shared,
            rng,
            commands,
            sender: sender.downgrade(),
            handoffs,
            watermark,
            durable,
            written: Lsn::ZERO,
            homes: HashMap::new(),
            lines: BTreeMap::new(),
            idle: BTreeMap::new(),
            idle_next: 0,
            loads: JoinSet::new(),
            load_ids: HashMap::new(),
            load_queue: VecDeque::new(),
            gates: BTreeMap::new(),
            ready: VecDeque::new(),
            backlog,
            stalled: None,
            drains: Vec::new(),
            draining: false,
            sent: 0,
            received: 0,
            stopped: false,
        }
    }

    /// Works until it is stopped.
    pub(crate) async fn run(mut self) {
        loop {
            self.work();
            if self.stopped {
                return;
            }
            if self.stalled.is_none() && !self.ready.is_empty() {
                tokio::task::yield_now().await;
                continue;
            }
            let wake = self.wait().await;
            self.wake(wake);
        }
    }

    /// Waits for the next thing to do; handoffs come before connections.
    async fn wait(&mut self) -> Wake {
        let free = self.stalled.is_none();
        let blocked = self.backlog.iter().position(|queue| !queue.is_empty());
        let read = free && blocked.is_none();
        let peer = blocked.and_then(|at| Some((at, self.shared.peers.get(at)?.clone())));
        tokio::select! {
            biased;
            changed = self.watermark.changed() => Wake::Watermark(changed.is_ok()),
            open = self.shared.store.capacity(), if !free => Wake::Capacity(open.is_ok()),
            Some(load) = self.loads.join_next_with_id(), if free => Wake::Loaded(load),
            (at, place) = room(peer), if blocked.is_some() => Wake::Room(at, place),
            Some(handoff) = self.handoffs.recv(), if free => Wake::Handoff(handoff),
            command = self.commands.recv(), if read => Wake::Command(command),
        }
    }

    fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Watermark(true) => {}
            Wake::Room(target, place) => self.use_place(target, place),
            Wake::Watermark(false) | Wake::Capacity(false) => self.fail(),
            Wake::Capacity(true) => self.retry(),
            Wake::Loaded(load) => self.loaded(load),
            Wake::Handoff(handoff) => self.take(handoff),
            Wake::Command(Some(command)) => self.command(command),
            // The router and all sessions are gone.
            Wake::Command(None) => self.stopped = true,
        }
    }

    /// Does what can be done now, up to a burst.
    fn work(&mut self) {
        self.advance();
        self.flush();
        for _ in 0..limits::BURST {
            if self.stalled.is_some() || self.stopped {
                return;
            }
            if let Some((account, input)) = self.ready.pop_front() {
                self.input(&account, input);
            } else if let Ok(handoff) = self.handoffs.try_recv() {
                self.take(handoff);
            } else if self.has_backlog() {
                return;
            } else if let Ok(command) = self.commands.try_recv() {
                self.command(command);
            } else {
                break;
            }
        }
        self.report_idle();
    }

    fn take(&mut self, handoff: Handoff) {
        self.received += 1;
        let account = handoff.to.clone();
        self.input(&account, Input::Handoff(handoff));
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Bind(bind) => {
                let account = bind.account.clone();
                self.input(&account, Input::Bind(bind));
            }
            Command::Stanza { session, stanza } if self.draining => self.refuse(session, &stanza),
            Command::Stanza { session, stanza } => self.stanza(session, stanza),
            Command::Close { session, reason } => {
                if let Some(line) = self.lines.get(&session) {
                    line.outbox.end(None);
                    let account = line.account.clone();
                    self.input(&account, Input::Down { session, reason });
                }
            }
            Command::Job(job) => {
                let account = job.account.clone();
                self.input(&account, Input::Job(job));
            }
            Command::Forget(reply) => {
                // The router may have gone.
                let _ = reply.send(self.forget());
            }
            Command::Settle(reply) => self.drains.push(reply),
            Command::Drain(reply) => {
                self.draining = true;
                self.drains.push(reply);
            }
            Command::Stop(reply) => {
                self.advance();
                self.end_all(StreamCondition::SystemShutdown);
                // The router may have given up waiting.
                let _ = reply.send(());
            }
        }
    }

    /// Tells a client that what it sends while the server stops was not taken.
    fn refuse(&self, session: SessionId, stanza: &Stanza) {
        let (Some(line), Kind::Message | Kind::Iq) = (self.lines.get(&session), stanza.kind())
        else {
            return;
        };
        if let Some(answer) = stanza.error(&Condition::ServiceUnavailable.into()) {
            let class = Class::of(&answer, line.account.as_str());
            // Without room for it, the end of the session says as much.
            let _ =
                line.outbox.offer(Outbound { stanza: answer, class }, self.durable, self.durable);
        }
    }

    /// Gives a handoff to its shard, or keeps it until there is room.
    fn forward(&mut self, handoff: Handoff) {
        let queued = self.ready.len() + self.backlog.iter().map(VecDeque::len).sum::<usize>();
        if handoff.row.is_none() && queued >= self.shared.limits.backlog {
            self.shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.shared.counts.handoffs.fetch_add(1, Ordering::Relaxed);
        let target = self.shared.shard_of(&handoff.to);
        if target == self.index {
            let account = handoff.to.clone();
            self.ready.push_back((account, Input::Handoff(handoff)));
            return;
        }
        if let Some(queue) = self.backlog.get_mut(target) {
            queue.push_back(handoff);
        }
        self.flush_to(target);
    }

    fn flush(&mut self) {
        (0..self.backlog.len()).for_each(|target| self.flush_to(target));
    }

    fn flush_to(&mut self, target: usize) {
        let (Some(queue), Some(peer)) =
            (self.backlog.get_mut(target), self.shared.peers.get(target))
        else {
            return;
        };
        while let Some(handoff) = queue.pop_front() {
            match peer.try_send(handoff) {
                Ok(()) => self.sent += 1,
                Err(mpsc::error::TrySendError::Full(handoff)) => {
                    queue.push_front(handoff);
                    return;
                }
                // The shard has stopped: what is durable is in the journal.
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
    }

    /// Uses the place that was waited for. It must not be given back unused: several shards that
    /// wait for the same one would pass it around for ever.
    fn use_place(&mut self, target: usize, place: Option<mpsc::OwnedPermit<Handoff>>) {
        let Some(queue) = self.backlog.get_mut(target) else { return };
        match place {
            Some(place) => {
                if let Some(handoff) = queue.pop_front() {
                    place.send(handoff);
                    self.sent += 1;
                }
            }
            // The shard has stopped: what is durable is in the journal.
            None => queue.clear(),
        }
    }

    fn has_backlog(&self) -> bool {
        self.backlog.iter().any(|queue| !queue.is_empty())
    }

    /// Lets leave what the journal has made durable.
    fn advance(&mut self) {
        let mark = *self.watermark.borrow_and_update();
        if mark <= self.durable {
            return;
        }
        self.durable = mark;
        while let Some(entry) = self.gates.first_entry() {
            if *entry.key() > mark {
                return;
            }
            for id in entry.remove() {
                let next = self.lines.get(&id).and_then(|line| line.outbox.release(mark));
                if let Some(next) = next {
                    self.gates.entry(next).or_default().push(id);
                }
            }
        }
    }

    /// Tells whoever drains the router that nothing is under way here.
    fn report_idle(&mut self) {
        let busy = self.stalled.is_some()
            || !self.ready.is_empty()
            || self.has_backlog()
            || !self.load_ids.is_empty()
            || !self.load_queue.is_empty();
        if busy {
            return;
        }
        let idle = Idle { sent: self.sent, received: self.received, written: self.written };
        for reply in self.drains.drain(..) {
            // The router may have given up waiting.
            let _ = reply.send(idle);
        }
    }

    /// The journal has ended: nothing that waits for it will ever be durable.
    fn fail(&mut self) {
        tracing::error!(shard = self.index, "the journal has ended; the shard stops");
        self.end_all(StreamCondition::InternalServerError);
    }

    fn end_all(&mut self, condition: StreamCondition) {
        let error = StreamError::new(condition);
        self.lines.values().for_each(|line| line.outbox.abort(error.clone()));
        self.stopped = true;
    }
}

/// Waits for a place in another shard's channel; `None` when that shard has stopped.
async fn room(
    peer: Option<(usize, mpsc::Sender<Handoff>)>,
) -> (usize, Option<mpsc::OwnedPermit<Handoff>>) {
    match peer {
        Some((at, peer)) => (at, peer.reserve_owned().await.ok()),
        None => std::future::pending().await,
    }
}
