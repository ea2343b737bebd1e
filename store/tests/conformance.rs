//! What every back end must do, told once and run on each.

// The lint knows test functions, but not the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use longwire_store::{
    Batch, Entry, Full, JournalLimits, Lsn, MemoryImage, MemoryOptions, Options, Record,
    RecordError, Refusal, Row, Store, StoreError, Table, TableInfo,
};
use proptest::prelude::*;
use tempfile::TempDir;

const NOTES: Table<String, String> = Table::account("notes", 1);
const MARKS: Table<(String, u64), u64> = Table::account("marks", 1);
const LOG: Table<Lsn, Vec<u8>> = Table::global("log", 1);
const STRANGER: Table<u64, u64> = Table::global("stranger", 1);

fn tables() -> [TableInfo; 3] {
    [NOTES.info(), MARKS.info(), LOG.info()]
}

/// A place where a store's content stays while the store is closed and opened.
enum Place {
    Memory(MemoryImage),
    Sqlite(TempDir),
}

impl Place {
    fn open(&self) -> Store {
        self.open_with(&tables(), JournalLimits::default())
    }

    fn open_with(&self, tables: &[TableInfo], limits: JournalLimits) -> Store {
        match self {
            Self::Memory(image) => {
                let image = image.clone();
                // Not zero, so that batches gather while a commit is under way, as on a disk.
                let commit_delay = Duration::from_millis(3);
                Store::memory(tables, MemoryOptions { commit_delay, image, limits }).unwrap()
            }
            Self::Sqlite(folder) => {
                let options = Options { limits, ..Options::default() };
                Store::open_sqlite(folder.path(), tables, options).unwrap()
            }
        }
    }
}

/// Runs a story on both back ends.
fn on_both(story: impl AsyncFn(Place)) {
    let paused = |paused| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(paused).build().unwrap()
    };
    paused(true).block_on(story(Place::Memory(MemoryImage::default())));
    paused(false).block_on(story(Place::Sqlite(tempfile::tempdir().unwrap())));
}

fn text(text: &str) -> String {
    text.to_owned()
}

async fn put(store: &Store, owner: &str, key: &str, value: &str) -> Lsn {
    let mut batch = Batch::new();
    batch.put(&NOTES, owner, &text(key), &text(value));
    store.commit(batch).await.unwrap()
}

async fn note(store: &Store, owner: &str, key: &str) -> Option<String> {
    store.get(&NOTES, owner, &text(key)).await.unwrap()
}

fn shown<K: Clone, V: Clone>(entries: &[Entry<K, V>]) -> Vec<(String, K, V)> {
    let shown =
        |entry: &Entry<K, V>| (entry.owner.to_string(), entry.key.clone(), entry.value.clone());
    entries.iter().map(shown).collect()
}

#[test]
fn a_row_is_put_replaced_and_deleted() {
    on_both(async |place| {
        let store = place.open();
        assert_eq!(note(&store, "alice", "k").await, None);
        put(&store, "alice", "k", "one").await;
        put(&store, "alice", "k", "two").await;
        assert_eq!(note(&store, "alice", "k").await, Some(text("two")));
        assert_eq!(note(&store, "bob", "k").await, None);
        let mut batch = Batch::new();
        batch.delete(&NOTES, "alice", &text("k"));
        batch.delete(&NOTES, "alice", &text("never there"));
        store.commit(batch).await.unwrap();
        assert_eq!(note(&store, "alice", "k").await, None);
    });
}

#[test]
fn empty_and_awkward_keys_and_values_come_back() {
    on_both(async |place| {
        let store = place.open();
        let odd = ["", "\0", "\0\0", "a\0b", "ä", "'; DROP TABLE rows_notes; --"];
        for key in odd {
            put(&store, "o'wner\0%_", key, key).await;
        }
        for key in odd {
            assert_eq!(note(&store, "o'wner\0%_", key).await, Some(text(key)));
        }
        assert_eq!(store.owners(&NOTES, None, 10).await.unwrap(), ["o'wner\0%_"]);
    });
}

