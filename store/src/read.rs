//! What both back ends can read.

use std::sync::Arc;

use crate::error::StoreError;
use crate::table::{Row, TableInfo};

/// Rows of one table between two places, in the order of owner and key.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) table: TableInfo,
    /// Only rows of this owner; of all owners when absent.
    pub(crate) owner: Option<String>,
    /// The first owner that may be returned, when all owners are asked for.
    pub(crate) first_owner: String,
    /// The first key that may be returned (of the first owner).
    pub(crate) start: Vec<u8>,
    /// The first key that may not be returned any more; only with an owner.
    pub(crate) end: Option<Vec<u8>>,
    pub(crate) limit: usize,
}

/// A consistent view of what is committed.
pub(crate) trait Read {
    fn row(&self, table: TableInfo, owner: &str, key: &[u8]) -> Result<Option<Row>, StoreError>;

    /// All rows of an owner in these tables, table after table, sorted by key.
    fn owner(&self, tables: &[TableInfo], owner: &str) -> Result<Vec<Row>, StoreError>;

    fn span(&self, span: &Span) -> Result<Vec<(Arc<str>, Row)>, StoreError>;

    /// The owners that have rows, sorted.
    fn owners(
        &self,
        table: TableInfo,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError>;
}

/// The least byte string above this one.
pub(crate) fn successor(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}
