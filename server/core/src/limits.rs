//! Every bound of the router, by name.
//!
//! The constants are the defaults; [`Limits`] carries the values that are in force, so that the
//! configuration can change them.

use std::time::Duration;

/// Stanzas and commands of connections that wait for one shard. Above it the connections wait.
pub const SHARD_INPUT: usize = 1024;

/// Handoffs of other shards that wait for one shard. Above it they stay in the sender's backlog.
pub const SHARD_HANDOFFS: usize = 4096;

/// Handoffs that a shard holds for itself and for others. Above it those without a journal row
/// are dropped and counted.
pub const BACKLOG: usize = 65_536;

/// Inputs that wait for one home while it is being loaded. Above it handoffs without a journal
/// row are answered with `resource-constraint`.
pub const WAITING: usize = 256;

/// Durable handoffs that wait for one home while it is being loaded. Above it they stay in the
/// journal only and are replayed at the next start.
pub const WAITING_DURABLE: usize = 4096;

/// Homes of one shard that are being loaded or wait for it. Above it their inputs are refused.
pub const LOADING: usize = 1024;

/// Homes of one shard that are read from the store at the same time.
pub const LOADS: usize = 32;

/// Homes without sessions that one shard keeps in memory, the latest used ones.
pub const HOMES_IDLE: usize = 4096;

/// Resources that one account may bind.
pub const RESOURCES: usize = 10;

/// Stanzas that wait for one session: those held back for the journal and those for its link.
pub const OUTBOX_STANZAS: usize = 512;

/// Bytes of the stanzas that wait for one session.
pub const OUTBOX_BYTES: usize = 256 * 1024;

/// Answers (IQ results and errors) that a session may have waiting above its other bounds.
pub const OUTBOX_ANSWERS: usize = 64;

/// Events that one turn may emit. Later ones are dropped and logged.
pub const EVENTS: usize = 64;

/// Inputs that a shard takes before it lets other tasks run.
pub const BURST: usize = 64;

/// Rows of one page while handoffs are read at the start.
pub const REPLAY_PAGE: usize = 256;

/// How long [`Router::shutdown`](crate::Router::shutdown) waits for the shards to be empty.
pub const DRAIN: Duration = Duration::from_secs(30);

/// The bounds that are in force; [`Limits::default`] has the constants of this module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`SHARD_INPUT`].
    pub shard_input: usize,
    /// See [`SHARD_HANDOFFS`].
    pub shard_handoffs: usize,
    /// See [`BACKLOG`].
    pub backlog: usize,
    /// See [`WAITING`].
    pub waiting: usize,
    /// See [`WAITING_DURABLE`].
    pub waiting_durable: usize,
    /// See [`LOADING`].
    pub loading: usize,
    /// See [`LOADS`].
    pub loads: usize,
    /// See [`HOMES_IDLE`].
    pub homes_idle: usize,
    /// See [`RESOURCES`].
    pub resources: usize,
    /// See [`OUTBOX_STANZAS`].
    pub outbox_stanzas: usize,
    /// See [`OUTBOX_BYTES`].
    pub outbox_bytes: usize,
    /// See [`OUTBOX_ANSWERS`].
    pub outbox_answers: usize,
    /// See [`DRAIN`].
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            shard_input: SHARD_INPUT,
            shard_handoffs: SHARD_HANDOFFS,
            backlog: BACKLOG,
            waiting: WAITING,
            waiting_durable: WAITING_DURABLE,
            loading: LOADING,
            loads: LOADS,
            homes_idle: HOMES_IDLE,
            resources: RESOURCES,
            outbox_stanzas: OUTBOX_STANZAS,
            outbox_bytes: OUTBOX_BYTES,
            outbox_answers: OUTBOX_ANSWERS,
            drain: DRAIN,
        }
    }
}
