//! The store: what the rest of the server sees of a database.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::batch::Batch;
use crate::error::{Failure, Full, Refusal, StoreError};
use crate::journal::{Journal, Lsn, Watermark};
use crate::key::Key;
use crate::limits::SCAN_ROWS;
use crate::memory::{self, MemoryImage, MemoryOptions};
use crate::read::{Read, Span, successor};
use crate::record::Record;
use crate::sqlite::reader::Question;
use crate::sqlite::{self, Opened, Options};
use crate::table::{Row, Table, TableInfo};

/// A database with one journal; clones are handles to the same one.
///
/// Reads see what is committed, that is, everything up to the watermark and perhaps a little more;
/// they do not see batches that wait. When the last handle is dropped, what waits is still
/// written; [`close`](Self::close) waits for that.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    journal: Arc<Journal>,
    watermark: Watermark,
    tables: BTreeMap<&'static str, TableInfo>,
    reads: Reads,
}

/// Who answers reads.
#[derive(Debug)]
enum Reads {
    Memory(MemoryImage),
    Sqlite(mpsc::Sender<Question>),
}

/// A typed row of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<K, V> {
    /// The owner; empty in a global table.
    pub owner: Arc<str>,
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
}

impl Store {
    /// Opens the database in a folder, and makes both if they are not there.
    ///
    /// Only the user of the process can read them (folder 0700, files 0600). An older layout is
    /// upgraded. Blocks while it does so, and starts the threads that read and write.
    ///
    /// # Errors
    /// Another server has the folder, a newer program wrote the database, a table was declared
    /// otherwise before, or the system refuses. The error says what to do.
    pub fn open_sqlite(
        folder: impl AsRef<Path>,
        tables: &[TableInfo],
        options: Options,
    ) -> Result<Self, StoreError> {
        let tables = declared(tables)?;
        let opened = sqlite::open(folder.as_ref(), tables.values().copied(), options)?;
        let Opened { journal, watermark, questions } = opened;
        Ok(Self(Arc::new(Inner { journal, watermark, tables, reads: Reads::Sqlite(questions) })))
    }

    /// Opens an in-memory store; the writer is a task of the current tokio runtime.
    ///
    /// # Errors
    /// A table is declared twice in different ways, or its name cannot be.
    pub fn memory(tables: &[TableInfo], options: MemoryOptions) -> Result<Self, StoreError> {
        let tables = declared(tables)?;
        let reads = Reads::Memory(options.image.clone());
        let (journal, watermark) = memory::start(options);
        Ok(Self(Arc::new(Inner { journal, watermark, tables, reads })))
    }

    /// Gives a batch its place in the journal; returns at once.
    ///
    /// The batch is durable when [`committed`](Self::committed) says so. Batches become durable in
    /// the order of their numbers, each whole or not at all.
    ///
    /// # Errors
    /// [`Full`] gives the batch back and says why; nothing was written.
    // The large error is the point: the batch goes back to its owner without a copy.
    #[allow(clippy::result_large_err)]
    pub fn append(&self, batch: Batch) -> Result<Lsn, Full> {
        let unknown = batch.tables().find(|table| !self.knows(table));
        if let Some(table) = unknown {
            return Err(Full { batch, refusal: Refusal::UnknownTable(table.name) });
        }
        self.0.journal.append(batch)
    }

    /// The number of the newest appended batch, durable or not.
    pub fn appended(&self) -> Lsn {
        self.0.journal.assigned()
    }

