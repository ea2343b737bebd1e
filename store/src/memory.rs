//! The in-memory back end: deterministic, for tests and the simulation.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::batch::Write;
use crate::error::{Failure, StoreError};
use crate::journal::{Group, Journal, Lsn, Wake, Work};
use crate::limits::JournalLimits;
use crate::read::{Read, Span};
use crate::table::{Row, TableInfo};

/// How an in-memory store behaves.
#[derive(Debug, Clone, Default)]
pub struct MemoryOptions {
    /// How long a commit takes, in the runtime's (paused) time.
    pub commit_delay: Duration,
    /// The "disk": a fresh one by default; a clone of an earlier one to open its content again.
    pub image: MemoryImage,
    /// The journal's bounds.
    pub limits: JournalLimits,
}

/// The "disk" of an in-memory store: what is durable, and nothing else.
///
/// Clones share the content. A test keeps one, calls [`crash`](Self::crash) and opens a new store
/// with it: whatever the watermark did not cover is gone.
#[derive(Debug, Clone, Default)]
pub struct MemoryImage {
    /// A lock and not a message: readers want an answer at once, as from a disk.
    disk: Arc<Mutex<Disk>>,
    changed: Arc<Notify>,
}

type Rows = BTreeMap<String, BTreeMap<Vec<u8>, (u16, Bytes)>>;

#[derive(Debug, Default)]
struct Disk {
    tables: BTreeMap<&'static str, Rows>,
    lsn: Lsn,
    commits: u64,
    crashes: u64,
    full: bool,
}

impl MemoryImage {
    /// Pulls the plug of every store that is open on this image.
    ///
    /// They stop with [`Failure::Crash`] and change nothing any more; what waits in them is lost.
    pub fn crash(&self) {
        self.disk().crashes += 1;
        self.changed.notify_waiters();
    }

    /// Makes the disk full, or gives it space again.
    pub fn set_full(&self, full: bool) {
        self.disk().full = full;
        self.changed.notify_waiters();
    }

    /// The newest durable batch.
    pub fn watermark(&self) -> Lsn {
        self.disk().lsn
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // A group is applied by moves that do not panic, so the content is whole in any case.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn commit(&mut self, group: &Group) {
        for write in group.batches.iter().flat_map(|batch| batch.iter()) {
            self.write(write);
        }
        self.lsn = self.lsn.max(group.last);
        self.commits += 1;
    }

    fn write(&mut self, write: Write<'_>) {
        match write {
            Write::Put { table, owner, key, value } => {
                let rows = self.tables.entry(table.name).or_default();
                let cell = (table.version, Bytes::copy_from_slice(value));
                match rows.get_mut(owner) {
                    Some(keys) => keys.insert(key.to_vec(), cell),
                    None => rows.entry(owner.to_owned()).or_default().insert(key.to_vec(), cell),
                };
            }
            Write::Delete { table, owner, key } => {
                let rows = self.tables.entry(table.name).or_default();
                if let Some(keys) = rows.get_mut(owner) {
                    keys.remove(key);
                    if keys.is_empty() {
                        rows.remove(owner);
                    }
                }
            }
            Write::Erase { table, owner } => {
                self.tables.entry(table.name).or_default().remove(owner);
            }
        }
    }
}

/// Starts the writer task of a store on this image.
pub(crate) fn start(options: MemoryOptions) -> (Arc<Journal>, watch::Receiver<Lsn>) {
    let lsn = options.image.watermark();
    let journal = Journal::new(options.limits, lsn, Wake::Task(Notify::new()));
    let (watermark, seen) = watch::channel(lsn);
    let writer = Writer::new(options, Arc::clone(&journal), watermark);
    tokio::spawn(writer.run());
    (journal, seen)
}

/// The task that commits groups.
struct Writer {
    image: MemoryImage,
    commit_delay: Duration,
    journal: Arc<Journal>,
    watermark: watch::Sender<Lsn>,
    /// The image's count of crashes when the store was opened.
    crashes: u64,
    /// Own commits, and those of others that were reported.
    known: u64,
}

impl Writer {
    fn new(options: MemoryOptions, journal: Arc<Journal>, watermark: watch::Sender<Lsn>) -> Self {
        let (crashes, known) = {
            let disk = options.image.disk();
            (disk.crashes, disk.commits)
        };
        Self {
            image: options.image,
            commit_delay: options.commit_delay,
            journal,
            watermark,
            crashes,
            known,
        }
    }

