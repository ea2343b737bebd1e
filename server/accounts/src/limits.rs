//! Every bound of this crate, by name.

/// Longest password in bytes, before and after preparation.
///
/// PBKDF2 hashes the password once, so the bound protects the preparation, not the iterations.
pub const PASSWORD_BYTES: usize = 1_024;

/// Length of a salt in bytes.
pub const SALT_BYTES: usize = 16;

/// Fewest PBKDF2 iterations that a credential may have (RFC 5802 §5.1, RFC 7677 §4).
pub const ITERATIONS_MIN: u32 = 4_096;

/// PBKDF2 iterations of a new credential unless the operator says otherwise.
pub const ITERATIONS_DEFAULT: u32 = 10_000;

/// Most PBKDF2 iterations that a credential may have: a client has to do them at each login.
pub const ITERATIONS_MAX: u32 = 1_000_000;

/// Failed logins of one address at one account before each further attempt has to wait.
pub const LOGIN_FAILURES: u32 = 10;

/// Pairs of address and account whose failures are remembered; the longest quiet one gives way.
///
/// One entry takes about 150 bytes.
pub const THROTTLE_ENTRIES: usize = 65_536;
