//! The writer thread: group commit, and what to do when the disk does not take a group.

use std::sync::Arc;
use std::thread;

use tokio::sync::watch;

use crate::error::Failure;
use crate::journal::{Group, Journal, Lsn, Wake, Work};

/// What makes groups durable.
pub(crate) trait Engine: Send {
    /// Makes the group durable as a whole. After an error nothing of it is visible.
    fn commit(&mut self, group: &Group) -> Result<(), CommitError>;

    /// What is better done after the watermark has moved, like moving the log into the database.
    fn tidy(&mut self) -> Result<(), CommitError>;

    /// True when another process has written since the last call.
    fn has_changed(&mut self) -> Result<bool, CommitError>;
}

/// A group was not committed.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// There is no space. Trying again is safe and may help.
    DiskFull,
    /// Another process holds the database. Trying again is safe and will help.
    Busy,
    /// Anything else, above all a failed sync. The kernel may have dropped the very pages that it
    /// could not write and report success the next time, so trying again could lose what it
    /// claims to have saved.
    Fatal(rusqlite::Error),
}

/// Writes until the journal is closed or the engine fails.
///
/// `held` is let go after the engine and before the watermark's channel closes.
pub(crate) fn run<E: Engine>(
    mut engine: E,
    journal: &Arc<Journal>,
    watermark: watch::Sender<Lsn>,
    held: Option<std::fs::File>,
) {
    if let Wake::Thread(slot) = &journal.wake {
        // The journal has one writer, so the slot is empty.
        let _ = slot.set(thread::current());
    }
    let failure = loop {
        let done = match journal.poll() {
            Work::Done => break None,
            Work::Idle => {
                thread::park();
                Ok(true)
            }
            Work::Probe(probe) => engine.has_changed().map(|changed| {
                journal.answer_probe(probe, changed);
                true
            }),
            Work::Commit(group) => commit(&mut engine, journal, &watermark, &group),
        };
        match done {
            Ok(true) | Err(CommitError::Busy | CommitError::DiskFull) => {}
            Ok(false) => break None,
            Err(CommitError::Fatal(source)) => {
                tracing::error!(%source, "the database does not take what is written; stopping");
                let watermark = *watermark.borrow();
                break Some(Failure::Commit { watermark, source: Arc::new(source) });
            }
        }
    };
    journal.stop(failure);
    drop(engine);
    drop(held);
    drop(watermark);
}

