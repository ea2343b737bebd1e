//! What can go wrong, one enum per boundary.

use std::path::PathBuf;
use std::sync::Arc;

use crate::batch::Batch;
use crate::journal::Lsn;

/// A stored key or value could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The row was written with a layout that this program does not know.
    #[error("unknown row version {0}")]
    Version(u16),
    /// The bytes end before the record does.
    #[error("the record is cut short")]
    Short,
    /// Bytes are left after the end of the record.
    #[error("the record has trailing bytes")]
    Trailing,
    /// A field holds what it may not hold.
    #[error("malformed field: {0}")]
    Malformed(&'static str),
}

/// Opening, reading or committing failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder or a file in it could not be used.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another server has the folder open.
    #[error(
        "{} is in use by another server: stop it first, or choose another data folder",
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A newer program laid out the database.
    #[error(
        "{} has schema version {found}, this program knows versions up to {known}: \
         start the newer longwire, or restore a backup from before the upgrade", path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// A newer program wrote rows of this table.
    #[error(
        "table {table} holds rows of version {found}, this program knows versions up to {known}: \
         start the newer longwire, or restore a backup from before the upgrade"
    )]
    NewerTable {
        /// The table.
        table: &'static str,
        /// The version found.
        found: u16,
        /// The newest version this program knows.
        known: u16,
    },
    /// The file is a database, but not one of ours.
    #[error("{} is an SQLite database of another program", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// A table was declared in a way that cannot be.
    #[error("table {table}: {reason}")]
    Declaration {
        /// The table.
        table: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The table was not among those named when the store was opened.
    #[error("table {table} was not declared when the store was opened")]
    UnknownTable {
        /// The table.
        table: &'static str,
    },
    /// A row could not be decoded.
    #[error("table {table}: {source}")]
    Record {
        /// The table.
        table: &'static str,
        /// Why.
        source: RecordError,
    },
    /// SQLite refused.
    #[error("{doing}: {source}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The journal stopped for good; the process should end.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why the journal stopped for good.
///
/// Nothing above the watermark is known to be durable, and trying the same write again could
/// report as durable what the disk never got. The only safe reaction is to end the process and to
/// recover from what is on the disk.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The database did not take a group of batches.
    #[error("the journal stopped after {watermark}: {source}")]
    Commit {
        /// The last batch that is known to be durable.
        watermark: Lsn,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
    /// A test pulled the plug of an in-memory store.
    #[error("the in-memory store crashed after {watermark}")]
    Crash {
        /// The last batch that is known to be durable.
        watermark: Lsn,
    },
}

/// [`Store::append`](crate::Store::append) did not take the batch.
#[derive(Debug, thiserror::Error)]
#[error("the journal did not take the batch: {refusal}")]
pub struct Full {
    /// The batch, given back.
    pub batch: Batch,
    /// Why it was not taken.
    pub refusal: Refusal,
}

/// Why the journal does not take a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Too much waits for the writer: wait for [`Store::capacity`](crate::Store::capacity), or
    /// answer `resource-constraint`.
    #[error("too much is waiting to be written")]
    Busy,
    /// The journal failed or was closed; it will not take anything again.
    #[error("the journal has stopped")]
    Stopped,
    /// A table of the batch was not named when the store was opened.
    #[error("table {0} was not declared when the store was opened")]
    UnknownTable(&'static str),
}
