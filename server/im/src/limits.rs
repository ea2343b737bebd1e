//! Every bound of this crate, by name.

use std::time::Duration;

/// Entries of one roster.
pub const ROSTER_ENTRIES: u32 = 5_000;

/// Changes that a client which comes back is told one by one; more make it the whole roster.
///
/// They all wait in the session's outbox, which has room for a few hundred stanzas.
pub const ROSTER_CATCH_UP: usize = 64;

/// Removed entries that a roster remembers, so that a client which comes back learns of them.
///
/// A client that missed more gets the whole roster.
pub const ROSTER_TOMBSTONES: u32 = 500;

/// New subscriptions that one account may ask for within [`SUBSCRIPTION_WINDOW`].
///
/// Enough for somebody who moves here with all contacts, too few for a spammer.
pub const SUBSCRIPTIONS: usize = 256;

/// The time over which [`SUBSCRIPTIONS`] are counted.
pub const SUBSCRIPTION_WINDOW: Duration = Duration::from_secs(3_600);

/// Requests that wait for an account's answer; more are refused to their senders.
///
/// All of them are shown to each new session, so they have to fit into its outbox.
pub const REQUESTS: usize = 200;

/// Size of a request for a subscription in bytes: it is kept whole until it is answered.
pub const REQUEST_BYTES: usize = 4 * 1_024;

/// Addresses that one session may have sent directed presence to.
///
/// 100 rooms, and as many strangers again, with room to spare.
pub const DIRECTED: usize = 256;

/// Contacts whose errors one session remembers, to send them no more presence.
pub const FAILED: usize = 256;

/// Longest status text that is kept for the answer to a last-activity request, in bytes.
pub const STATUS_BYTES: usize = 1_024;
