//! The writing side of SQLite: one connection, one transaction per group.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use crate::batch::Write;
use crate::error::StoreError;
use crate::journal::Group;
use crate::limits::{BUSY_WAIT, CHECKPOINT_PAGES};
use crate::table::TableInfo;
use crate::writer::{CommitError, Engine};

/// The connection that writes.
pub(crate) struct Sqlite {
    db: Connection,
    statements: BTreeMap<&'static str, Statements>,
    /// Pages in the write-ahead log after the last commit.
    log_pages: Arc<AtomicU32>,
    data_version: i64,
}

/// The text of a table's statements, by which the connection finds them prepared.
struct Statements {
    put: String,
    delete: String,
    erase: String,
}

/// Opens a connection for writing.
pub(crate) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY_WAIT)?;
        let mode: String =
            db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode != "wal" {
            // A file system without shared memory (some network mounts) cannot carry a database.
            let error = ffi::Error::new(ffi::SQLITE_CANTOPEN);
            let text = format!("the file system allows only journal mode {mode}, not wal");
            return Err(rusqlite::Error::SqliteFailure(error, Some(text)));
        }
        // FULL syncs the log before a commit returns; without it a power cut takes back what was
        // acknowledged.
        db.pragma_update(None, "synchronous", "FULL")?;
        // A plain fsync on macOS does not reach the medium.
        db.pragma_update(None, "fullfsync", true)?;
        db.pragma_update(None, "checkpoint_fullfsync", true)?;
        // What was erased is overwritten, not only unlinked.
        db.pragma_update(None, "secure_delete", true)?;
        db.pragma_update(None, "trusted_schema", false)?;
        Ok(db)
    };
    open().map_err(|source| StoreError::Sqlite { doing: "opening the database", source })
}

impl Sqlite {
    /// Takes over a connection whose database has the tables.
    pub(crate) fn new(
        mut db: Connection,
        tables: impl ExactSizeIterator<Item = TableInfo>,
    ) -> Result<Self, StoreError> {
        // Three statements per table, and those that every group needs.
        db.set_prepared_statement_cache_capacity(3 * tables.len() + 8);
        let statements = tables.map(|table| (table.name, Statements::of(table.name))).collect();
        let log_pages = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&log_pages);
        // SQLite's own checkpoint would run before the commit returns, and would hide a failed
        // sync. Here it runs in `tidy`, and its errors count.
        let watch = move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            seen.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        let data_version = db
            .wal_hook(Some(watch))
            .and_then(|()| data_version(&db))
            .map_err(|source| StoreError::Sqlite { doing: "preparing the writer", source })?;
        Ok(Self { db, statements, log_pages, data_version })
    }

    fn transaction(&self, group: &Group) -> rusqlite::Result<()> {
        // IMMEDIATE: the lock is taken at the start, where waiting for it is still possible.
        self.execute("BEGIN IMMEDIATE")?;
        for write in group.batches.iter().flat_map(|batch| batch.iter()) {
            self.write(write)?;
        }
        // A tool beside the server counts from where it started: the number never falls.
        self.db
            .prepare_cached("UPDATE meta SET value = max(value, ?1) WHERE name = 'lsn'")?
            .execute([group.last.as_u64().cast_signed()])?;
        self.execute("COMMIT")
    }

    fn write(&self, write: Write<'_>) -> rusqlite::Result<()> {
        match write {
            Write::Put { table, owner, key, value } => {
                let put = &self.statements(table)?.put;
                self.db.prepare_cached(put)?.execute((owner, key, table.version, value))?;
            }
            Write::Delete { table, owner, key } => {
                let delete = &self.statements(table)?.delete;
                self.db.prepare_cached(delete)?.execute((owner, key))?;
            }
            Write::Erase { table, owner } => {
                let erase = &self.statements(table)?.erase;
                self.db.prepare_cached(erase)?.execute([owner])?;
            }
        }
        Ok(())
    }

    fn statements(&self, table: TableInfo) -> rusqlite::Result<&Statements> {
        // The store refuses batches with unknown tables, so this error is never seen.
        let unknown = || rusqlite::Error::InvalidColumnName(table.name.to_owned());
        self.statements.get(table.name).ok_or_else(unknown)
    }

    fn execute(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.db.prepare_cached(sql)?.execute(()).map(drop)
    }
}

impl Statements {
    fn of(name: &str) -> Self {
        Self {
            put: format!(
                "INSERT INTO rows_{name} (owner, key, version, value) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (owner, key) DO UPDATE \
                 SET version = excluded.version, value = excluded.value"
            ),
            delete: format!("DELETE FROM rows_{name} WHERE owner = ?1 AND key = ?2"),
            erase: format!("DELETE FROM rows_{name} WHERE owner = ?1"),
        }
    }
}

