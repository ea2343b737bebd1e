//! Bounds of this crate that an operator does not need to move. The others are in
//! [`Limits`](crate::config::Limits).

use std::time::Duration;

/// TLS sessions that can be resumed, per listener kind. One entry is about 1 KiB.
pub(crate) const TLS_SESSIONS: usize = 4_096;

/// Bytes of packets buffered for one QUIC handshake that has not been accepted yet.
pub(crate) const INCOMING_BYTES: u64 = 32 * 1024;

/// Password checks and other slow answers that run at once in the whole server.
pub(crate) const SLOW_ANSWERS: usize = 64;

/// Accounts whose reading rate is remembered at once: one per account with a session.
pub(crate) const THROTTLED_ACCOUNTS: usize = 1 << 20;

/// How long a shutdown may take before what is left is cut off.
pub(crate) const DRAIN: Duration = Duration::from_secs(20);

/// TCP connections that wait in the kernel for being accepted.
pub(crate) const TCP_BACKLOG: i32 = 1_024;

/// How far ahead a timer is set that has nothing to wait for.
pub(crate) const NO_TIMER: Duration = Duration::from_secs(24 * 3_600);

/// How often the store is asked whether another process has changed it: one look at a counter.
pub(crate) const STORE_WATCH: Duration = Duration::from_secs(2);

/// How long a session that the server ends waits until its client has what is on its way on other
/// streams than the Primary: several round trips of a satellite link.
pub(crate) const LANES_WAIT: Duration = Duration::from_secs(5);

/// Bytes of packets that the system keeps for a QUIC listener until they are read: 30 ms of a
/// gigabit link. More than the system allows (`net.core.rmem_max`) is cut to that.
pub(crate) const UDP_RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