/// Commits a group, waiting for space if there is none; false when waiting was given up.
fn commit<E: Engine>(
    engine: &mut E,
    journal: &Journal,
    watermark: &watch::Sender<Lsn>,
    group: &Group,
) -> Result<bool, CommitError> {
    let mut full = false;
    loop {
        match engine.commit(group) {
            Ok(()) => break,
            Err(CommitError::Busy) => tracing::warn!("another process holds the database"),
            Err(CommitError::DiskFull) => {
                if !std::mem::replace(&mut full, true) {
                    tracing::error!("the disk is full; nothing is acknowledged until it has space");
                    journal.set_disk_full(true);
                }
                if !journal.is_open() {
                    return Ok(false);
                }
                thread::sleep(journal.space_retry());
            }
            Err(fatal) => return Err(fatal),
        }
    }
    watermark.send_replace(group.last);
    if full {
        tracing::info!("the disk has space again");
        journal.set_disk_full(false);
    }
    engine.tidy().map(|()| true)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::OnceLock;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::batch::Batch;
    use crate::limits::JournalLimits;

    /// Answers commits from a script, and says which group it was asked for.
    struct Scripted {
        answers: VecDeque<Result<(), CommitError>>,
        asked: mpsc::Sender<Lsn>,
        tidy: Option<CommitError>,
    }

    impl Engine for Scripted {
        fn commit(&mut self, group: &Group) -> Result<(), CommitError> {
            self.asked.send(group.last).unwrap();
            self.answers.pop_front().unwrap_or(Ok(()))
        }

        fn tidy(&mut self) -> Result<(), CommitError> {
            self.tidy.take().map_or(Ok(()), Err)
        }

        fn has_changed(&mut self) -> Result<bool, CommitError> {
            Ok(false)
        }
    }

    struct Rig {
        journal: Arc<Journal>,
        watermark: watch::Receiver<Lsn>,
        asked: mpsc::Receiver<Lsn>,
    }

    fn rig(answers: Vec<Result<(), CommitError>>, tidy: Option<CommitError>) -> Rig {
        let limits =
            JournalLimits { space_retry: Duration::ZERO, group_batches: 1, ..Default::default() };
        let journal = Journal::new(limits, Lsn::ZERO, Wake::Thread(OnceLock::new()));
        let (sender, asked) = mpsc::channel();
        let engine = Scripted { answers: answers.into(), asked: sender, tidy };
        let (mark, watermark) = watch::channel(Lsn::ZERO);
        let own = Arc::clone(&journal);
        thread::spawn(move || run(engine, &own, mark, None));
        Rig { journal, watermark, asked }
    }

    fn io_error() -> CommitError {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        CommitError::Fatal(rusqlite::Error::SqliteFailure(code, None))
    }

    async fn ended(watermark: &mut watch::Receiver<Lsn>) {
        while watermark.changed().await.is_ok() {}
    }

    #[tokio::test]
    async fn a_full_disk_holds_the_watermark_and_writing_goes_on_when_there_is_space() {
        let script = vec![Err(CommitError::DiskFull), Err(CommitError::DiskFull)];
        let mut rig = rig(script, None);
        let mut full = rig.journal.disk_full();
        let lsn = rig.journal.append(Batch::new()).unwrap();
        rig.watermark.wait_for(|mark| *mark >= lsn).await.unwrap();
        full.wait_for(|full| !*full).await.unwrap();
        let asked: Vec<_> = rig.asked.try_iter().collect();
        assert_eq!(asked, [lsn, lsn, lsn], "the same group was tried until it was taken");
        assert!(rig.journal.failure().borrow().is_none());
    }

    #[tokio::test]
    async fn a_failed_sync_is_never_tried_again() {
        let mut rig = rig(vec![Ok(()), Err(io_error())], None);
        let mut failure = rig.journal.failure();
        rig.journal.append(Batch::new()).unwrap();
        rig.journal.append(Batch::new()).unwrap();
        let failed = failure.wait_for(Option::is_some).await.unwrap().clone();
        assert!(
            matches!(failed, Some(Failure::Commit { watermark, .. }) if watermark == Lsn::new(1))
        );
        ended(&mut rig.watermark).await;
        assert_eq!(*rig.watermark.borrow(), Lsn::new(1));
        assert_eq!(rig.asked.try_iter().count(), 2);
        assert!(rig.journal.append(Batch::new()).is_err());
    }

    #[tokio::test]
    async fn a_failed_checkpoint_stops_the_journal_too() {
        let mut rig = rig(vec![], Some(io_error()));
        let lsn = rig.journal.append(Batch::new()).unwrap();
        ended(&mut rig.watermark).await;
        assert_eq!(*rig.watermark.borrow(), lsn, "the batch itself was durable");
        assert!(rig.journal.failure().borrow().is_some());
    }

    #[tokio::test]
    async fn a_busy_database_is_tried_again() {
        let mut rig = rig(vec![Err(CommitError::Busy)], None);
        let lsn = rig.journal.append(Batch::new()).unwrap();
        rig.watermark.wait_for(|mark| *mark >= lsn).await.unwrap();
    }

    #[tokio::test]
    async fn closing_gives_up_on_a_full_disk() {
        let mut rig = rig((0..1_000_000).map(|_| Err(CommitError::DiskFull)).collect(), None);
        rig.journal.append(Batch::new()).unwrap();
        rig.journal.disk_full().wait_for(|full| *full).await.unwrap();
        rig.journal.close();
        ended(&mut rig.watermark).await;
        assert_eq!(*rig.watermark.borrow(), Lsn::ZERO);
    }
}
