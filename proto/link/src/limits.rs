//! Every bound of one connection, with its reason.

use std::time::Duration;

/// Sessions (Primary streams) that one connection may carry.
pub const SESSIONS: usize = 16;

/// Ancillary streams that may wait for their session to be bound.
pub const EARLY_STREAMS: usize = 4;

/// Bytes that one waiting Ancillary stream may hold.
pub const EARLY_STREAM_BYTES: usize = 16 * 1024;

/// Bytes that all waiting Ancillary streams of a connection may hold.
pub const EARLY_CONNECTION_BYTES: usize = 64 * 1024;

/// How long an Ancillary stream may wait for its session to be bound.
pub const EARLY_WAIT: Duration = Duration::from_secs(10);

/// Bytes of a stream that may be looked at before its kind is known.
///
/// A header has at most 16 octets; legacy text may begin with white space.
pub const SNIFF_BYTES: usize = 64;

/// Time from the opening of a stream until its kind must be known, before anybody logged in.
pub const SNIFF_WAIT: Duration = Duration::from_secs(10);

/// Time from the start of a connection until its first session must be bound.
pub const AUTHENTICATE_WAIT: Duration = Duration::from_secs(30);

/// Streams that one session opens for conversations of their own.
///
/// Half of the 64 + 64 streams that common peers grant, so that shared and bulk lanes, and the
/// peer's other uses, always find credit.
pub const DEDICATED_LANES: usize = 48;

/// Lanes that presence of contacts without a conversation shares.
pub const PRESENCE_LANES: u64 = 2;

/// A lane that carried nothing for this long may be retired.
pub const LANE_QUIET: Duration = Duration::from_secs(1);

/// Lanes that the peer may stop before no more are opened: conversations without one go to the
/// Primary stream then.
pub const STOPPED_LANES: u32 = 8;

/// Stanzas of lanes that are being opened or drained; above it the caller must pause.
pub const BACKLOG_STANZAS: usize = 512;

/// Bytes of such stanzas; above it the caller must pause.
pub const BACKLOG_BYTES: usize = 256 * 1024;

/// Conversation partners whose stream is remembered; later ones stay on the Primary stream.
pub const PAIRS: usize = 8192;

/// Bidirectional streams of ours whose other half the peer may leave open; above it no more are
/// opened. A peer that closes its halves never comes near.
pub const ANSWERED_STREAMS: usize = 256;
