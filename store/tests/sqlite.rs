//! What only the SQLite back end does: files, locks and company.

// The lint knows test functions, but not the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use longwire_store::{
    Batch, DATABASE, Full, JournalLimits, LOCK, Lsn, Options, Refusal, SCHEMA_VERSION, Store,
    StoreError, Table, TableInfo,
};

const NOTES: Table<u64, String> = Table::account("notes", 1);

fn tables() -> [TableInfo; 1] {
    [NOTES.info()]
}

fn server(folder: &Path) -> Result<Store, StoreError> {
    Store::open_sqlite(folder, &tables(), Options::default())
}

fn tool(folder: &Path) -> Result<Store, StoreError> {
    Store::open_sqlite(folder, &tables(), Options::tool())
}

fn one(number: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(&NOTES, "alice", &number, &"x".to_owned());
    batch
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn nobody_else_can_read_the_folder_and_its_files() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("new/data");
    let store = server(&folder).unwrap();
    store.commit(one(1)).await.unwrap();
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "database, -wal, -shm and lock: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_database_that_others_could_read_is_closed_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    fs::write(&path, b"").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    server(folder.path()).unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn a_second_server_is_refused_until_the_first_has_closed() {
    let folder = tempfile::tempdir().unwrap();
    let first = server(folder.path()).unwrap();
    let error = server(folder.path()).unwrap_err();
    assert!(matches!(&error, StoreError::Locked { path } if path.ends_with(LOCK)), "{error}");
    assert!(error.to_string().contains("in use by another server"), "{error}");
    first.close().await;
    server(folder.path()).unwrap();
}

#[tokio::test]
async fn a_tool_works_beside_a_server_which_notices() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).unwrap();
    server.commit(one(1)).await.unwrap();
    assert_eq!(server.external_changes().await, 0, "own commits do not count");
    let tool = tool(folder.path()).unwrap();
    tool.commit(one(2)).await.unwrap();
    assert_eq!(server.get(&NOTES, "alice", &2).await.unwrap().as_deref(), Some("x"));
    assert_eq!(server.external_changes().await, 1);
    server.commit(one(3)).await.unwrap();
    assert_eq!(server.external_changes().await, 1);
    assert_eq!(tool.external_changes().await, 1);
    assert_eq!(tool.scan(&NOTES, None, None, 9).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_tools_numbers_do_not_set_the_servers_back() {
    let folder = tempfile::tempdir().unwrap();
    let first = server(folder.path()).unwrap();
    let tool = tool(folder.path()).unwrap();
    for number in 0..5 {
        first.commit(one(number)).await.unwrap();
    }
    assert_eq!(tool.commit(one(9)).await.unwrap(), Lsn::new(1));
    first.close().await;
    drop(first);
    assert_eq!(*server(folder.path()).unwrap().watermark().borrow(), Lsn::new(5));
}

#[tokio::test]
async fn a_tool_does_not_change_the_layout_under_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let running = server(folder.path()).unwrap();
    let path = folder.path().join(DATABASE);
    let raw = rusqlite::Connection::open(&path).unwrap();
    // As if the running server were of the version before.
    raw.execute_batch(
        "UPDATE meta SET value = 1 WHERE name = 'schema_version'; DROP TABLE tables;",
    )
    .unwrap();
    assert!(matches!(tool(folder.path()).unwrap_err(), StoreError::Locked { .. }));
    running.close().await;
    drop(running);
    let tool = tool(folder.path()).unwrap();
    let second = server(folder.path()).unwrap();
    second.commit(one(1)).await.unwrap();
    tool.commit(one(2)).await.unwrap();
}

#[tokio::test]
async fn a_newer_database_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    server(folder.path()).unwrap().close().await;
    let path = folder.path().join(DATABASE);
    let newer = SCHEMA_VERSION + 1;
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("UPDATE meta SET value = ?1 WHERE name = 'schema_version'", [newer]).unwrap();
    drop(raw);
    for error in [server(folder.path()).unwrap_err(), tool(folder.path()).unwrap_err()] {
        assert!(matches!(error, StoreError::Newer { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(DATABASE) && text.contains("start the newer longwire"), "{text}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    let content = b"this is a letter to my aunt, and not a database at all, dear reader".repeat(99);
    fs::write(&path, &content).unwrap();
    let error = server(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Sqlite { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), content);
}

#[tokio::test]
async fn erased_rows_leave_no_trace_in_the_database_file() {
    let folder = tempfile::tempdir().unwrap();
    let canary = "canary-".repeat(40);
    let store = server(folder.path()).unwrap();
    let mut batch = Batch::new();
    for number in 0..200 {
        batch.put(&NOTES, "alice", &number, &canary);
        batch.put(&NOTES, "bob", &number, &"kept".to_owned());
    }
    store.commit(batch).await.unwrap();
    let mut batch = Batch::new();
    batch.erase_owner(NOTES.info(), "alice");
    store.commit(batch).await.unwrap();
    store.close().await;
    drop(store);
    // The last connection to close moves the log into the database; wait for the readers by
    // opening once more and letting SQLite do it on a connection of our own.
    let path = folder.path().join(DATABASE);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(14).any(|window| window == b"canary-canary-"));
    assert!(bytes.windows(4).any(|window| window == b"kept"));
}

/// The writer is held up by a lock, so the queue's bound can be met exactly.
#[tokio::test]
async fn the_queue_takes_exactly_its_bound_while_the_writer_is_held_up() {
    for limit in [1, 2, 3] {
        let folder = tempfile::tempdir().unwrap();
        let limits =
            JournalLimits { queue_batches: limit, group_batches: 1, ..JournalLimits::default() };
        let options = Options { limits, ..Options::default() };
        let store = Store::open_sqlite(folder.path(), &tables(), options).unwrap();
        let raw = rusqlite::Connection::open(folder.path().join(DATABASE)).unwrap();
        raw.execute_batch("BEGIN IMMEDIATE").unwrap();
        // The writer takes one batch and is stuck with it; exactly the bound waits behind it.
        let mut taken = 0;
        while taken < limit as u64 + 1 {
            match store.append(one(taken)) {
                Ok(_) => taken += 1,
                Err(Full { .. }) => store.capacity().await.unwrap(),
            }
        }
        let full = store.append(one(99)).unwrap_err();
        assert_eq!(full.refusal, Refusal::Busy);
        assert_eq!(*store.watermark().borrow(), Lsn::ZERO);
        raw.execute_batch("ROLLBACK").unwrap();
        store.committed(store.appended()).await.unwrap();
        let rows = store.scan(&NOTES, None, None, 99).await.unwrap();
        assert_eq!(rows.len(), limit + 1);
    }
}
