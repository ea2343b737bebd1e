//! Stanzas on their way from one home to another.
//!
//! Most travel in memory only. One that leaves a turn with durable writes, and whose arrival will
//! write too (a subscription), also gets a row in the journal, in the same batch: the arrival's
//! own batch deletes it. What is found in the table at a start was not handled yet.

use bytes::Bytes;
use longwire_stanza::{BareJid, Stanza};
use longwire_store::{Lsn, Table};

/// Durable handoffs that have not arrived; the owner is the home they go to.
pub(crate) const TABLE: Table<u64, Bytes> = Table::account("core_handoff", 1);

/// A stanza for a home.
#[derive(Clone, Debug)]
pub(crate) struct Handoff {
    pub(crate) to: BareJid,
    pub(crate) stanza: Stanza,
    /// Nothing that follows from the stanza leaves the process before this is durable.
    pub(crate) gate: Lsn,
    /// The key of its row, when it has one.
    pub(crate) row: Option<u64>,
}

impl Handoff {
    /// What is kept of the stanza.
    pub(crate) fn record(stanza: &Stanza) -> Bytes {
        stanza.to_bytes()
    }

    /// Reads a row back.
    pub(crate) fn restore(row: u64, record: Bytes) -> Option<Self> {
        let context = longwire_xml::Context::client();
        let stanza = Stanza::parse(record, &context, &longwire_xml::Limits::SERVER).ok()?;
        let to = stanza.to()?.bare();
        Some(Self { to, stanza, gate: Lsn::ZERO, row: Some(row) })
    }
}