#[test]
fn content_and_numbers_go_on_after_a_reopening() {
    on_both(async |place| {
        let store = place.open();
        assert_eq!(*store.watermark().borrow(), Lsn::ZERO);
        assert_eq!(put(&store, "alice", "a", "1").await, Lsn::new(1));
        assert_eq!(put(&store, "alice", "b", "2").await, Lsn::new(2));
        store.close().await;
        assert_eq!(note(&store, "alice", "a").await, Some(text("1")), "a closed store still reads");
        let error = store.commit(Batch::new()).await.unwrap_err();
        assert!(matches!(error, StoreError::Closed), "{error}");
        drop(store);
        let store = place.open();
        assert_eq!(*store.watermark().borrow(), Lsn::new(2));
        assert_eq!(put(&store, "alice", "c", "3").await, Lsn::new(3));
        assert_eq!(note(&store, "alice", "b").await, Some(text("2")));
    });
}

#[test]
fn the_last_handle_leaves_nothing_unwritten() {
    on_both(async |place| {
        let store = place.open();
        for number in 0..100 {
            let mut batch = Batch::new();
            batch.put(&LOG, "", &Lsn::new(number), &vec![1]);
            store.append(batch).unwrap();
        }
        let mut watermark = store.watermark();
        drop(store);
        while watermark.changed().await.is_ok() {}
        assert_eq!(*watermark.borrow(), Lsn::new(100));
        let store = place.open();
        assert_eq!(store.scan(&LOG, None, None, 200).await.unwrap().len(), 100);
    });
}

#[test]
fn later_batches_see_and_overwrite_earlier_ones() {
    on_both(async |place| {
        let store = place.open();
        let mut last = Lsn::ZERO;
        for number in 1..=500u64 {
            let mut batch = Batch::new();
            batch.put(&NOTES, "alice", &text("last"), &number.to_string());
            // Within a batch the order counts as well: what is erased is put again afterwards.
            batch.put(&MARKS, "alice", &(text("gone"), number), &number);
            batch.erase_owner(MARKS.info(), "alice");
            batch.put(&MARKS, "alice", &(text("kept"), number), &number);
            let lsn = store.append(batch).unwrap();
            assert!(lsn > last);
            assert_eq!(lsn, store.appended());
            last = lsn;
        }
        store.committed(last).await.unwrap();
        assert_eq!(note(&store, "alice", "last").await, Some(text("500")));
        let marks = store.scan(&MARKS, Some("alice"), None, 10).await.unwrap();
        assert_eq!(shown(&marks), [(text("alice"), (text("kept"), 500), 500)]);
    });
}

#[test]
fn the_watermark_only_rises_and_what_it_covers_is_readable() {
    on_both(async |place| {
        let store = place.open();
        let mut watermark = store.watermark();
        let writer = store.clone();
        let mut last = Lsn::ZERO;
        for _ in 0..20 {
            for _ in 0..10 {
                let mut batch = Batch::new();
                let next = writer.appended().as_u64() + 1;
                batch.put(&LOG, "", &Lsn::new(next), &next.to_be_bytes().to_vec());
                assert_eq!(writer.append(batch).unwrap(), Lsn::new(next));
            }
            watermark.changed().await.unwrap();
            let mark = *watermark.borrow_and_update();
            assert!(mark > last);
            last = mark;
            let rows = store.scan(&LOG, None, None, 1000).await.unwrap();
            assert!(rows.len() as u64 >= mark.as_u64());
            assert!(rows.iter().zip(1..).all(|(row, number)| row.key == Lsn::new(number)));
        }
        store.committed(store.appended()).await.unwrap();
        assert_eq!(*store.watermark().borrow(), Lsn::new(200));
    });
}

#[test]
fn readers_see_each_batch_whole() {
    on_both(async |place| {
        let store = place.open();
        for number in 1..=200u64 {
            let mut batch = Batch::new();
            batch.put(&NOTES, "alice", &text("n"), &number.to_string());
            batch.put(&MARKS, "alice", &(text("n"), 0), &number);
            let lsn = store.append(batch).unwrap();
            let rows = store.load_owner(&[NOTES.info(), MARKS.info()], "alice").await.unwrap();
            if let [note, mark] = &rows[..] {
                let note = NOTES.decode_value(note.version, &note.value).unwrap();
                let mark = MARKS.decode_value(mark.version, &mark.value).unwrap();
                assert_eq!(note, mark.to_string());
            } else {
                assert!(rows.is_empty(), "half a batch: {rows:?}");
            }
            if number % 7 == 0 {
                store.committed(lsn).await.unwrap();
            }
        }
    });
}

