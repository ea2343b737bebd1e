//! A process that writes under load is killed; what it had called durable is there, and whole.
//!
//! The test starts its own binary again as the victim. The victim appends numbered batches of two
//! rows as fast as the journal takes them and prints the watermark whenever it moves.

// The lint knows test functions, but not the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use longwire_store::{Batch, Full, Lsn, Options, Store, Table, TableInfo};

const FOLDER: &str = "LONGWIRE_STORE_CRASH_FOLDER";
const ROUNDS: u64 = 8;
const LEFT: Table<u64, Vec<u8>> = Table::account("crash_left", 1);
const RIGHT: Table<u64, Vec<u8>> = Table::global("crash_right", 1);

fn open(folder: &Path) -> Store {
    let tables: [TableInfo; 2] = [LEFT.info(), RIGHT.info()];
    Store::open_sqlite(folder, &tables, Options::default()).unwrap()
}

/// Batch `number`: one row in each table, of a length that depends on the number.
fn batch(number: u64) -> Batch {
    let value = vec![number as u8; (number * 37 % 900) as usize];
    let mut batch = Batch::new();
    batch.put(&LEFT, "alice", &number, &value);
    batch.put(&RIGHT, "", &number, &value);
    batch
}

#[test]
fn victim() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = open(Path::new(&folder));
        let mut watermark = store.watermark();
        tokio::spawn(async move {
            while watermark.changed().await.is_ok() {
                let line = format!("\nwatermark {}\n", *watermark.borrow_and_update());
                std::io::stdout().write_all(line.as_bytes()).unwrap();
            }
        });
        // Batch n has number n, because every batch since the first was one of these.
        let mut next = batch(store.appended().as_u64() + 1);
        loop {
            match store.append(next) {
                Ok(lsn) => next = batch(lsn.as_u64() + 1),
                Err(Full { batch, .. }) => {
                    store.capacity().await.unwrap();
                    next = batch;
                }
            }
        }
    });
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets the victim make some commits, kills it, and returns the last watermark that it printed.
fn kill_after(folder: &Path, commits: u64) -> u64 {
    let mut victim = start(folder);
    let output = BufReader::new(victim.stdout.take().unwrap());
    let (mut printed, mut seen) = (0, 0);
    for line in output.split(b'\n').map(|line| line.unwrap()) {
        let line = String::from_utf8_lossy(&line);
        // A line that the kill cut short shows a smaller number, which is true as well.
        let Some(mark) = line.strip_prefix("watermark ").and_then(|mark| mark.parse().ok()) else {
            continue;
        };
        printed = printed.max(mark);
        seen += 1;
        if seen == commits {
            // SIGKILL; the rest of the loop reads what was printed before it struck.
            victim.kill().unwrap();
        }
    }
    let status = victim.wait().unwrap();
    assert!(seen >= commits && !status.success(), "the victim ended by itself: {status}");
    printed
}

async fn numbers(store: &Store, table: &Table<u64, Vec<u8>>) -> u64 {
    let mut expected = 0;
    loop {
        let after = (expected > 0).then_some(("alice", &expected));
        let rows = store.scan(table, Some("alice"), after, 5_000).await.unwrap();
        if rows.is_empty() {
            return expected;
        }
        for row in rows {
            expected += 1;
            assert_eq!(row.key, expected, "{}: a hole before this row", table.name());
            let value = vec![expected as u8; (expected * 37 % 900) as usize];
            assert!(row.value == value, "{}: row {expected} is damaged", table.name());
        }
    }
}

#[test]
fn a_killed_process_keeps_every_batch_below_its_watermark_and_no_half_batch() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut before = 0;
    for round in 1..=ROUNDS {
        // One commit, then more: early kills meet the opening, late ones a long log.
        let printed = kill_after(folder.path(), round * round / 2 + 1);
        runtime.block_on(async {
            let store = open(folder.path());
            let (left, right) = (numbers(&store, &LEFT).await, numbers(&store, &RIGHT).await);
            assert_eq!(left, right, "round {round}: half a batch");
            assert!(left >= printed, "round {round}: {printed} was durable, {left} is there");
            assert!(left > before, "round {round}: no progress");
            assert_eq!(*store.watermark().borrow(), Lsn::new(left), "round {round}");
            store.close().await;
            before = left;
        });
    }
}
