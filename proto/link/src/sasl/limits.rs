//! Bounds of the authentication mechanisms.

/// Longest decoded SASL message in bytes; longer ones are malformed.
///
/// A SCRAM message with a 1,023-byte name and generous nonces stays below 4 KiB.
pub const MESSAGE_BYTES: usize = 4 * 1024;

/// Longest nonce of a peer in bytes (RFC 5802 gives no bound; deployed ones have 16 to 64).
pub const NONCE_BYTES: usize = 256;

/// Longest salt that a client accepts, in bytes.
pub const SALT_BYTES: usize = 256;

/// Longest password in bytes before preparation.
pub const PASSWORD_BYTES: usize = 1024;

/// Fewest PBKDF2 iterations that a client accepts (RFC 5802 §5.1, RFC 7677 §4).
pub const ITERATIONS_MIN: u32 = 4096;

/// Most PBKDF2 iterations that a client computes for a server that asks for them.
///
/// Three times what is recommended for PBKDF2 with SHA-256; less than a second of work.
pub const ITERATIONS_MAX: u32 = 2_000_000;
