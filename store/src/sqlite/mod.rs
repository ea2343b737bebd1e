//! The SQLite back end: one writer thread and a few reader threads on one database file.

pub(crate) mod engine;
pub(crate) mod folder;
pub(crate) mod reader;
pub(crate) mod schema;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::sync::{mpsc, watch};

use crate::error::StoreError;
use crate::journal::{Journal, Lsn, Wake};
use crate::limits::{JournalLimits, READERS};
use crate::table::TableInfo;
use crate::writer;

/// How an SQLite store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Refuse the folder when another server has it open, and keep other servers out.
    ///
    /// False for a tool that works beside a running server: it may write, but only the server
    /// alone may change the layout.
    pub exclusive: bool,
    /// Threads that read.
    pub readers: usize,
    /// The journal's bounds.
    pub limits: JournalLimits,
}

impl Default for Options {
    /// For a server.
    fn default() -> Self {
        Self { exclusive: true, readers: READERS, limits: JournalLimits::default() }
    }
}

impl Options {
    /// For a tool that works beside a running server.
    pub fn tool() -> Self {
        Self { exclusive: false, readers: 1, ..Self::default() }
    }
}

/// What an open database consists of.
pub(crate) struct Opened {
    pub(crate) journal: Arc<Journal>,
    pub(crate) watermark: watch::Receiver<Lsn>,
    pub(crate) questions: mpsc::Sender<reader::Question>,
}

pub(crate) fn open(
    folder: &Path,
    tables: impl ExactSizeIterator<Item = TableInfo> + Clone,
    options: Options,
) -> Result<Opened, StoreError> {
    let path = folder::prepare(folder)?;
    let mut lock = options.exclusive.then(|| folder::lock(folder)).transpose()?;
    let mut db = engine::connect(&path)?;
    if lock.is_none() && schema::version(&db, &path)? < schema::SCHEMA_VERSION {
        // A server that runs on the old layout must not have it changed under its feet.
        lock = Some(folder::lock(folder)?);
    }
    let lsn = schema::upgrade(&mut db, &path, tables.clone())?;
    let lock = lock.filter(|_| options.exclusive);
    let engine = engine::Sqlite::new(db, tables)?;
    let questions = reader::start(&path, options.readers)?;
    let journal = Journal::new(options.limits, lsn, Wake::Thread(OnceLock::new()));
    let (mark, watermark) = watch::channel(lsn);
    let own = Arc::clone(&journal);
    thread::Builder::new()
        .name("store-write".to_owned())
        .spawn(move || writer::run(engine, &own, mark, lock))
        .map_err(|source| StoreError::Io { path, source })?;
    Ok(Opened { journal, watermark, questions })
}
