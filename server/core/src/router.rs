//! The router: the shards, and how the rest of the server talks to them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use longwire_stanza::{BareJid, Condition, StanzaError};
use longwire_store::{Lsn, Store, StoreError};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::handoff::{self, Handoff};
use crate::limits::{self, Limits};
use crate::outbox::Outbox;
use crate::registry::Registry;
use crate::route::Hosts;
use crate::session::SessionRef;
use crate::shard::{Bind, Command, Idle, Job, Shard, Shared};
use crate::turn::Turn;

/// What a router is started with.
#[derive(Clone, Debug, Default)]
pub struct RouterConfig {
    /// The domains that are served.
    pub hosts: Hosts,
    /// The number of shards; at least one is started.
    pub shards: usize,
    /// The bounds.
    pub limits: Limits,
}

/// The running router; clones are handles to the same one.
#[derive(Clone)]
pub struct Router {
    shared: Arc<Shared>,
    shards: Arc<[mpsc::Sender<Command>]>,
    /// How often another process was seen to change the store.
    changes: Arc<AtomicU64>,
}

/// Why a router could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store was opened without a table that a feature declares: open it with
    /// [`Registry::tables`].
    #[error("table {0} was not declared when the store was opened")]
    Table(&'static str),
    /// The handoffs of the last run could not be read.
    #[error("the handoffs of the last run cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The journal ended while the handoffs of the last run were handled.
    #[error("the journal ended during the start")]
    Ended,
}

/// Why a job was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The home could not be read, or too much is under way: try again later.
    #[error("the home is not available")]
    Unavailable,
    /// The job panicked; it has changed nothing.
    #[error("the job panicked")]
    Panicked,
    /// The router has stopped. Whether the job is done is unknown.
    #[error("the router has stopped")]
    Stopped,
}

impl Router {
    /// Starts the shards as tasks of the current runtime, and handles what the last run left on
    /// its way before any session can be bound.
    ///
    /// The seed makes resources and ids unguessable: in production it comes from the operating
    /// system's generator.
    ///
    /// # Errors
    /// The store does not fit the registry, or cannot be read.
    ///
    /// # Cancel safety
    /// Cancelled, the shards end.
    pub async fn start(
        config: RouterConfig,
        registry: Registry,
        store: Store,
        clock: Arc<dyn Clock>,
        seed: [u8; 32],
    ) -> Result<Self, StartError> {
        let declared: Vec<_> = store.tables().collect();
        let missing = registry.tables().into_iter().find(|table| !declared.contains(table));
        if let Some(table) = missing {
            return Err(StartError::Table(table.name));
        }
        let RouterConfig { hosts, shards, limits } = config;
        let shards = shards.max(1);
        let (peers, handoffs): (Vec<_>, Vec<_>) =
            (0..shards).map(|_| mpsc::channel(limits.shard_handoffs)).unzip();
        let (senders, commands): (Vec<_>, Vec<_>) =
            (0..shards).map(|_| mpsc::channel(limits.shard_input)).unzip();
        let shared = Arc::new(Shared {
            started: clock.now(),
            tables: registry.tables.iter().map(|table| table.info).collect(),
            registry,
            hosts,
            clock,
            store,
            limits,
            counts: Counts::default(),
            peers,
            next_row: AtomicU64::new(1),
            next_session: AtomicU64::new(1),
            stopping: AtomicBool::new(false),
        });
        let left = read_handoffs(&shared).await?;
        let mut rng = StdRng::from_seed(seed);
        for (index, ((sender, commands), handoffs)) in
            senders.iter().zip(commands).zip(handoffs).enumerate()
        {
            let rng = StdRng::from_seed(rng.random());
            let shard = Shard::new(index, Arc::clone(&shared), rng, (sender, commands), handoffs);
            tokio::spawn(shard.run());
        }
        let router = Self { shared, shards: senders.into(), changes: Arc::default() };
        router.replay(left).await?;
        Ok(router)
    }

