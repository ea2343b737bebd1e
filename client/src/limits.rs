//! Every bound of a client, with its reason.

use std::time::Duration;

/// Stanzas that may wait for the application; above it nothing more is read.
pub const INBOX_STANZAS: usize = 256;

/// Commands that may wait for the connection; above it [`crate::Client::send`] waits.
pub const COMMANDS: usize = 64;

/// Requests that may wait for an answer at once.
pub const REQUESTS: usize = 1024;

/// Time for the connection, TLS and the login, unless the configuration says otherwise.
///
/// Six round trips on the slowest satellite profile, and then some.
pub const CONNECT_WAIT: Duration = Duration::from_secs(60);

/// Streams of either kind that the server may open.
pub const STREAMS: u32 = 64;

/// Bytes in flight on one stream.
pub const STREAM_WINDOW: u32 = 256 * 1024;

/// Bytes in flight on the whole connection: enough for 10 Mbit/s at 600 ms and more.
pub const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

/// Bytes that may wait for the server's acknowledgement.
pub const SEND_WINDOW: u64 = 1024 * 1024;

/// Silence after which the connection is given up (both ends say theirs; the shorter counts).
pub const IDLE: Duration = Duration::from_secs(600);

/// Time for what was sent to arrive before the stream is closed; then it is closed all the same.
pub const CLOSE_WAIT: Duration = Duration::from_secs(5);