    /// Waits until the journal would take a batch.
    ///
    /// Another caller may be faster: append again and be ready to wait again.
    ///
    /// # Errors
    /// The journal failed or was closed and will never take one.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn capacity(&self) -> Result<(), StoreError> {
        self.0.journal.capacity().await;
        if self.0.journal.is_open() { Ok(()) } else { Err(self.ended()) }
    }

    /// Watches the newest durable batch.
    ///
    /// The channel is closed when the journal has failed or was closed.
    pub fn watermark(&self) -> Watermark {
        self.0.watermark.clone()
    }

    /// Waits until a batch is durable.
    ///
    /// # Errors
    /// The journal failed or was closed before that. Whether the batch survives is unknown.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn committed(&self, lsn: Lsn) -> Result<(), StoreError> {
        let mut watermark = self.watermark();
        let reached = watermark.wait_for(|mark| *mark >= lsn).await.is_ok();
        if reached { Ok(()) } else { Err(self.ended()) }
    }

    /// Appends a batch, waiting for space if necessary, and waits until it is durable.
    ///
    /// # Errors
    /// A table is unknown, or the journal failed or was closed.
    ///
    /// # Cancel safety
    /// When cancelled, the batch may or may not be written; never in part.
    pub async fn commit(&self, batch: Batch) -> Result<Lsn, StoreError> {
        let mut waiting = batch;
        loop {
            match self.append(waiting) {
                Ok(lsn) => return self.committed(lsn).await.map(|()| lsn),
                Err(Full { refusal: Refusal::UnknownTable(table), .. }) => {
                    return Err(StoreError::UnknownTable { table });
                }
                Err(Full { batch, .. }) => {
                    self.capacity().await?;
                    waiting = batch;
                }
            }
        }
    }

    /// Watches for the failure that ends the journal; the process should then end too.
    ///
    /// After it nothing is acknowledged any more. Reads still answer.
    pub fn failure(&self) -> watch::Receiver<Option<Failure>> {
        self.0.journal.failure()
    }

    /// Watches whether the disk is full.
    ///
    /// While it is, the watermark stands and batches wait up to the bound; reads go on. Writing
    /// goes on by itself when there is space.
    pub fn disk_full(&self) -> watch::Receiver<bool> {
        self.0.journal.disk_full()
    }

    /// Looks whether another process wrote to the database, and returns how often that was noticed.
    ///
    /// A number that has grown since the last call means: what is cached may be old. Several
    /// commits between two calls count once.
    ///
    /// # Cancel safety
    /// A change that a cancelled call noticed is still in the next number.
    pub async fn external_changes(&self) -> u64 {
        self.0.journal.probe().await
    }

    /// Takes no more batches, waits until those that wait are written and the writer has ended.
    ///
    /// Another process can then open the same database. Reads still answer. On a full disk what
    /// waits is given up.
    ///
    /// # Cancel safety
    /// The store closes all the same.
    pub async fn close(&self) {
        self.0.journal.close();
        let mut watermark = self.watermark();
        while watermark.changed().await.is_ok() {}
    }

    /// The tables that were declared, sorted by name.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = TableInfo> {
        self.0.tables.values().copied()
    }

    /// All rows of one owner in these tables, table after table, each sorted by key.
    ///
    /// # Errors
    /// A table is unknown, or the database cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn load_owner(
        &self,
        tables: &[TableInfo],
        owner: &str,
    ) -> Result<Vec<Row>, StoreError> {
        tables.iter().try_for_each(|table| self.check(*table))?;
        let (tables, owner) = (tables.to_vec(), owner.to_owned());
        self.read(move |data| data.owner(&tables, &owner)).await
    }

    /// The value of one row.
    ///
    /// # Errors
    /// The table is unknown, or the row cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn get<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        owner: &str,
        key: &K,
    ) -> Result<Option<V>, StoreError> {
        let info = table.info();
        self.check(info)?;
        let (owner, key) = (info.owner(owner).to_owned(), key.to_bytes());
        let row = self.read(move |data| data.row(info, &owner, &key)).await?;
        row.map(|row| table.decode_value(row.version, &row.value)).transpose()
    }

    /// Rows in the order of owner and key, of one owner or of all, after a given place.
    ///
    /// At most `limit` and at most [`SCAN_ROWS`]: go on after the last entry until none comes.
    ///
    /// # Errors
    /// The table is unknown, or a row cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn scan<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        owner: Option<&str>,
        after: Option<(&str, &K)>,
        limit: usize,
    ) -> Result<Vec<Entry<K, V>>, StoreError> {
        let info = table.info();
        let after = after.map(|(owner, key)| (info.owner(owner), key));
        let only = owner.map(|owner| info.owner(owner).to_owned());
        let (first_owner, start) = match after {
            // Of one owner, only that owner's keys have a place.
            Some((at, _)) if only.as_deref().is_some_and(|only| at < only) => (at, Vec::new()),
            Some((at, _)) if only.as_deref().is_some_and(|only| at > only) => {
                return Ok(Vec::new());
            }
            Some((at, key)) => (at, successor(key.to_bytes())),
            None => ("", Vec::new()),
        };
        let first_owner = first_owner.to_owned();
        let span = Span { table: info, owner: only, first_owner, start, end: None, limit };
        self.span(table, span).await
    }

    /// Rows of one owner whose keys lie in a range, in the order of the keys.
    ///
    /// At most `limit` and at most [`SCAN_ROWS`].
    ///
    /// # Errors
    /// The table is unknown, or a row cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn range<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        owner: &str,
        range: impl RangeBounds<K>,
        limit: usize,
    ) -> Result<Vec<Entry<K, V>>, StoreError> {
        let info = table.info();
        let start = match range.start_bound() {
            Bound::Included(key) => key.to_bytes(),
            Bound::Excluded(key) => successor(key.to_bytes()),
            Bound::Unbounded => Vec::new(),
        };
        let end = match range.end_bound() {
            Bound::Included(key) => Some(successor(key.to_bytes())),
            Bound::Excluded(key) => Some(key.to_bytes()),
            Bound::Unbounded => None,
        };
        let owner = Some(info.owner(owner).to_owned());
        let span = Span { table: info, owner, first_owner: String::new(), start, end, limit };
        self.span(table, span).await
    }

    /// The owners that have rows in a table, sorted, after a given one.
    ///
    /// At most `limit` and at most [`SCAN_ROWS`].
    ///
    /// # Errors
    /// The table is unknown, or the database cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn owners<K, V>(
        &self,
        table: &Table<K, V>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let info = table.info();
        self.check(info)?;
        let (after, limit) = (after.map(str::to_owned), limit.min(SCAN_ROWS));
        self.read(move |data| data.owners(info, after.as_deref(), limit)).await
    }

    async fn span<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        mut span: Span,
    ) -> Result<Vec<Entry<K, V>>, StoreError> {
        self.check(span.table)?;
        span.limit = span.limit.min(SCAN_ROWS);
        let rows = self.read(move |data| data.span(&span)).await?;
        let entry = |(owner, row): (Arc<str>, Row)| {
            let key = table.decode_key(&row.key)?;
            let value = table.decode_value(row.version, &row.value)?;
            Ok(Entry { owner, key, value })
        };
        rows.into_iter().map(entry).collect()
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Read) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.0.reads {
            Reads::Memory(image) => question(image),
            Reads::Sqlite(readers) => {
                let (answer, answered) = oneshot::channel();
                let question: Question = Box::new(move |data| {
                    // The caller may have been cancelled.
                    let _ = answer.send(question(data));
                });
                readers.send(question).await.map_err(|_| StoreError::Closed)?;
                answered.await.map_err(|_| StoreError::Closed)?
            }
        }
    }

    fn knows(&self, table: &TableInfo) -> bool {
        self.0.tables.get(table.name) == Some(table)
    }

    fn check(&self, table: TableInfo) -> Result<(), StoreError> {
        let known = self.knows(&table);
        if known { Ok(()) } else { Err(StoreError::UnknownTable { table: table.name }) }
    }

    /// Why the journal ended.
    fn ended(&self) -> StoreError {
        let failure = self.0.journal.failure().borrow().clone();
        failure.map_or(StoreError::Closed, StoreError::Failed)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.journal.close();
    }
}

/// Checks the declarations and sorts them by name.
fn declared(tables: &[TableInfo]) -> Result<BTreeMap<&'static str, TableInfo>, StoreError> {
    let mut known = BTreeMap::new();
    for table in tables {
        table.check()?;
        if known.insert(table.name, *table).is_some_and(|other| other != *table) {
            let reason = "declared twice, with different versions or scopes";
            return Err(StoreError::Declaration { table: table.name, reason });
        }
    }
    Ok(known)
}
