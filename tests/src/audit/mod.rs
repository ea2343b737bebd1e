//! What a server must still know after it was killed: a record of what clients did, and a check
//! of what they find afterwards.
//!
//! A [`History`] begins with what was found last, and notes every deed before it is sent and
//! again when the server's answer proves that it was done. [`check`] compares it with a new
//! [`Snapshot`]: what was acknowledged is there, what was not may be there, and both halves of
//! every relation agree.
//!
//! The deeds have to be disciplined, because RFC 6121 has no numbers on its verbs: an account asks
//! for a subscription only when nothing older is on its way between the two. Otherwise a refusal
//! of the older request may meet the newer one, and the halves differ by the specification.

mod check;
mod history;

pub use self::check::{Violation, check};
pub use self::history::{Act, Deed, Entry, History, Relation, Seen, Snapshot, Who};
