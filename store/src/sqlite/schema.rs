//! The layout of the database, its versions and the steps between them.
//!
//! Layout 2: `meta` (name, value) holds `schema_version` and `lsn`; `tables` (name, scope,
//! version) remembers every table that was ever declared; `rows_<name>` (id, owner, key, version,
//! value) holds the rows, with a unique index on owner and key. The rows lie in the order of
//! their insertion and only the index is sorted: for this use that was ten times as fast as a
//! table without row ids. Layout 1 had no `tables`.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::error::StoreError;
use crate::journal::Lsn;
use crate::table::{Scope, TableInfo};

/// The layout that this program writes.
pub const SCHEMA_VERSION: u32 = STEPS.len() as u32;

/// Step `n` leads from layout `n` to layout `n + 1`; layout 0 is an empty file.
const STEPS: &[fn(&Transaction<'_>) -> rusqlite::Result<()>] = &[create, remember_tables];

fn create(db: &Transaction<'_>) -> rusqlite::Result<()> {
    db.execute_batch(
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
         INSERT INTO meta (name, value) VALUES ('schema_version', 1), ('lsn', 0);",
    )
}

fn remember_tables(db: &Transaction<'_>) -> rusqlite::Result<()> {
    db.execute_batch(
        "CREATE TABLE tables (
             name TEXT PRIMARY KEY, scope INTEGER NOT NULL, version INTEGER NOT NULL);",
    )?;
    // What an older database already holds belongs to accounts where a row has an owner.
    let names: Vec<String> = db
        .prepare(
            "SELECT substr(name, 6) FROM sqlite_master WHERE type = 'table' AND name GLOB 'rows_*'",
        )?
        .query_map((), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in names {
        db.execute_batch(&format!(
            "INSERT INTO tables SELECT '{name}', coalesce(max(owner) = '', 0), \
             coalesce(max(version), 0) FROM rows_{name}"
        ))?;
    }
    Ok(())
}

/// Brings the database up to this program's layout and declares the tables; returns the newest
/// durable batch.
///
/// Everything happens in one transaction: an interrupted upgrade leaves the old layout.
pub(crate) fn upgrade(
    db: &mut Connection,
    path: &Path,
    tables: impl Iterator<Item = TableInfo>,
) -> Result<Lsn, StoreError> {
    let failed = |source| StoreError::Sqlite { doing: "preparing the database", source };
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found = version(&change, path)?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: SCHEMA_VERSION });
    }
    for step in &STEPS[found as usize..] {
        step(&change).map_err(failed)?;
    }
    if found < SCHEMA_VERSION {
        tracing::info!(from = found, to = SCHEMA_VERSION, "laid out the database");
        set_meta(&change, "schema_version", i64::from(SCHEMA_VERSION)).map_err(failed)?;
    }
    for table in tables {
        declare(&change, table)?;
    }
    let lsn = meta(&change, "lsn").map_err(failed)?;
    change.commit().map_err(failed)?;
    Ok(Lsn::new(lsn.cast_unsigned()))
}

/// The layout version that the database says it has.
pub(crate) fn version(db: &Connection, path: &Path) -> Result<u32, StoreError> {
    let failed = |source| StoreError::Sqlite { doing: "reading the schema version", source };
    let tables = |condition: &str| -> rusqlite::Result<u32> {
        let sql = format!("SELECT count(*) FROM sqlite_master WHERE {condition}");
        db.query_row(&sql, (), |row| row.get(0))
    };
    if tables("type = 'table' AND name = 'meta'").map_err(failed)? == 1 {
        let found = meta(db, "schema_version").ok().and_then(|found| u32::try_from(found).ok());
        return found.ok_or_else(|| StoreError::Foreign { path: path.to_owned() });
    }
    if tables("1").map_err(failed)? == 0 {
        return Ok(0);
    }
    Err(StoreError::Foreign { path: path.to_owned() })
}

fn declare(db: &Connection, table: TableInfo) -> Result<(), StoreError> {
    let failed = |source| StoreError::Sqlite { doing: "declaring a table", source };
    let name = table.name;
    let known = db
        .query_row("SELECT version, scope FROM tables WHERE name = ?1", [name], |row| {
            Ok((row.get::<_, u16>(0)?, row.get::<_, u8>(1)?))
        })
        .optional()
        .map_err(failed)?;
    let scope = match table.scope {
        Scope::Account => 0,
        Scope::Global => 1,
    };
    match known {
        Some((version, _)) if version > table.version => {
            let known = table.version;
            return Err(StoreError::NewerTable { table: name, found: version, known });
        }
        Some((_, other)) if other != scope => {
            let reason = "the database has it with the other scope";
            return Err(StoreError::Declaration { table: name, reason });
        }
        Some((version, _)) if version == table.version => return Ok(()),
        _ => {}
    }
    let sql = "INSERT INTO tables (name, scope, version) VALUES (?1, ?2, ?3)
               ON CONFLICT (name) DO UPDATE SET version = excluded.version";
    db.execute(sql, (name, scope, table.version)).map_err(failed)?;
    // The name was checked when it was declared: letters, digits and underscores.
    db.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS rows_{name} (
             id INTEGER PRIMARY KEY, owner TEXT NOT NULL, key BLOB NOT NULL,
             version INTEGER NOT NULL, value BLOB NOT NULL);
         CREATE UNIQUE INDEX IF NOT EXISTS rows_{name}_key ON rows_{name} (owner, key);"
    ))
    .map_err(failed)
}