#[test]
fn an_owner_is_loaded_whole_and_erased_whole() {
    on_both(async |place| {
        let store = place.open();
        let mut batch = Batch::new();
        for owner in ["alice", "alice2", "bob"] {
            batch.put(&NOTES, owner, &text("b"), &text("x"));
            batch.put(&NOTES, owner, &text("a"), &text("x"));
            batch.put(&MARKS, owner, &(text("a"), 1), &1);
        }
        store.commit(batch).await.unwrap();
        let names = |rows: Vec<Row>| -> Vec<_> {
            let name = |row: Row| (row.table.name, String::from_utf8_lossy(&row.key[..1]).into());
            rows.into_iter().map(name).collect()
        };
        let both = [MARKS.info(), NOTES.info()];
        let expected = [("marks", text("a")), ("notes", text("a")), ("notes", text("b"))];
        assert_eq!(names(store.load_owner(&both, "alice").await.unwrap()), expected);
        let mut batch = Batch::new();
        both.iter().for_each(|table| batch.erase_owner(*table, "alice"));
        store.commit(batch).await.unwrap();
        assert!(store.load_owner(&both, "alice").await.unwrap().is_empty());
        assert_eq!(names(store.load_owner(&both, "alice2").await.unwrap()), expected);
        assert_eq!(store.owners(&NOTES, None, 10).await.unwrap(), ["alice2", "bob"]);
    });
}

#[test]
fn scans_walk_owners_and_keys_in_order_page_by_page() {
    on_both(async |place| {
        let store = place.open();
        let mut batch = Batch::new();
        let mut expected = Vec::new();
        for owner in ["a", "a\0", "ab", "b", "ä"] {
            for key in ["", "\0", "1", "10", "2"] {
                expected.push((text(owner), text(key), text("v")));
            }
        }
        for (owner, key, value) in expected.iter().rev() {
            batch.put(&NOTES, owner, key, value);
        }
        store.commit(batch).await.unwrap();
        for page in [1, 2, 4, 5, 24, 25, 26] {
            let mut found = Vec::new();
            loop {
                let after = found.last().map(|(o, k, _): &(String, String, _)| (o.as_str(), k));
                let entries = store.scan(&NOTES, None, after, page).await.unwrap();
                assert!(entries.len() <= page);
                if entries.is_empty() {
                    break;
                }
                found.extend(shown(&entries));
            }
            assert_eq!(found, expected, "pages of {page}");
        }
        let after = text("1");
        let one = store.scan(&NOTES, Some("ab"), Some(("ab", &after)), 10).await.unwrap();
        assert_eq!(shown(&one), expected[13..15]);
        let before = store.scan(&NOTES, Some("ab"), Some(("a", &after)), 10).await.unwrap();
        assert_eq!(shown(&before), expected[10..15]);
        let beyond = store.scan(&NOTES, Some("ab"), Some(("b", &after)), 10).await.unwrap();
        assert!(beyond.is_empty());
        assert_eq!(store.owners(&NOTES, None, 2).await.unwrap(), ["a", "a\0"]);
        assert_eq!(store.owners(&NOTES, Some("a\0"), 9).await.unwrap(), ["ab", "b", "ä"]);
    });
}

#[test]
fn ranges_have_open_and_closed_ends() {
    on_both(async |place| {
        let store = place.open();
        let mut batch = Batch::new();
        for number in 1..=9u64 {
            batch.put(&MARKS, "alice", &(text("x"), number), &number);
            batch.put(&MARKS, "bob", &(text("x"), number), &number);
        }
        batch.put(&MARKS, "alice", &(text("y"), 0), &0);
        store.commit(batch).await.unwrap();
        let at = |number| (text("x"), number);
        let numbers = |entries: Vec<Entry<_, u64>>| -> Vec<u64> {
            assert!(entries.iter().all(|entry| &*entry.owner == "alice"));
            entries.into_iter().map(|entry| entry.value).collect()
        };
        let closed = store.range(&MARKS, "alice", at(3)..=at(5), 99).await.unwrap();
        assert_eq!(numbers(closed), [3, 4, 5]);
        let open = store.range(&MARKS, "alice", at(3)..at(5), 99).await.unwrap();
        assert_eq!(numbers(open), [3, 4]);
        let to = store.range(&MARKS, "alice", ..at(3), 99).await.unwrap();
        assert_eq!(numbers(to), [1, 2]);
        let from = store.range(&MARKS, "alice", at(8).., 99).await.unwrap();
        assert_eq!(numbers(from), [8, 9, 0]);
        let few = store.range(&MARKS, "alice", .., 2).await.unwrap();
        assert_eq!(numbers(few), [1, 2]);
        let none = store.range(&MARKS, "alice", at(5)..at(5), 99).await.unwrap();
        assert_eq!(numbers(none), [0u64; 0]);
        let backwards = store.range(&MARKS, "alice", at(7)..at(2), 99).await.unwrap();
        assert_eq!(numbers(backwards), [0u64; 0]);
    });
}

