//! Batches: writes that become durable together or not at all.

use crate::key::Key;
use crate::record::Record;
use crate::table::{Table, TableInfo};

/// Writes that become durable together or not at all, in their order.
///
/// All names, keys and values lie in one buffer, so a batch costs two allocations however many
/// rows it writes. Its size is bounded by whoever fills it.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    steps: Vec<Step>,
}

/// One write; its owner, key and value lie one after the other in the buffer.
#[derive(Debug, Clone, Copy)]
struct Step {
    table: TableInfo,
    kind: Kind,
    start: usize,
    key: usize,
    value: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Put,
    Delete,
    Erase,
}

/// One write of a batch, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write<'a> {
    /// Inserts a row or replaces its value.
    Put {
        /// The table, with the version that the value has.
        table: TableInfo,
        /// The owner; empty in a global table.
        owner: &'a str,
        /// The encoded key.
        key: &'a [u8],
        /// The encoded value.
        value: &'a [u8],
    },
    /// Removes a row if it is there.
    Delete {
        /// The table.
        table: TableInfo,
        /// The owner; empty in a global table.
        owner: &'a str,
        /// The encoded key.
        key: &'a [u8],
    },
    /// Removes every row of an owner.
    Erase {
        /// The table.
        table: TableInfo,
        /// The owner; empty in a global table, which is emptied.
        owner: &'a str,
    },
}

impl Batch {
    /// A batch that writes nothing yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), steps: Vec::new() }
    }

    /// True when nothing would be written.
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The number of writes.
    pub const fn len(&self) -> usize {
        self.steps.len()
    }

    /// What the batch occupies in memory, as counted against the journal's bounds.
    pub const fn size(&self) -> usize {
        self.bytes.len() + self.steps.len() * size_of::<Step>()
    }

    /// Inserts a row or replaces its value.
    pub fn put<K: Key, V: Record>(&mut self, table: &Table<K, V>, owner: &str, key: &K, value: &V) {
        let write = |out: &mut Vec<u8>| value.encode(out);
        self.push(Kind::Put, table.info(), owner, |out| key.encode(out), write);
    }

    /// Removes a row if it is there.
    pub fn delete<K: Key, V>(&mut self, table: &Table<K, V>, owner: &str, key: &K) {
        self.push(Kind::Delete, table.info(), owner, |out| key.encode(out), |_| ());
    }

    /// Removes every row that `owner` has in the table; empties a global table.
    pub fn erase_owner(&mut self, table: TableInfo, owner: &str) {
        self.push(Kind::Erase, table, owner, |_| (), |_| ());
    }

    /// [`put`](Self::put) for a row that is encoded already, in the table's current version.
    pub fn put_raw(&mut self, table: TableInfo, owner: &str, key: &[u8], value: &[u8]) {
        let write = |out: &mut Vec<u8>| out.extend_from_slice(value);
        self.push(Kind::Put, table, owner, |out| out.extend_from_slice(key), write);
    }

    /// [`delete`](Self::delete) for a key that is encoded already.
    pub fn delete_raw(&mut self, table: TableInfo, owner: &str, key: &[u8]) {
        self.push(Kind::Delete, table, owner, |out| out.extend_from_slice(key), |_| ());
    }

    /// Appends the writes of another batch.
    pub fn extend(&mut self, other: &Self) {
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.steps.extend(other.steps.iter().map(|step| Step {
            start: step.start + shift,
            key: step.key + shift,
            value: step.value + shift,
            end: step.end + shift,
            ..*step
        }));
    }

    /// The writes in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Write<'_>> {
        self.steps.iter().map(|step| {
            // The bytes were copied from a `&str` by `push`, so they are always text.
            let owner = str::from_utf8(&self.bytes[step.start..step.key]).unwrap_or_default();
            let (table, key) = (step.table, &self.bytes[step.key..step.value]);
            match step.kind {
                Kind::Put => {
                    Write::Put { table, owner, key, value: &self.bytes[step.value..step.end] }
                }
                Kind::Delete => Write::Delete { table, owner, key },
                Kind::Erase => Write::Erase { table, owner },
            }
        })
    }

    /// The tables of the writes, one per write.
    pub(crate) fn tables(&self) -> impl Iterator<Item = TableInfo> {
        self.steps.iter().map(|step| step.table)
    }

    fn push(
        &mut self,
        kind: Kind,
        table: TableInfo,
        owner: &str,
        key: impl FnOnce(&mut Vec<u8>),
        value: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(table.owner(owner).as_bytes());
        let key_at = self.bytes.len();
        key(&mut self.bytes);
        let value_at = self.bytes.len();
        value(&mut self.bytes);
        let end = self.bytes.len();
        self.steps.push(Step { table, kind, start, key: key_at, value: value_at, end });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: Table<u64, String> = Table::account("notes", 3);
    const CONFIG: Table<(), String> = Table::global("config", 1);

    fn sample() -> Batch {
        let mut batch = Batch::new();
        batch.put(&NOTES, "alice", &1, &"one".to_owned());
        batch.delete(&NOTES, "alice", &2);
        batch.put(&CONFIG, "ignored", &(), &"x".to_owned());
        batch.erase_owner(NOTES.info(), "bob");
        batch
    }

    #[test]
    fn writes_come_back_in_their_order() {
        let table = NOTES.info();
        let batch = sample();
        assert_eq!(
            batch.iter().collect::<Vec<_>>(),
            [
                Write::Put { table, owner: "alice", key: &1u64.to_be_bytes(), value: b"one" },
                Write::Delete { table, owner: "alice", key: &2u64.to_be_bytes() },
                Write::Put { table: CONFIG.info(), owner: "", key: b"", value: b"x" },
                Write::Erase { table, owner: "bob" },
            ]
        );
    }

    #[test]
    fn an_extended_batch_holds_both() {
        let mut batch = sample();
        batch.extend(&sample());
        let writes: Vec<_> = batch.iter().collect();
        assert_eq!(writes[..4], writes[4..]);
        assert_eq!(batch.len(), 8);
        assert_eq!(batch.size(), 2 * sample().size());
    }
}
