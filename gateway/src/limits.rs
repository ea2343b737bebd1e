//! Bounds of this crate that an operator does not need to move. The others are in
//! [`Limits`](crate::config::Limits).

/// TLS sessions that can be resumed, per listener kind. One entry is about 1 KiB.
pub(crate) const TLS_SESSIONS: usize = 4_096;

/// Bytes of packets buffered for one QUIC handshake that has not been accepted yet.
pub(crate) const INCOMING_BYTES: u64 = 32 * 1024;

/// Bytes read from a transport at once.
pub(crate) const READ_CHUNK: usize = 16 * 1024;

/// Bytes waiting to be written on one connection above which its outboxes are not drained. A
/// session's outbox then fills up, and the router applies its own policy to it.
pub(crate) const WRITE_BACKLOG: usize = 256 * 1024;

/// Stanzas read from one session and not yet taken by its shard. While there is one, none of the
/// session's lanes is read, so the bound is what one read can hold; it is checked nonetheless.
pub(crate) const PENDING_STANZAS: usize = 1_024;

/// Password checks and other slow answers that run at once in the whole server.
pub(crate) const SLOW_ANSWERS: usize = 64;

/// Questions of one connection's negotiations that may be open at once.
pub(crate) const OPEN_QUESTIONS: usize = 16;

/// Accounts whose reading rate is remembered at once: one per account with a session.
pub(crate) const THROTTLED_ACCOUNTS: usize = 1 << 20;

/// Seconds that a drain may take before what is left is cut off.
pub(crate) const DRAIN_SECONDS: u64 = 20;

/// TCP connections that wait in the kernel for being accepted.
pub(crate) const TCP_BACKLOG: u32 = 1_024;

/// How long a closing connection may take to deliver its last words.
pub(crate) const LINGER: std::time::Duration = std::time::Duration::from_secs(2);