    /// Binds a resource of an account (RFC 6120 §7): the one that is asked for, which ends an
    /// older session that has it, or one that nobody can guess.
    ///
    /// # Errors
    /// What to answer to the client: `not-allowed` for an account that does not exist,
    /// `bad-request` for an impossible resource, `resource-constraint` when the account has too
    /// many.
    ///
    /// # Cancel safety
    /// Cancelled, a session that was bound ends.
    pub async fn bind(
        &self,
        account: &BareJid,
        resource: Option<&str>,
    ) -> Result<(SessionRef, Outbox), StanzaError> {
        if account.is_domain() || !self.shared.hosts.contains(account.domain()) {
            return Err(Condition::NotAllowed.into());
        }
        let resource = resource.map(|resource| account.with_resource(resource)).transpose();
        let resource = resource.map_err(|_| StanzaError::new(Condition::BadRequest))?;
        let gone = || StanzaError::new(Condition::ServiceUnavailable);
        if self.shared.stopping.load(Ordering::Relaxed) {
            return Err(gone());
        }
        self.notice_changes().await;
        let (reply, bound) = oneshot::channel();
        let bind = Bind { account: account.clone(), resource, looked: false, reply };
        self.shard(account)
            .ok_or_else(gone)?
            .send(Command::Bind(bind))
            .await
            .map_err(|_| gone())?;
        bound.await.map_err(|_| gone())?
    }

