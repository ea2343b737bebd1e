//! What only the in-memory back end can do: crash, run out of space, be deterministic.

// The lint knows test functions, but not the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use longwire_store::{
    Batch, Failure, Lsn, MemoryImage, MemoryOptions, Store, StoreError, Table, TableInfo,
};
use tokio::time::Instant;

const LOG: Table<u64, u64> = Table::global("log", 1);
const DELAY: Duration = Duration::from_millis(4);

fn open(image: &MemoryImage) -> Store {
    let tables: [TableInfo; 1] = [LOG.info()];
    let options =
        MemoryOptions { commit_delay: DELAY, image: image.clone(), ..MemoryOptions::default() };
    Store::memory(&tables, options).unwrap()
}

fn one(number: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(&LOG, "", &number, &number);
    batch
}

async fn rows(store: &Store) -> usize {
    store.scan(&LOG, None, None, 1000).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_exactly_what_the_watermark_did_not_cover() {
    let image = MemoryImage::default();
    let store = open(&image);
    store.commit(one(1)).await.unwrap();
    let lost = store.append(one(2)).unwrap();
    image.crash();
    let error = store.committed(lost).await.unwrap_err();
    let StoreError::Failed(Failure::Crash { watermark }) = error else { panic!("{error}") };
    assert_eq!(watermark, Lsn::new(1));
    assert!(store.append(one(3)).is_err());
    assert!(store.failure().borrow().is_some());
    let again = open(&image);
    assert_eq!((*again.watermark().borrow(), rows(&again).await), (Lsn::new(1), 1));
    assert_eq!(again.commit(one(2)).await.unwrap(), Lsn::new(2));
}

#[tokio::test(start_paused = true)]
async fn a_crash_in_the_middle_of_a_commit_leaves_nothing_of_it() {
    let image = MemoryImage::default();
    let store = open(&image);
    store.append(one(1)).unwrap();
    tokio::time::advance(DELAY / 2).await;
    tokio::task::yield_now().await;
    image.crash();
    assert!(store.committed(Lsn::new(1)).await.is_err());
    assert_eq!(rows(&open(&image)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_store_commits_at_once_and_a_busy_one_gathers_a_group() {
    let store = open(&MemoryImage::default());
    let start = Instant::now();
    store.commit(one(1)).await.unwrap();
    assert_eq!(start.elapsed(), DELAY, "one commit and no waiting before it");
    store.append(one(2)).unwrap();
    // The writer has taken batch 2 and is at it; the next 50 go together.
    tokio::task::yield_now().await;
    let mut last = Lsn::ZERO;
    for number in 3..53 {
        last = store.append(one(number)).unwrap();
    }
    store.committed(last).await.unwrap();
    assert_eq!(start.elapsed(), DELAY * 3);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_holds_the_watermark_and_reads_go_on() {
    let image = MemoryImage::default();
    let store = open(&image);
    store.commit(one(1)).await.unwrap();
    image.set_full(true);
    let lsn = store.append(one(2)).unwrap();
    store.disk_full().wait_for(|full| *full).await.unwrap();
    let patience = tokio::time::timeout(Duration::from_secs(3600), store.committed(lsn));
    assert!(patience.await.is_err());
    assert_eq!(rows(&store).await, 1);
    image.set_full(false);
    store.committed(lsn).await.unwrap();
    assert!(!*store.disk_full().borrow());
    assert_eq!(rows(&store).await, 2);
}

#[tokio::test(start_paused = true)]
async fn another_stores_commits_on_the_same_image_are_noticed_once() {
    let image = MemoryImage::default();
    let (server, tool) = (open(&image), open(&image));
    server.commit(one(1)).await.unwrap();
    assert_eq!(server.external_changes().await, 0, "own commits do not count");
    tool.commit(one(2)).await.unwrap();
    server.commit(one(3)).await.unwrap();
    assert_eq!(server.external_changes().await, 1);
    assert_eq!(server.external_changes().await, 1);
}