impl Engine for Sqlite {
    fn commit(&mut self, group: &Group) -> Result<(), CommitError> {
        let Err(error) = self.transaction(group) else { return Ok(()) };
        // Some errors have rolled back already.
        if !self.db.is_autocommit() {
            self.execute("ROLLBACK").map_err(CommitError::Fatal)?;
        }
        Err(classified(error))
    }

    fn tidy(&mut self) -> Result<(), CommitError> {
        if self.log_pages.load(Ordering::Relaxed) < CHECKPOINT_PAGES {
            return Ok(());
        }
        let sql = "PRAGMA wal_checkpoint(PASSIVE)";
        let checkpoint =
            self.db.prepare_cached(sql).and_then(|mut sql| sql.query_row((), |_| Ok(())));
        checkpoint.map_err(classified)
    }

    fn has_changed(&mut self) -> Result<bool, CommitError> {
        let version = data_version(&self.db).map_err(classified)?;
        Ok(std::mem::replace(&mut self.data_version, version) != version)
    }
}

/// A number that changes when another connection has committed, and only then.
fn data_version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA data_version")?.query_row((), |row| row.get(0))
}

fn classified(error: rusqlite::Error) -> CommitError {
    let Some(failure) = error.sqlite_error() else { return CommitError::Fatal(error) };
    match failure.code {
        ErrorCode::DiskFull => CommitError::DiskFull,
        ErrorCode::DatabaseBusy => CommitError::Busy,
        // The index of the log could not grow, which only a full disk causes.
        _ if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => CommitError::DiskFull,
        _ => CommitError::Fatal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::journal::Lsn;
    use crate::sqlite::schema;
    use crate::table::Table;

    const BLOBS: Table<u64, Vec<u8>> = Table::global("blobs", 1);

    fn engine(path: &Path) -> Sqlite {
        std::fs::File::create(path).unwrap();
        let mut db = connect(path).unwrap();
        let tables = [BLOBS.info()];
        schema::upgrade(&mut db, path, tables.into_iter()).unwrap();
        Sqlite::new(db, tables.into_iter()).unwrap()
    }

    fn group(lsn: u64, bytes: usize) -> Group {
        let mut batch = Batch::new();
        batch.put(&BLOBS, "", &lsn, &vec![7; bytes]);
        Group { batches: vec![batch], last: Lsn::new(lsn) }
    }

    fn count(engine: &Sqlite) -> u32 {
        engine.db.query_row("SELECT count(*) FROM rows_blobs", (), |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_full_disk_leaves_nothing_behind_and_the_same_group_fits_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = engine(&folder.path().join("full.db"));
        // SQLite reports its own page limit exactly as it reports ENOSPC.
        engine.db.pragma_update(None, "max_page_count", 64).unwrap();
        engine.commit(&group(1, 100)).unwrap();
        let large = group(2, 1 << 20);
        for _ in 0..3 {
            assert!(matches!(engine.commit(&large), Err(CommitError::DiskFull)));
            assert_eq!(count(&engine), 1, "still readable, and without a part of the group");
        }
        engine.db.pragma_update(None, "max_page_count", 1 << 20).unwrap();
        engine.commit(&large).unwrap();
        assert_eq!(count(&engine), 2);
    }

    #[test]
    fn the_log_is_moved_into_the_database_when_it_is_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let mut engine = engine(&path);
        engine.commit(&group(1, 100)).unwrap();
        let small = path.metadata().unwrap().len();
        engine.tidy().unwrap();
        assert_eq!(path.metadata().unwrap().len(), small, "a short log stays");
        let bytes = CHECKPOINT_PAGES as usize * 4096;
        engine.commit(&group(2, bytes)).unwrap();
        assert_eq!(path.metadata().unwrap().len(), small, "not within the commit");
        engine.tidy().unwrap();
        assert!(path.metadata().unwrap().len() > bytes as u64);
    }

    #[test]
    fn only_a_full_disk_and_a_busy_database_are_worth_another_try() {
        let of = |code| classified(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert!(matches!(of(ffi::SQLITE_FULL), CommitError::DiskFull));
        assert!(matches!(of(ffi::SQLITE_IOERR_SHMSIZE), CommitError::DiskFull));
        assert!(matches!(of(ffi::SQLITE_BUSY), CommitError::Busy));
        for code in [
            ffi::SQLITE_IOERR,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOMEM,
        ] {
            assert!(matches!(of(code), CommitError::Fatal(_)), "{code}");
        }
    }
}