#[test]
fn the_owner_of_a_global_row_is_ignored() {
    on_both(async |place| {
        let store = place.open();
        let mut batch = Batch::new();
        batch.put(&LOG, "somebody", &Lsn::new(7), &vec![7]);
        store.commit(batch).await.unwrap();
        assert_eq!(store.get(&LOG, "another", &Lsn::new(7)).await.unwrap(), Some(vec![7]));
        let rows = store.scan(&LOG, Some("x"), Some(("y", &Lsn::new(6))), 9).await.unwrap();
        assert_eq!(shown(&rows), [(String::new(), Lsn::new(7), vec![7])]);
        let rows = store.load_owner(&[LOG.info()], "z").await.unwrap();
        assert_eq!(rows.len(), 1);
        let mut batch = Batch::new();
        batch.erase_owner(LOG.info(), "whoever");
        store.commit(batch).await.unwrap();
        assert!(store.scan(&LOG, None, None, 9).await.unwrap().is_empty());
    });
}

#[test]
fn the_append_bound_gives_batches_back_and_capacity_says_when_to_go_on() {
    on_both(async |place| {
        for limit in [1, 2, 5] {
            let limits = JournalLimits { queue_batches: limit, ..JournalLimits::default() };
            let store = place.open_with(&tables(), limits);
            let mut taken = Vec::new();
            let refused = loop {
                let mut batch = Batch::new();
                batch.put(&LOG, "", &Lsn::new(taken.len() as u64), &vec![0; 1 << 16]);
                match store.append(batch) {
                    Ok(lsn) => taken.push(lsn),
                    Err(full) => break full,
                }
            };
            // The writer may have taken groups away meanwhile, never fewer than the bound fit.
            assert!(taken.len() >= limit);
            assert_eq!((refused.refusal, refused.batch.len()), (Refusal::Busy, 1));
            let mut batch = refused.batch;
            let lsn = loop {
                store.capacity().await.unwrap();
                match store.append(batch) {
                    Ok(lsn) => break lsn,
                    Err(Full { batch: back, .. }) => batch = back,
                }
            };
            assert_eq!(lsn, Lsn::new(taken[taken.len() - 1].as_u64() + 1));
            store.committed(lsn).await.unwrap();
            store.close().await;
        }
    });
}

#[test]
fn unknown_tables_are_refused_before_anything_is_written() {
    on_both(async |place| {
        let store = place.open();
        let mut batch = Batch::new();
        batch.put(&NOTES, "alice", &text("k"), &text("v"));
        batch.put(&STRANGER, "", &1, &1);
        let full = store.append(batch.clone()).unwrap_err();
        assert_eq!(full.refusal, Refusal::UnknownTable("stranger"));
        assert_eq!(full.batch.len(), 2);
        let unknown = |error| matches!(error, StoreError::UnknownTable { table: "stranger" });
        assert!(unknown(store.commit(batch).await.unwrap_err()));
        assert!(unknown(store.get(&STRANGER, "", &1).await.unwrap_err()));
        assert!(unknown(store.scan(&STRANGER, None, None, 1).await.unwrap_err()));
        assert!(unknown(store.load_owner(&[STRANGER.info()], "").await.unwrap_err()));
        assert!(unknown(store.owners(&STRANGER, None, 1).await.unwrap_err()));
        assert_eq!(note(&store, "alice", "k").await, None);
        assert_eq!(store.appended(), Lsn::ZERO);
        assert_eq!(store.tables().collect::<Vec<_>>(), [LOG.info(), MARKS.info(), NOTES.info()]);
    });
}

