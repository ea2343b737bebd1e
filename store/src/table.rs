//! Tables: names, versions and the types of keys and values.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;

use crate::error::{RecordError, StoreError};
use crate::key::Key;
use crate::limits::TABLE_NAME;
use crate::record::Record;

/// To whom the rows of a table belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Each row belongs to an account and dies with it.
    Account,
    /// The rows belong to the server; the owner is always the empty string.
    Global,
}

/// A table without the types of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableInfo {
    /// The name: lower-case letters, digits and `_`, starting with a letter.
    pub name: &'static str,
    /// The version with which rows are written now.
    pub version: u16,
    /// To whom the rows belong.
    pub scope: Scope,
}

impl TableInfo {
    /// The owner under which a row is kept: nobody in a global table.
    pub(crate) const fn owner<'a>(&self, owner: &'a str) -> &'a str {
        match self.scope {
            Scope::Account => owner,
            Scope::Global => "",
        }
    }

    /// Checks the name, which becomes part of SQL statements.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let reason = if self.name.len() > TABLE_NAME {
            "the name is too long"
        } else if !self.name.as_bytes().first().is_some_and(u8::is_ascii_lowercase) {
            "the name must start with a lower-case letter"
        } else if !self.name.bytes().all(plain) {
            "the name may hold only lower-case letters, digits and _"
        } else {
            return Ok(());
        };
        Err(StoreError::Declaration { table: self.name, reason })
    }
}

/// A table with keys `K` and values `V`; declared as a constant by the feature that owns it.
pub struct Table<K, V> {
    info: TableInfo,
    rows: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Table<K, V> {
    /// A table whose rows belong to an account and die with it.
    pub const fn account(name: &'static str, version: u16) -> Self {
        Self::new(name, version, Scope::Account)
    }

    /// A table whose rows belong to the server.
    ///
    /// The owner that a call names for it is ignored.
    pub const fn global(name: &'static str, version: u16) -> Self {
        Self::new(name, version, Scope::Global)
    }

    const fn new(name: &'static str, version: u16, scope: Scope) -> Self {
        Self { info: TableInfo { name, version, scope }, rows: PhantomData }
    }

    /// The table without its types.
    pub const fn info(&self) -> TableInfo {
        self.info
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.info.name
    }
}

impl<K: Key, V> Table<K, V> {
    /// Reads a key.
    ///
    /// # Errors
    /// The row is damaged; the error names the table.
    pub fn decode_key(&self, key: &[u8]) -> Result<K, StoreError> {
        K::from_bytes(key).map_err(|source| self.error(source))
    }
}

impl<K, V: Record> Table<K, V> {
    /// Reads a value that was written with `version`.
    ///
    /// # Errors
    /// The row is damaged or of an unknown version; the error names the table.
    pub fn decode_value(&self, version: u16, value: &[u8]) -> Result<V, StoreError> {
        V::decode(version, value).map_err(|source| self.error(source))
    }
}

impl<K, V> Table<K, V> {
    const fn error(&self, source: RecordError) -> StoreError {
        StoreError::Record { table: self.info.name, source }
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Table<K, V> {}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.fmt(f)
    }
}

/// One row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The table.
    pub table: TableInfo,
    /// The encoded key.
    pub key: Vec<u8>,
    /// The encoded value.
    pub value: Bytes,
    /// The version with which the value was written.
    pub version: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &'static str) -> bool {
        TableInfo { name, version: 1, scope: Scope::Global }.check().is_err()
    }

    #[test]
    fn names_that_could_be_sql_are_refused() {
        for name in ["", "1st", "_a", "Roster", "a\"b", "a b", "a;drop table b", "naïve"] {
            assert!(refused(name), "{name}");
        }
        assert!(!refused("roster_2"));
    }

    #[test]
    fn a_name_may_have_exactly_the_limit() {
        const LONG: &str = "a234567890123456789012345678901234567890123456789";
        assert!(!refused(&LONG[..TABLE_NAME - 1]));
        assert!(!refused(&LONG[..TABLE_NAME]));
        assert!(refused(&LONG[..=TABLE_NAME]));
    }
}