    async fn run(mut self) {
        loop {
            let image = self.image.clone();
            let changed = image.changed.notified();
            if self.has_crashed() {
                break;
            }
            match self.journal.poll() {
                Work::Done => {
                    self.journal.stop(None);
                    break;
                }
                Work::Idle => {
                    let Wake::Task(appended) = &self.journal.wake else { break };
                    either(appended.notified(), changed).await;
                }
                Work::Probe(probe) => self.answer(probe),
                Work::Commit(group) => {
                    if !self.commit(group).await {
                        break;
                    }
                }
            }
        }
    }

    /// Commits a group as soon as the image has space; false when the plug was pulled.
    async fn commit(&mut self, group: Group) -> bool {
        if !self.commit_delay.is_zero() {
            tokio::time::sleep(self.commit_delay).await;
        }
        loop {
            let image = self.image.clone();
            let changed = image.changed.notified();
            if self.has_crashed() {
                return false;
            }
            if self.try_commit(&group) {
                self.journal.set_disk_full(false);
                self.watermark.send_replace(group.last);
                return true;
            }
            self.journal.set_disk_full(true);
            if !self.journal.is_open() {
                self.journal.stop(None);
                return false;
            }
            changed.await;
        }
    }

    fn try_commit(&mut self, group: &Group) -> bool {
        let mut disk = self.image.disk();
        if disk.full {
            return false;
        }
        disk.commit(group);
        self.known += 1;
        true
    }

    fn has_crashed(&self) -> bool {
        if self.image.disk().crashes == self.crashes {
            return false;
        }
        let watermark = *self.watermark.borrow();
        self.journal.stop(Some(Failure::Crash { watermark }));
        true
    }

    fn answer(&mut self, probe: u64) {
        let commits = self.image.disk().commits;
        self.journal.answer_probe(probe, commits != self.known);
        self.known = commits;
    }
}

/// Waits for whichever comes first.
async fn either(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    std::future::poll_fn(|cx| {
        if a.as_mut().poll(cx).is_ready() {
            std::task::Poll::Ready(())
        } else {
            b.as_mut().poll(cx)
        }
    })
    .await;
}

impl Read for MemoryImage {
    fn row(&self, table: TableInfo, owner: &str, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let disk = self.disk();
        let keys = disk.tables.get(table.name).and_then(|rows| rows.get(owner));
        Ok(keys.and_then(|keys| keys.get_key_value(key)).map(|(key, cell)| row(table, key, cell)))
    }

    fn owner(&self, tables: &[TableInfo], owner: &str) -> Result<Vec<Row>, StoreError> {
        let disk = self.disk();
        let mut found = Vec::new();
        for table in tables {
            let rows = disk.tables.get(table.name).and_then(|rows| rows.get(table.owner(owner)));
            let rows = rows.into_iter().flatten();
            found.extend(rows.map(|(key, cell)| row(*table, key, cell)));
        }
        Ok(found)
    }

    fn span(&self, span: &Span) -> Result<Vec<(Arc<str>, Row)>, StoreError> {
        let disk = self.disk();
        let Some(rows) = disk.tables.get(span.table.name) else { return Ok(Vec::new()) };
        let first = span.owner.as_ref().unwrap_or(&span.first_owner).as_str();
        let last = span.owner.as_deref().map_or(Bound::Unbounded, Bound::Included);
        let mut found = Vec::new();
        for (owner, keys) in rows.range::<str, _>((Bound::Included(first), last)) {
            let shared: Arc<str> = Arc::from(owner.as_str());
            let start = if owner == first { span.start.as_slice() } else { &[] };
            let end = span.end.as_deref();
            let cells = keys.range::<[u8], _>((Bound::Included(start), Bound::Unbounded));
            let cells = cells.take_while(|(key, _)| end.is_none_or(|end| key.as_slice() < end));
            let left = span.limit - found.len();
            let cells = cells.take(left);
            found
                .extend(cells.map(|(key, cell)| (Arc::clone(&shared), row(span.table, key, cell))));
            if found.len() == span.limit {
                break;
            }
        }
        Ok(found)
    }

    fn owners(
        &self,
        table: TableInfo,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let disk = self.disk();
        let Some(rows) = disk.tables.get(table.name) else { return Ok(Vec::new()) };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let owners = rows.range::<str, _>((start, Bound::Unbounded));
        Ok(owners.take(limit).map(|(owner, _)| owner.clone()).collect())
    }
}

fn row(table: TableInfo, key: &[u8], (version, value): &(u16, Bytes)) -> Row {
    Row { table, key: key.to_vec(), value: value.clone(), version: *version }
}
