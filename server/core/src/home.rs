//! The home of an account: everything about it that is in memory.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use longwire_stanza::BareJid;
use longwire_store::{Lsn, Record, RecordError, Row, TableInfo};

use crate::session::{Session, SessionId};

/// A decoded value.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

/// A table that is loaded whole with its home.
pub(crate) struct HomeTable {
    pub(crate) info: TableInfo,
    pub(crate) decode: fn(u16, &[u8]) -> Result<Value, RecordError>,
}

impl HomeTable {
    pub(crate) fn new<V: Record + Send + Sync + 'static>(info: TableInfo) -> Self {
        let decode =
            |version, bytes: &[u8]| V::decode(version, bytes).map(|v| Arc::new(v) as Value);
        Self { info, decode }
    }
}

/// The rows that one home has in one table.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) rows: BTreeMap<Vec<u8>, Value>,
    /// The latest write; who reads the table waits for it before anything leaves.
    pub(crate) written: Lsn,
}

/// One account, owned by one shard.
pub(crate) struct Home {
    pub(crate) jid: BareJid,
    /// One entry per table of the registry, in its order.
    pub(crate) tables: Vec<Rows>,
    pub(crate) sessions: BTreeMap<SessionId, Arc<Session>>,
    /// The latest write of any table.
    pub(crate) written: Lsn,
    /// The place among the idle homes, when it has no sessions.
    pub(crate) idle: Option<u64>,
}

impl Home {
    /// A home with these rows.
    ///
    /// # Errors
    /// A row is damaged; the error names its table.
    pub(crate) fn load(
        jid: BareJid,
        tables: &[HomeTable],
        rows: Vec<Row>,
    ) -> Result<Self, (&'static str, RecordError)> {
        let mut home = Self {
            jid,
            tables: tables.iter().map(|_| Rows::default()).collect(),
            sessions: BTreeMap::new(),
            written: Lsn::ZERO,
            idle: None,
        };
        for row in rows {
            let place = tables.iter().position(|table| table.info.name == row.table.name);
            let Some((table, rows)) =
                place.and_then(|at| Some((tables.get(at)?, home.tables.get_mut(at)?)))
            else {
                continue;
            };
            let value = (table.decode)(row.version, &row.value)
                .map_err(|error| (table.info.name, error))?;
            rows.rows.insert(row.key, value);
        }
        Ok(home)
    }

    /// True when the account exists: it has a row in the marker table.
    pub(crate) fn exists(&self, marker: Option<usize>) -> bool {
        marker.and_then(|at| self.tables.get(at)).is_some_and(|table| !table.rows.is_empty())
    }

    /// The session with this resource.
    pub(crate) fn session_of(&self, resource: &str) -> Option<&Arc<Session>> {
        self.sessions.values().find(|session| session.jid().resource() == resource)
    }
}
