//! Bounds of what a carrier holds.

use std::time::Duration;

/// Bytes taken from a stream at once.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Bytes taken from a byte stream at once; an idle connection holds a buffer of this size.
pub(crate) const RECORD_BYTES: usize = 4 * 1024;

/// After so many inputs from open streams new streams are looked at first, once.
pub(crate) const TURNS_BEFORE_ACCEPT: u32 = 32;

/// Bytes that wait for the transport; above it the caller should send nothing more.
pub(crate) const BACKLOG_BYTES: usize = 256 * 1024;

/// How long a closing connection waits for its last bytes to be acknowledged.
pub(crate) const CLOSE_WAIT: Duration = Duration::from_secs(2);