#[test]
fn many_tasks_commit_and_each_batch_is_there_once() {
    on_both(async |place| {
        let limits = JournalLimits { queue_batches: 8, group_batches: 3, ..Default::default() };
        let store = place.open_with(&tables(), limits);
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..16 {
            let store = store.clone();
            tasks.spawn(async move {
                for number in 0..10u64 {
                    let mut batch = Batch::new();
                    batch.put(&MARKS, &format!("t{task}"), &(String::new(), number), &number);
                    store.commit(batch).await.unwrap();
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(store.appended(), Lsn::new(160));
        assert_eq!(store.scan(&MARKS, None, None, 999).await.unwrap().len(), 160);
    });
}

/// A value whose layout changed: version 1 had only a name, version 2 has a colour too.
#[derive(Debug, PartialEq)]
struct Badge {
    name: String,
    colour: u8,
}

impl Record for Badge {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.colour);
        out.extend_from_slice(self.name.as_bytes());
    }

    fn decode(version: u16, bytes: &[u8]) -> Result<Self, RecordError> {
        match version {
            1 => Ok(Self { name: String::decode(1, bytes)?, colour: 0 }),
            2 => {
                let (colour, name) = bytes.split_first().ok_or(RecordError::Short)?;
                Ok(Self { name: String::decode(1, name)?, colour: *colour })
            }
            other => Err(RecordError::Version(other)),
        }
    }
}

#[test]
fn old_rows_are_read_with_the_version_they_were_written_with() {
    const OLD: Table<u64, String> = Table::account("badges", 1);
    const NEW: Table<u64, Badge> = Table::account("badges", 2);
    on_both(async |place| {
        let store = place.open_with(&[OLD.info()], JournalLimits::default());
        let mut batch = Batch::new();
        batch.put(&OLD, "alice", &1, &text("gold"));
        store.commit(batch).await.unwrap();
        store.close().await;
        drop(store);
        let store = place.open_with(&[NEW.info()], JournalLimits::default());
        let mut batch = Batch::new();
        batch.put(&NEW, "alice", &2, &Badge { name: text("silver"), colour: 9 });
        store.commit(batch).await.unwrap();
        let badges = store.scan(&NEW, Some("alice"), None, 9).await.unwrap();
        let badges: Vec<_> = badges.into_iter().map(|entry| entry.value).collect();
        let silver = Badge { name: text("silver"), colour: 9 };
        assert_eq!(badges, [Badge { name: text("gold"), colour: 0 }, silver]);
        let rows = store.load_owner(&[NEW.info()], "alice").await.unwrap();
        assert_eq!([rows[0].version, rows[1].version], [1, 2]);
    });
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8, u8),
    Delete(u8, u8),
    Erase(u8),
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = prop_oneof![
        4 => (0..3u8, 0..6u8, any::<u8>()).prop_map(|(o, k, v)| Step::Put(o, k, v)),
        2 => (0..3u8, 0..6u8).prop_map(|(o, k)| Step::Delete(o, k)),
        1 => (0..3u8).prop_map(Step::Erase),
    ];
    proptest::collection::vec(proptest::collection::vec(step, 0..8), 0..8)
}

async fn outcome(place: &Place, batches: &[Vec<Step>]) -> Vec<(String, (String, u64), u64)> {
    let store = place.open();
    for steps in batches {
        let mut batch = Batch::new();
        for step in steps {
            match *step {
                Step::Put(owner, key, value) => {
                    let key = ("\0".repeat(usize::from(key % 3)), u64::from(key));
                    batch.put(&MARKS, &owner.to_string(), &key, &u64::from(value));
                }
                Step::Delete(owner, key) => {
                    let key = ("\0".repeat(usize::from(key % 3)), u64::from(key));
                    batch.delete(&MARKS, &owner.to_string(), &key);
                }
                Step::Erase(owner) => batch.erase_owner(MARKS.info(), &owner.to_string()),
            }
        }
        store.append(batch).unwrap();
    }
    store.committed(store.appended()).await.unwrap();
    shown(&store.scan(&MARKS, None, None, 999).await.unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn both_back_ends_end_with_the_same_rows(batches in steps()) {
        let outcomes = Arc::new(std::sync::Mutex::new(Vec::new()));
        on_both(async |place| {
            let rows = outcome(&place, &batches).await;
            outcomes.lock().unwrap().push(rows);
        });
        let outcomes = outcomes.lock().unwrap();
        prop_assert_eq!(&outcomes[0], &outcomes[1]);
    }
}
