//! Bounds of the negotiation of one session.

/// Failed authentications on one stream; the last of them closes it (RFC 6120 §6.4.4 wants a
/// bound of at least two).
pub const ATTEMPTS: u32 = 3;

/// Refused binding requests on one stream; the last of them closes it.
pub const BIND_ATTEMPTS: u32 = 3;

/// Pipelined attempts with an old feature list (XEP-0509); they are no failed logins.
pub const STALE_ATTEMPTS: u32 = 4;

/// Elements that may wait while a question is being answered.
pub const QUEUED_ELEMENTS: usize = 32;

/// Bytes of such elements: the connection's flow-control window before authentication.
pub const QUEUED_BYTES: usize = 64 * 1024;

/// Requests inside one Bind 2 element.
pub const BIND_REQUESTS: usize = 16;

/// Longest text in bytes by which a client describes itself; longer ones are ignored.
pub const TEXT_BYTES: usize = 256;

/// Mechanisms and binding types that a client reads from a server's offer.
pub const OFFERED_NAMES: usize = 64;