    /// Runs a job in a turn of the account's home and waits until what it wrote is durable: for
    /// parts of the server that have no stanza, such as administration.
    ///
    /// The account need not exist: a job that writes the marker row creates it.
    ///
    /// # Errors
    /// [`JobError`] says whether it is worth trying again.
    ///
    /// # Cancel safety
    /// Cancelled, the job may or may not be done; never in part.
    pub async fn in_home<R: Send + 'static>(
        &self,
        account: &BareJid,
        job: impl FnOnce(&mut Turn<'_>) -> R + Send + 'static,
    ) -> Result<R, JobError> {
        let (done, gate) = oneshot::channel();
        let (give, result) = oneshot::channel();
        let run = Box::new(move |turn: &mut Turn<'_>| {
            // Whoever asked may have gone.
            let _ = give.send(job(turn));
        });
        let job = Job { account: account.clone(), run, done };
        let shard = self.shard(account).ok_or(JobError::Stopped)?;
        shard.send(Command::Job(job)).await.map_err(|_| JobError::Stopped)?;
        let gate = gate.await.map_err(|_| JobError::Stopped)??;
        self.shared.store.committed(gate).await.map_err(|_| JobError::Stopped)?;
        result.await.map_err(|_| JobError::Panicked)
    }

    /// Stops: takes nothing more from connections, finishes what is under way, waits until it is
    /// durable, and ends the sessions with `system-shutdown`.
    ///
    /// Bounded by [`limits::DRAIN`]; what is not finished then is as after a crash.
    ///
    /// # Cancel safety
    /// Cancelled, the router goes on without taking stanzas: call it again.
    pub async fn shutdown(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let drained = async {
            if let Some(written) = self.drain().await {
                // When the journal has failed, the shards have stopped already.
                let _ = self.shared.store.committed(written).await;
            }
        };
        if tokio::time::timeout(self.shared.limits.drain, drained).await.is_err() {
            tracing::warn!("the router was not idle in time; it stops as it is");
        }
        for shard in self.shards.iter() {
            let (reply, stopped) = oneshot::channel();
            if shard.send(Command::Stop(reply)).await.is_ok() {
                // A shard that has stopped answers by dropping its end.
                let _ = stopped.await;
            }
        }
    }

    /// The features, for what describes the server.
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// The domains that are served.
    pub fn hosts(&self) -> &Hosts {
        &self.shared.hosts
    }

    /// The store, for features that read it themselves.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        self.shared.counts.read()
    }

    fn shard(&self, account: &BareJid) -> Option<&mpsc::Sender<Command>> {
        self.shards.get(self.shared.shard_of(account))
    }

    /// Lets the shards forget what another process may have changed.
    /// Looks whether another process has changed the store, such as a tool for accounts.
    ///
    /// Homes without sessions are read again when they are needed next; the sessions of accounts
    /// that are gone end, and their contacts are told. Cheap when nothing has changed: call it
    /// every few seconds.
    ///
    /// # Cancel safety
    /// Cancelled, an account that is gone may keep its sessions until the next change.
    pub async fn notice_changes(&self) {
        let changes = self.shared.store.external_changes().await;
        if self.changes.swap(changes, Ordering::Relaxed) == changes {
            return;
        }
        for shard in self.shards.iter() {
            let (reply, kept) = oneshot::channel();
            // A shard that has stopped has nothing to forget.
            let _ = shard.send(Command::Forget(reply)).await;
            for account in kept.await.unwrap_or_default() {
                self.end_if_gone(&account).await;
            }
        }
    }

    /// Ends the sessions of an account that somebody else has removed from the store.
    async fn end_if_gone(&self, account: &BareJid) {
        let Some(marker) = self.shared.registry.marker_table() else { return };
        match self.shared.store.load_owner(&[marker], account.as_str()).await {
            Ok(rows) if rows.is_empty() => {
                // It fails only while the router stops.
                let _ = self.in_home(account, |turn| turn.erase_account()).await;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%account, %error, "whether it exists is unknown"),
        }
    }

    async fn replay(&self, left: Vec<Handoff>) -> Result<(), StartError> {
        let count = left.len();
        for handoff in left {
            let shard = self.shared.shard_of(&handoff.to);
            let Some(peer) = self.shared.peers.get(shard) else { continue };
            peer.send(handoff).await.map_err(|_| StartError::Ended)?;
        }
        if count > 0 {
            tracing::info!(count, "handled the handoffs of the last run");
            self.settle().await.ok_or(StartError::Ended)?;
        }
        Ok(())
    }

    /// Waits until nothing is under way in any shard, without stopping to read connections.
    async fn settle(&self) -> Option<Lsn> {
        self.rounds(Command::Settle).await
    }

    async fn drain(&self) -> Option<Lsn> {
        self.rounds(Command::Drain).await
    }

    /// Asks all shards until two rounds in a row find the same: everything handed off has
    /// arrived, so nothing is under way between them. Returns the latest write.
    async fn rounds(&self, ask: impl Fn(oneshot::Sender<Idle>) -> Command) -> Option<Lsn> {
        let mut before = None;
        loop {
            let mut now = Vec::with_capacity(self.shards.len());
            for shard in self.shards.iter() {
                let (reply, idle) = oneshot::channel();
                shard.send(ask(reply)).await.ok()?;
                now.push(idle.await.ok()?);
            }
            let sent: u64 = now.iter().map(|idle| idle.sent).sum();
            let received: u64 = now.iter().map(|idle| idle.received).sum();
            let written = now.iter().map(|idle| idle.written).max();
            let same = before.as_ref() == Some(&now);
            if same && received >= sent {
                return written;
            }
            before = Some(now);
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// Reads what was on its way when the last run ended: for each home in the order in which it was
/// sent.
async fn read_handoffs(shared: &Shared) -> Result<Vec<Handoff>, StoreError> {
    let mut left = Vec::new();
    let mut after: Option<(Arc<str>, u64)> = None;
    loop {
        let place = after.as_ref().map(|(owner, row)| (owner.as_ref(), row));
        let page = shared.store.scan(&handoff::TABLE, None, place, limits::REPLAY_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some((Arc::clone(&last.owner), last.key));
        for entry in page {
            shared.next_row.fetch_max(entry.key + 1, Ordering::Relaxed);
            match Handoff::restore(entry.key, entry.value) {
                Some(handoff) => left.push(handoff),
                None => tracing::error!(row = entry.key, "a handoff cannot be read; it stays"),
            }
        }
    }
    Ok(left)
}

/// What was counted since the router was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Turns that were run.
    pub turns: u64,
    /// Turns that were discarded because a stage panicked.
    pub panics: u64,
    /// Stanzas that went from one home to another.
    pub handoffs: u64,
    /// Handoffs that were dropped because too many were under way.
    pub dropped: u64,
    /// Durable handoffs that were left in the journal for the next start.
    pub postponed: u64,
    /// Homes that were read from the store.
    pub loads: u64,
    /// The most homes that one shard was reading at the same time.
    pub loads_at_once: u64,
    /// Presence, chat states and answers that a full outbox did not take.
    pub outbox_dropped: u64,
    /// Messages and requests that an outbox did not take.
    pub outbox_refused: u64,
}

/// The counters as they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) turns: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) handoffs: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) postponed: AtomicU64,
    pub(crate) loads: AtomicU64,
    pub(crate) loads_at_once: AtomicU64,
    pub(crate) outbox_dropped: AtomicU64,
    pub(crate) outbox_refused: AtomicU64,
}

impl Counts {
    fn read(&self) -> Counters {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            turns: get(&self.turns),
            panics: get(&self.panics),
            handoffs: get(&self.handoffs),
            dropped: get(&self.dropped),
            postponed: get(&self.postponed),
            loads: get(&self.loads),
            loads_at_once: get(&self.loads_at_once),
            outbox_dropped: get(&self.outbox_dropped),
            outbox_refused: get(&self.outbox_refused),
        }
    }
}
