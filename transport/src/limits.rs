//! Bounds of what a carrier holds.

use std::time::Duration;

/// Bytes taken from a QUIC stream at once. A paused connection holds so much of each stream.
pub(crate) const READ_BYTES: usize = 16 * 1024;

/// Bytes taken from a byte stream at once: as much as rustls reads from its socket at once.
pub(crate) const RECORD_BYTES: usize = 4 * 1024;

/// Bytes after which a stream gives way to the others: all that a stream window can hold, so that
/// whatever had arrived on the stream when its turn began is taken within that turn.
pub(crate) const TURN_BYTES: usize = 256 * 1024;

/// Bytes that wait for the transport; above it the caller should send nothing more.
pub(crate) const BACKLOG_BYTES: usize = 256 * 1024;

/// Bytes that wait for the transport; above it nothing more should be read either, since what the
/// link answers by itself is written whatever waits. Far enough above [`BACKLOG_BYTES`] for one
/// large stanza, so that who only receives much is read all the time.
pub(crate) const OVERFULL_BYTES: usize = 4 * BACKLOG_BYTES;

/// How long a closing connection waits for its last bytes to be acknowledged.
pub(crate) const CLOSE_WAIT: Duration = Duration::from_secs(2);
