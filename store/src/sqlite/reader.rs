//! The reading side of SQLite: a few threads, each with a connection of its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tokio::sync::mpsc;

use crate::error::StoreError;
use crate::limits::{BUSY_WAIT, QUEUED_READS};
use crate::read::{Read, Span};
use crate::table::{Row, TableInfo};

/// A question for a reader thread; it sends its own answer.
pub(crate) type Question = Box<dyn FnOnce(&dyn Read) + Send>;

/// Starts the threads; they end when the sender is dropped.
pub(crate) fn start(path: &Path, readers: usize) -> Result<mpsc::Sender<Question>, StoreError> {
    let (sender, receiver) = mpsc::channel(QUEUED_READS);
    // Whoever is free takes the next question: a slow one delays nobody behind it.
    let receiver = Arc::new(Mutex::new(receiver));
    for number in 0..readers.max(1) {
        let reader = Reader::open(path)?;
        let receiver = Arc::clone(&receiver);
        let thread = thread::Builder::new().name(format!("store-read-{number}"));
        thread
            .spawn(move || run(&reader, &receiver))
            .map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
    }
    Ok(sender)
}

fn run(reader: &Reader, receiver: &Mutex<mpsc::Receiver<Question>>) {
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(question) = next else { break };
        question(reader);
    }
}

struct Reader {
    db: Connection,
}

impl Reader {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let db = Connection::open_with_flags(path, flags)?;
            db.busy_timeout(BUSY_WAIT)?;
            db.pragma_update(None, "query_only", true)?;
            db.pragma_update(None, "trusted_schema", false)?;
            // A few shapes of statement for each of some dozens of tables.
            db.set_prepared_statement_cache_capacity(256);
            Ok(Self { db })
        };
        open().map_err(failed)
    }

    fn rows(&self, table: TableInfo, owner: &str, into: &mut Vec<Row>) -> rusqlite::Result<()> {
        let name = table.name;
        let sql =
            format!("SELECT key, version, value FROM rows_{name} WHERE owner = ?1 ORDER BY key");
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut rows = statement.query([table.owner(owner)])?;
        while let Some(found) = rows.next()? {
            into.push(row(table, found, 0)?);
        }
        Ok(())
    }

    fn of_owner(&self, owner: &str, span: &Span) -> rusqlite::Result<Vec<(Arc<str>, Row)>> {
        let upper = if span.end.is_some() { "AND key < ?4" } else { "AND ?4 IS NULL" };
        let sql = format!(
            "SELECT key, version, value FROM rows_{} \
             WHERE owner = ?1 AND key >= ?2 {upper} ORDER BY key LIMIT ?3",
            span.table.name
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut rows = statement.query((owner, &span.start, span.limit as i64, &span.end))?;
        let owner: Arc<str> = Arc::from(owner);
        let mut entries = Vec::new();
        while let Some(found) = rows.next()? {
            entries.push((Arc::clone(&owner), row(span.table, found, 0)?));
        }
        Ok(entries)
    }

    fn of_all(&self, span: &Span) -> rusqlite::Result<Vec<(Arc<str>, Row)>> {
        let sql = format!(
            "SELECT owner, key, version, value FROM rows_{} \
             WHERE (owner, key) >= (?1, ?2) ORDER BY owner, key LIMIT ?3",
            span.table.name
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut rows = statement.query((&span.first_owner, &span.start, span.limit as i64))?;
        let mut entries: Vec<(Arc<str>, Row)> = Vec::new();
        while let Some(found) = rows.next()? {
            let owner = text(found.get_ref(0)?)?;
            // The rows of an owner follow each other and share its name.
            let owner = match entries.last() {
                Some((last, _)) if **last == *owner => Arc::clone(last),
                _ => Arc::from(owner),
            };
            entries.push((owner, row(span.table, found, 1)?));
        }
        Ok(entries)
    }
}

impl Read for Reader {
    fn row(&self, table: TableInfo, owner: &str, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let name = table.name;
        let sql =
            format!("SELECT key, version, value FROM rows_{name} WHERE owner = ?1 AND key = ?2");
        let found = self.db.prepare_cached(&sql).and_then(|mut statement| {
            statement.query_row((owner, key), |found| row(table, found, 0)).optional()
        });
        found.map_err(failed)
    }

    fn owner(&self, tables: &[TableInfo], owner: &str) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        let load = |rows: &mut Vec<Row>| {
            // One snapshot: the tables belong together as they were at one moment.
            let snapshot = self.db.unchecked_transaction()?;
            tables.iter().try_for_each(|table| self.rows(*table, owner, rows))?;
            snapshot.finish()
        };
        load(&mut rows).map(|()| rows).map_err(failed)
    }

    fn span(&self, span: &Span) -> Result<Vec<(Arc<str>, Row)>, StoreError> {
        let found = match &span.owner {
            Some(owner) => self.of_owner(owner, span),
            None => self.of_all(span),
        };
        found.map_err(failed)
    }

    fn owners(
        &self,
        table: TableInfo,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let (name, limit) = (table.name, limit as i64);
        let condition = if after.is_some() { "owner > ?1" } else { "?1 IS NULL" };
        // GROUP BY walks the index; the owners come out sorted and each once.
        let sql = format!(
            "SELECT owner FROM rows_{name} WHERE {condition} GROUP BY owner ORDER BY owner LIMIT ?2"
        );
        let found = self.db.prepare_cached(&sql).and_then(|mut statement| {
            statement.query_map((after, limit), |row| row.get(0))?.collect()
        });
        found.map_err(failed)
    }
}

/// The row whose key, version and value start at a column.
fn row(table: TableInfo, found: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Row> {
    Ok(Row {
        table,
        key: blob(found.get_ref(column)?)?.to_vec(),
        version: found.get(column + 1)?,
        value: Bytes::copy_from_slice(blob(found.get_ref(column + 2)?)?),
    })
}

fn blob(value: ValueRef<'_>) -> rusqlite::Result<&[u8]> {
    value.as_blob().map_err(|error| damaged(value, error))
}

fn text(value: ValueRef<'_>) -> rusqlite::Result<&str> {
    value.as_str().map_err(|error| damaged(value, error))
}

fn damaged(value: ValueRef<'_>, error: rusqlite::types::FromSqlError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, value.data_type(), Box::new(error))
}

const fn failed(source: rusqlite::Error) -> StoreError {
    StoreError::Sqlite { doing: "reading", source }
}
