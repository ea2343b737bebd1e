//! Typed tables, batches and one journal with a durable watermark.
//!
//! A feature declares a [`Table`] with a [`Key`] and a [`Record`]. Writes go into a [`Batch`],
//! which [`Store::append`] puts into the journal without waiting. The writer commits in groups:
//! everything that has gathered while the last commit was under way becomes durable with one
//! sync, and then the [`Watermark`] moves. Whatever leaves the process waits for it.
//!
//! Two back ends stand behind the same [`Store`]: SQLite, and memory for tests and simulations.

mod batch;
mod error;
mod journal;
mod key;
pub mod limits;
mod memory;
mod read;
pub mod record;
mod sqlite;
mod store;
mod table;
mod writer;

pub use batch::{Batch, Write};
pub use error::{Failure, Full, RecordError, Refusal, StoreError};
pub use journal::{Lsn, Watermark};
pub use key::{Key, KeyReader, put_bytes, put_str};
pub use limits::JournalLimits;
pub use memory::{MemoryImage, MemoryOptions};
pub use record::Record;
pub use sqlite::Options;
pub use sqlite::folder::{DATABASE, LOCK};
pub use sqlite::schema::SCHEMA_VERSION;
pub use store::{Entry, Store};
pub use table::{Row, Scope, Table, TableInfo};