fn meta(db: &Connection, name: &str) -> rusqlite::Result<i64> {
    db.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
}

fn set_meta(db: &Connection, name: &str, value: i64) -> rusqlite::Result<usize> {
    db.execute("UPDATE meta SET value = ?2 WHERE name = ?1", (name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    const NOTES: Table<u64, String> = Table::account("notes", 3);
    const LOG: Table<u64, String> = Table::global("log", 1);

    /// A database as layout 1 left it: rows, but no list of tables.
    fn layout_1() -> Connection {
        let mut db = Connection::open_in_memory().unwrap();
        let change = db.transaction().unwrap();
        create(&change).unwrap();
        for name in ["notes", "log", "empty"] {
            change
                .execute_batch(&format!(
                    "CREATE TABLE rows_{name} (
                         id INTEGER PRIMARY KEY, owner TEXT NOT NULL, key BLOB NOT NULL,
                         version INTEGER NOT NULL, value BLOB NOT NULL);
                     CREATE UNIQUE INDEX rows_{name}_key ON rows_{name} (owner, key);"
                ))
                .unwrap();
        }
        change
            .execute_batch(
                "INSERT INTO rows_notes VALUES
                     (1, 'alice', x'01', 2, 'old'), (2, 'bob', x'01', 1, 'x');
                 INSERT INTO rows_log VALUES (1, '', x'01', 1, 'x');
                 UPDATE meta SET value = 41 WHERE name = 'lsn';",
            )
            .unwrap();
        change.commit().unwrap();
        db
    }

    fn upgrade_with(db: &mut Connection, tables: &[TableInfo]) -> Result<Lsn, StoreError> {
        upgrade(db, Path::new("test.db"), tables.iter().copied())
    }

    fn tables(db: &Connection) -> Vec<(String, u8, u16)> {
        let mut rows = db.prepare("SELECT name, scope, version FROM tables ORDER BY name").unwrap();
        let rows = rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_database_of_layout_1_is_upgraded_with_its_rows() {
        let mut db = layout_1();
        assert_eq!(upgrade_with(&mut db, &[]).unwrap(), Lsn::new(41));
        let expected = [("empty", 0, 0), ("log", 1, 1), ("notes", 0, 2)];
        assert_eq!(tables(&db), expected.map(|(name, a, b)| (name.to_owned(), a, b)));
        assert_eq!(meta(&db, "schema_version").unwrap(), 2);
        upgrade_with(&mut db, &[NOTES.info(), LOG.info()]).unwrap();
        let notes: u32 = db.query_row("SELECT count(*) FROM rows_notes", (), |r| r.get(0)).unwrap();
        assert_eq!((notes, tables(&db)[2].2), (2, 3));
    }

    #[test]
    fn a_newer_database_is_refused_and_left_alone() {
        let mut db = layout_1();
        set_meta(&db, "schema_version", 3).unwrap();
        let error = upgrade_with(&mut db, &[NOTES.info()]).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 3, known: 2, .. }), "{error}");
        assert!(error.to_string().contains("test.db has schema version 3"), "{error}");
        assert!(db.is_autocommit() && db.prepare("SELECT * FROM tables").is_err());
    }

    #[test]
    fn a_table_with_newer_rows_is_refused() {
        let mut db = Connection::open_in_memory().unwrap();
        upgrade_with(&mut db, &[NOTES.info()]).unwrap();
        let older = TableInfo { version: 2, ..NOTES.info() };
        let error = upgrade_with(&mut db, &[older]).unwrap_err();
        assert!(matches!(error, StoreError::NewerTable { found: 3, known: 2, .. }), "{error}");
    }

    #[test]
    fn a_table_cannot_change_its_scope() {
        let mut db = Connection::open_in_memory().unwrap();
        upgrade_with(&mut db, &[NOTES.info()]).unwrap();
        let global = TableInfo { scope: Scope::Global, ..NOTES.info() };
        let error = upgrade_with(&mut db, &[global]).unwrap_err();
        assert!(matches!(error, StoreError::Declaration { table: "notes", .. }), "{error}");
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        for sql in ["CREATE TABLE t (a)", "CREATE TABLE meta (a)"] {
            let mut db = Connection::open_in_memory().unwrap();
            db.execute_batch(sql).unwrap();
            let error = upgrade_with(&mut db, &[]).unwrap_err();
            assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        }
    }
}
