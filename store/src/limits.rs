//! Every bound of this crate, by name.

use std::time::Duration;

/// Batches that may wait for the writer.
pub const QUEUE_BATCHES: usize = 8_192;

/// Bytes of waiting batches above which no further batch is taken.
///
/// The bound looks at what waits already, so that one large batch is never refused for ever: the
/// queue holds at most this much and one batch.
pub const QUEUE_BYTES: usize = 64 << 20;

/// Batches that one group commit covers.
///
/// SQLite with `synchronous=FULL` writes groups of this size as fast as without any sync.
pub const GROUP_BATCHES: usize = 1_024;

/// Bytes after which a group takes no further batch.
pub const GROUP_BYTES: usize = 8 << 20;

/// Rows that one scan returns at most, whatever its caller asks for.
pub const SCAN_ROWS: usize = 10_000;

/// Reads that may wait for a reader thread.
pub const QUEUED_READS: usize = 1_024;

/// Threads (each with its own connection) that read beside the writer.
pub const READERS: usize = 2;

/// Pause before a commit is tried again on a full disk.
pub const SPACE_RETRY: Duration = Duration::from_millis(500);

/// How long SQLite waits for a lock that another process holds.
pub const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Pages in the write-ahead log that start a checkpoint (4 KiB each).
///
/// The bulk-insert figures of our storage comparison were measured with this value; SQLite's
/// default of 1,000 checkpoints eight times as often.
pub const CHECKPOINT_PAGES: u32 = 8_000;

/// Longest name of a table.
pub const TABLE_NAME: usize = 48;

/// The bounds of one journal; the defaults are this module's constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    /// Batches that may wait, see [`QUEUE_BATCHES`].
    pub queue_batches: usize,
    /// Bytes that may wait, see [`QUEUE_BYTES`].
    pub queue_bytes: usize,
    /// Batches per group, see [`GROUP_BATCHES`].
    pub group_batches: usize,
    /// Bytes per group, see [`GROUP_BYTES`].
    pub group_bytes: usize,
    /// Pause on a full disk, see [`SPACE_RETRY`].
    pub space_retry: Duration,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self {
            queue_batches: QUEUE_BATCHES,
            queue_bytes: QUEUE_BYTES,
            group_batches: GROUP_BATCHES,
            group_bytes: GROUP_BYTES,
            space_retry: SPACE_RETRY,
        }
    }
}
